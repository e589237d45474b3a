package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// arpND answers from the store's data, so that ARP requests and neighbour solicitations
// for known addresses neither cross the underlay nor need ovloomd, which may be down.
// Linux's own datapath cannot answer solicitations (Switch.KernelDatapath); there they
// go to the port they ask for.
var arpND = &Table{
	ID:      idARPND,
	Name:    "arp_nd",
	Purpose: "Answer ARP and neighbour solicitations for the addresses that the network knows.",
	Reads: []of.Field{
		of.FieldReg0, of.FieldReg1, of.FieldMetadata, of.FieldEthType, of.FieldARPOp, of.FieldARPTPA,
		of.FieldEthDst, of.FieldIPProto, of.FieldICMPv6Type, of.FieldIPv6Src, of.FieldNDTarget,
	},
	Writes: []of.Field{
		of.FieldEthSrc, of.FieldEthDst, of.FieldARPOp, of.FieldARPSHA, of.FieldARPTHA,
		of.FieldARPSPA, of.FieldARPTPA, of.FieldICMPv6Type, of.FieldTunDst, of.FieldReg15,
	},
	Next: []*Table{ndAnswer, learn, drop},
}

// ndAnswer completes a neighbour advertisement. Open vSwitch lets a flow change
// an advertisement's fields only if it matches on an advertisement, so the type
// was changed one table earlier.
var ndAnswer = &Table{
	ID:      idNDAnswer,
	Name:    "nd_answer",
	Purpose: "Complete a neighbour advertisement and send it back.",
	Reads:   []of.Field{of.FieldEthSrc, of.FieldEthType, of.FieldIPProto, of.FieldICMPv6Type},
	Writes: []of.Field{
		of.FieldIPv6Src, of.FieldIPv6Dst, of.FieldNDReserved, of.FieldNDOptionsType, of.FieldNDTLL,
	},
	Next: nil,
}

// Priorities of arp_nd.
const (
	arpOwn     = 100 // the port's own address: never answered
	arpDAD     = 95  // from a peer: an answer has no address to go to
	arpPeer    = 90  // from a peer, about a port here
	arpForeign = 80  // from a peer, about anything else
	arpKnown   = 50
	arpUnknown = 10 // no port can have it, so the question is not flooded
	arpMiss    = 0
)

// ARP operations (RFC 826).
const (
	arpRequest = 1
	arpReply   = 2
)

// Flags of a neighbour advertisement (RFC 4861, 4.4), as the 32 bits behind its
// checksum.
const (
	ndSolicitedOverride = 0x60000000
	ndRouter            = 0x80000000
)

// Types of neighbour discovery options (RFC 4861, 4.6).
const ndOptionTargetLinkLayer = 2

func arpNDBase(r rules) {
	// The peer takes the last answer for the port's, so only one host may answer it.
	r.add(arpND, arpForeign, "from a peer: only the host of the port asked for answers", on(flagFromPeer.is(1)), to(learn))
	r.add(arpND, arpDAD, "a peer's duplicate address detection, which the port itself answers to all",
		with(icmpv6(icmpv6NeighborSol), flagFromPeer.is(1), of.Addr(of.FieldIPv6Src, anyIPv6)), to(learn))
	r.add(arpND, arpMiss, "nothing to answer", on(), to(learn))
}

func ndAnswerBase(r rules, sw Switch) {
	if sw.KernelDatapath {
		return
	}
	back := func(flags uint64) []of.Action {
		return []of.Action{
			of.Copy(of.FieldIPv6Src.All(), of.FieldIPv6Dst.All()),
			of.Copy(of.FieldNDTarget.All(), of.FieldIPv6Src.All()),
			of.Set(of.FieldNDReserved, flags),
			of.Set(of.FieldNDOptionsType, ndOptionTargetLinkLayer),
			of.Copy(of.FieldEthSrc.All(), of.FieldNDTLL.All()),
			of.Output{Port: of.PortInPort},
		}
	}
	r.add(ndAnswer, 20, "a gateway's advertisement goes back where the question came from",
		with(icmpv6(icmpv6NeighborAd), of.EthSrc(intent.GatewayMAC)), back(ndSolicitedOverride|ndRouter)...)
	r.add(ndAnswer, 10, "a neighbour advertisement goes back where the question came from",
		icmpv6(icmpv6NeighborAd), back(ndSolicitedOverride)...)
}

