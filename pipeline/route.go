package pipeline

import (
	"hash/fnv"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// route finds, by the longest prefix, the network and the next hop that a packet
// goes to.
var route = &Table{
	ID:      idRoute,
	Name:    "route",
	Purpose: "Find the network and the next hop by the longest prefix.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthType, of.FieldIPSrc, of.FieldIPDst, of.FieldIPv6Dst},
	Writes:  []of.Field{of.FieldMetadata, of.FieldReg4, of.FieldXXReg1, of.FieldReg8, of.FieldReg15},
	Next:    []*Table{neighbour, mtu, drop},
}

// Priorities of route: those of prefixes are above all that leads out of the
// overlay by default.
const (
	routeMiss   = 0
	routePrefix = 10
)

// prefixPriority is higher for a longer prefix, and of two equal ones for the
// one that is connected.
func prefixPriority(p netip.Prefix, connected bool) uint16 {
	n := routePrefix + 2*uint16(p.Bits())
	if connected {
		n++
	}
	return n
}

func destination(vrf uint32, p netip.Prefix) []of.Term {
	return on(regTenant.is(uint64(vrf)), ip(p.Addr()), of.Prefix(dstField(p.Addr()), p))
}

func routeBase(r rules, sw Switch) {
	r.add(route, routeMiss, "the tenant has no route there", on(), refuse(sw, CauseNoRoute, ReasonNoRoute)...)
}

// routeNetwork leads to the network's own subnets.
func routeNetwork(r rules, v *NetworkView) {
	for _, s := range v.Network.Subnets {
		r.add(route, prefixPriority(s.Prefix, true), "a subnet of the network",
			destination(v.VRF, s.Prefix), regNetwork.set(uint64(v.Network.VNI)), to(neighbour))
	}
}

// routeStatic leads to the next hops of a route.
func routeStatic(r rules, sw Switch, v *RouteView) {
	match := destination(v.VRF, v.Route.Prefix)
	priority := prefixPriority(v.Route.Prefix, false)
	switch len(v.Hops) {
	case 0:
		r.add(route, priority, "none of the route's next hops is in a network", match, refuse(sw, CauseUnreachable, ReasonNoRoute)...)
	case 1:
		h := v.Hops[0]
		r.add(route, priority, "the route's next hop", match, regNetwork.set(uint64(h.VNI)), setHop(h.Addr), to(neighbour))
	default:
		r.add(route, priority, "one of the route's next hops", match, of.ToGroup{ID: routeGroup(v.Route.ID)})
	}
}

const (
	groupRoutes uint32 = 1 << 31 // what is added to the id of a route
	routeSlots         = 32      // how finely a route's connections are shared out
)

// routeGroup is the group of a route. Two routes share one only if 2^30 objects
// were made between them.
func routeGroup(id intent.ID) uint32 { return groupRoutes | uint32(id&(1<<30-1)) }

// routeGroups shares connections among several next hops. The switch chooses a
// bucket by a hash of addresses and ports, and remembers one entry for each
// bucket, not for each connection. A next hop that comes or goes takes, or gives,
// its own buckets only.
func routeGroups(v *RouteView) []of.Group {
	if len(v.Hops) < 2 {
		return nil
	}
	g := of.Group{ID: routeGroup(v.Route.ID), Type: of.GroupSelect}
	for slot := range uint32(routeSlots) {
		h := v.hop(slot)
		g.Buckets = append(g.Buckets, of.Bucket{ID: slot, Weight: 1, Actions: []of.Action{
			regNetwork.set(uint64(h.VNI)), setHop(h.Addr), of.Resubmit{InPort: of.PortInPort, Table: neighbour.ID}}})
	}
	return []of.Group{g}
}

// hop returns the next hop of a slot: of all, the one that has the highest hash
// together with it (rendezvous hashing).
func (v *RouteView) hop(slot uint32) Hop {
	var best Hop
	var most uint64
	for i, h := range v.Hops {
		sum := fnv.New64a()
		sum.Write(h.Addr.AsSlice())
		sum.Write([]byte{byte(slot)})
		if n := mix(sum.Sum64()); i == 0 || n > most {
			best, most = h, n
		}
	}
	return best
}

// mix makes every bit of n matter for the highest ones (the end of MurmurHash3): FNV
// hashes that end alike compare alike.
func mix(n uint64) uint64 {
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}
