package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// snat gives packets that leave an external source address. The same action serves the
// first packet of a connection, later ones, and answers to connections from outside:
// the connection tracker keeps the translation of a known connection, and chooses one
// for a new one only. ICMP errors about a connection are translated with it, those from
// a gateway included.
var snat = &Table{
	ID:      idSNAT,
	Name:    "snat",
	Purpose: "Translate the source of leaving packets.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata, of.FieldEthType, of.FieldIPSrc},
	Writes:  []of.Field{of.FieldReg15},
	Next:    []*Table{externalOut, drop},
}

// Priorities of snat.
const (
	snatDone     = 30
	snatFloating = 20
	snatTenant   = 10
	snatAnswer   = 5
	snatMiss     = 0
)

// Priorities of route for outgoing NAT, below all prefixes but the default route. A
// floating address outranks the default route: it is the default route of its port.
const (
	routeFloating = 6
	routeSNAT     = 2
	routeAnswer   = 1
)

func snatBase(r rules) {
	r.add(snat, snatDone, "translated already", on(flagAnswer.is(1)), to(externalOut))
	r.add(snat, snatMiss, "the tenant has no NAT", on(), because(ReasonNoNAT)...)
}

// leave sends packets that match no prefix to an external.
func leave(vni uint32, zone uint16) []of.Action {
	return []of.Action{regNetwork.set(uint64(vni)), regZone.set(uint64(zone)), to(mtu)}
}

// snatRules translates packets that leave a tenant.
func snatRules(r rules, v *SNATView) {
	in := on(regTenant.is(uint64(v.VRF)), of.IPv4)
	r.add(route, routeSNAT, "out by the tenant's SNAT", in, leave(v.VNI, v.Zone)...)
	if !v.Address.IsValid() {
		r.add(externalOut, outUntranslated, "the tenant has no address here", in, because(ReasonNoUplink)...)
		return
	}
	r.add(snat, snatTenant, "from the tenant's external address", in, translate(v.Zone, of.NAT{Src: true, AddrMin: v.Address}))
	r.add(externalOut, outUntranslated, "no more connections", in, because(ReasonNATFull)...)
}

// floatingRules translates packets from a port with a floating address. With several,
// one is the source of the port's own connections: flows for two would have the same
// match. Answers need no flow, their connection knows its address.
func floatingRules(r rules, v *FloatingView) {
	if !v.Source {
		return
	}
	from := on(regTenant.is(uint64(v.VRF)), of.IPv4, of.Addr(of.FieldIPSrc, v.Inner))
	r.add(route, routeFloating, "out by the port's floating address", from, leave(v.VNI, v.Zone)...)
	r.add(snat, snatFloating, "from the port's floating address", from, translate(v.Zone, of.NAT{Src: true, AddrMin: v.Floating.Address}))
}

// tenantRules sends answers out, for tenants without SNAT too.
func tenantRules(r rules, v *TenantView) {
	in := on(regTenant.is(uint64(v.Tenant.VRF)), of.IPv4)
	r.add(route, routeAnswer, "out, if it is an answer", in, leave(v.Out, v.Zone)...)
	r.add(snat, snatAnswer, "from the address that was asked", in,
		of.CT{Zone: v.Zone, Table: externalOut.ID, Actions: []of.Action{of.NAT{}}})
}

// toExternal matches the numbers that stand for externals.
var toExternal = of.Masked(of.FieldMetadata, intent.VNIReserved, intent.VNIReserved)

func translate(zone uint16, nat of.NAT) of.Action {
	return of.CT{Commit: true, Zone: zone, Table: externalOut.ID, Actions: []of.Action{nat}}
}