func neighborSolicitation(terms ...of.Term) []of.Term {
	return with(icmpv6(icmpv6NeighborSol), terms...)
}

// arpNDNetwork drops questions that need no flooding: where the network knows every
// address, an unknown one does not exist. In an open network an address may live behind
// a port or a peer, and the question is flooded.
func arpNDNetwork(r rules, sw Switch, v *NetworkView) {
	n := &v.Network
	arpNDGateways(r, sw, v)
	if v.open() || !managed(n) {
		return
	}
	in := regNetwork.is(uint64(n.VNI))
	request, reply := of.Exact(of.FieldARPOp, arpRequest), of.Exact(of.FieldARPOp, arpReply)
	if hasFamily(n, false) {
		r.add(arpND, arpUnknown, "ARP for an unknown address", on(in, of.ARP, request), because(ReasonNoSuchAddress)...)
		r.add(arpND, arpUnknown, "ARP reply to no request", on(in, of.ARP, reply), because(ReasonUnasked)...)
	}
	if hasFamily(n, true) {
		r.add(arpND, arpUnknown, "neighbour solicitation for an unknown address",
			with(icmpv6(icmpv6NeighborSol), in), because(ReasonNoSuchAddress)...)
		// One to a port answers the question that was sent to its sender.
		r.add(arpND, arpUnknown, "neighbour advertisement to all",
			with(icmpv6(icmpv6NeighborAd), in, multicast), because(ReasonUnasked)...)
		r.add(arpND, arpUnknown, "router solicitation", with(icmpv6(icmpv6RouterSol), in), because(ReasonNoRouter)...)
	}
}

// reply is how the switch treats a question about a port's address.
type reply struct {
	note, peerNote string // for people; peerNote for a question from a peer
	actions        []of.Action
}

// answer replies from the store's data.
func answer(actions ...of.Action) reply {
	return reply{"answers for the port's address", "answers a peer for the port's address", actions}
}

// ask forwards the question to the port itself, and nowhere else. It is the only
// fallback that works while ovloomd is down.
func ask(p *PortView) reply {
	return reply{"asks the port itself for its address", "asks the port itself for its address, for a peer",
		[]of.Action{of.SetMAC(of.FieldEthDst, p.Port.MAC), to(learn)}}
}

// arpNDGateways answers for the network's gateways. They have one MAC on every
// host, so that a port need not ask again when it moves.
func arpNDGateways(r rules, sw Switch, v *NetworkView) {
	in := regNetwork.is(uint64(v.Network.VNI))
	back := of.Copy(of.FieldTunSrc.All(), of.FieldTunDst.All())
	known := func(asked []of.Term, actions ...of.Action) {
		r.add(arpND, arpKnown, "answers for the gateway", with(asked, in), actions...)
		if v.Elected {
			r.add(arpND, arpPeer, "answers a peer for the gateway", with(asked, flagFromPeer.is(1), in), append([]of.Action{back}, actions...)...)
		}
	}
	for _, g := range v.gateways() {
		if g.Is4() {
			known(on(of.ARP, of.Exact(of.FieldARPOp, arpRequest), of.Addr(of.FieldARPTPA, g)), arpAnswer(intent.GatewayMAC, g)...)
		}
	}
	if !managed(&v.Network) || !hasFamily(&v.Network, true) {
		return
	}
	for _, g := range append(v.gateways(), gatewayLinkLocal) {
		switch {
		case g.Is4():
		case sw.KernelDatapath:
			r.add(arpND, arpKnown, "asks for the gateway: ovloomd answers", neighborSolicitation(of.Addr(of.FieldNDTarget, g), in), hear(sw, CauseSolicitation)...)
		default:
			known(neighborSolicitation(of.Addr(of.FieldNDTarget, g)), ndAnswerOf(intent.GatewayMAC)...)
		}
	}
}

