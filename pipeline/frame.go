package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// frame admits, from ports and peers, frames that later tables can check. It is an
// allow-list: a frame that Open vSwitch cannot parse cannot be checked.
var frame = &Table{
	ID:      idFrame,
	Name:    "frame",
	Purpose: "Admit frames of the types that the network carries, if Open vSwitch can parse what later tables check.",
	Reads: []of.Field{
		of.FieldReg0, of.FieldMetadata, of.FieldVLANVID, of.FieldEthType, of.FieldARPOp, of.FieldIPProto, of.FieldIPFrag,
		of.FieldICMPv6Type, of.FieldNDTarget,
	},
	Writes: []of.Field{of.FieldReg15},
	Next:   []*Table{portSecurity, tagged, arpND, learn, drop},
}

// Priorities of frame.
const (
	frameCarryTag  = 120
	frameTag       = 110
	frameCut       = 105
	frameMalformed = 100
	frameFragment  = 95
	frameType      = 50
	frameMiss      = 0
)

// protoNone is the protocol that Linux's own datapath reports for a header chain it
// cannot follow: "no next header", which no useful packet has.
const protoNone = 59

func frameBase(r rules, sw Switch) {
	refuseTags(r, frame, frameTag, "a tag that the network does not carry")

	// Behind a truncated header, Open vSwitch knows no protocol. The receiver would
	// reassemble the fragments and see what was hidden.
	cut := []uint64{0}
	if sw.KernelDatapath {
		cut = append(cut, protoNone)
	}
	for _, proto := range cut {
		r.add(frame, frameCut, "the chain of headers is cut off (RFC 7112)", on(of.IPv6, of.Exact(of.FieldIPProto, proto)), because(ReasonHeaderChain)...)
	}
	r.add(frame, frameCut, "ICMPv6 that is cut off before its type (RFC 7112)", icmpv6(0), because(ReasonHeaderChain)...)
	for _, kind := range []uint8{icmpv6RouterSol, icmpv6RouterAd, icmpv6NeighborSol, icmpv6NeighborAd, icmpv6Redirect} {
		r.add(frame, frameFragment, "neighbour discovery in fragments (RFC 6980)", with(icmpv6(kind), firstFragment), because(ReasonFragmentedND)...)
	}
	// Open vSwitch reads unparsable fields as zero: ARP between other address types,
	// and neighbour discovery with malformed options.
	r.add(frame, frameMalformed, "ARP for other than Ethernet and IPv4", on(of.ARP, of.Exact(of.FieldARPOp, 0)), because(ReasonMalformed)...)
	for _, kind := range []uint8{icmpv6NeighborSol, icmpv6NeighborAd} {
		r.add(frame, frameMalformed, "neighbour discovery that cannot be read", with(icmpv6(kind), of.Addr(of.FieldNDTarget, anyIPv6)), because(ReasonMalformed)...)
	}
	for _, kind := range []of.Term{of.ARP, of.IPv4, of.IPv6} {
		frameCarries(r, on(kind))
	}
	r.add(frame, frameMiss, "not carried by the network", on(), because(ReasonEtherType)...)
}

// frameCarries admits frames of a type.
func frameCarries(r rules, kind []of.Term) {
	r.add(frame, frameType, "from a port", with(kind, flagFromPeer.is(0)), to(portSecurity))
	r.add(frame, frameType, "from a peer", with(kind, flagFromPeer.is(1)), to(arpND))
}

// frameNetwork admits the network's additional EtherTypes.
func frameNetwork(r rules, n *intent.Network) {
	in := on(regNetwork.is(uint64(n.VNI)))
	for _, e := range n.EtherTypes {
		frameCarries(r, with(in, of.EthType(uint16(e))))
	}
	if n.VLANTransparent {
		r.add(frame, frameCarryTag, "with a tag, from a port", with(in, of.AnyVLAN(), flagFromPeer.is(0)), to(tagged))
		r.add(frame, frameCarryTag, "with a tag, from a peer", with(in, of.AnyVLAN(), flagFromPeer.is(1)), to(learn))
	}
}
