package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// natIn is the only place where a connection from the outside can begin and, with
// external_in, the only one that looks at ports: established connections go on whatever
// the rules say.
var natIn = &Table{
	ID:      idNATIn,
	Name:    "nat_in",
	Purpose: "Translate connections from the outside to their port.",
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
	// The asker is here, or behind a peer, which knows nothing of transit.
	r.add(natIn, natAnswer, "answers a connection from inside", on(of.CTState(of.CTRpl|of.CTTrk, 0)), flagFromExternal.set(0), to(l3In))
	r.add(natIn, natEstablished, "of a connection that goes on", on(of.CTState(of.CTEst|of.CTTrk, 0)), to(l3In))
	r.add(natIn, natRelated, "an ICMP error about a connection", on(of.CTState(of.CTRel|of.CTTrk, 0)), to(l3In))
	// A second packet before the first answer: the connection tracker has translated
	// it, so it no longer matches the flow that began its connection.
	r.add(natIn, natRepeated, "of a connection that was not answered yet", on(of.CTState(of.CTNew|of.CTDNAT|of.CTTrk, 0)), to(l3In))
	r.add(natIn, natOpener, "begins no connection", on(flagOpener.is(1)))
	r.add(natIn, natMiss, "to an address that nothing is led to from outside", on(), because(ReasonNoForward)...)
}

// natInTenant drops packets from outside with a source address of the tenant's own:
// answers would not go back there.
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
	// Match the port in the conntrack tuple: Open vSwitch shows no ports for any
	// fragment, the first one included (ovs-fields(7), fragments).
	at := on(regTenant.is(uint64(v.VRF)), isNew, of.IPv4, of.Addr(of.FieldIPDst, f.Address), of.IPProto(f.Protocol.Number()))
	lead := of.CT{Commit: true, Zone: v.Zone, Table: l3In.ID,
		Actions: []of.Action{of.NAT{Dst: true, AddrMin: v.Inner, PortMin: f.ToPort}}}
	r.add(natIn, natForward, "to the forwarded port: to its target", with(at, of.Exact(of.FieldCTNwProto, uint64(f.Protocol.Number())), of.Exact(of.FieldCTTpDst, uint64(f.Port))), lead)
	switch {
	case v.Only:
		// Later fragments have no ports, but the connection tracker needs all fragments
		// before it translates any.
		r.add(natIn, natForwardRest, "the rest of a first packet in fragments", with(at, laterFragment), lead)
	case v.First && f.Protocol == intent.UDP:
		// Later fragments do not show which forward is meant, and all must get one
		// translation. ovloomd reads the first fragment, and begins the connection with
		// an empty packet; then the fragments pass as part of it.
		r.add(natIn, natFragments, "a first packet in fragments: ovloomd begins its connection",
			with(at, anyFragment, flagOpened.is(0)), hear(sw, CauseFragment)...)
	}
}