// What all answers have in common: very many flows share these values.
var (
	answerEthDst of.Action = of.Copy(of.FieldEthSrc.All(), of.FieldEthDst.All())
	answerARPOp  of.Action = of.Set(of.FieldARPOp, arpReply)
	answerARPTHA of.Action = of.Copy(of.FieldARPSHA.All(), of.FieldARPTHA.All())
	answerARPTPA of.Action = of.Copy(of.FieldARPSPA.All(), of.FieldARPTPA.All())
	answerNDType of.Action = of.Set(of.FieldICMPv6Type, icmpv6NeighborAd)
	answerBack   of.Action = of.Output{Port: of.PortInPort}
)

// arpAnswer makes an ARP request an answer: address a has this MAC.
func arpAnswer(mac intent.MAC, a netip.Addr) []of.Action {
	return []of.Action{
		answerEthDst,
		of.SetMAC(of.FieldEthSrc, mac),
		answerARPOp,
		answerARPTHA,
		of.SetMAC(of.FieldARPSHA, mac),
		answerARPTPA,
		of.SetAddr(of.FieldARPSPA, a),
		answerBack,
	}
}

// ndAnswerOf turns a neighbour solicitation into half an answer; nd_answer does the
// rest.
func ndAnswerOf(mac intent.MAC) []of.Action {
	return []of.Action{
		answerEthDst,
		of.SetMAC(of.FieldEthSrc, mac),
		answerNDType,
		to(ndAnswer),
	}
}

func arpNDPort(r rules, sw Switch, p *PortView) {
	for _, a := range p.addrs4() {
		// Requests last: without that term these are what the port itself may say.
		asked := on(of.ARP, of.Addr(of.FieldARPTPA, a), of.Exact(of.FieldARPOp, arpRequest))
		arpNDAddress(r, p, asked[:2], asked, answer(arpAnswer(p.Port.MAC, a)...))
	}
	for _, a := range p.addrs6() {
		asked := neighborSolicitation(of.Addr(of.FieldNDTarget, a))
		how := ask(p)
		if !sw.KernelDatapath {
			how = answer(ndAnswerOf(p.Port.MAC)...)
		}
		arpNDAddress(r, p, asked, asked, how)
	}
}

// arpNDAddress emits the flows for questions about one address of a port: own matches
// questions from the port itself, asked questions from others.
func arpNDAddress(r rules, p *PortView, own, asked []of.Term, how reply) {
	if p.local() {
		// Answering it would make the port believe that its address is taken.
		self := with(own, regInPort.is(uint64(p.OFPort)))
		if p.open() {
			r.add(arpND, arpOwn, "the port's own address, for others to hear", self, to(learn))
		} else {
			r.add(arpND, arpOwn, "the port's own address", self, because(ReasonOwnAddress)...)
		}
	}
	in := regNetwork.is(uint64(p.Network.VNI))
	if p.local() && p.Peers {
		back := of.Copy(of.FieldTunSrc.All(), of.FieldTunDst.All())
		r.add(arpND, arpPeer, how.peerNote, with(asked, flagFromPeer.is(1), in), append([]of.Action{back}, how.actions...)...)
	}
	switch {
	case p.bound():
		r.add(arpND, arpKnown, how.note, with(asked, in), how.actions...)
	case !p.open():
		r.add(arpND, arpKnown, "the address is that of a port that is plugged nowhere",
			with(asked, in), because(ReasonNotPlugged)...)
	}
}
