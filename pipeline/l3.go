package pipeline

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// l3In receives packets sent to a gateway's MAC: to be routed, or for the gateway
// itself.
var l3In = &Table{
	ID:      idL3In,
	Name:    "l3_in",
	Purpose: "Be the gateway: answer pings, and pass packets that can be routed.",
	Reads: []of.Field{
		of.FieldTunSrc, of.FieldReg0, of.FieldReg1, of.FieldMetadata, of.FieldVLANVID, of.FieldEthDst, of.FieldEthType, of.FieldIPProto, of.FieldIPTTL, of.FieldIPFrag,
		of.FieldIPDst, of.FieldIPv6Src, of.FieldIPv6Dst, of.FieldICMPType, of.FieldICMPv6Type, of.FieldARPOp, of.FieldTCPFlags,
	},
	Writes: []of.Field{
		of.FieldEthSrc, of.FieldEthDst, of.FieldIPSrc, of.FieldIPDst, of.FieldIPv6Src, of.FieldIPv6Dst, of.FieldIPTTL,
		of.FieldICMPType, of.FieldICMPv6Type, of.FieldTunDst, of.FieldReg9, of.FieldReg15,
	},
	Next: []*Table{route, drop},
}

// Priorities of l3_in.
const (
	l3Tag      = 130
	l3Opener   = 125 // a packet that begins a connection, and nothing else
	l3Learn    = 120 // answers to the router's questions
	l3Part     = 101 // a fragment of a ping
	l3Echo     = 100
	l3Gateway  = 90
	l3OnLink   = 60 // packets that no router may forward
	l3FromLink = 59
	l3Reset    = 55
	l3Expired  = 50
	l3Transit  = 20
	l3Pass     = 10
	l3Miss     = 0
)

// ICMP and ICMPv6 message types (RFC 792, RFC 4443).
const (
	icmpEchoReply     = 0
	icmpEchoRequest   = 8
	icmpv6EchoRequest = 128
	icmpv6EchoReply   = 129
)

const protoICMP = 1

// routedTTL is the TTL of packets that a gateway originates (RFC 1700).
const routedTTL = 64

// Fragments: the first one, and later ones (ovs-fields(7), ip_frag).
var (
	firstFragment = of.Exact(of.FieldIPFrag, 1)
	laterFragment = of.Exact(of.FieldIPFrag, 3)
	anyFragment   = of.Masked(of.FieldIPFrag, 1, 1)
)

// neverRouted are destinations with a meaning on one link or one host only.
var neverRouted = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// gatewayLinkLocal is the link-local address of every gateway.
var gatewayLinkLocal = linkLocal(intent.GatewayMAC)

func l3InBase(r rules, sw Switch) {
	refuseTags(r, l3In, l3Tag, "a tag, which ends at the gateway")
	r.add(l3In, l3Opener, "has begun its connection", on(flagOpener.is(1)))
	for _, p := range neverRouted {
		r.add(l3In, l3OnLink, "stays on its link", on(ip(p.Addr()), of.Prefix(dstField(p.Addr()), p)), because(ReasonOnLink)...)
	}
	r.add(l3In, l3FromLink, "comes from an address that is good on its link only",
		on(of.IPv6, of.Prefix(of.FieldIPv6Src, netip.MustParsePrefix("fe80::/10"))), because(ReasonOnLink)...)
	r.add(l3In, l3FromLink, "comes from a host without an address yet (RFC 4291, 2.5.2)",
		on(of.IPv6, of.Addr(of.FieldIPv6Src, anyIPv6)), because(ReasonOnLink)...)
	for _, family := range []of.Term{of.IPv4, of.IPv6} {
		for _, ttl := range []uint64{0, 1} {
			r.add(l3In, l3Expired, "its TTL ends here", on(family, of.Exact(of.FieldIPTTL, ttl)), refuse(sw, CauseExpired, ReasonExpired)...)
		}
		r.add(l3In, l3Pass, "to be routed", on(family), of.Copy(regNetwork.Sub, regSource.Sub), to(route))
	}
	// It may belong to a connection with the outside: table route asks the connection
	// tracker.
	for _, flags := range oddResets {
		r.add(l3In, l3Reset, "a reset that only the switch would take for one", with(on(of.IPv4, flagReached.is(1)), flags...), because(ReasonInvalid)...)
	}
	r.add(l3In, l3Miss, "nothing that can be routed", on(), because(ReasonNotRouted)...)
	echo(r, "a ping of the gateway's link-local address", nil, gatewayLinkLocal)
}

