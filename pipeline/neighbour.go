package pipeline

import (
	"net/netip"
	"slices"

	of "github.com/ovloom/ovloom/openflow"
)

// neighbour finds the MAC and the port or host of the next hop. Without a next hop it
// matches the destination itself, so that unknown destinations share few entries of the
// datapath's cache.
var neighbour = &Table{
	ID:      idNeighbour,
	Name:    "neighbour",
	Purpose: "Find the MAC, and the port or host, of the next hop.",
	Reads: []of.Field{
		of.FieldMetadata, of.FieldEthType, of.FieldIPDst, of.FieldIPv6Dst,
		of.FieldReg4, of.FieldReg5, of.FieldReg6, of.FieldReg7,
	},
	Writes: []of.Field{of.FieldEthDst, of.FieldReg2, of.FieldReg3, of.FieldReg4, of.FieldXXReg1, of.FieldReg15},
	Next:   []*Table{neighbourLearned, unresolved, mtu, drop},
}

// neighbourLearned has no flows but those that l3_in makes from answers.
var neighbourLearned = &Table{
	ID:      idNeighbourLearned,
	Name:    "neighbour_learned",
	Purpose: "Find the MAC, and the port or host, of a learned next hop.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthType, of.FieldReg4, of.FieldXXReg1},
	Writes:  []of.Field{of.FieldEthDst, of.FieldReg2, of.FieldReg3},
	Next:    nil,
}

// unresolved lets ovloomd ask for unknown next hops.
var unresolved = &Table{
	ID:      idUnresolved,
	Name:    "unresolved",
	Purpose: "Let ovloomd ask for a next hop that is not known.",
	Reads:   []of.Field{of.FieldReg2, of.FieldReg3},
	Next:    []*Table{mtu},
}

// Priorities of neighbour.
const (
	neighbourKnown  = 50
	neighbourDirect = 20
	neighbourVia    = 10
	neighbourMiss   = 0

	neighbourLearnedPriority = 10
)

func neighbourBase(r rules) {
	r.add(neighbour, neighbourMiss, "a network that is not here", on(), because(ReasonUnknownVNI)...)
}

// neighbourNetwork refuses addresses that do not exist, and lets ovloomd ask for those
// that may live behind a port or a peer.
func neighbourNetwork(r rules, sw Switch, v *NetworkView) {
	in := regNetwork.is(uint64(v.Network.VNI))
	for _, family := range []netip.Addr{anyIPv4, anyIPv6} {
		switch {
		case !managed(&v.Network) || !hasFamily(&v.Network, family.Is6()):
		case !v.open():
			r.add(neighbour, neighbourVia, "the address does not exist", on(in, ip(family)), refuse(sw, CauseUnreachable, ReasonNoSuchAddress)...)
		default:
			look := []of.Action{of.Resubmit{InPort: of.PortInPort, Table: neighbourLearned.ID}, to(unresolved)}
			r.add(neighbour, neighbourVia, "looks among the answers", on(in, ip(family)), look...)
			r.add(neighbour, neighbourDirect, "looks among the answers for the destination itself", on(in, ip(family), noHop(family)),
				append([]of.Action{of.Copy(dstField(family).All(), hopField(family).All())}, look...)...)
		}
	}
}

func neighbourPort(r rules, sw Switch, p *PortView) {
	in := on(regNetwork.is(uint64(p.Network.VNI)))
	lead := func(note string, actions ...of.Action) {
		for _, a := range p.Port.Addrs {
			r.add(neighbour, neighbourKnown, note, with(in, ip(a), noHop(a), of.Addr(dstField(a), a)), actions...)
		}
		for _, a := range p.Hops {
			r.add(neighbour, neighbourKnown, note+", as a next hop", with(in, ip(a), isHop(a)), actions...)
		}
	}
	mac := of.SetMAC(of.FieldEthDst, p.Port.MAC)
	switch {
	case p.local():
		lead("leads to the port, which is here", mac, regOutPort.set(uint64(p.OFPort)), to(mtu))
	case p.VTEP.IsValid():
		lead("leads to the host of the port", mac, regVTEP.set(vtepBits(p.VTEP)), to(mtu))
	case !p.open():
		lead("the port is plugged nowhere", refuse(sw, CauseUnreachable, ReasonNotPlugged)...)
	}
}

