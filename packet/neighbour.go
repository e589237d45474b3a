package packet

import (
	"errors"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// Neighbour is the content of an ARP packet, a neighbour solicitation or an
// advertisement.
type Neighbour struct {
	Answer bool       // else it is a question
	MAC    intent.MAC // the sender's
	Sender netip.Addr // the sender's; unspecified if it has none yet
	Target netip.Addr // the address in question
}

// ARP operations (RFC 826), and ICMPv6 types (RFC 4861).
const (
	arpRequest   = 1
	arpReply     = 2
	solicitation = 135
	advertised   = 136
)

// Options of neighbour discovery (RFC 4861, 4.6).
const (
	optionSource = 1
	optionTarget = 2
)

// Flags of an advertisement (RFC 4861, 4.4).
const (
	routerSays = 0xa0 // router, override
	solicited  = 0x40
	override   = 0x20
)

var broadcast = intent.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseNeighbour reads an ARP packet, a neighbour solicitation or an advertisement.
func ParseNeighbour(frame []byte) (Neighbour, error) {
	if len(frame) >= ethernetSize && be.Uint16(frame[12:]) == typeARP {
		return parseARP(frame[ethernetSize:])
	}
	p, err := ParseIP(frame)
	if err != nil {
		return Neighbour{}, err
	}
	if p.Proto != protoICMPv6 || p.later || len(p.payload) < 24 || (p.payload[0] != solicitation && p.payload[0] != advertised) {
		return Neighbour{}, errors.New("no neighbour solicitation or advertisement")
	}
	n := Neighbour{Answer: p.payload[0] == advertised, MAC: p.EthSrc, Sender: p.Src}
	n.Target, _ = netip.AddrFromSlice(p.payload[8:24])
	return n, nil
}

func parseARP(b []byte) (Neighbour, error) {
	if len(b) < 28 || be.Uint16(b) != 1 || be.Uint16(b[2:]) != typeIPv4 || b[4] != 6 || b[5] != 4 {
		return Neighbour{}, errors.New("no ARP packet for IPv4 over Ethernet")
	}
	n := Neighbour{MAC: intent.MAC(b[8:14])}
	sender, _ := netip.AddrFromSlice(b[14:18])
	target, _ := netip.AddrFromSlice(b[24:28])
	switch be.Uint16(b[6:]) {
	case arpRequest:
		n.Sender, n.Target = sender, target
	case arpReply:
		n.Answer, n.Sender, n.Target = true, sender, sender
	default:
		return Neighbour{}, errors.New("an ARP packet that neither asks nor answers")
	}
	return n, nil
}

// Ask returns the frame that asks the whole network for a target. An unspecified IPv4
// sender makes it a probe (RFC 5227): receivers learn no address from it. An IPv6
// question comes from the link-local address of the MAC.
func Ask(mac intent.MAC, sender, target netip.Addr) []byte {
	if target.Is4() {
		return arp(broadcast, mac, arpRequest, sender, intent.MAC{}, target)
	}
	group := solicitedNode(target)
	g := group.As16()
	b := appendEthernet(nil, intent.MAC{0x33, 0x33, g[12], g[13], g[14], g[15]}, mac, typeIPv6)
	return appendND(b, mac, linkLocal(mac), group, solicitation, 0, target, optionSource)
}

// Announce returns the frame that announces to the whole network that an address has a
// MAC (RFC 5227, 3). For IPv6, it announces a router.
func Announce(mac intent.MAC, a netip.Addr) []byte {
	if a.Is6() {
		return Neighbour{Sender: netip.IPv6Unspecified(), Target: a}.Answer6(mac)
	}
	return arp(broadcast, mac, arpRequest, a, intent.MAC{}, a)
}

// Advertise returns the frame that announces to the whole network that an IPv6 address,
// which is not a router's, has a MAC (RFC 4861, 7.2.6).
func Advertise(mac intent.MAC, a netip.Addr) []byte {
	all := netip.IPv6LinkLocalAllNodes()
	b := appendEthernet(nil, intent.MAC{0x33, 0x33, 0, 0, 0, 1}, mac, typeIPv6)
	return appendND(b, mac, a, all, advertised, override, a, optionTarget)
}

// Answer6 returns the frame that answers an IPv6 neighbour solicitation for a router
// with a MAC.
func (n Neighbour) Answer6(mac intent.MAC) []byte {
	to, ethernet, flags := n.Sender, n.MAC, uint8(routerSays|solicited)
	if to.IsUnspecified() { // a check for a duplicate address
		to, ethernet, flags = netip.IPv6LinkLocalAllNodes(), intent.MAC{0x33, 0x33, 0, 0, 0, 1}, routerSays
	}
	b := appendEthernet(nil, ethernet, mac, typeIPv6)
	return appendND(b, mac, n.Target, to, advertised, flags, n.Target, optionTarget)
}

func arp(to, mac intent.MAC, op uint16, sender netip.Addr, theirs intent.MAC, target netip.Addr) []byte {
	b := appendEthernet(nil, to, mac, typeARP)
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = be.AppendUint16(b, op)
	b = append(b, mac[:]...)
	b = append(b, sender.AsSlice()...)
	b = append(b, theirs[:]...)
	return append(b, target.AsSlice()...)
}

func appendND(b []byte, mac intent.MAC, src, dst netip.Addr, kind, flags uint8, target netip.Addr, option uint8) []byte {
	b = appendIPv6(b, src, dst, protoICMPv6, 255, 32)
	at := len(b)
	b = append(b, kind, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, target.AsSlice()...)
	b = append(b, option, 1)
	b = append(b, mac[:]...)
	be.PutUint16(b[at+2:], Checksum(pseudo(src, dst, 32), b[at:]))
	return b
}

// solicitedNode returns the multicast group in which the owner of an address listens
// (RFC 4291, 2.7.1).
func solicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// linkLocal returns the address that a host forms from its MAC (RFC 4291,
// appendix A).
func linkLocal(m intent.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
