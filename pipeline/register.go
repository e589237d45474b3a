package pipeline

import (
	"net/netip"

	of "github.com/ovloom/ovloom/openflow"
)

// register is a named range of bits that travels with a packet from table to
// table. All of them are declared here; a test fails when two overlap.
type register struct {
	Name string
	Sub  of.Subfield
}

var (
	// The metadata field says where the packet is: which network of which tenant.
	regNetwork = register{"network", of.Subfield{Field: of.FieldMetadata, Offset: 0, Width: 24}} // VNI
	regTenant  = register{"tenant", of.Subfield{Field: of.FieldMetadata, Offset: 24, Width: 24}} // VRF id

	// flagFromTunnel: the packet came from another VTEP, so it may not go to one
	// (split horizon).
	flagFromTunnel = register{"from-tunnel", of.Subfield{Field: of.FieldReg0, Offset: 0, Width: 1}}
	// flagLearnOK: the port's source MAC is not its own, but may be learned.
	flagLearnOK = register{"learn-ok", of.Subfield{Field: of.FieldReg0, Offset: 1, Width: 1}}
	// flagLearned: the MAC is in fdb_learned; clear if the port's limit was reached.
	flagLearned = register{"learned", of.Subfield{Field: of.FieldReg0, Offset: 2, Width: 1}}

	// flagFromPeer: the packet came from a foreign VTEP.
	flagFromPeer = register{"from-peer", of.Subfield{Field: of.FieldReg0, Offset: 3, Width: 1}}

	// flagRouted: the packet is on its way from one network to another, so it may go
	// from a tunnel into one.
	flagRouted = register{"routed", of.Subfield{Field: of.FieldReg0, Offset: 4, Width: 1}}
	// flagOversize: the packet exceeds the MTU of the network it goes to.
	flagOversize = register{"oversize", of.Subfield{Field: of.FieldReg0, Offset: 5, Width: 1}}

	// flagFromExternal: the packet came in by an uplink, and is not an answer.
	flagFromExternal = register{"from-external", of.Subfield{Field: of.FieldReg0, Offset: 9, Width: 1}}
	// flagGuarded: the destination is closed to tenants, except for answers.
	flagGuarded = register{"guarded", of.Subfield{Field: of.FieldReg0, Offset: 10, Width: 1}}

	// flagReached: the port that sent the packet has a floating address, or is the
	// target of a forward, so the packet may be an answer to the outside.
	flagReached = register{"reached", of.Subfield{Field: of.FieldReg0, Offset: 21, Width: 1}}
	// flagTurned: the packet left by an external and came in again, because its
	// destination is an external address used here.
	flagTurned = register{"turned-round", of.Subfield{Field: of.FieldReg0, Offset: 11, Width: 1}}

	// flagAnswer: the packet belongs to a connection with the outside, and is
	// translated.
	flagAnswer = register{"answer", of.Subfield{Field: of.FieldReg0, Offset: 24, Width: 1}}

	// flagOpener: ovloomd made the packet to begin a connection; it goes nowhere.
	// flagOpened: ovloomd has begun the packet's connection this way.
	flagOpener = register{"opener", of.Subfield{Field: of.FieldReg0, Offset: 22, Width: 1}}
	flagOpened = register{"opened", of.Subfield{Field: of.FieldReg0, Offset: 23, Width: 1}}

	// flagLearns: a tunnel packet is in a network that learns.
	flagLearns = register{"learns", of.Subfield{Field: of.FieldReg0, Offset: 14, Width: 1}}

	// The next hop of a routed packet; 0: its destination. An IPv6 next hop takes the
	// IPv4 register and the three that follow it.
	regHop4 = register{"next-hop-ipv4", of.Reg(4).All()}
	regHop6 = register{"next-hop-ipv6", of.FieldXXReg1.All()}

	regZone = register{"zone", of.Reg(8).Bits(16, 16)} // of the tenant, in the connection tracker

	regSource = register{"source-network", of.Reg(9).Bits(0, 24)} // VNI of a routed packet's source

	// regShare selects the share to look up in table shares.
	regShare = register{"share", of.Reg(10).Bits(0, 8)}

	regInPort  = register{"in-port", of.Reg(1).All()}
	regOutPort = register{"out-port", of.Reg(2).All()}
	regVTEP    = register{"remote-vtep", of.Reg(3).All()} // IPv4
	regReason  = register{"drop-reason", of.Reg(15).Bits(0, 8)}
)

var registers = []register{
	regNetwork, regTenant,
	flagFromTunnel, flagLearnOK, flagLearned, flagFromPeer, flagRouted, flagOversize, flagFromExternal, flagGuarded, flagLearns, flagTurned, flagReached, flagAnswer, flagOpener, flagOpened,
	regInPort, regOutPort, regVTEP, regHop4, regHop6, regZone, regSource, regShare, regReason,
}

// is matches a value of the register.
func (r register) is(v uint64) of.Term {
	return of.Masked(r.Sub.Field, v<<r.Sub.Offset, r.mask())
}

// set writes a value into the register.
func (r register) set(v uint64) of.SetField {
	return of.SetMasked(r.Sub.Field, v<<r.Sub.Offset, r.mask())
}

func (r register) mask() uint64 {
	return (1<<r.Sub.Width - 1) << r.Sub.Offset
}

// enter puts the packet into a network of a tenant.
func enter(vni, vrf uint32) of.SetField {
	return of.SetMasked(of.FieldMetadata, uint64(vrf)<<regTenant.Sub.Offset|uint64(vni),
		regNetwork.mask()|regTenant.mask())
}

// vtepBits returns an IPv4 address as the number that regVTEP and tun_dst hold.
func vtepBits(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}