func unresolvedBase(r rules, sw Switch) {
	r.add(unresolved, 10, "not answered yet: ovloomd asks, and holds the packet",
		on(regOutPort.is(0), regVTEP.is(0)), hear(sw, CauseQuestion)...)
	r.add(unresolved, 0, "answered", on(), to(mtu))
}

// Answers are learned like MACs in table learn: under the cookie of their port, peer or
// network, so that they go with it.

func answersOfPort(r rules, sw Switch, p *PortView) {
	if LearnsLocally(p) {
		from := on(flagFromTunnel.is(0), regInPort.is(uint64(p.OFPort)))
		answers(r, sw, "behind the port", from, MakeCookie(KindLearnedPort, p.Port.ID), uint32(p.Port.Learn)*answersPerMAC)
	}
}

func answersOfNetwork(r rules, sw Switch, v *NetworkView) {
	if v.Network.Learning && managed(&v.Network) {
		from := on(flagFromTunnel.is(1), flagFromPeer.is(0), regNetwork.is(uint64(v.Network.VNI)))
		answers(r, sw, "on another host", from, MakeCookie(KindLearnedNetwork, v.Network.ID), learnedMax)
	}
}

func answersOfPeer(r rules, sw Switch, p *PeerView) {
	from := on(flagFromTunnel.is(1), flagFromPeer.is(1), regNetwork.is(uint64(p.VNI)), of.Addr(of.FieldTunSrc, p.Peer.VTEP))
	answers(r, sw, "behind the peer", from, MakeCookie(KindLearnedPeer, p.Peer.ID), learnedMax)
}

// answersPerMAC is how many addresses one MAC may answer for.
const answersPerMAC = 8

// answers learns the sender's MAC and location from an ARP reply or a neighbour
// advertisement. One of in-port and tunnel source is zero, so the flow can always set
// both.
func answers(r rules, sw Switch, where string, from []of.Term, owner Cookie, limit uint32) {
	note := "remembers an answer to a question of ours, from " + where
	learn := func(family uint64, address of.Field, hop register) of.Learn {
		return of.Learn{
			Table: neighbourLearned.ID, Priority: neighbourLearnedPriority, IdleTimeout: learnedIdle,
			Cookie: uint64(owner), Limit: limit,
			Specs: []of.LearnSpec{
				{Kind: of.LearnMatch, Value: of.BitsOf(family), Dst: of.FieldEthType.All()},
				{Kind: of.LearnMatch, Src: regNetwork.Sub, Dst: regNetwork.Sub},
				{Kind: of.LearnMatch, Src: address.All(), Dst: hop.Sub},
				{Kind: of.LearnLoad, Src: of.FieldEthSrc.All(), Dst: of.FieldEthDst.All()},
				{Kind: of.LearnLoad, Src: regInPort.Sub, Dst: regOutPort.Sub},
				{Kind: of.LearnLoad, Src: of.FieldTunSrc.All(), Dst: regVTEP.Sub},
			},
		}
	}
	// The meter comes first, but does not limit learning: metering happens in the
	// datapath, learning before it.
	tell := hear(sw, CauseAnswer)
	last := len(tell) - 1
	r.add(l3In, l3Learn, note, with(from, of.ARP, of.Exact(of.FieldARPOp, arpReply)),
		slices.Insert(slices.Clone(tell), last, of.Action(learn(0x0800, of.FieldARPSPA, regHop4)))...)
	r.add(l3In, l3Learn, note, with(from, icmpv6(icmpv6NeighborAd)...),
		slices.Insert(slices.Clone(tell), last, of.Action(learn(0x86dd, of.FieldNDTarget, regHop6)))...)
}
