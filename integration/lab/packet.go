package lab

// This file decodes frames, as far as tests need. It leaves out what it cannot decode: a
// capture must not fail on a malformed frame.

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// EtherTypes (IEEE 802 numbers) and IP protocols (IANA) that Packet knows.
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherIPv6 = 0x86dd

	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// VXLANPort is the UDP port of VXLAN (RFC 7348).
const VXLANPort = 4789

// ICMP types (RFC 792, RFC 4443, RFC 4861).
const (
	ICMPEchoReply      = 0
	ICMPEchoRequest    = 8
	ICMPv6EchoRequest  = 128
	ICMPv6EchoReply    = 129
	ICMPv6RouterSol    = 133
	ICMPv6RouterAdv    = 134
	ICMPv6NeighbourSol = 135
	ICMPv6NeighbourAdv = 136
	ICMPv6Redirect     = 137
)

// Packet is a captured frame. Fields that the frame does not have are zero.
type Packet struct {
	Time     time.Time
	Outgoing bool // sent by the interface's own side
	Len      int  // bytes on the wire
	Data     []byte

	Src, Dst  intent.MAC
	EtherType uint16

	ARP *ARP

	IPSrc, IPDst     netip.Addr
	Proto            uint8 // IP protocol
	TTL              uint8 // or hop limit
	SrcPort, DstPort uint16
	ICMPType         uint8
	NDTarget         netip.Addr // of a neighbour solicitation or advertisement
	Payload          []byte     // of UDP

	VNI   uint32
	Inner *Packet // the frame that VXLAN carries
}

// ARP is an ARP message for Ethernet and IPv4 (RFC 826).
type ARP struct {
	Op       uint16 // 1 request, 2 reply
	SHA, THA intent.MAC
	SPA, TPA netip.Addr
}

// Decode decodes a frame.
func Decode(frame []byte) Packet { return decode(frame, 0) }

// decode counts its depth, which limits VXLAN in VXLAN.
func decode(frame []byte, depth int) Packet {
	p := Packet{Len: len(frame), Data: frame}
	if len(frame) < 14 {
		return p
	}
	p.Dst, p.Src = intent.MAC(frame[0:6]), intent.MAC(frame[6:12])
	p.EtherType = binary.BigEndian.Uint16(frame[12:])
	rest := frame[14:]
	switch p.EtherType {
	case EtherARP:
		p.arp(rest)
	case EtherIPv4:
		p.ipv4(rest, depth)
	case EtherIPv6:
		p.ipv6(rest, depth)
	}
	return p
}

func (p *Packet) arp(b []byte) {
	if len(b) < 28 {
		return
	}
	p.ARP = &ARP{
		Op:  binary.BigEndian.Uint16(b[6:]),
		SHA: intent.MAC(b[8:14]), SPA: netip.AddrFrom4([4]byte(b[14:18])),
		THA: intent.MAC(b[18:24]), TPA: netip.AddrFrom4([4]byte(b[24:28])),
	}
}

func (p *Packet) ipv4(b []byte, depth int) {
	if len(b) < 20 {
		return
	}
	header := int(b[0]&15) * 4
	p.TTL, p.Proto = b[8], b[9]
	p.IPSrc, p.IPDst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	fragment := binary.BigEndian.Uint16(b[6:]) & 0x1fff
	if header < 20 || header > len(b) || fragment != 0 {
		return // only a first fragment has ports
	}
	p.l4(b[header:], depth)
}

func (p *Packet) ipv6(b []byte, depth int) {
	if len(b) < 40 {
		return
	}
	p.Proto, p.TTL = b[6], b[7]
	p.IPSrc, p.IPDst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	const hopByHop = 0 // MLD packets have it (RFC 3810)
	rest := b[40:]
	if p.Proto == hopByHop && len(rest) >= 8 {
		length := 8 + int(rest[1])*8
		if length > len(rest) {
			return
		}
		p.Proto, rest = rest[0], rest[length:]
	}
	p.l4(rest, depth)
}

func (p *Packet) l4(b []byte, depth int) {
	switch p.Proto {
	case ProtoICMP, ProtoICMPv6:
		if len(b) < 4 {
			return
		}
		p.ICMPType = b[0]
		nd := p.ICMPType == ICMPv6NeighbourSol || p.ICMPType == ICMPv6NeighbourAdv
		if p.Proto == ProtoICMPv6 && nd && len(b) >= 24 {
			p.NDTarget = netip.AddrFrom16([16]byte(b[8:24]))
		}
	case ProtoTCP, ProtoUDP:
		if len(b) < 8 {
			return
		}
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		if p.Proto == ProtoUDP {
			p.Payload = b[8:]
			p.vxlan(depth)
		}
	}
}

