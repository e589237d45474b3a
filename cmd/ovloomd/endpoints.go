// Where the store is, for keeping tenants from it.

package main

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

const (
	endpointsEvery = 15 * time.Second // how often the store's endpoints are found anew
	lookupTime     = time.Second      // for the members of the store, and for one name
)

// storeEndpoints returns the IPv4 addresses at which the store serves: those that this
// host is configured with, and those that its members tell of. What cannot be found
// out at the moment stays as it was found last.
func (x *exits) storeEndpoints(ctx context.Context) []netip.Addr {
	urls := slices.Concat(x.cfg.Store, x.cfg.StoreListen)
	limited, cancel := context.WithTimeout(ctx, lookupTime)
	members, err := x.store.Members(limited)
	cancel()
	for _, m := range members {
		urls = append(append(urls, m.URLs...), m.Peer)
	}
	var found []netip.Addr
	known := err == nil
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			continue // the socket of a store for this host alone
		}
		addrs, err := addressesOf(ctx, u.Hostname())
		known = known && err == nil
		found = append(found, addrs...)
	}
	if !known {
		found = append(found, x.endpoints...)
	}
	found = slices.DeleteFunc(found, func(a netip.Addr) bool { return !a.Is4() || a.IsLoopback() || a.IsUnspecified() })
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found)
}

// addressesOf returns the addresses of a host that is written as an address or a name.
func addressesOf(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	limited, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(limited, "ip4", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}
