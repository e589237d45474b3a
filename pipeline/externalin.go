package pipeline

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// externalIn receives what comes in by an uplink. Others use the segment behind it,
// too: packets for an address that no tenant uses here are dropped without an answer.
var externalIn = &Table{
	ID:      idExternalIn,
	Name:    "external_in",
	Purpose: "Answer ARP for the external addresses used here, and pass their packets to their tenants.",
	Reads: []of.Field{
		of.FieldReg0, of.FieldMetadata, of.FieldVLANVID, of.FieldEthDst, of.FieldEthType, of.FieldARPOp, of.FieldARPSPA, of.FieldARPTPA,
		of.FieldIPSrc, of.FieldIPDst,
	},
	Writes: []of.Field{
		of.FieldMetadata, of.FieldEthSrc, of.FieldEthDst, of.FieldARPOp, of.FieldARPSHA, of.FieldARPTHA,
		of.FieldARPSPA, of.FieldARPTPA, of.FieldVLANVID, of.FieldReg15,
	},
	Next: []*Table{natIn, drop},
}

// Priorities of external_in.
const (
	externalTag       = 90
	externalOwn       = 81 // an asker for our address is learned
	externalOwnPlain  = 80
	externalOurAnswer = 61 // to a question of the router's
	externalGateway   = 60
	externalAnswer    = 50
	externalMartian   = 45
	externalPacket    = 40
	externalMiss      = 0
)

func externalInBase(r rules) {
	refuseTags(r, externalIn, externalTag, "a tag within the external's own")
	r.add(externalIn, externalMiss, "not for an external address that is used here", on(), because(ReasonNotOurs)...)
}

// Priorities of classify for uplinks; packets that it admits have classifyKnown.
const (
	classifyUplinkHost    = 106
	classifyUplinkMartian = 105
	classifyUplinkTag     = 95
	classifyUplinkOther   = 90
)

// neverSources are sources that no packet from outside can have: this network,
// loopback, multicast and reserved addresses (RFC 1122, RFC 1112).
var neverSources = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("224.0.0.0/3"),
}

// classifyUplink admits packets with the external's VLAN or, if it has none, untagged
// and priority-tagged ones.
func classifyUplink(r rules, v *ExternalView) {
	e := &v.External
	from := on(of.InPort(v.OFPort))
	in := []of.Action{enter(v.Segment, 0), flagFromExternal.set(1), regInPort.set(uint64(v.OFPort)), to(externalIn)}
	if e.Kind == intent.ExternalHost {
		// The addresses of NAT are on this side of the uplink; the host has the gateway's.
		r.add(classify, classifyUplinkHost, "comes in by the uplink, from the host itself", with(from, of.NoVLAN(), of.IPv4, of.Addr(of.FieldIPSrc, e.Gateway)), in...)
		r.add(classify, classifyUplinkMartian, "from outside, under an address of NAT's", with(from, of.IPv4, of.Prefix(of.FieldIPSrc, e.Subnet)), because(ReasonMartian)...)
	}
	if v.First {
		for _, p := range neverSources {
			r.add(classify, classifyUplinkMartian, "from outside, under an address that does not exist there", with(from, of.IPv4, of.Prefix(of.FieldIPSrc, p)), because(ReasonMartian)...)
		}
		r.add(classify, classifyUplinkTag, "of another VLAN", with(from, of.AnyVLAN()), because(ReasonTagged)...)
		r.add(classify, classifyUplinkOther, "without a VLAN of an external", from, because(ReasonNotOurs)...)
	}
	if !v.Lead {
		return
	}
	untag := append([]of.Action{of.PopVLAN{}}, in...)
	if e.VLAN != 0 {
		r.add(classify, classifyKnown, "comes in by the uplink, with the external's VLAN", with(from, of.VLAN(e.VLAN)), untag...)
		return
	}
	r.add(classify, classifyKnown, "comes in by the uplink", with(from, of.NoVLAN()), in...)
	r.add(classify, classifyKnown, "comes in by the uplink, with a priority", with(from, of.VLAN(0)), untag...)
}

