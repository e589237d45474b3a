package api

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Tenant is a tenant with a summary of what it has.
type Tenant struct {
	intent.Tenant
	Networks []string `json:"networks"` // names
	Ports    int      `json:"ports"`
	Hosts    []string `json:"hosts"` // where its ports are bound

	Routes    int           `json:"routes"`
	SNATs     []intent.SNAT `json:"snats"` // at most one
	Floatings int           `json:"floatings"`
	Forwards  int           `json:"forwards"`
}

var tenantClass = declared[intent.Tenant, intent.TenantRef]{
	class: intent.ClassTenant,
	at:    "/v1/tenants", name: "/{tenant}",
	values: func(r intent.TenantRef) []string { return []string{r.Tenant} },
	ref:    func(v values) (intent.TenantRef, error) { return intent.TenantRef{Tenant: v("tenant")}, nil },
	add:    []string{"name"},
	show: func(ctx context.Context, s *Server, ref intent.TenantRef) (any, error) {
		snap, err := s.backend.Store.Snapshot(ctx, ref.Tenant)
		if err != nil {
			return nil, err
		}
		ps := viewPorts(snap)
		v := Tenant{Tenant: snap.Tenant, Networks: []string{}, Ports: len(ps), Hosts: hostsOf(ps),
			Routes: len(snap.Routes), SNATs: list(snap.SNATs), Floatings: len(snap.Floatings), Forwards: len(snap.Forwards)}
		for _, n := range snap.Networks {
			v.Networks = append(v.Networks, n.Name)
		}
		slices.SortFunc(v.Networks, intent.Natural)
		return v, nil
	},
	docs: documented[intent.Tenant]{
		one: "tenant", several: "tenants", add: "Add a tenant.", show: "One tenant and what it has.",
		example: exampleTenant, given: intent.Tenant{Name: "acme"}, revisions: [3]int64{51, 0, 60},
		shown: Tenant{Tenant: exampleTenant, Networks: []string{"web"}, Ports: 2, Hosts: []string{"host1", "host2"}, Routes: 1,
			SNATs: []intent.SNAT{exampleSNAT}, Floatings: 1, Forwards: 1},
	},
}
