package api

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Port is a port, its claims, and what leads to it from beyond its network.
type Port struct {
	intent.Port
	Host   string  `json:"host,omitempty"`  // of the claim in force
	Up     bool    `json:"up"`              // its host has installed its flows
	Fault  string  `json:"fault,omitempty"` // why no packet can reach it there
	Claims []Claim `json:"claims"`          // newest first; more than one is a conflict

	Floatings []intent.Floating `json:"floatings,omitempty"`
	Forwards  []intent.Forward  `json:"forwards,omitempty"`
	Routes    []netip.Prefix    `json:"routes,omitempty"` // routes with one of its addresses as a next hop
}

// Claim is a host's claim that a port is plugged there.
type Claim struct {
	Host       string `json:"host"`
	Generation uint64 `json:"generation"`
	Up         bool   `json:"up"`
	Fault      string `json:"fault,omitempty"` // why no packet can reach the port there
}

var portClass = declared[intent.Port, intent.PortRef]{
	class: intent.ClassPort,
	at:    "/v1/tenants/{tenant}/networks/{network}/ports", name: "/{port}",
	values: func(r intent.PortRef) []string { return []string{r.Tenant, r.Network, r.Port} },
	ref:    func(v values) (intent.PortRef, error) { return portRef(v), nil },
	add:    []string{"name", "mac", "addresses", "learn"},
	set:    []string{"mac", "addresses", "learn"},
	place:  func(p *intent.Port, v values) { p.Tenant, p.Network = v("tenant"), v("network") },
	show: func(ctx context.Context, s *Server, ref intent.PortRef) (any, error) {
		v, err := s.viewPort(ctx, ref)
		if err != nil {
			return nil, err
		}
		// Avoid a snapshot of the tenant, which may have many ports.
		in := intent.TenantRef{Tenant: ref.Tenant}
		routes, err := intent.AllAs[intent.Route](s.backend.Store.List(ctx, intent.ClassRoute, in))
		if err != nil {
			return nil, err
		}
		floatings, err := intent.AllAs[intent.Floating](s.backend.Store.List(ctx, intent.ClassFloating, in))
		if err != nil {
			return nil, err
		}
		forwards, err := intent.AllAs[intent.Forward](s.backend.Store.List(ctx, intent.ClassForward, in))
		return leadsOf(routes, floatings, forwards).to(v), err
	},
	list: func(ctx context.Context, s *Server, within intent.Reference) (ps []intent.Object, err error) {
		var views []Port
		switch r := within.(type) {
		case intent.NetworkRef:
			_, views, _, err = s.networkPorts(ctx, r)
		case intent.TenantRef:
			var snap intent.Snapshot
			snap, err = s.backend.Store.Snapshot(ctx, r.Tenant)
			views = viewPorts(snap)
		}
		for _, v := range views {
			ps = append(ps, v)
		}
		return ps, err
	},
	left:   func(ctx context.Context, s *Server, p intent.Port) []string { return s.leftOfPort(ctx, p) },
	leftOf: []string{"mac", "addresses"},
	docs: documented[intent.Port]{
		one: "port", several: "ports",
		add:     "Add a port. What is left out is chosen: an address of each subnet, and a MAC.",
		show:    "One port, where it is plugged, and what leads to it.",
		set:     "Change a port. What is left out stays; what is given replaces all that was there; null takes it away. A port always has a MAC.",
		example: examplePort, given: intent.Port{Name: "c1", Addrs: examplePort.Addrs}, changed: map[string]any{"learn": 4},
		shown: examplePortView, listed: []Port{ViewPort(examplePort, exampleClaims)}, revisions: [3]int64{54, 55, 58},
	},
}

func portRef(v values) intent.PortRef {
	return intent.PortRef{Tenant: v("tenant"), Network: v("network"), Port: v("port")}
}

// viewPort reads a port and the claims on it.
func (s *Server) viewPort(ctx context.Context, ref intent.PortRef) (Port, error) {
	p, err := intent.As[intent.Port](s.backend.Store.Get(ctx, ref))
	if err != nil {
		return Port{}, err
	}
	claims, err := intent.AllAs[intent.Binding](s.backend.Store.List(ctx, intent.ClassBinding, ref))
	return ViewPort(p, claims), err
}

// viewPorts joins a tenant's ports with their claims and with what leads to them.
func viewPorts(snap intent.Snapshot) []Port {
	claims := map[intent.PortRef][]intent.Binding{}
	for _, b := range snap.Bindings {
		claims[b.PortRef()] = append(claims[b.PortRef()], b)
	}
	l := leadsOf(snap.Routes, snap.Floatings, snap.Forwards)
	views := make([]Port, 0, len(snap.Ports))
	for _, p := range snap.Ports {
		views = append(views, l.to(ViewPort(p, claims[p.Ref()])))
	}
	return views
}

// hostsOf returns the hosts at which ports are bound, by name.
func hostsOf(ps []Port) []string {
	hosts := []string{}
	for _, p := range ps {
		if p.Host != "" {
			hosts = append(hosts, p.Host)
		}
	}
	slices.SortFunc(hosts, intent.Natural)
	return slices.Compact(hosts)
}

// ViewPort joins a port with the claims on it, in any order.
func ViewPort(p intent.Port, claims []intent.Binding) Port {
	v := Port{Port: p, Claims: []Claim{}}
	for _, c := range claims {
		v.Claims = append(v.Claims, Claim{c.Host, c.Generation, c.Up, c.Fault})
	}
	slices.SortFunc(v.Claims, func(a, b Claim) int {
		if a.Generation != b.Generation {
			return cmp.Compare(b.Generation, a.Generation)
		}
		return intent.Natural(a.Host, b.Host)
	})
	if w, ok := intent.Winner(claims); ok {
		v.Host, v.Up, v.Fault = w.Host, w.Up, w.Fault
	}
	return v
}