// externalInUplink learns neighbours behind a bridge. The gateway is learned without a
// timeout, and again with each of its ARP packets: it announces a new MAC to the whole
// segment.
func externalInUplink(r rules, sw Switch, v *ExternalView) {
	e := &v.External
	in := on(regNetwork.is(uint64(v.Segment)), of.ARP)
	own := ownNetwork(v.Segment, e)
	reply := with(in, of.Exact(of.FieldARPOp, arpReply), of.EthDst(v.Router))
	fromGateway := of.Addr(of.FieldARPSPA, e.Gateway)
	r.add(externalIn, externalOurAnswer, "the gateway answers ovloomd", with(reply, fromGateway),
		slices.Concat(hear(sw, CauseUplinkAnswer, own...), []of.Action{learnOutside(e.ID, externalLearnedGateway, 0)})...)
	r.add(externalIn, externalGateway, "the gateway shows its MAC", with(in, fromGateway),
		append(own, learnOutside(e.ID, externalLearnedGateway, 0))...)
	r.add(externalIn, externalAnswer, "a neighbour answers ovloomd", with(reply, of.Prefix(of.FieldARPSPA, e.Subnet)),
		slices.Concat(hear(sw, CauseUplinkAnswer, own...), []of.Action{learnOutside(e.ID, externalLearnedNeighbour, learnedIdle)})...)
}

// ownNetwork marks a packet from a shared segment as the external's, because learned
// flows match on it.
func ownNetwork(segment uint32, e *intent.External) []of.Action {
	if segment == e.VNI() {
		return nil
	}
	return []of.Action{regNetwork.set(uint64(e.VNI()))}
}

// externalInAddress answers for the address and admits its packets. Established
// connections are translated back here, new ones in nat_in.
func externalInAddress(r rules, sw Switch, v *AddressView) {
	e := v.External
	in := on(regNetwork.is(uint64(v.Segment)))
	asked := with(in, of.ARP, of.Exact(of.FieldARPOp, arpRequest), of.Addr(of.FieldARPTPA, v.Address))
	answer := []of.Action{
		of.Copy(of.FieldEthSrc.All(), of.FieldEthDst.All()),
		of.SetMAC(of.FieldEthSrc, v.Router),
		of.Set(of.FieldARPOp, arpReply),
		of.Copy(of.FieldARPSHA.All(), of.FieldARPTHA.All()),
		of.SetMAC(of.FieldARPSHA, v.Router),
		of.Copy(of.FieldARPSPA.All(), of.FieldARPTPA.All()),
		of.SetAddr(of.FieldARPSPA, v.Address),
	}
	answer = append(slices.Concat(answer, pushTag(e)), of.Output{Port: of.PortInPort})
	r.add(externalIn, externalOwnPlain, "answers for the address", asked, answer...)
	if e.Kind == intent.ExternalBridge {
		// The asker is about to send something and will need an answer: learning it
		// here saves a question.
		r.add(externalIn, externalOwn, "answers for the address, and learns who asks", with(asked, of.Prefix(of.FieldARPSPA, e.Subnet)),
			slices.Concat(ownNetwork(v.Segment, e), []of.Action{learnOutside(e.ID, externalLearnedNeighbour, learnedIdle)}, answer)...)
	}
	if e.Kind == intent.ExternalBridge {
		r.add(externalIn, externalMartian, "from outside, under an address of NAT's", with(in, flagTurned.is(0), of.IPv4, of.Addr(of.FieldIPSrc, v.Address)), because(ReasonMartian)...)
	}
	r.add(externalIn, externalPacket, "for the address: enters its tenant", with(in, of.EthDst(v.Router), of.IPv4, of.Addr(of.FieldIPDst, v.Address)),
		append(append([]of.Action{regTenant.set(uint64(v.VRF))}, sw.limits(ShareArriving)...),
			of.CT{Zone: v.Zone, Table: natIn.ID, Actions: []of.Action{of.NAT{}}})...)
}
