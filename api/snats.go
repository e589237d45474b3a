package api

import (
	"context"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// SNAT is a SNAT with the addresses that hosts have taken for it.
type SNAT struct {
	intent.SNAT
	Hosts []HostAddress `json:"hosts"` // none where all hosts share one address
}

// HostAddress is an address that a host has taken.
type HostAddress struct {
	Host    string     `json:"host"`
	Address netip.Addr `json:"address"`
}

var snatClass = declared[intent.SNAT, intent.SNATRef]{
	class: intent.ClassSNAT,
	at:    "/v1/tenants/{tenant}/snats", name: "/{external}",
	values: func(r intent.SNATRef) []string { return []string{r.Tenant, r.External} },
	ref: func(v values) (intent.SNATRef, error) {
		return intent.SNATRef{Tenant: v("tenant"), External: v("external")}, nil
	},
	within: "nat", listed: "snats",
	add:   []string{"external", "address", "max_connections"},
	set:   []string{"max_connections"},
	place: func(n *intent.SNAT, v values) { n.Tenant = v("tenant") },
	show: func(ctx context.Context, s *Server, ref intent.SNATRef) (any, error) {
		n, err := intent.As[intent.SNAT](s.backend.Store.Get(ctx, ref))
		if err != nil {
			return nil, err
		}
		taken, err := intent.AllAs[intent.NATAddress](s.backend.Store.List(ctx, intent.ClassNATAddress, intent.TenantRef{Tenant: ref.Tenant}))
		return viewSNAT(n, taken), err
	},
	docs: documented[intent.SNAT]{
		one: "SNAT", gone: "; its connections end",
		add:     "Add source NAT for a tenant, through an external. A tenant has at most one SNAT.",
		show:    "The SNAT of a tenant, and what each host translates to where that differs.",
		set:     "Change a SNAT.",
		example: exampleSNAT, given: intent.SNAT{External: "internet"}, changed: map[string]any{"max_connections": 10000},
		shown: exampleNAT.SNATs[0], revisions: [3]int64{68, 69, 70},
	},
}

// viewSNAT joins a SNAT with the addresses that hosts have taken for it.
func viewSNAT(n intent.SNAT, taken []intent.NATAddress) SNAT {
	v := SNAT{SNAT: n, Hosts: []HostAddress{}}
	for _, a := range taken {
		if a.Tenant == n.Tenant && a.External == n.External {
			v.Hosts = append(v.Hosts, HostAddress{a.Host, a.Address})
		}
	}
	slices.SortFunc(v.Hosts, func(a, b HostAddress) int { return intent.Natural(a.Host, b.Host) })
	return v
}
