package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// natIn is the only place where a connection from the outside can begin, and with
// external_in the only one that looks at ports: established ones go on whatever the
// rules say.
var natIn = &Table{
	ID:      idNATIn,
	Name:    "nat_in",
	Purpose: "Translate connections from the outside to the port that they are meant for.",
	Reads: []of.Field{
		of.FieldReg0, of.FieldCTState, of.FieldMetadata, of.FieldEthType, of.FieldIPSrc, of.FieldIPDst, of.FieldIPProto, of.FieldIPFrag,
		of.FieldCTNwProto, of.FieldCTTpDst,
	},
	Writes: []of.Field{of.FieldReg0, of.FieldReg15},
	Next:   []*Table{l3In, drop},
}

// Priorities of nat_in.
const (
	natInvalid     = 60
	natMartian     = 57
	natAnswer      = 55
	natEstablished = 50
	natRelated     = 49
	natRepeated    = 48
	natFragments   = 21
	natForward     = 20
	natForwardRest = 19
	natFloating    = 10
	natOpener      = 5
	natMiss        = 0
)

var isNew = of.CTState(of.CTNew|of.CTTrk, 0)

func natInBase(r rules) {
	r.add(natIn, natInvalid, "part of no connection", on(of.CTState(of.CTInv|of.CTTrk, 0)), because(ReasonInvalid)...)
	// Whoever asked is here, or behind a peer, which knows nothing of transit.
	r.add(natIn, natAnswer, "answers a connection from inside", on(of.CTState(of.CTRpl|of.CTTrk, 0)), flagFromExternal.set(0), to(l3In))
	r.add(natIn, natEstablished, "of a connection that goes on", on(of.CTState(of.CTEst|of.CTTrk, 0)), to(l3In))
	r.add(natIn, natRelated, "an ICMP error about a connection", on(of.CTState(of.CTRel|of.CTTrk, 0)), to(l3In))
	// The connection tracker has translated it already, so that it does not match the
	// flow that began its connection: a second packet before the first answer.
	r.add(natIn, natRepeated, "of a connection that was not answered yet", on(of.CTState(of.CTNew|of.CTDNAT|of.CTTrk, 0)), to(l3In))
	r.add(natIn, natOpener, "begins no connection", on(flagOpener.is(1)))
	r.add(natIn, natMiss, "to an address that nothing is led to from outside", on(), because(ReasonNoForward)...)
}

// natInTenant keeps the outside from speaking as the tenant's own ports: answers
// would not go there.
func natInTenant(r rules, v *TenantView) {
	for _, p := range v.Subnets {
		r.add(natIn, natMartian, "from outside, under an address of the tenant's",
			on(regTenant.is(uint64(v.Tenant.VRF)), of.IPv4, of.Prefix(of.FieldIPSrc, p)), because(ReasonMartian)...)
	}
}

func natInFloating(r rules, v *FloatingView) {
	r.add(natIn, natFloating, "to the floating address: to its port",
		on(regTenant.is(uint64(v.VRF)), isNew, of.IPv4, of.Addr(of.FieldIPDst, v.Floating.Address)),
		of.CT{Commit: true, Zone: v.Zone, Table: l3In.ID, Actions: []of.Action{of.NAT{Dst: true, AddrMin: v.Inner}}})
}

func natInForward(r rules, sw Switch, v *ForwardView) {
	f := &v.Forward
	// The port is read from what the connection tracker knows: Open vSwitch pretends that
	// no fragment has ports, the first one included (ovs-fields(7), fragments).
	at := on(regTenant.is(uint64(v.VRF)), isNew, of.IPv4, of.Addr(of.FieldIPDst, f.Address), of.IPProto(f.Protocol.Number()))
	lead := of.CT{Commit: true, Zone: v.Zone, Table: l3In.ID,
		Actions: []of.Action{of.NAT{Dst: true, AddrMin: v.Inner, PortMin: f.ToPort}}}
	r.add(natIn, natForward, "to the forwarded port: to its target", with(at, of.Exact(of.FieldCTNwProto, uint64(f.Protocol.Number())), of.Exact(of.FieldCTTpDst, uint64(f.Port))), lead)
	switch {
	case v.Only:
		// The fragments behind the first have no ports, but the connection tracker wants
		// all of them before it translates any.
		r.add(natIn, natForwardRest, "the rest of a first packet in fragments", with(at, laterFragment), lead)
	case v.First && f.Protocol == intent.UDP:
		// Here the fragments behind the first do not tell which is meant, and all must take
		// one translation. ovloomd reads the first, and lets a packet without contents begin
		// the connection; then the fragments pass like all that follow.
		r.add(natIn, natFragments, "a first packet in fragments: ovloomd begins its connection",
			with(at, anyFragment, flagOpened.is(0)), hear(sw, CauseFragment)...)
	}
}
