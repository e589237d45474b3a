package pipeline

import (
	of "github.com/ovloom/ovloom/openflow"
)

// externalIn receives what comes in by an uplink. The segment behind it is not ours:
// what is not for an address that a tenant uses here is dropped without an answer.
var externalIn = &Table{
	ID:      idExternalIn,
	Name:    "external_in",
	Purpose: "Answer ARP for the external addresses that are used here, and lead what is sent to one into its tenant.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthDst, of.FieldEthType, of.FieldARPOp, of.FieldARPSPA, of.FieldARPTPA, of.FieldIPDst},
	Writes: []of.Field{
		of.FieldMetadata, of.FieldEthSrc, of.FieldEthDst, of.FieldARPOp, of.FieldARPSHA, of.FieldARPTHA,
		of.FieldARPSPA, of.FieldARPTPA, of.FieldReg15,
	},
	Next: []*Table{natIn, drop},
}

// Priorities of external_in.
const (
	externalOwn       = 81 // who asks for an address of ours is learned
	externalOwnPlain  = 80
	externalOurAnswer = 61 // to a question of ours
	externalGateway   = 60
	externalAnswer    = 50
	externalPacket    = 40
	externalMiss      = 0
)

func externalInBase(r rules) {
	r.add(externalIn, externalMiss, "not for an external address that is used here", on(), because(ReasonNotOurs)...)
}

// classifyUplink lets in what comes from the outside.
func classifyUplink(r rules, v *ExternalView) {
	r.add(classify, classifyKnown, "comes in by the uplink", on(of.InPort(v.OFPort)),
		enter(uplinkVNI(&v.External), 0), flagFromExternal.set(1), regInPort.set(uint64(v.OFPort)), to(externalIn))
}

// externalInUplink remembers who has which address behind a bridge. The gateway is
// remembered for ever, and anew with every ARP packet of its: after it moved to
// another MAC it says so to all.
func externalInUplink(r rules, sw Switch, v *ExternalView) {
	e := &v.External
	in := on(regNetwork.is(uint64(e.VNI())), of.ARP)
	reply := with(in, of.Exact(of.FieldARPOp, arpReply), of.EthDst(v.Router))
	fromGateway := of.Addr(of.FieldARPSPA, e.Gateway)
	r.add(externalIn, externalOurAnswer, "the gateway answers ovloomd", with(reply, fromGateway),
		append(hear(sw, CauseUplinkAnswer), learnOutside(e.ID, externalLearnedGateway, 0))...)
	r.add(externalIn, externalGateway, "the gateway shows its MAC", with(in, fromGateway),
		learnOutside(e.ID, externalLearnedGateway, 0))
	r.add(externalIn, externalAnswer, "a neighbour answers ovloomd", with(reply, of.Prefix(of.FieldARPSPA, e.Subnet)),
		append(hear(sw, CauseUplinkAnswer), learnOutside(e.ID, externalLearnedNeighbour, learnedIdle))...)
}

// externalInAddress answers for the address and lets its packets in. Connections of
// the tenant are translated back here, new ones in nat_in.
func externalInAddress(r rules, sw Switch, v *AddressView) {
	e := v.External
	in := on(regNetwork.is(uint64(uplinkVNI(e))))
	asked := with(in, of.ARP, of.Exact(of.FieldARPOp, arpRequest), of.Addr(of.FieldARPTPA, v.Address))
	answer := []of.Action{
		of.Copy(of.FieldEthSrc.All(), of.FieldEthDst.All()),
		of.SetMAC(of.FieldEthSrc, v.Router),
		of.Set(of.FieldARPOp, arpReply),
		of.Copy(of.FieldARPSHA.All(), of.FieldARPTHA.All()),
		of.SetMAC(of.FieldARPSHA, v.Router),
		of.Copy(of.FieldARPSPA.All(), of.FieldARPTPA.All()),
		of.SetAddr(of.FieldARPSPA, v.Address),
		of.Output{Port: of.PortInPort},
	}
	r.add(externalIn, externalOwnPlain, "answers for the address", asked, answer...)
	if uplinkVNI(e) == e.VNI() {
		// Whoever asks is about to send something, and will want an answer: with this
		// nobody need be asked for it.
		r.add(externalIn, externalOwn, "answers for the address, and learns who asks", with(asked, of.Prefix(of.FieldARPSPA, e.Subnet)),
			append([]of.Action{learnOutside(e.ID, externalLearnedNeighbour, learnedIdle)}, answer...)...)
	}
	r.add(externalIn, externalPacket, "for the address: enters its tenant", with(in, of.EthDst(v.Router), of.IPv4, of.Addr(of.FieldIPDst, v.Address)),
		append(append([]of.Action{regTenant.set(uint64(v.VRF))}, sw.limits(ShareArriving)...),
			of.CT{Zone: v.Zone, Table: natIn.ID, Actions: []of.Action{of.NAT{}}})...)
}
