package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// externalOut admits translated packets only: no inner address leaves. The source
// address selects the external, so that an answer leaves by the external that its
// question came in by.
var externalOut = &Table{
	ID:      idExternalOut,
	Name:    "external_out",
	Purpose: "Let out packets whose source is an external address of their tenant.",
	Reads:   []of.Field{of.FieldReg0, of.FieldVLANVID, of.FieldCTState, of.FieldCTLabel, of.FieldMetadata, of.FieldEthType, of.FieldIPSrc},
	Writes:  []of.Field{of.FieldMetadata, of.FieldEthDst, of.FieldReg3, of.FieldReg15},
	Next:    []*Table{externalNeighbour, output, drop},
}

// externalNeighbour finds the next hop beyond the uplink.
var externalNeighbour = &Table{
	ID:      idExternalNeighbour,
	Name:    "external_neighbour",
	Purpose: "Find the next hop of a leaving packet, or turn it round if its destination is here.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthType, of.FieldIPDst},
	Writes: []of.Field{
		of.FieldMetadata, of.FieldInPort, of.FieldEthSrc, of.FieldEthDst,
		of.FieldReg0, of.FieldReg2, of.FieldReg3, of.FieldReg4, of.FieldReg15,
	},
	Next: []*Table{externalLearned, externalSend, output, drop},
}

// externalLearned has no flows but those that external_in learns.
var externalLearned = &Table{
	ID:      idExternalLearned,
	Name:    "external_learned",
	Purpose: "Find the MAC of a next hop beyond the uplink.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldReg4},
	Writes:  []of.Field{of.FieldEthDst, of.FieldReg2},
}

// externalSend lets ovloomd ask for unknown next hops.
var externalSend = &Table{
	ID:      idExternalSend,
	Name:    "external_send",
	Purpose: "Let ovloomd ask for a next hop beyond the uplink that is not known.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldReg2},
	Writes:  []of.Field{of.FieldVLANVID, of.FieldReg15},
	Next:    []*Table{output, drop},
}

// Priorities of external_out.
const (
	outTag          = 110
	outInvalid      = 100
	outGuarded      = 90
	outTransit      = 80
	outTranslated   = 10
	outUntranslated = 5
	outMiss         = 0
)

// Priorities of external_neighbour.
const (
	outHairpin = 50
	outForeign = 40
	outOnLink  = 20
	outGateway = 10
	outNowhere = 0
)

// Priorities of external_learned.
const (
	externalLearnedGateway   = 20
	externalLearnedNeighbour = 10
)

// learnedOutsideMax bounds the neighbours learned behind one external.
const learnedOutsideMax = 4096

func externalOutBase(r rules) {
	r.add(externalOut, outTag, "a tag, which never leaves", on(of.AnyVLAN()), because(ReasonTagged)...)
	r.add(externalOut, outInvalid, "part of no connection", on(of.CTState(of.CTInv|of.CTTrk, 0)), because(ReasonInvalid)...)
	r.add(externalOut, outGuarded, "to what tenants must not reach, and no answer", on(flagGuarded.is(1), of.CTState(of.CTTrk, of.CTRpl)), to(drop))
	transitBack(r)
	r.add(externalOut, outMiss, "not translated", on(), because(ReasonNoNAT)...)
}

func externalNeighbourBase(r rules) {
	r.add(externalNeighbour, outNowhere, "the external has no uplink here", on(), because(ReasonNoUplink)...)
}

func externalSendBase(r rules, sw Switch) {
	r.add(externalSend, 10, "a next hop that ovloomd has to ask for", on(regOutPort.is(0)), refuse(sw, CauseUplinkAsk, ReasonNextHop)...)
	r.add(externalSend, 0, "out by the uplink", on(), to(output))
}

