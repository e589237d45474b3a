// Static routes of tenants: values, handlers, and the client's calls.

package api

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

// RouteStore keeps the static routes of tenants. Nothing uses one.
type RouteStore interface {
	Routes(ctx context.Context, tenant string) ([]intent.Route, error)
	Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error)
	AddRoute(ctx context.Context, r intent.Route) (intent.Route, int64, error)
	SetRoute(ctx context.Context, ref intent.RouteRef, edit func(*intent.Route) error) (intent.Route, int64, error)
	DeleteRoute(ctx context.Context, ref intent.RouteRef) (deleted []string, revision int64, err error)
}

// RouteSpec is what a user says about a new route.
type RouteSpec struct {
	Prefix netip.Prefix `json:"prefix"`
	Via    []netip.Addr `json:"via"`
}

// RouteChange is what a user wants different about a route: next hops that
// replace all that it had.
type RouteChange struct {
	Via *[]netip.Addr `json:"via,omitempty"`
}

// route returns the route that a path names, as .../routes/10.9.0.0/16.
func (c *call) route() (intent.RouteRef, error) {
	prefix, err := intent.ParseDestination(c.r.PathValue("address") + "/" + c.r.PathValue("length"))
	if err != nil {
		return intent.RouteRef{}, err
	}
	ref := intent.RouteRef{Tenant: c.r.PathValue("tenant"), Prefix: prefix}
	return ref, ref.Validate()
}

// routes lists the routes of all tenants or of one.
func (s *Server) routes(c *call) (any, error) {
	names, err := s.scope(c)
	if err != nil {
		return nil, err
	}
	var all []intent.Route
	for _, name := range names {
		rs, err := s.backend.Store.Routes(c.r.Context(), name)
		if err != nil && !goneMeanwhile(c, err) {
			return nil, err
		}
		all = append(all, rs...)
	}
	slices.SortFunc(all, func(a, b intent.Route) int {
		return cmp.Or(intent.Natural(a.Tenant, b.Tenant), comparePrefixes(a.Prefix, b.Prefix))
	})
	return list(all), nil
}

// comparePrefixes orders prefixes by family, address and length.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func (s *Server) addRoute(c *call) (any, error) {
	var spec RouteSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	r := intent.Route{Tenant: c.r.PathValue("tenant"), Prefix: spec.Prefix, Via: spec.Via}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r, rev, err := s.backend.Store.AddRoute(c.r.Context(), r)
	return Written{Revision: rev, Object: r}, err
}

func (s *Server) route(c *call) (any, error) {
	ref, err := c.route()
	if err != nil {
		return nil, err
	}
	return s.backend.Store.Route(c.r.Context(), ref)
}

func (s *Server) setRoute(c *call) (any, error) {
	ref, err := c.route()
	if err != nil {
		return nil, err
	}
	var change RouteChange
	if err := c.body(&change); err != nil {
		return nil, err
	}
	if change == (RouteChange{}) {
		return nil, nothingToChange("route "+ref.String(), &change)
	}
	if err := (intent.Route{Tenant: ref.Tenant, Prefix: ref.Prefix, Via: *change.Via}).Validate(); err != nil {
		return nil, err
	}
	r, rev, err := s.backend.Store.SetRoute(c.r.Context(), ref, func(r *intent.Route) error {
		set(&r.Via, change.Via)
		return nil
	})
	return Written{Revision: rev, Object: r}, err
}

func (s *Server) deleteRoute(c *call) (any, error) {
	ref, err := c.route()
	if err != nil {
		return nil, err
	}
	return removeUnused(c, "route "+ref.String(),
		func(ctx context.Context) error { _, err := s.backend.Store.Route(ctx, ref); return err },
		func(ctx context.Context) ([]string, int64, error) { return s.backend.Store.DeleteRoute(ctx, ref) })
}

// removeUnused serves the DELETE of what nothing ever uses; exists fails if there
// is no such thing.
func removeUnused(c *call, what string, exists func(context.Context) error, do func(context.Context) ([]string, int64, error)) (any, error) {
	return remove(c, what,
		func(ctx context.Context) ([]string, error) { return nil, exists(ctx) },
		func(ctx context.Context, _ bool) ([]string, int64, error) { return do(ctx) })
}

// Routes returns the static routes of one tenant, or of all if it is "", by
// prefix.
func (c *Client) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	path := "/v1/routes"
	if tenant != "" {
		path = tenantPath(tenant) + "/routes"
	}
	var v []intent.Route
	err := c.do(ctx, http.MethodGet, path, nil, nil, &v)
	return v, err
}

// Route returns a static route.
func (c *Client) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	var v intent.Route
	err := c.do(ctx, http.MethodGet, routePath(ref), nil, nil, &v)
	return v, err
}

// AddRoute adds a static route to a tenant; the answer holds it and the revision.
func (c *Client) AddRoute(ctx context.Context, tenant string, spec RouteSpec) (Written, error) {
	return c.write(ctx, http.MethodPost, tenantPath(tenant)+"/routes", nil, spec)
}

// SetRoute changes a static route; the answer holds it and the revision.
func (c *Client) SetRoute(ctx context.Context, ref intent.RouteRef, change RouteChange) (Written, error) {
	return c.write(ctx, http.MethodPatch, routePath(ref), nil, change)
}

// DeleteRoute deletes a static route.
func (c *Client) DeleteRoute(ctx context.Context, ref intent.RouteRef, m DeleteMode) (Written, error) {
	return c.write(ctx, http.MethodDelete, routePath(ref), m.query(), nil)
}

func routePath(r intent.RouteRef) string {
	return tenantPath(r.Tenant) + "/routes/" + url.PathEscape(r.Prefix.Addr().String()) + "/" + strconv.Itoa(r.Prefix.Bits())
}

var routeClass = declared[intent.Route, intent.RouteRef]{
	class: intent.ClassRoute,
	at:    "/v1/tenants/{tenant}/routes", name: "/{address}/{length}",
	values: func(r intent.RouteRef) []string {
		return []string{r.Tenant, r.Prefix.Addr().String(), strconv.Itoa(r.Prefix.Bits())}
	},
	add: []string{"prefix", "via"},
	set: []string{"via"},
}
