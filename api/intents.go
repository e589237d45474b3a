// Handlers of tenants, networks and ports.

package api

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

func (c *call) tenant() (string, error) { return intent.ParseTenant(c.r.PathValue("tenant")) }

func (c *call) network() (intent.NetworkRef, error) {
	ref := intent.NetworkRef{Tenant: c.r.PathValue("tenant"), Network: c.r.PathValue("network")}
	return ref, ref.Validate()
}

func (c *call) port() (intent.PortRef, error) {
	ref := intent.PortRef{Tenant: c.r.PathValue("tenant"), Network: c.r.PathValue("network"), Port: c.r.PathValue("port")}
	return ref, ref.Validate()
}

func (s *Server) tenants(c *call) (any, error) {
	ts, err := s.backend.Store.Tenants(c.r.Context())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(ts, func(a, b intent.Tenant) int { return intent.Natural(a.Name, b.Name) })
	return list(ts), nil
}

func (s *Server) addTenant(c *call) (any, error) {
	var spec TenantSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	name, err := intent.ParseTenant(spec.Name)
	if err != nil {
		return nil, err
	}
	t, rev, err := s.backend.Store.AddTenant(c.r.Context(), name)
	return Written{Revision: rev, Object: t}, err
}

func (s *Server) tenant(c *call) (any, error) {
	name, err := c.tenant()
	if err != nil {
		return nil, err
	}
	snap, err := s.backend.Store.Snapshot(c.r.Context(), name)
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
}

func (s *Server) deleteTenant(c *call) (any, error) {
	name, err := c.tenant()
	if err != nil {
		return nil, err
	}
	return remove(c, "tenant "+name,
		func(ctx context.Context) ([]string, error) { return s.backend.Store.TenantUsers(ctx, name) },
		func(ctx context.Context, cascade bool) ([]string, int64, error) {
			return s.backend.Store.DeleteTenant(ctx, name, cascade)
		})
}

func (s *Server) networks(c *call) (any, error) {
	names, err := s.scope(c)
	if err != nil {
		return nil, err
	}
	all := []intent.Network{}
	for _, name := range names {
		ns, err := s.backend.Store.Networks(c.r.Context(), name)
		if err != nil && !goneMeanwhile(c, err) {
			return nil, err
		}
		all = append(all, ns...)
	}
	slices.SortFunc(all, func(a, b intent.Network) int {
		return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.Name, b.Name))
	})
	return all, nil
}

func (s *Server) addNetwork(c *call) (any, error) {
	var spec NetworkSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	n := intent.Network{Tenant: c.r.PathValue("tenant"), Name: spec.Name, VNI: spec.VNI, Subnets: spec.Subnets,
		MTU: spec.MTU, Unknown: spec.Unknown, Learning: spec.Learning, EtherTypes: spec.EtherTypes, VLANTransparent: spec.VLANTransparent, StormLimit: spec.StormLimit}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	n, rev, err := s.backend.Store.AddNetwork(c.r.Context(), n)
	return Written{Revision: rev, Object: n}, err
}

func (s *Server) network(c *call) (any, error) {
	ref, err := c.network()
	if err != nil {
		return nil, err
	}
	n, ps, via, err := s.networkPorts(c.r.Context(), ref)
	return Network{Network: n, Ports: len(ps), Hosts: hostsOf(ps), Routes: list(via)}, err
}

// routesVia returns those of routes that have a next hop in a network.
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

// networkPorts returns a network, its ports and the routes via it, as they were at
// one moment.
func (s *Server) networkPorts(ctx context.Context, ref intent.NetworkRef) (n intent.Network, ps []Port, via []netip.Prefix, err error) {
	snap, err := s.backend.Store.Snapshot(ctx, ref.Tenant)
	if err != nil {
		return n, nil, nil, err
	}
	i := slices.IndexFunc(snap.Networks, func(n intent.Network) bool { return n.Name == ref.Network })
	if i < 0 {
		// The store knows best what to say about it.
		n, err := s.backend.Store.Network(ctx, ref)
		return n, nil, nil, err
	}
	ps = slices.DeleteFunc(viewPorts(snap), func(p Port) bool { return p.Network != ref.Network })
	return snap.Networks[i], ps, routesVia(snap.Routes, snap.Networks[i]), nil
}

