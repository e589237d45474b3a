// What leads to ports from beyond their networks.

package api

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// leads are a tenant's floating addresses, forwards and routes, which lead to ports from
// beyond their networks.
type leads struct {
	floatings map[intent.PortRef][]intent.Floating
	forwards  map[intent.PortRef][]intent.Forward
	routes    map[netip.Addr][]netip.Prefix // by next hop
}

func leadsOf(routes []intent.Route, floatings []intent.Floating, forwards []intent.Forward) leads {
	l := leads{map[intent.PortRef][]intent.Floating{}, map[intent.PortRef][]intent.Forward{}, map[netip.Addr][]netip.Prefix{}}
	for _, f := range floatings {
		l.floatings[f.PortRef()] = append(l.floatings[f.PortRef()], f)
	}
	for _, f := range forwards {
		l.forwards[f.To] = append(l.forwards[f.To], f)
	}
	for _, r := range routes {
		for _, hop := range r.Via {
			l.routes[hop] = append(l.routes[hop], r.Prefix)
		}
	}
	return l
}

// to returns the port with what leads to it.
func (l leads) to(v Port) Port {
	v.Floatings, v.Forwards = l.floatings[v.Ref()], l.forwards[v.Ref()]
	for _, a := range v.Addrs {
		v.Routes = append(v.Routes, l.routes[a]...)
	}
	slices.SortFunc(v.Floatings, compareFloatings)
	slices.SortFunc(v.Forwards, compareForwards)
	slices.SortFunc(v.Routes, comparePrefixes)
	v.Routes = slices.Compact(v.Routes)
	return v
}
