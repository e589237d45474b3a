package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// learn concerns only networks with learning. Elsewhere a packet falls through:
// the action makes the datapath's cache exact on the source MAC.
var learn = &Table{
	ID:      idLearn,
	Name:    "learn",
	Purpose: "Remember behind which port or host a MAC lives that the store does not know.",
	Reads: []of.Field{
		of.FieldReg0, of.FieldReg1, of.FieldMetadata, of.FieldEthSrc, of.FieldEthType,
		of.FieldIPSrc, of.FieldARPSPA, of.FieldIPv6Src, of.FieldIPProto, of.FieldICMPv6Type, of.FieldNDTarget,
	},
	Writes: []of.Field{of.FieldReg0, of.FieldReg15},
	Next:   []*Table{fork, drop},
}

// Priorities of learn.
const (
	learnKnownMAC  = 102 // a MAC or address that the store knows is not learned
	learnKnownND   = 101
	learnKnownAddr = 100
	learnRemote    = 20
	learnLocal     = 20
	learnMiss      = 0
)

const (
	// learnedIdle is how long a learned MAC outlives its last use, in seconds; the
	// same as Linux's bridge.
	learnedIdle = 300
	// learnedMax bounds the MACs learned from tunnels in one network, so that one
	// host's ports cannot fill another host's table.
	learnedMax = 4096
)

func learnBase(r rules) {
	r.add(learn, learnMiss, "nothing to learn", on(), to(fork))
}

// The two sorts of packets that are learned from: from a MAC behind a port here,
// and from another host.
var (
	behind = on(flagLearnOK.is(1), flagFromTunnel.is(0))
	afar   = on(flagLearnOK.is(0), flagFromTunnel.is(1))
)

// learnedMatch makes a learned flow match the network and, as destination, the
// source MAC of the packet.
func learnedMatch() []of.LearnSpec {
	return []of.LearnSpec{
		{Kind: of.LearnMatch, Src: regNetwork.Sub, Dst: regNetwork.Sub},
		{Kind: of.LearnMatch, Src: of.FieldEthSrc.All(), Dst: of.FieldEthDst.All()},
	}
}

func learnNetwork(r rules, n *intent.Network) {
	if !n.Learning {
		return
	}
	// A MAC that leaves one host for another is learned anew under the same match,
	// so the newest place wins.
	r.add(learn, learnRemote, "learns which host a MAC lives on",
		with(afar, regNetwork.is(uint64(n.VNI))),
		of.Learn{
			Table: fdbLearned.ID, Priority: fdbLearnedPriority, IdleTimeout: learnedIdle,
			Cookie: uint64(MakeCookie(KindLearnedNetwork, n.ID)), Limit: learnedMax,
			Specs: append(learnedMatch(),
				of.LearnSpec{Kind: of.LearnLoad, Src: of.FieldTunSrc.All(), Dst: regVTEP.Sub}),
		},
		to(fork))
}

func learnPort(r rules, p *PortView) {
	if !p.Network.Learning || p.Port.Learn == 0 {
		return
	}
	r.add(learn, learnLocal, "learns a MAC behind the port, up to its limit",
		with(behind, regInPort.is(uint64(p.OFPort))),
		of.Learn{
			Table: fdbLearned.ID, Priority: fdbLearnedPriority, IdleTimeout: learnedIdle,
			Cookie: uint64(MakeCookie(KindLearnedPort, p.Port.ID)),
			Limit:  uint32(p.Port.Learn), LimitResult: flagLearned.Sub,
			Specs: append(learnedMatch(),
				of.LearnSpec{Kind: of.LearnLoad, Src: regInPort.Sub, Dst: regOutPort.Sub}),
		},
		to(fork))
}

// learnGuard keeps a MAC behind a port from speaking as one that the store knows,
// and known MACs out of what is learned from tunnels.
func learnGuard(r rules, p *PortView) {
	if !p.Network.Learning || !p.bound() {
		return
	}
	in := regNetwork.is(uint64(p.Network.VNI))
	behind, afar := with(behind, in), with(afar, in)
	r.add(learn, learnKnownMAC, "a MAC behind a port claims to be this port",
		with(behind, of.EthSrc(p.Port.MAC)), because(ReasonSpoofMAC)...)
	r.add(learn, learnKnownMAC, "the port's MAC need not be learned",
		with(afar, of.EthSrc(p.Port.MAC)), to(fork))
	for _, a := range p.addrs4() {
		r.add(learn, learnKnownAddr, "a MAC behind a port uses this port's address",
			with(behind, of.IPv4, of.Addr(of.FieldIPSrc, a)), because(ReasonSpoofIPv4)...)
		r.add(learn, learnKnownAddr, "a MAC behind a port speaks for this port's address",
			with(behind, of.ARP, of.Addr(of.FieldARPSPA, a)), because(ReasonSpoofARP)...)
	}
	for _, a := range p.addrs6() {
		r.add(learn, learnKnownAddr, "a MAC behind a port uses this port's address",
			with(behind, of.IPv6, of.Addr(of.FieldIPv6Src, a)), because(ReasonSpoofIPv6)...)
		r.add(learn, learnKnownND, "a MAC behind a port announces this port's address",
			with(with(behind, icmpv6(icmpv6NeighborAd)...), of.Addr(of.FieldNDTarget, a)), because(ReasonSpoofND)...)
	}
}