// vxlan reads a VXLAN header: eight bytes, with a flag that makes the three bytes at 4 a VNI
// (RFC 7348, section 5).
func (p *Packet) vxlan(depth int) {
	const vniIsValid = 0x08
	if p.DstPort != VXLANPort || len(p.Payload) < 8 || p.Payload[0]&vniIsValid == 0 || depth > 3 {
		return
	}
	p.VNI = binary.BigEndian.Uint32(p.Payload[4:]) >> 8
	inner := decode(p.Payload[8:], depth+1)
	p.Inner = &inner
}

// String returns the packet in one line, outer frames before inner ones.
func (p Packet) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s>%s", p.Src, p.Dst)
	switch {
	case p.ARP != nil:
		fmt.Fprintf(&b, " arp op=%d %s(%s)>%s(%s)", p.ARP.Op, p.ARP.SPA, p.ARP.SHA, p.ARP.TPA, p.ARP.THA)
	case p.IPSrc.IsValid():
		fmt.Fprintf(&b, " %s>%s proto=%d ttl=%d", p.IPSrc, p.IPDst, p.Proto, p.TTL)
	default:
		fmt.Fprintf(&b, " type=%04x", p.EtherType)
	}
	switch {
	case p.Proto == ProtoICMP || p.Proto == ProtoICMPv6:
		fmt.Fprintf(&b, " icmp=%d", p.ICMPType)
		if p.NDTarget.IsValid() {
			fmt.Fprintf(&b, " target=%s", p.NDTarget)
		}
	case p.DstPort != 0:
		fmt.Fprintf(&b, " ports=%d>%d", p.SrcPort, p.DstPort)
	}
	fmt.Fprintf(&b, " len=%d", p.Len)
	if p.Inner != nil {
		fmt.Fprintf(&b, " vni=%d [%s]", p.VNI, p.Inner)
	}
	return b.String()
}

// Match reports whether a packet matches. Nil matches every packet.
type Match func(Packet) bool

// IsVXLAN matches VXLAN packets.
func IsVXLAN(p Packet) bool { return p.Inner != nil }

// IsARPOrND matches ARP and neighbour discovery outside of tunnels.
func IsARPOrND(p Packet) bool {
	return p.ARP != nil || p.Proto == ProtoICMPv6 &&
		(p.ICMPType == ICMPv6NeighbourSol || p.ICMPType == ICMPv6NeighbourAdv)
}

// IsResolution matches requests and replies of address resolution, but not unsolicited
// announcements.
func IsResolution(p Packet) bool {
	if p.ARP != nil {
		return p.ARP.SPA != p.ARP.TPA
	}
	return IsARPOrND(p) && !(p.ICMPType == ICMPv6NeighbourAdv && p.IPDst == netip.IPv6LinkLocalAllNodes())
}

// IsEcho matches echo requests and replies in IPv4 and IPv6.
func IsEcho(p Packet) bool {
	switch p.Proto {
	case ProtoICMP:
		return p.ICMPType == ICMPEchoRequest || p.ICMPType == ICMPEchoReply
	case ProtoICMPv6:
		return p.ICMPType == ICMPv6EchoRequest || p.ICMPType == ICMPv6EchoReply
	}
	return false
}

// To matches IP packets to addr, and ARP requests and neighbour solicitations for it.
func To(addr netip.Addr) Match {
	return func(p Packet) bool {
		return p.IPDst == addr || p.NDTarget == addr || p.ARP != nil && p.ARP.TPA == addr
	}
}

// Inside matches VXLAN packets of one VNI whose inner frame matches all of m.
func Inside(vni uint32, m ...Match) Match {
	return func(p Packet) bool { return p.Inner != nil && p.VNI == vni && All(m...)(*p.Inner) }
}

// InsideAny is Inside for every VNI.
func InsideAny(m ...Match) Match {
	return func(p Packet) bool { return p.Inner != nil && All(m...)(*p.Inner) }
}

// All matches packets that match all of m.
func All(m ...Match) Match {
	return func(p Packet) bool {
		for _, match := range m {
			if match != nil && !match(p) {
				return false
			}
		}
		return true
	}
}
