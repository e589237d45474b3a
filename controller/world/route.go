package world

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

func (w *World) routeClass() objectClass[intent.Route] {
	return objectClass[intent.Route]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Route { return s.Routes },
		keep: func(t *tenant, now *intent.Route, deleted bool) *intent.Route {
			old := replace(t.routes, now.Prefix, now, deleted)
			if old != nil {
				for _, a := range old.Via {
					i := slices.Index(t.hops[a], old.Prefix)
					if t.hops[a] = slices.Delete(slices.Clone(t.hops[a]), i, i+1); len(t.hops[a]) == 0 {
						delete(t.hops, a)
					}
				}
			}
			if !deleted {
				for _, a := range now.Via {
					t.hops[a] = append(slices.Clone(t.hops[a]), now.Prefix)
					slices.SortFunc(t.hops[a], comparePrefixes)
				}
			}
			return old
		},
		owns: func(_ *tenant, old, now *intent.Route) { ownID(w.unique.routeIDs, old, now, w.routes.touch) },
		changed: func(t *tenant, old, now *intent.Route) {
			for _, r := range []*intent.Route{old, now} {
				if r == nil {
					continue
				}
				for _, a := range r.Via {
					w.touchHop(t, a)
				}
			}
			w.routes.touch(intent.RouteRef{Tenant: t.Name, Prefix: cmp.Or(now, old).Prefix})
		},
		each: func(t *tenant, visit func(*intent.Route)) {
			for _, r := range t.routes {
				visit(&r)
			}
		},
		touch: w.touchRoutes,
	}
}

func (w *World) routeKind() kind[intent.RouteRef, pipeline.RouteView] {
	return kind[intent.RouteRef, pipeline.RouteView]{
		cookie: pipeline.KindRoute, compare: compareRoutes, view: w.routeView,
		idOf:   func(ref intent.RouteRef) intent.ID { return w.tenants[ref.Tenant].routes[ref.Prefix].ID },
		same:   func(a, b *pipeline.RouteView) bool { return reflect.DeepEqual(a, b) },
		id:     func(r *pipeline.RouteView) intent.ID { return r.Route.ID },
		flows:  func(r *pipeline.RouteView, emit pipeline.Emit) { pipeline.Route(w.sw, r, emit) },
		groups: pipeline.RouteGroups,
	}
}

// touchHop remembers that the routes through a next hop changed. The port that has the
// address is looked up once, however many routes changed.
func (w *World) touchHop(t *tenant, a netip.Addr) {
	if n := t.networkOf(a); n != nil {
		w.networks.touch(n.Ref()) // which sources it accepts
	}
	if w.hopsMoved[t.Name] == nil {
		w.hopsMoved[t.Name] = map[netip.Addr]bool{}
	}
	w.hopsMoved[t.Name][a] = true
}

// touchHops marks the ports that are next hops of routes that changed.
func (w *World) touchHops() {
	for name, moved := range w.hopsMoved {
		t := w.tenants[name]
		if t == nil {
			continue // the whole tenant was touched
		}
		for _, n := range t.networks {
			for _, p := range n.ports {
				if slices.ContainsFunc(p.Addrs, func(a netip.Addr) bool { return moved[a] }) {
					w.ports.touch(p.Ref())
				}
			}
		}
	}
	clear(w.hopsMoved)
}

// touchRoutes marks all routes of a tenant: the locations of their next hops may have
// changed.
func (w *World) touchRoutes(t *tenant) {
	for p := range t.routes {
		w.routes.touch(intent.RouteRef{Tenant: t.Name, Prefix: p})
	}
}

// routeConflicts lists routes that are left out.
func (w *World) routeConflicts(add func(object, why string)) {
	idConflicts(w.unique.routeIDs, "route", compareRoutes, add)
}

// routeView returns the view of a route.
func (w *World) routeView(ref intent.RouteRef) *pipeline.RouteView {
	t := w.tenants[ref.Tenant]
	if t == nil {
		return nil
	}
	r, ok := t.routes[ref.Prefix]
	if !ok || w.tenantConflict(t) != "" {
		return nil
	}
	if _, ok := w.unique.routeIDs.before(r.ID, ref, compareRoutes); ok {
		return nil
	}
	v := &pipeline.RouteView{Route: r, VRF: t.VRF}
	if len(t.nat.targets) > 0 {
		v.Zone = w.zone(t)
	}
	for _, a := range r.Via {
		if n := t.networkOf(a); n != nil && w.networkConflict(t, t.networks[n.Name]) == "" {
			v.Hops = append(v.Hops, pipeline.Hop{Addr: a, VNI: n.VNI})
		}
	}
	return v
}

// behind returns the addresses of a port that are next hops, and the prefixes of the
// routes through them.
func (t *tenant) behind(addrs []netip.Addr) (hops []netip.Addr, prefixes []netip.Prefix) {
	if len(t.hops) == 0 {
		return nil, nil
	}
	for _, a := range addrs {
		if to := t.hops[a]; len(to) > 0 {
			hops = append(hops, a)
			prefixes = append(prefixes, to...)
		}
	}
	slices.SortFunc(hops, netip.Addr.Compare)
	slices.SortFunc(prefixes, comparePrefixes)
	return hops, slices.Compact(prefixes)
}

// routedBy returns the prefixes of the routes with a next hop in a network.
func (t *tenant) routedBy(n *intent.Network) []netip.Prefix {
	var list []netip.Prefix
	for prefix, r := range t.routes {
		if slices.ContainsFunc(r.Via, func(a netip.Addr) bool {
			return slices.ContainsFunc(n.Subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(a) })
		}) {
			list = append(list, prefix)
		}
	}
	slices.SortFunc(list, comparePrefixes)
	return list
}

// networkOf returns the network that an address is in: subnets of a tenant do not
// overlap.
func (t *tenant) networkOf(a netip.Addr) *intent.Network {
	for _, n := range t.networks {
		if n.known && slices.ContainsFunc(n.intent.Subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(a) }) {
			return n.intent
		}
	}
	return nil
}

func compareRoutes(a, b intent.RouteRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
