package pipeline

import (
	of "github.com/ovloom/ovloom/openflow"
)

// guard keeps tenants from what is the hosts' own. Masqueraded, a tenant's packet
// looks like its host's: to UDP port 4789 of another it would be a tunnel packet
// into any network.
var guard = &Table{
	ID:      idGuard,
	Name:    "guard",
	Purpose: "Keep tenants from hosts, tunnels, the store and each other's external addresses.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthType, of.FieldIPDst},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15},
	Next:    []*Table{snat, externalOut},
}

// Priorities of guard. A longer prefix that is denied outranks a shorter one, for its
// reason. What gives power over all tenants is opened by naming the very address only:
// who allows a segment that tunnels run in too does not mean those.
const (
	guardOwn      = 300
	guardAllowOne = 250
	guardNever    = 210
	guardAllow    = 200
	guardDeny     = 100 // and the prefix's length
	guardMiss     = 0
)

func guardBase(r rules) {
	r.add(guard, guardMiss, "the outside", on(), to(snat))
}

// guardDenials let pass only what answers a connection from there: a forward may
// be used from a host too. That is seen in external_out.
func guardDenials(r rules, v *GuardView) {
	for _, d := range v.Denials {
		priority := guardDeny + uint16(d.Prefix.Bits())
		if d.Reason == ReasonVTEP || d.Reason == ReasonStore {
			priority = guardNever
		}
		match := on(of.IPv4, of.Prefix(of.FieldIPDst, d.Prefix))
		if d.VNI != 0 {
			match = with(match, regNetwork.is(uint64(d.VNI)))
		}
		r.add(guard, priority, d.Reason.Meaning()+", unless it is an answer", match,
			flagGuarded.set(1), regReason.set(uint64(d.Reason)),
			of.CT{ZoneSrc: regZone.Sub, Table: externalOut.ID, Actions: []of.Action{of.NAT{}}})
	}
}

func guardExternal(r rules, v *ExternalView) {
	for _, p := range v.External.Allow {
		priority := uint16(guardAllow)
		if p.IsSingleIP() {
			priority = guardAllowOne
		}
		r.add(guard, priority, "the external allows it",
			on(regNetwork.is(uint64(v.External.VNI())), of.IPv4, of.Prefix(of.FieldIPDst, p)), to(snat))
	}
}

// guardAddress lets a tenant reach its own addresses.
func guardAddress(r rules, v *AddressView) {
	r.add(guard, guardOwn, "the tenant's own address",
		on(regTenant.is(uint64(v.VRF)), of.IPv4, of.Addr(of.FieldIPDst, v.Address)), to(snat))
}