// l3InNetwork answers for the network's gateways, to all ports of the tenant.
func l3InNetwork(r rules, sw Switch, v *NetworkView) {
	in := on(regTenant.is(uint64(v.VRF)))
	for _, g := range v.gateways() {
		echo(r, "a ping of the gateway", in, g)
		r.add(l3In, l3Gateway, "the gateway listens on no port", with(in, ip(g), of.Addr(dstField(g), g)),
			refuse(sw, CauseGateway, ReasonGateway)...)
	}
}

// echo answers pings to an address in the switch, back to where they came from.
func echo(r rules, note string, in []of.Term, a netip.Addr) {
	to := with(in, ip(a), of.Addr(dstField(a), a))
	ping, request, reply := of.Exact(of.FieldICMPType, icmpEchoRequest), of.IPProto(protoICMP), of.Set(of.FieldICMPType, icmpEchoReply)
	if a.Is6() {
		ping, request, reply = of.Exact(of.FieldICMPv6Type, icmpv6EchoRequest), of.IPProto(protoICMPv6), of.Set(of.FieldICMPv6Type, icmpv6EchoReply)
	}
	src, dst := srcField(a).All(), dstField(a).All()
	back := []of.Action{
		of.Push{Src: of.FieldEthSrc.All()}, of.Push{Src: of.FieldEthDst.All()},
		of.Pop{Dst: of.FieldEthSrc.All()}, of.Pop{Dst: of.FieldEthDst.All()},
		of.Copy(src, dst), of.SetAddr(srcField(a), a), of.Set(of.FieldIPTTL, routedTTL),
		of.Copy(of.FieldTunSrc.All(), of.FieldTunDst.All()), // for a packet from a tunnel
	}
	out := of.Output{Port: of.PortInPort}
	r.add(l3In, l3Echo, note, with(to, request, ping), append(slices.Clip(back), reply, out)...)
	if a.Is6() {
		return // no host accepts what Open vSwitch 3.1 makes of the first fragment
	}
	// Flows cannot see the type in later fragments. The checksum, which changes with
	// it, is in the first one.
	r.add(l3In, l3Part, note+": the first part of a large one", with(to, request, firstFragment), append(slices.Clip(back), reply, out)...)
	r.add(l3In, l3Part, note+": the rest of a large one", with(to, request, laterFragment), append(slices.Clip(back), out)...)
}

// The fields of an address's family.

func ip(a netip.Addr) of.Term {
	if a.Is6() {
		return of.IPv6
	}
	return of.IPv4
}

func srcField(a netip.Addr) of.Field {
	if a.Is6() {
		return of.FieldIPv6Src
	}
	return of.FieldIPSrc
}

func dstField(a netip.Addr) of.Field {
	if a.Is6() {
		return of.FieldIPv6Dst
	}
	return of.FieldIPDst
}

// isHop matches the next hop; noHop matches packets whose destination is the next hop.
func isHop(a netip.Addr) of.Term { return of.ExactBits(hopField(a), of.BitsOfAddr(a)) }

func noHop(family netip.Addr) of.Term { return of.ExactBits(hopField(family), of.Bits{}) }

func setHop(a netip.Addr) of.SetField {
	return of.SetBits(hopField(a), of.BitsOfAddr(a), hopField(a).Mask())
}

func hopField(a netip.Addr) of.Field {
	if a.Is6() {
		return regHop6.Sub.Field
	}
	return regHop4.Sub.Field
}