func externalOutAddress(r rules, v *AddressView) {
	r.add(externalOut, outTranslated, "from the address: by its external",
		on(regTenant.is(uint64(v.VRF)), of.IPv4, of.Addr(of.FieldIPSrc, v.Address)),
		regNetwork.set(uint64(v.External.VNI())), to(externalNeighbour))
	// Treat the packet as one that has just come in by the address's uplink, and clear
	// its conntrack state: it becomes part of a second connection, from one external
	// address to another. Clearing in_port lets it leave by the port that it came from.
	again := []of.Action{
		of.CTClear{}, of.Set(of.FieldInPort, 0),
		enter(v.Segment, 0), of.SetMAC(of.FieldEthDst, v.Router),
		of.SetMasked(of.FieldReg0, flagFromExternal.mask()|flagTurned.mask(), 0xffffffff),
		regOutPort.set(0), regVTEP.set(0), regHop4.set(0), regReason.set(0),
		of.Resubmit{InPort: of.PortInPort, Table: externalIn.ID},
	}
	to := on(of.IPv4, of.Addr(of.FieldIPDst, v.Address))
	// The tenant's own addresses, whichever external it leaves by, and other tenants'
	// that the external allows. Externals behind different bridges may have the same
	// addresses.
	r.add(externalNeighbour, outHairpin, "to the tenant's own address, which is here: comes in again",
		with(to, regTenant.is(uint64(v.VRF))), again...)
	for _, vni := range append([]uint32{v.External.VNI()}, v.Beside...) {
		r.add(externalNeighbour, outForeign, "to an address which is here: comes in again", with(to, regNetwork.is(uint64(vni))), again...)
	}
}

// externalNeighbourUplink sends packets out by the uplink. Table output rewrites the
// source of routed packets that have the gateway's MAC, so the routed flag is cleared.
func externalNeighbourUplink(r rules, v *ExternalView) {
	e := &v.External
	out := on(regNetwork.is(uint64(e.VNI())))
	dress := []of.Action{flagRouted.set(0), of.SetMAC(of.FieldEthSrc, v.Router), regVTEP.set(0)}
	if e.Kind == intent.ExternalHost {
		r.add(externalNeighbour, outGateway, "to the host", out,
			append(dress, of.SetMAC(of.FieldEthDst, v.NextMAC), regOutPort.set(uint64(v.OFPort)), to(output))...)
		return
	}
	if tag := pushTag(e); tag != nil {
		// Set last: a packet that waits for an answer takes this path again.
		r.add(externalSend, 5, "out by the uplink, with the external's VLAN", out, append(tag, to(output))...)
	}
	dress = append(dress, regOutPort.set(0))
	look := []of.Action{of.Resubmit{InPort: of.PortInPort, Table: externalLearned.ID}, to(externalSend)}
	r.add(externalNeighbour, outOnLink, "to a neighbour of the uplink", with(out, of.IPv4, of.Prefix(of.FieldIPDst, e.Subnet)),
		append(append(dress, of.Copy(of.FieldIPDst.All(), regHop4.Sub)), look...)...)
	r.add(externalNeighbour, outGateway, "to the gateway of the uplink", out,
		append(append(dress, setHop(e.Gateway)), look...)...)
}

// learnOutside learns the sender of an ARP packet, for idle seconds (0: no timeout).
func learnOutside(external intent.ID, priority uint16, idle uint16) of.Learn {
	return of.Learn{
		Table: externalLearned.ID, Priority: priority, IdleTimeout: idle,
		Cookie: uint64(MakeCookie(KindLearnedExternal, external)), Limit: learnedOutsideMax,
		Specs: []of.LearnSpec{
			{Kind: of.LearnMatch, Src: regNetwork.Sub, Dst: regNetwork.Sub},
			{Kind: of.LearnMatch, Src: of.FieldARPSPA.All(), Dst: regHop4.Sub},
			{Kind: of.LearnLoad, Src: of.FieldARPSHA.All(), Dst: of.FieldEthDst.All()},
			{Kind: of.LearnLoad, Src: regInPort.Sub, Dst: regOutPort.Sub},
		},
	}
}

// mtuExternal checks packets against the external's MTU.
func mtuExternal(r rules, v *ExternalView) {
	if v.MTU > 0 {
		r.add(mtu, 10, "measures what goes to the external", on(regNetwork.is(uint64(v.External.VNI()))), measure(v.MTU), to(forward))
	}
}
