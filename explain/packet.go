package explain

import (
	"cmp"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Numbers in headers (RFC 826, RFC 792, RFC 4443, RFC 4861).
const (
	arpRequest        = 1
	arpReply          = 2
	icmpEcho          = 8
	icmpv6Echo        = 128
	icmpv6NeighborSol = 135
	icmpv6NeighborAd  = 136
)

const (
	ttl = 64
	// sourcePort is the source port where the sender would choose one.
	sourcePort = 40000
)

var (
	broadcastMAC = intent.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	// outsideMAC is the MAC of a sender beyond an external; its value makes no difference.
	outsideMAC = intent.MAC{0x02, 0x00, 0x5e, 0x00, 0x53, 0x01}
	limited    = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// question is ARP or a neighbour solicitation for the MAC address of target.
func question(mac intent.MAC, sender, target netip.Addr) of.Match {
	if target.Is4() {
		return of.MatchOf(of.ARP, of.EthSrc(mac), of.EthDst(broadcastMAC), of.Exact(of.FieldARPOp, arpRequest),
			of.MAC(of.FieldARPSHA, mac), of.Addr(of.FieldARPSPA, sender), of.Addr(of.FieldARPTPA, target))
	}
	b := target.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
	return of.MatchOf(of.IPv6, of.ICMPv6, of.EthSrc(mac), of.EthDst(groupMAC(group)), of.Exact(of.FieldIPTTL, 255),
		of.Addr(of.FieldIPv6Src, sender), of.Addr(of.FieldIPv6Dst, group), of.Exact(of.FieldICMPv6Type, icmpv6NeighborSol),
		of.Addr(of.FieldNDTarget, target), of.MAC(of.FieldNDSLL, mac))
}

// groupMAC returns the Ethernet address of an IP group (RFC 1112, RFC 2464).
func groupMAC(a netip.Addr) intent.MAC {
	if a.Is4() {
		b := a.As4()
		return intent.MAC{0x01, 0x00, 0x5e, b[1] & 0x7f, b[2], b[3]}
	}
	b := a.As16()
	return intent.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// ipPacket returns the packet that q asks for, between addresses of one family.
func ipPacket(q intent.TraceQuery, srcMAC, dstMAC intent.MAC, src, dst netip.Addr) of.Match {
	terms := []of.Term{of.EthSrc(srcMAC), of.EthDst(dstMAC), of.Exact(of.FieldIPTTL, uint64(cmp.Or(q.TTL, ttl)))}
	if dst.Is4() {
		terms = append(terms, of.IPv4, of.Addr(of.FieldIPSrc, src), of.Addr(of.FieldIPDst, dst))
	} else {
		terms = append(terms, of.IPv6, of.Addr(of.FieldIPv6Src, src), of.Addr(of.FieldIPv6Dst, dst))
	}
	ports := func(proto of.Term, from, to of.Field) {
		port := q.SrcPort
		if port == 0 {
			port = sourcePort
		}
		terms = append(terms, proto, of.Exact(from, uint64(port)), of.Exact(to, uint64(q.DstPort)))
	}
	switch q.Protocol {
	case intent.TCP:
		ports(of.TCP, of.FieldTCPSrc, of.FieldTCPDst)
	case intent.UDP:
		ports(of.UDP, of.FieldUDPSrc, of.FieldUDPDst)
	case intent.SCTP:
		ports(of.SCTP, of.FieldSCTPSrc, of.FieldSCTPDst)
	default:
		proto, field, kind := of.ICMP, of.FieldICMPType, uint64(icmpEcho)
		if dst.Is6() {
			proto, field, kind = of.ICMPv6, of.FieldICMPv6Type, icmpv6Echo
		}
		if q.ICMPType != nil {
			kind = uint64(*q.ICMPType)
		}
		terms = append(terms, proto, of.Exact(field, kind))
	}
	return of.MatchOf(terms...)
}

// plainFrame is a frame to a MAC whose content does not matter: of an EtherType that the
// network carries besides IP, if there is any, else an IP packet that the port may send.
func plainFrame(n intent.Network, p intent.Port, src, dst intent.MAC) of.Match {
	if len(n.EtherTypes) > 0 {
		return of.MatchOf(of.EthType(uint16(n.EtherTypes[0])), of.EthSrc(src), of.EthDst(dst))
	}
	from, to := netip.AddrFrom4([4]byte{192, 0, 2, 1}), limited // for documentation (RFC 5737)
	if len(p.Addrs) > 0 {
		from = p.Addrs[0]
	}
	if from.Is6() {
		to = netip.IPv6LinkLocalAllNodes()
	}
	return ipPacket(intent.TraceQuery{}, src, dst, from, to)
}
