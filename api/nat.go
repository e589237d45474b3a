// The NAT of tenants: all of it in one list.

package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// NAT is all NAT of one tenant, or of all tenants.
type NAT struct {
	SNATs     []SNAT            `json:"snats"`
	Floatings []intent.Floating `json:"floatings"`
	Forwards  []intent.Forward  `json:"forwards"`
}

var exampleNAT = NAT{SNATs: []SNAT{{exampleSNAT, []HostAddress{}}}, Floatings: []intent.Floating{exampleFloating}, Forwards: []intent.Forward{exampleForward}}

var natRoutes = []route{
	{method: http.MethodGet, path: "/v1/nat", summary: "The NAT of all tenants, by name.", reply: exampleNAT, serve: (*Server).nat},
	{method: http.MethodGet, path: "/v1/tenants/{tenant}/nat", summary: "The NAT of one tenant, by name.", reply: exampleNAT, serve: (*Server).nat},
}

// nat lists the NAT of one tenant, or of all.
func (s *Server) nat(c *call) (any, error) {
	tenants, err := s.scope(c)
	if err != nil {
		return nil, err
	}
	all := NAT{SNATs: []SNAT{}, Floatings: []intent.Floating{}, Forwards: []intent.Forward{}}
	for _, ref := range tenants {
		v, err := s.natOf(c.r.Context(), ref.(intent.TenantRef).Tenant)
		if err != nil && !goneMeanwhile(c, err) {
			return nil, err
		}
		all.SNATs = append(all.SNATs, v.SNATs...)
		all.Floatings = append(all.Floatings, v.Floatings...)
		all.Forwards = append(all.Forwards, v.Forwards...)
	}
	slices.SortFunc(all.SNATs, func(a, b SNAT) int {
		return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.External, b.External))
	})
	slices.SortFunc(all.Floatings, compareFloatings)
	slices.SortFunc(all.Forwards, compareForwards)
	return all, nil
}

// natOf returns the NAT of a tenant, in any order.
func (s *Server) natOf(ctx context.Context, tenant string) (v NAT, err error) {
	store, in := s.backend.Store, intent.TenantRef{Tenant: tenant}
	snats, err := intent.AllAs[intent.SNAT](store.List(ctx, intent.ClassSNAT, in))
	if err != nil {
		return NAT{}, err
	}
	taken, err := intent.AllAs[intent.NATAddress](store.List(ctx, intent.ClassNATAddress, in))
	if err != nil {
		return NAT{}, err
	}
	for _, n := range snats {
		v.SNATs = append(v.SNATs, viewSNAT(n, taken))
	}
	if v.Floatings, err = intent.AllAs[intent.Floating](store.List(ctx, intent.ClassFloating, in)); err != nil {
		return NAT{}, err
	}
	v.Forwards, err = intent.AllAs[intent.Forward](store.List(ctx, intent.ClassForward, in))
	return v, err
}

// NAT returns all NAT of one tenant, or of all tenants if tenant is "", by name.
func (c *Client) NAT(ctx context.Context, tenant string) (NAT, error) {
	path := "/v1/nat"
	if tenant != "" {
		path = tenantClass.path(intent.TenantRef{Tenant: tenant}) + "/nat"
	}
	var v NAT
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
}
