package api

import (
	"cmp"
	"context"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// Floating is a floating address with the port that has it.
type Floating struct {
	intent.Floating
	Inside []netip.Addr `json:"inside"`         // the port's own addresses
	Host   string       `json:"host,omitempty"` // where the port is plugged
}

var floatingClass = declared[intent.Floating, intent.FloatingRef]{
	class: intent.ClassFloating,
	at:    "/v1/tenants/{tenant}/networks/{network}/ports/{port}/floatings", name: "/{external}",
	values: func(r intent.FloatingRef) []string { return []string{r.Tenant, r.Network, r.Port, r.External} },
	ref: func(v values) (intent.FloatingRef, error) {
		return intent.FloatingRef{PortRef: portRef(v), External: v("external")}, nil
	},
	within: "nat", listed: "floatings",
	add: []string{"external", "address"},
	place: func(f *intent.Floating, v values) {
		f.Tenant, f.Network, f.Port = v("tenant"), v("network"), v("port")
	},
	show: func(ctx context.Context, s *Server, ref intent.FloatingRef) (any, error) {
		f, err := intent.As[intent.Floating](s.backend.Store.Get(ctx, ref))
		if err != nil {
			return nil, err
		}
		p, err := s.viewPort(ctx, ref.PortRef)
		return Floating{f, list(p.Addrs), p.Host}, err
	},
	docs: documented[intent.Floating]{
		one: "floating address", remove: "Take a floating address from its port", gone: "; its connections end",
		add:     "Give a port an address of its own of an external of kind `bridge`. An address that is left out is chosen.",
		show:    "The floating address that a port has of an external.",
		example: exampleFloating, given: intent.Floating{External: "campus"},
		shown: Floating{exampleFloating, examplePort.Addrs, "host1"}, revisions: [3]int64{71, 0, 72},
	},
}

func compareFloatings(a, b intent.Floating) int {
	return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.Network, b.Network), intent.Natural(a.Port, b.Port), intent.Natural(a.External, b.External))
}
