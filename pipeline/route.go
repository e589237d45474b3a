package pipeline

import (
	"hash/fnv"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// route finds a packet's network and next hop by the longest prefix.
var route = &Table{
	ID:      idRoute,
	Name:    "route",
	Purpose: "Find the network and the next hop by the longest prefix.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata, of.FieldEthType, of.FieldIPSrc, of.FieldIPDst, of.FieldIPv6Dst},
	Writes:  []of.Field{of.FieldMetadata, of.FieldReg4, of.FieldXXReg1, of.FieldReg8, of.FieldReg15},
	Next:    []*Table{answerOut, neighbour, mtu, drop},
}

// Priorities of route: prefixes are above every default route out of the overlay.
const (
	routeMiss    = 0
	routeDefault = 4
	routePrefix  = 10
)

// prefixPriority is higher for a longer prefix; of two equal prefixes, the connected
// one wins.
func prefixPriority(p netip.Prefix, connected bool) uint16 {
	if p.Bits() == 0 {
		return routeDefault
	}
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

// routeStatic leads to the next hops of a route. Ports that are reached from outside
// may be answering: answers look the same, and only the connection tracker knows
// whether they leave by an external instead.
func routeStatic(r rules, sw Switch, v *RouteView) {
	match := destination(v.VRF, v.Route.Prefix)
	priority := prefixPriority(v.Route.Prefix, false)
	// The connection tracker reassembles fragments for the lookup, within the tenant's
	// share.
	if v.Zone != 0 && v.Route.Prefix.Addr().Is4() {
		// No subnet has the priority for the same destination: the store refuses a route
		// to a subnet.
		r.add(route, priority+1, "perhaps an answer to the outside", with(match, flagReached.is(1)),
			append(sw.limits(ShareFragments), regZone.set(uint64(v.Zone)), of.CT{Zone: v.Zone, Table: answerOut.ID, Actions: []of.Action{of.NAT{}}})...)
	}
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

// answerOut separates a port's answers to connections from outside from the connections
// that it begins, where a static route would lead both away. It translates the answers
// at once: ovloomd fragments those too large for the external, and the connection
// tracker could not reassemble a mix of translated and other fragments.
var answerOut = &Table{
	ID:      idAnswerOut,
	Name:    "answer_out",
	Purpose: "Send answers back to the outside, whatever the routes say.",
	Reads:   []of.Field{of.FieldCTState, of.FieldCTLabel, of.FieldMetadata, of.FieldEthType},
	Writes:  []of.Field{of.FieldMetadata, of.FieldEthDst, of.FieldReg0, of.FieldReg3},
	Next:    []*Table{mtu, output},
}

func answerOutBase(r rules) {
	r.add(answerOut, 20, "answers what came in by another host: back to it", answersTransit, append(backToEntry(), flagRouted.set(1), to(output))...)
	r.add(answerOut, 0, "no answer: by the routes", on(),
		flagReached.set(0), of.CTClear{}, of.Resubmit{InPort: of.PortInPort, Table: route.ID})
}

// answerOutTenant leads to any external: an answer's source address selects the one it
// leaves by.
func answerOutTenant(r rules, v *TenantView) {
	in := on(regTenant.is(uint64(v.Tenant.VRF)))
	out := []of.Action{flagAnswer.set(1), regNetwork.set(uint64(v.Out)), to(mtu)}
	r.add(answerOut, 10, "answers a connection from outside", with(in, of.CTState(of.CTRpl|of.CTTrk, of.CTInv)), out...)
	r.add(answerOut, 9, "of a connection to the outside from before the route", with(in, of.CTState(of.CTSNAT|of.CTTrk, of.CTInv|of.CTRpl)), out...)
}

const (
	groupRoutes uint32 = 1 << 31 // added to the id of a route
	routeSlots         = 32      // buckets among which a route's connections are divided
)

// routeGroup is the group of a route. Two routes share an id only if 2^30 objects were
// made between them.
func routeGroup(id intent.ID) uint32 { return groupRoutes | uint32(id&(1<<30-1)) }

// routeGroups divides connections among several next hops. The switch chooses a bucket
// by a hash of addresses and ports, and caches one entry for each bucket, not for each
// connection. A next hop that is added or removed moves its own buckets only.
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

// hop returns the next hop of a slot: the one with the highest hash of slot and next
// hop (rendezvous hashing).
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

// mix spreads every bit of n into the highest ones (the end of MurmurHash3): FNV hashes
// of inputs that end alike compare alike.
func mix(n uint64) uint64 {
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return n ^ n>>33
}