func (s *Server) setNetwork(c *call) (any, error) {
	ref, err := c.network()
	if err != nil {
		return nil, err
	}
	var change NetworkChange
	if err := c.body(&change); err != nil {
		return nil, err
	}
	if change == (NetworkChange{}) {
		return nil, nothingToChange("network "+ref.String(), &change)
	}
	n, rev, err := s.backend.Store.SetNetwork(c.r.Context(), ref, func(n *intent.Network) error {
		set(&n.Subnets, change.Subnets)
		set(&n.MTU, change.MTU)
		set(&n.Unknown, change.Unknown)
		set(&n.Learning, change.Learning)
		set(&n.EtherTypes, change.EtherTypes)
		set(&n.VLANTransparent, change.VLANTransparent)
		set(&n.StormLimit, change.StormLimit)
		return nil
	})
	w := Written{Revision: rev, Object: n}
	if err == nil && (change.Subnets != nil || change.MTU != nil) {
		w.LeftToDo = s.leftOfNetwork(c.r.Context(), n)
	}
	return w, err
}

func (s *Server) deleteNetwork(c *call) (any, error) {
	ref, err := c.network()
	if err != nil {
		return nil, err
	}
	return remove(c, "network "+ref.String(),
		func(ctx context.Context) ([]string, error) { return s.backend.Store.NetworkUsers(ctx, ref) },
		func(ctx context.Context, cascade bool) ([]string, int64, error) {
			return s.backend.Store.DeleteNetwork(ctx, ref, cascade)
		})
}

// ports lists the ports of all tenants, of one, or of one network.
func (s *Server) ports(c *call) (any, error) {
	all := []Port{}
	if c.r.PathValue("network") != "" {
		ref, err := c.network()
		if err != nil {
			return nil, err
		}
		if _, all, _, err = s.networkPorts(c.r.Context(), ref); err != nil {
			return nil, err
		}
	} else {
		names, err := s.scope(c)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			snap, err := s.backend.Store.Snapshot(c.r.Context(), name)
			if err != nil && !goneMeanwhile(c, err) {
				return nil, err
			}
			all = append(all, viewPorts(snap)...)
		}
	}
	slices.SortFunc(all, func(a, b Port) int {
		return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.Network, b.Network), intent.Natural(a.Name, b.Name))
	})
	return list(all), nil
}

func (s *Server) addPort(c *call) (any, error) {
	var spec PortSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	p := intent.Port{Tenant: c.r.PathValue("tenant"), Network: c.r.PathValue("network"), Name: spec.Name,
		MAC: spec.MAC, Addrs: spec.Addrs, Learn: spec.Learn}
	if err := p.Ref().Validate(); err != nil {
		return nil, err
	}
	p, rev, err := s.backend.Store.AddPort(c.r.Context(), p)
	return Written{Revision: rev, Object: p}, err
}

func (s *Server) port(c *call) (any, error) {
	ref, err := c.port()
	if err != nil {
		return nil, err
	}
	p, err := s.backend.Store.Port(c.r.Context(), ref)
	if err != nil {
		return nil, err
	}
	claims, err := s.backend.Store.Bindings(c.r.Context(), ref)
	if err != nil {
		return nil, err
	}
	// Not a snapshot of the tenant, which may have many ports.
	routes, err := s.backend.Store.Routes(c.r.Context(), ref.Tenant)
	if err != nil {
		return nil, err
	}
	floatings, err := s.backend.Store.Floatings(c.r.Context(), ref.Tenant)
	if err != nil {
		return nil, err
	}
	forwards, err := s.backend.Store.Forwards(c.r.Context(), ref.Tenant)
	return leadsOf(routes, floatings, forwards).to(ViewPort(p, claims)), err
}

