package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// guard keeps tenants from the hosts' own addresses. Masqueraded, a tenant's packet
// looks like its host's: sent to another host's UDP port 4789, it would be a tunnel
// packet into any network.
var guard = &Table{
	ID:      idGuard,
	Name:    "guard",
	Purpose: "Keep tenants from hosts, tunnels, the store and each other's external addresses.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthType, of.FieldIPDst, of.FieldIPProto, of.FieldTCPFlags},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15},
	Next:    []*Table{hostForward, snat, externalOut, drop},
}

// hostForward lets tenants use the ports that this host publishes on its own addresses,
// as any outside client does. The host's packet filter translates them, so they do not
// reach the host's own services.
var hostForward = &Table{
	ID:      idHostForward,
	Name:    "host_forward",
	Purpose: "Pass packets to forwarded ports on this host's own addresses.",
	Reads:   []of.Field{of.FieldEthType, of.FieldIPProto, of.FieldIPFrag, of.FieldTCPDst, of.FieldUDPDst, of.FieldSCTPDst},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15},
	Next:    []*Table{snat, externalOut, drop},
}

// Priorities of guard. A longer denied prefix outranks a shorter one, so that its
// reason is the one shown. Addresses that give power over all tenants are opened only
// by name: allowing a segment in which tunnels run does not open the VTEPs in it.
const (
	guardReset    = 310
	guardOwn      = 300
	guardAllowOne = 250
	guardHost     = 240
	guardNever    = 210
	guardAllow    = 200
	guardDeny     = 100 // plus the prefix's length
	guardMiss     = 0
)

func guardBase(r rules) {
	r.add(guard, guardMiss, "the outside", on(), to(snat))
	for _, flags := range oddResets {
		r.add(guard, guardReset, "a reset that only the switch would take for one", with(on(of.IPv4), flags...), because(ReasonInvalid)...)
	}
}

// oddResets match TCP segments with RST and a flag that does not go with it. Open
// vSwitch's connection tracker closes the connection on them, Linux's does not, and
// would keep connections that no longer count towards the tenant's limit.
var oddResets = [][]of.Term{
	{of.TCP, of.Masked(of.FieldTCPFlags, tcpRST|tcpFIN, tcpRST|tcpFIN)},
	{of.TCP, of.Masked(of.FieldTCPFlags, tcpRST|tcpURG, tcpRST|tcpURG|tcpFIN)},
}

// Flags of TCP (RFC 9293, 3.1).
const (
	tcpFIN = 0x01
	tcpRST = 0x04
	tcpURG = 0x20
)

// guardDenials pass only answers to connections from there: a host, too, may use a
// forward. external_out tells answers apart.
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
			flagGuarded.set(1), regReason.set(uint64(d.Reason)), trackGuarded())
	}
}

// trackGuarded looks up whether a packet answers a connection from its destination. If
// not, external_out drops it for the reason in its register.
func trackGuarded() of.Action {
	return of.CT{ZoneSrc: regZone.Sub, Table: externalOut.ID, Actions: []of.Action{of.NAT{}}}
}

// Priorities of host_forward.
const (
	hostForwardPort = 20
	hostForwardRest = 10
	hostForwardNone = 5
	hostForwardMiss = 0
)

func hostForwardBase(r rules) {
	r.add(hostForward, hostForwardNone, "no forwarded port of the host's, unless it is an answer", on(of.IPv4), flagGuarded.set(1), trackGuarded())
	r.add(hostForward, hostForwardMiss, "not IPv4, which is not forwarded", on(), to(drop))
}

// guardForwards sends packets for the host's own addresses to host_forward, which knows
// the forwarded ports. Later fragments have no ports: the host reassembles datagrams
// before it looks at ports, and drops those for other ports.
func guardForwards(r rules, v *GuardView) {
	if len(v.Forwards) == 0 {
		return
	}
	for _, own := range v.Own {
		for _, vni := range v.ByHost {
			r.add(guard, guardHost, "an address of this host, some ports of which are forwarded",
				on(regNetwork.is(uint64(vni)), of.IPv4, of.Addr(of.FieldIPDst, own.Address)),
				regReason.set(uint64(own.Reason)), to(hostForward))
		}
	}
	rest := map[intent.Protocol]bool{}
	for _, f := range v.Forwards {
		of4 := on(of.IPv4, of.IPProto(f.Protocol.Number()))
		r.add(hostForward, hostForwardPort, "a forwarded port of the host's", with(of4, dstPort(f.Protocol, f.Port)), regReason.set(0), to(snat))
		if !rest[f.Protocol] {
			rest[f.Protocol] = true
			r.add(hostForward, hostForwardRest, "a fragment without a port: the host tells which it is for", with(of4, laterFragment), regReason.set(0), to(snat))
		}
	}
}

// dstPort matches the destination port of a protocol that has ports.
func dstPort(p intent.Protocol, port uint16) of.Term {
	field := of.FieldTCPDst
	switch p {
	case intent.UDP:
		field = of.FieldUDPDst
	case intent.SCTP:
		field = of.FieldSCTPDst
	}
	return of.Exact(field, uint64(port))
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
