package pipeline

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// learn applies only to networks with learning or with peers. In others packets skip
// it: its action makes the datapath's cache exact on the source MAC.
var learn = &Table{
	ID:      idLearn,
	Name:    "learn",
	Purpose: "Learn the port or host of a MAC that the store does not know.",
	Reads: []of.Field{
		of.FieldTunSrc, of.FieldReg0, of.FieldReg1, of.FieldMetadata, of.FieldVLANVID, of.FieldEthSrc, of.FieldEthType,
		of.FieldIPSrc, of.FieldARPSPA, of.FieldIPv6Src, of.FieldIPProto, of.FieldICMPv6Type, of.FieldNDTarget,
	},
	Writes: []of.Field{of.FieldReg0, of.FieldReg15},
	Next:   []*Table{fork, drop},
}

// Priorities of learn.
const (
	learnRouterMAC  = 110 // a router's MAC is never learned
	learnForeignMAC = 103 // a peer claims to be a port
	learnKnownMAC   = 102 // a MAC or address of the store's is not learned
	learnKnownND    = 101
	learnKnownAddr  = 100
	learnForeign    = 30
	learnRemote     = 20
	learnLocal      = 20
	learnMiss       = 0
)

const (
	// learnedIdle is how long a learned MAC outlives its last use, in seconds; the
	// same as Linux's bridge.
	learnedIdle = 300
	// learnedMax bounds the MACs learned from other hosts in one network, and those
	// learned behind one peer, so that neither can fill this host's table.
	learnedMax = 4096
)

func learnBase(r rules) {
	for _, router := range []of.Term{of.EthSrc(intent.GatewayMAC), of.MACMasked(of.FieldEthSrc, intent.RouterMAC(0), intent.MAC{0xff, 0xff})} {
		r.add(learn, learnRouterMAC, "a MAC behind a port claims to be a router", on(flagLearnOK.is(1), router), because(ReasonSpoofMAC)...)
		r.add(learn, learnRouterMAC, "a MAC behind a peer claims to be a router", with(foreign, router), because(ReasonSpoofMAC)...)
		r.add(learn, learnRouterMAC, "a host's router need not be learned",
			on(flagLearnOK.is(0), flagFromTunnel.is(1), flagFromPeer.is(0), router), to(fork))
	}
	r.add(learn, learnMiss, "nothing to learn", on(), to(fork))
}

// What is learned from: MACs behind a port here, behind another host, and behind a peer
// (which also counts as remote).
var (
	behind  = on(flagLearnOK.is(1), flagFromTunnel.is(0))
	afar    = on(flagLearnOK.is(0), flagFromTunnel.is(1))
	foreign = on(flagLearnOK.is(0), flagFromTunnel.is(1), flagFromPeer.is(1))
)

// learnedMatch makes a learned flow match the network and, as destination, the
// source MAC of the packet.
func learnedMatch() []of.LearnSpec {
	return []of.LearnSpec{
		{Kind: of.LearnMatch, Src: regNetwork.Sub, Dst: regNetwork.Sub},
		{Kind: of.LearnMatch, Src: of.FieldEthSrc.All(), Dst: of.FieldEthDst.All()},
	}
}

func learnNetwork(r rules, v *NetworkView) {
	n := &v.Network
	learnGateways(r, v)
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

// learnGateways keeps MACs behind ports and peers from speaking as a gateway.
func learnGateways(r rules, v *NetworkView) {
	if !managed(&v.Network) || !v.open() {
		return
	}
	gateways := v.gateways()
	if hasFamily(&v.Network, true) {
		gateways = append(gateways, gatewayLinkLocal)
	}
	in := regNetwork.is(uint64(v.Network.VNI))
	if v.Network.Learning {
		guardAddrs(r, "a MAC behind a port", "a gateway's", guarded(&v.Network, with(behind, in)), gateways)
	}
	if len(v.Peers) == 0 {
		return
	}
	guardAddrs(r, "a MAC behind a peer", "a gateway's", guarded(&v.Network, with(foreign, in)), gateways)
	for _, kind := range []uint8{icmpv6RouterAd, icmpv6Redirect} {
		r.add(learn, learnKnownND, "a MAC behind a peer is no router", with(guarded(&v.Network, with(foreign, in)), icmpv6(kind)...), because(ReasonRouterAd)...)
	}
}

// guarded narrows from to the frames whose addresses are checked: tagged frames, where
// carried, belong to the users' own networks.
func guarded(n *intent.Network, from []of.Term) []of.Term {
	if n.VLANTransparent {
		return with(from, of.NoVLAN())
	}
	return from
}

// learnPeer gives MACs learned behind each peer a cookie of their own, so that they go
// with the peer. A MAC that moves to another peer is learned anew there.
func learnPeer(r rules, p *PeerView) {
	r.add(learn, learnForeign, "learns a MAC behind the peer",
		with(foreign, regNetwork.is(uint64(p.VNI)), of.Addr(of.FieldTunSrc, p.Peer.VTEP)),
		of.Learn{
			Table: fdbLearned.ID, Priority: fdbLearnedPriority, IdleTimeout: learnedIdle,
			Cookie: uint64(MakeCookie(KindLearnedPeer, p.Peer.ID)), Limit: learnedMax,
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

// learnGuard keeps MACs behind a port or a peer from using a MAC of the store's, and
// keeps known MACs from being learned from other hosts.
func learnGuard(r rules, p *PortView) {
	if !p.bound() {
		return
	}
	in := regNetwork.is(uint64(p.Network.VNI))
	if p.Network.Learning {
		r.add(learn, learnKnownMAC, "the port's MAC need not be learned",
			with(afar, in, of.EthSrc(p.Port.MAC)), to(fork))
		guardFrom(r, p, "a MAC behind a port", with(behind, in), learnKnownMAC)
	}
	if p.Peers {
		guardFrom(r, p, "a MAC behind a peer", with(foreign, in), learnForeignMAC)
	}
}

// guardFrom keeps who, which from matches, from impersonating the port.
func guardFrom(r rules, p *PortView, who string, from []of.Term, macPriority uint16) {
	r.add(learn, macPriority, who+" claims to be this port",
		with(from, of.EthSrc(p.Port.MAC)), because(ReasonSpoofMAC)...)
	guardAddrs(r, who, "this port's", guarded(p.Network, from), slices.Concat(p.addrs4(), p.addrs6()))
}

// guardAddrs keeps who, which from matches, from using and answering for addresses,
// which belong to whose.
func guardAddrs(r rules, who, whose string, from []of.Term, addrs []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() {
			r.add(learn, learnKnownAddr, who+" uses "+whose+" address",
				with(from, of.IPv4, of.Addr(of.FieldIPSrc, a)), because(ReasonSpoofIPv4)...)
			r.add(learn, learnKnownAddr, who+" speaks for "+whose+" address",
				with(from, of.ARP, of.Addr(of.FieldARPSPA, a)), because(ReasonSpoofARP)...)
			continue
		}
		r.add(learn, learnKnownAddr, who+" uses "+whose+" address",
			with(from, of.IPv6, of.Addr(of.FieldIPv6Src, a)), because(ReasonSpoofIPv6)...)
		r.add(learn, learnKnownND, who+" announces "+whose+" address",
			with(with(from, icmpv6(icmpv6NeighborAd)...), of.Addr(of.FieldNDTarget, a)), because(ReasonSpoofND)...)
	}
}
