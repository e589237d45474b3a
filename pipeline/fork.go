package pipeline

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// fork parts the ways of unicast and everything else.
var fork = &Table{
	ID:      idFork,
	Name:    "fork",
	Purpose: "Send broadcast and multicast to flood, what is for a gateway to l3_in, other unicast to fdb.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata, of.FieldVLANVID, of.FieldEthDst, of.FieldEthType, of.FieldIPSrc, of.FieldIPv6Src, of.FieldIPv6Dst, of.FieldIPProto, of.FieldICMPv6Type},
	Writes:  []of.Field{of.FieldReg0, of.FieldReg15},
	Next:    []*Table{fdb, flood, l3In, drop},
}

// multicast matches all that is not for one receiver, broadcast included.
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
	// Below multicast, which then need not be told apart by its whole address.
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

// forkRouters lets ports and peers do no more than answer a host's router, this one's or
// another's: it routes without looking at sources, for other hosts do that for their
// ports. Whoever sends to the gateway instead comes by forkSources.
func forkRouters(r rules) {
	r.add(fork, forkAnswer, "answers a host's router", with(anyRouterMAC, advertisement...), to(fdb))
	for _, family := range []of.Term{of.IPv4, of.IPv6} {
		r.add(fork, forkRouter, "to be routed, from a port, by a host's router", with(anyRouterMAC, family, flagFromTunnel.is(0)), because(ReasonNotRouted)...)
		r.add(fork, forkRouter, "to be routed, from a peer, by a host's router", with(anyRouterMAC, family, flagFromTunnel.is(1), flagFromPeer.is(1)), because(ReasonNotRouted)...)
	}
}

var (
	anyRouterMAC = on(of.MACMasked(of.FieldEthDst, intent.RouterMAC(0), intent.MAC{0xff, 0xff}))
	// advertisement matches the neighbour advertisements that go no further than to who asked.
	advertisement = with(icmpv6(icmpv6NeighborAd), of.Prefix(of.FieldIPv6Dst, netip.MustParsePrefix("fe80::/10")))
)

// Priorities of fork for sources of what is to be routed. Below 30: what is not
// learned is not judged.
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

// forkNetwork takes the packets of the network's peers that are for its gateway,
// on the one host that is it for them.
func forkNetwork(r rules, v *NetworkView) {
	if v.Elected {
		r.add(fork, 14, "a peer's packet for the gateway",
			on(flagFromPeer.is(1), regNetwork.is(uint64(v.Network.VNI)), gatewayMAC), to(l3In))
	}
	forkSources(r, v)
}

// forkSources routes MACs that the store does not know only from addresses that are
// the network's, or behind a route by it: port_security knows none of them. A
// network without subnets has no gateway.
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
		own = append(own, netip.MustParsePrefix("fe80::/10")) // asks for, answers, and pings the gateway
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

// forkSelf takes what is for this host's router: answers to its questions, and those of
// ports on other hosts to the outside.
func forkSelf(r rules, h intent.Host) {
	own := on(of.EthDst(intent.RouterMAC(h.ID)))
	r.add(fork, forkAnswerOwn, "answers this host's router", with(own, advertisement...), to(l3In))
	r.add(fork, 10, "for this host's router", own, flagReached.set(1), to(l3In))
}
