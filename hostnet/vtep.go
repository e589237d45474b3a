package hostnet

// The host's address for tunnels.

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// AddrOwner returns the interface that has an address; it fails with NotFound if none
// has.
func AddrOwner(a netip.Addr) (ifname string, err error) {
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return "", fmt.Errorf("read the host's addresses: %w", err)
	}
	for _, n := range list {
		if addrOf(n.IP) == a.Unmap().WithZone("") {
			return linkName(n.LinkIndex), nil
		}
	}
	return "", intent.NotFoundf("no interface of this host has the address %s", a).WithHint("see `ip addr`")
}

// UnderlayMTU returns the MTU, in bytes of IP packet, of the interface that has the
// VTEP address; it fails with NotFound if none has.
func UnderlayMTU(vtep netip.Addr) (mtu int, ifname string, err error) {
	if ifname, err = AddrOwner(vtep); err != nil {
		return 0, "", err
	}
	l, err := mustLink(ifname)
	if err != nil {
		return 0, "", err
	}
	return l.Attrs().MTU, ifname, nil
}

// PrefixOf returns the prefix of the segment of one of the host's addresses; it fails
// with NotFound if no interface has the address.
func PrefixOf(a netip.Addr) (netip.Prefix, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read the host's addresses: %w", err)
	}
	for _, n := range list {
		if addrOf(n.IP) == a {
			return prefixOf(n.IPNet).Masked(), nil
		}
	}
	return netip.Prefix{}, intent.NotFoundf("no interface of this host has the address %s", a).WithHint("see `ip addr`")
}

// DefaultVTEP returns the IPv4 address of the interface with the default route. It
// fails with NotFound if there is no such route or address, and with Invalid if there
// are several; both errors mention --vtep.
func DefaultVTEP() (netip.Addr, error) {
	routes, err := dump(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read the host's routes: %w", err)
	}
	best := math.MaxInt
	var through []netlink.Route
	for _, r := range routes {
		if prefixOf(r.Dst).Bits() != 0 || r.Type != unix.RTN_UNICAST || r.Priority > best {
			continue
		}
		if r.Priority < best {
			best, through = r.Priority, nil
		}
		through = append(through, r)
	}
	var links []int
	for _, r := range through {
		links = append(links, r.LinkIndex)
		for _, hop := range r.MultiPath {
			links = append(links, hop.LinkIndex)
		}
	}
	links = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(links))), func(i int) bool { return i == 0 })
	switch {
	case len(links) == 0:
		return netip.Addr{}, intent.NotFoundf("this host has no default route to tell its underlay by").
			WithHint("give --vtep ADDRESS, the IPv4 address that the other hosts reach it at")
	case len(links) > 1:
		var names []string
		for _, i := range links {
			names = append(names, linkName(i))
		}
		return netip.Addr{}, intent.Invalidf("this host has equal default routes through %s", strings.Join(names, " and ")).
			WithHint("give --vtep ADDRESS, the IPv4 address that the other hosts reach it at")
	}
	if src := addrOf(through[0].Src); src.IsValid() {
		return src, nil
	}
	return onlyAddress(links[0])
}

// onlyAddress returns the IPv4 address of an interface with exactly one.
func onlyAddress(index int) (netip.Addr, error) {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read interface %d: %w", index, err)
	}
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read addresses of %s: %w", l.Attrs().Name, err)
	}
	var usable []netip.Addr
	for _, n := range list {
		if n.Scope == unix.RT_SCOPE_UNIVERSE && n.Flags&unix.IFA_F_SECONDARY == 0 && !net.IP(n.IP).IsLoopback() {
			usable = append(usable, addrOf(n.IP))
		}
	}
	switch len(usable) {
	case 0:
		return netip.Addr{}, intent.NotFoundf("interface %s, which has the default route, has no IPv4 address", l.Attrs().Name).
			WithHint("give --vtep ADDRESS")
	case 1:
		return usable[0], nil
	}
	return netip.Addr{}, intent.Invalidf("interface %s, which has the default route, has the addresses %v", l.Attrs().Name, usable).
		WithHint("say which with --vtep ADDRESS")
}
