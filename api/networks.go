package api

import (
	"context"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Network is a network with a summary of what it has.
type Network struct {
	intent.Network
	Ports  int            `json:"ports"`
	Hosts  []string       `json:"hosts"`  // where its ports are bound
	Routes []netip.Prefix `json:"routes"` // routes with a next hop in it
}

var networkClass = declared[intent.Network, intent.NetworkRef]{
	class: intent.ClassNetwork,
	at:    "/v1/tenants/{tenant}/networks", name: "/{network}",
	values: func(r intent.NetworkRef) []string { return []string{r.Tenant, r.Network} },
	ref: func(v values) (intent.NetworkRef, error) {
		return intent.NetworkRef{Tenant: v("tenant"), Network: v("network")}, nil
	},
	add:   []string{"name", "subnets", "vni", "mtu", "unknown", "learning", "ethertypes", "vlan_transparent", "storm_limit"},
	set:   []string{"subnets", "mtu", "unknown", "learning", "ethertypes", "vlan_transparent", "storm_limit"},
	place: func(n *intent.Network, v values) { n.Tenant = v("tenant") },
	show: func(ctx context.Context, s *Server, ref intent.NetworkRef) (any, error) {
		n, ps, via, err := s.networkPorts(ctx, ref)
		return Network{Network: n, Ports: len(ps), Hosts: hostsOf(ps), Routes: list(via)}, err
	},
	left:   func(ctx context.Context, s *Server, n intent.Network) []string { return s.leftOfNetwork(ctx, n) },
	leftOf: []string{"subnets", "mtu"},
	docs: documented[intent.Network]{
		one: "network", several: "networks",
		add:     "Add a network. What is left out is chosen: a VNI, and each subnet's first address as its gateway.",
		show:    "One network and what it has.",
		set:     "Change a network. What is left out stays; what is given replaces all that was there; null takes it away.",
		example: exampleNetwork, given: intent.Network{Name: "web", Subnets: exampleNetwork.Subnets}, changed: map[string]any{"mtu": 1400},
		shown:   Network{Network: exampleNetwork, Ports: 2, Hosts: []string{"host1", "host2"}, Routes: []netip.Prefix{exampleRoute.Prefix}},
		deleted: []string{"port acme/web/c1"}, revisions: [3]int64{52, 53, 59},
	},
}

// networkPorts returns a network, its ports and the routes via it, all of one revision.
func (s *Server) networkPorts(ctx context.Context, ref intent.NetworkRef) (n intent.Network, ps []Port, via []netip.Prefix, err error) {
	snap, err := s.backend.Store.Snapshot(ctx, ref.Tenant)
	if err != nil {
		return n, nil, nil, err
	}
	i := slices.IndexFunc(snap.Networks, func(n intent.Network) bool { return n.Name == ref.Network })
	if i < 0 {
		// The store has the best error for a network that is missing.
		n, err := intent.As[intent.Network](s.backend.Store.Get(ctx, ref))
		return n, nil, nil, err
	}
	ps = slices.DeleteFunc(viewPorts(snap), func(p Port) bool { return p.Network != ref.Network })
	return snap.Networks[i], ps, routesVia(snap.Routes, snap.Networks[i]), nil
}

// routesVia returns, of routes, the prefixes that have a next hop in a network.
func routesVia(routes []intent.Route, n intent.Network) []netip.Prefix {
	var via []netip.Prefix
	for _, r := range routes {
		if slices.ContainsFunc(r.Via, func(a netip.Addr) bool {
			return slices.ContainsFunc(n.Subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(a) })
		}) {
			via = append(via, r.Prefix)
		}
	}
	slices.SortFunc(via, comparePrefixes)
	return via
}
