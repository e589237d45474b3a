package controller

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// This file holds what concerns routing: which objects depend on a tenant's routes,
// on its widest network, and on which hosts have ports of a network.

// changeRoute takes in a static route.
func (w *world) changeRoute(t *tenant, deleted bool, r intent.Route) {
	for _, a := range t.routes[r.Prefix].Via {
		i := slices.Index(t.hops[a], r.Prefix)
		if t.hops[a] = slices.Delete(slices.Clone(t.hops[a]), i, i+1); len(t.hops[a]) == 0 {
			delete(t.hops, a)
		}
		w.touchHop(t, a)
	}
	w.ownRoute(t.routes[r.Prefix], intent.Route{})
	delete(t.routes, r.Prefix)
	if !deleted {
		t.routes[r.Prefix] = r
		w.ownRoute(intent.Route{}, r)
		for _, a := range r.Via {
			t.hops[a] = append(slices.Clone(t.hops[a]), r.Prefix)
			slices.SortFunc(t.hops[a], comparePrefixes)
			w.touchHop(t, a)
		}
	}
	w.routes.touch(intent.RouteRef{Tenant: t.Name, Prefix: r.Prefix})
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// touchHop remembers that the routes by a next hop changed. Which ports have it is
// looked for once, however many routes changed.
func (w *world) touchHop(t *tenant, a netip.Addr) {
	if n := t.networkOf(a); n != nil {
		w.networks.touch(n.Ref()) // who may send by it
	}
	if w.hopsMoved[t.Name] == nil {
		w.hopsMoved[t.Name] = map[netip.Addr]bool{}
	}
	w.hopsMoved[t.Name][a] = true
}

// touchHops touches the ports that are next hops of routes that changed.
func (w *world) touchHops() {
	for name, moved := range w.hopsMoved {
		t := w.tenants[name]
		if t == nil {
			continue // all of it was touched
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

// touchRoutes touches all routes of a tenant: where their next hops are may have
// changed.
func (w *world) touchRoutes(t *tenant) {
	for p := range t.routes {
		w.routes.touch(intent.RouteRef{Tenant: t.Name, Prefix: p})
	}
}

// touchWidths touches all networks of a tenant: the widest of them may have changed.
func (w *world) touchWidths(t *tenant) {
	for name := range t.networks {
		w.networks.touch(intent.NetworkRef{Tenant: t.Name, Network: name})
	}
}

// behind returns which of a port's addresses are next hops, and where routes by them
// lead.
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

// routedBy returns where the routes lead that have a next hop in a network.
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

// routeView returns what the pipeline must know of a route.
func (w *world) routeView(ref intent.RouteRef) *pipeline.RouteView {
	t := w.tenants[ref.Tenant]
	if t == nil {
		return nil
	}
	r, ok := t.routes[ref.Prefix]
	if !ok || w.tenantLeft(t) != "" {
		return nil
	}
	if _, ok := w.doubles.routeIDs.before(r.ID, ref, compareRoutes); ok {
		return nil
	}
	v := &pipeline.RouteView{Route: r, VRF: t.VRF}
	if len(t.nat.targets) > 0 {
		v.Zone = w.zone(t)
	}
	for _, a := range r.Via {
		if n := t.networkOf(a); n != nil && w.networkLeft(t, t.networks[n.Name]) == "" {
			v.Hops = append(v.Hops, pipeline.Hop{Addr: a, VNI: n.VNI})
		}
	}
	return v
}

// networkOf returns the network that an address is in: of a tenant's subnets no two
// overlap.
func (t *tenant) networkOf(a netip.Addr) *intent.Network {
	for _, n := range t.networks {
		if n.known && slices.ContainsFunc(n.intent.Subnets, func(s intent.Subnet) bool { return s.Prefix.Contains(a) }) {
			return n.intent
		}
	}
	return nil
}

// elected says whether this host is the gateway of a network's peers: of those that
// have ports of it, the one with the lowest VTEP.
func (w *world) elected(v *pipeline.NetworkView) bool {
	self, ok := w.known[w.self]
	if !ok || len(v.Peers) == 0 || len(v.Local) == 0 {
		return false
	}
	return len(v.VTEPs) == 0 || self.VTEP.Less(v.VTEPs[0])
}

// narrow returns the MTU of a network's ports if what is routed to it may be
// larger, else 0: from a wider network, or from a peer of any.
func (w *world) narrow(t *tenant, n *network) int {
	own := w.portMTU(n)
	for _, other := range t.networks {
		if other.known && w.portMTU(other) > own {
			return own
		}
	}
	if w.widerOutside(t, own) {
		return own
	}
	return 0
}

func (w *world) portMTU(n *network) int { return n.intent.PortMTU(w.known[w.self].UnderlayMTU) }

// networkChanged tells the router of the network.
func (w *world) networkChanged(ref intent.NetworkRef, old, now *pipeline.NetworkView) {
	var was, is *segment
	if old != nil {
		was = &segment{name: ref, vni: old.Network.VNI, elected: old.Elected}
	}
	if now != nil {
		is = &segment{
			name: ref, vni: now.Network.VNI, vrf: now.VRF, subnets: now.Network.Subnets,
			mtu: now.Network.PortMTU(w.known[w.self].UnderlayMTU), elected: now.Elected,
		}
	}
	w.routing.setSegment(was, is)
}