func (s *Server) setPort(c *call) (any, error) {
	ref, err := c.port()
	if err != nil {
		return nil, err
	}
	var change PortChange
	if err := c.body(&change); err != nil {
		return nil, err
	}
	if change == (PortChange{}) {
		return nil, nothingToChange("port "+ref.String(), &change)
	}
	p, rev, err := s.backend.Store.SetPort(c.r.Context(), ref, func(p *intent.Port) error {
		set(&p.MAC, change.MAC)
		set(&p.Addrs, change.Addrs)
		set(&p.Learn, change.Learn)
		return nil
	})
	w := Written{Revision: rev, Object: p}
	if err == nil && (change.MAC != nil || change.Addrs != nil) {
		w.LeftToDo = s.leftOfPort(c.r.Context(), p)
	}
	return w, err
}

func (s *Server) deletePort(c *call) (any, error) {
	ref, err := c.port()
	if err != nil {
		return nil, err
	}
	return remove(c, "port "+ref.String(),
		func(ctx context.Context) ([]string, error) { return s.backend.Store.PortUsers(ctx, ref) },
		func(ctx context.Context, cascade bool) ([]string, int64, error) {
			return s.backend.Store.DeletePort(ctx, ref, cascade)
		})
}

// remove serves every DELETE of an object; what names it.
func remove(c *call, what string, users func(context.Context) ([]string, error), do func(context.Context, bool) ([]string, int64, error)) (any, error) {
	cascade, err := queryBool(c.query, "cascade")
	if err != nil {
		return nil, err
	}
	dry, err := queryBool(c.query, "dry-run")
	if err != nil {
		return nil, err
	}
	if !dry {
		deleted, rev, err := do(c.r.Context(), cascade)
		return Written{Revision: rev, Deleted: deleted}, err
	}
	used, err := users(c.r.Context())
	if err != nil {
		return nil, err
	}
	if len(used) > 0 && !cascade {
		return nil, intent.InUseBy(what, used)
	}
	return Written{Deleted: append(used, what)}, nil
}

// scope returns the tenants a list is about: the path's, or all.
func (s *Server) scope(c *call) ([]string, error) {
	if c.r.PathValue("tenant") == "" {
		ts, err := s.backend.Store.Tenants(c.r.Context())
		if err != nil {
			return nil, err
		}
		var names []string
		for _, t := range ts {
			names = append(names, t.Name)
		}
		return names, nil
	}
	name, err := c.tenant()
	if err != nil {
		return nil, err
	}
	return []string{name}, nil
}

// goneMeanwhile says whether err only means that one tenant of a list of all
// was deleted while the list was made.
func goneMeanwhile(c *call, err error) bool {
	return c.r.PathValue("tenant") == "" && intent.KindOf(err) == intent.NotFound
}

// viewPorts joins the ports of a tenant with the claims on them and what leads to
// them.
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

// hostsOf returns the hosts that ports are bound to, by name.
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

// set replaces what a change gives.
func set[T any](old *T, given *T) {
	if given != nil {
		*old = *given
	}
}

// nothingToChange refuses a change that changes nothing: most likely its fields
// were forgotten.
func nothingToChange(what string, change any) error {
	return intent.Invalidf("nothing is given to change about %s", what).WithHint("give at least one of %s", fields(change))
}

// list makes an empty list encode as [] and not as null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

var tenantClass = declared[intent.Tenant, intent.TenantRef]{
	class: intent.ClassTenant,
	at:    "/v1/tenants", name: "/{tenant}",
	values: func(r intent.TenantRef) []string { return []string{r.Tenant} },
	add:    []string{"name"},
}

var networkClass = declared[intent.Network, intent.NetworkRef]{
	class: intent.ClassNetwork,
	at:    "/v1/tenants/{tenant}/networks", name: "/{network}",
	values: func(r intent.NetworkRef) []string { return []string{r.Tenant, r.Network} },
	add:    []string{"name", "subnets", "vni", "mtu", "unknown", "learning", "ethertypes", "vlan_transparent", "storm_limit"},
	set:    []string{"subnets", "mtu", "unknown", "learning", "ethertypes", "vlan_transparent", "storm_limit"},
}

var portClass = declared[intent.Port, intent.PortRef]{
	class: intent.ClassPort,
	at:    "/v1/tenants/{tenant}/networks/{network}/ports", name: "/{port}",
	values: func(r intent.PortRef) []string { return []string{r.Tenant, r.Network, r.Port} },
	add:    []string{"name", "mac", "addresses", "learn"},
	set:    []string{"mac", "addresses", "learn"},
}
