package pipeline

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// fork separates unicast from broadcast and multicast.
var fork = &Table{
	ID:      idFork,
	Name:    "fork",
	Purpose: "Send broadcast and multicast to flood, packets to a gateway to l3_in, other unicast to fdb.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata, of.FieldVLANVID, of.FieldEthDst, of.FieldEthType, of.FieldIPSrc, of.FieldIPv6Src, of.FieldIPv6Dst, of.FieldIPProto, of.FieldICMPv6Type},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15},
	Next:    []*Table{fdb, flood, l3In, drop},
}

// multicast matches everything but unicast, broadcast included.
var multicast = of.MACMasked(of.FieldEthDst, intent.MAC{0: 1}, intent.MAC{0: 1})

func forkBase(r rules, sw Switch) {
	r.add(fork, 40, "a MAC beyond the port's learn limit",
		on(flagLearnOK.is(1), flagLearned.is(0)), because(ReasonLearnLimit)...)
	// 01:80:c2:00:00:00 to 0f stay on the link.
	r.add(fork, 30, "bridges do not forward this",
		on(of.MACMasked(of.FieldEthDst,
			intent.MAC{0x01, 0x80, 0xc2, 0x00, 0x00, 0x00},
			intent.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0})), because(ReasonReservedMAC)...)
	r.add(fork, 20, "broadcast or multicast",
		on(multicast), append(sw.limits(ShareStorm), to(flood))...)
	// Below multicast, so that the match needs no exact address.
	r.add(fork, 12, "a peer's packet for the gateway, which another host is for it",
		on(flagFromPeer.is(1), gatewayMAC), because(ReasonNotElected)...)
	r.add(fork, 10, "for a gateway", on(gatewayMAC), to(l3In))
	r.add(fork, forkTag, "for a gateway, with a tag", on(gatewayMAC, of.AnyVLAN()), because(ReasonTagged)...)
	for _, family := range []of.Term{of.IPv4, of.IPv6} {
		r.add(fork, forkForeign, "to be routed, from a MAC behind a port, with a source of another network",
			on(flagLearnOK.is(1), gatewayMAC, family), because(ReasonForeignSource)...)
	}
	forkRouters(r)
	r.add(fork, 0, "unicast", on(), to(fdb))
}

// forkRouters limits ports and peers to answering a host's router, this one's or
// another's: it routes without checking sources, because other hosts have checked them.
// Packets to the gateway are checked by forkSources instead.
func forkRouters(r rules) {
	r.add(fork, forkAnswer, "answers a host's router", with(anyRouterMAC, advertisement...), to(fdb))
	for _, family := range []of.Term{of.IPv4, of.IPv6} {
		r.add(fork, forkRouter, "to be routed, from a port, by a host's router", with(anyRouterMAC, family, flagFromTunnel.is(0)), because(ReasonNotRouted)...)
		r.add(fork, forkRouter, "to be routed, from a peer, by a host's router", with(anyRouterMAC, family, flagFromTunnel.is(1), flagFromPeer.is(1)), because(ReasonNotRouted)...)
	}
}

var (
	anyRouterMAC = on(of.MACMasked(of.FieldEthDst, intent.RouterMAC(0), intent.MAC{0xff, 0xff}))
	// advertisement matches neighbour advertisements addressed to the asker alone.
	advertisement = with(icmpv6(icmpv6NeighborAd), of.Prefix(of.FieldIPv6Dst, netip.MustParsePrefix("fe80::/10")))
)

// Priorities of fork for the sources of routed packets. Below 30, only packets with
// learned sources are checked.
const (
	forkTag       = 25
	forkUnmanaged = 19
	forkOwn       = 18
	forkAnswerOwn = 18
	forkAnswer    = 17
	forkForeign   = 16
	forkRouter    = 15
)

var gatewayMAC = of.EthDst(intent.GatewayMAC)

// forkNetwork routes packets from the network's peers to its gateway, on the one host
// elected for it.
func forkNetwork(r rules, v *NetworkView) {
	if v.Elected {
		r.add(fork, 14, "a peer's packet for the gateway",
			on(flagFromPeer.is(1), regNetwork.is(uint64(v.Network.VNI)), gatewayMAC), to(l3In))
	}
	forkSources(r, v)
}

// forkSources routes packets from unknown MACs only if their address is in the network
// or behind a route through it: port_security does not check those. A network without
// subnets has no gateway.
func forkSources(r rules, v *NetworkView) {
	toGateway := on(regNetwork.is(uint64(v.Network.VNI)), gatewayMAC)
	families := []of.Term{of.IPv4, of.IPv6}
	if !managed(&v.Network) {
		for _, family := range families {
			r.add(fork, forkUnmanaged, "to be routed, from a network without a gateway", with(toGateway, flagFromTunnel.is(0), family), because(ReasonForeignSource)...)
		}
		return
	}
	var who [][]of.Term
	if v.Network.Learning {
		who = append(who, on(flagLearnOK.is(1)))
	}
	if v.Elected {
		peers := on(flagFromPeer.is(1), flagLearnOK.is(0))
		who = append(who, peers)
		for _, family := range families {
			r.add(fork, forkForeign, "to be routed, from a MAC behind a peer, with a source of another network", with(with(peers, toGateway...), family), because(ReasonForeignSource)...)
		}
	}
	own := slices.Clone(v.Routed)
	for _, s := range v.Network.Subnets {
		own = append(own, s.Prefix)
	}
	if hasFamily(&v.Network, true) {
		own = append(own, netip.MustParsePrefix("fe80::/10")) // questions, answers and pings to the gateway
	}
	slices.SortFunc(own, comparePrefixes)
	own = slices.Compact(own)
	for _, from := range who {
		for _, p := range widest(own, func(netip.Prefix) bool { return true }) {
			r.add(fork, forkOwn, "for the gateway, from an address of the network's",
				with(with(from, toGateway...), ip(p.Addr()), of.Prefix(srcField(p.Addr()), p)), to(l3In))
		}
	}
}

// forkSelf takes packets for this host's router: answers to its questions, and answers
// to the outside from ports on other hosts.
func forkSelf(r rules, h intent.Host) {
	own := on(of.EthDst(intent.RouterMAC(h.ID)))
	r.add(fork, forkAnswerOwn, "answers this host's router", with(own, advertisement...), to(l3In))
	r.add(fork, 10, "for this host's router", own, flagReached.set(1), to(l3In))
}
