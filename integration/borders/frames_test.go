package borders_test

// Frames that a well-behaved machine never sends: what tells a lie, wrapped in every
// combination of headers that hides it from a switch and not from a receiver. And a
// judge of what arrives, which knows nothing of how the switch decides.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// A liar is a machine that sends with others' addresses.
type liar struct {
	mac      intent.MAC
	v4, v6   netip.Addr // its own
	ll       netip.Addr
	gateways []netip.Addr // of its network, with the link-local one
	random   *rand.Rand
}

// A victim receives what the liar sends with the addresses of other.
type victim struct{ to, other *overlay.Machine }

// eui64 returns the link-local address that a host forms from its MAC (RFC 4291).
func eui64(m intent.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// inner is what an Ethernet frame holds behind its MACs, without tags.
type inner struct {
	what string
	kind uint16
	data []byte
}

// ip6 makes an IPv6 packet.
func ip6(src, dst netip.Addr, next uint8, hops uint8, payload []byte) []byte {
	return lab.IPFrame(intent.MAC{}, intent.MAC{}, src, dst, next, hops, payload)[14:]
}

// lies returns the forged messages from a liar to one victim, without headers that hide them.
func (l *liar) lies(v victim) []inner {
	to := v.to
	others := append([]netip.Addr{v.other.V4(), v.other.V6()}, l.gateways...)
	var list []inner
	arp := func(what string, data []byte) { list = append(list, inner{what, lab.EtherARP, data}) }
	icmp6 := func(what string, src, dst netip.Addr, kind, code uint8, body []byte) {
		message := lab.ICMPv6(src, dst, kind, body)
		if code != 0 {
			message = icmpWithCode(src, dst, kind, code, body)
		}
		list = append(list, l.wraps(what, src, dst, message)...)
	}
	for _, a := range others {
		if a.Is4() {
			arp(fmt.Sprintf("ARP reply as %s", a), lab.ARP{Op: 2, SHA: l.mac, SPA: a, THA: to.Port.MAC, TPA: to.V4()}.Message(1, lab.EtherIPv4, 6, 4))
			arp(fmt.Sprintf("ARP request as %s", a), lab.ARP{Op: 1, SHA: l.mac, SPA: a, TPA: to.V4()}.Message(1, lab.EtherIPv4, 6, 4))
			arp(fmt.Sprintf("gratuitous ARP as %s", a), lab.ARP{Op: 1, SHA: l.mac, SPA: a, TPA: a}.Message(1, lab.EtherIPv4, 6, 4))
			arp(fmt.Sprintf("ARP of operation 9 as %s", a), lab.ARP{Op: 9, SHA: l.mac, SPA: a, THA: to.Port.MAC, TPA: to.V4()}.Message(1, lab.EtherIPv4, 6, 4))
			arp(fmt.Sprintf("ARP of operation 0x102 as %s", a), lab.ARP{Op: 0x102, SHA: l.mac, SPA: a, THA: to.Port.MAC, TPA: to.V4()}.Message(1, lab.EtherIPv4, 6, 4))
			arp(fmt.Sprintf("ARP reply of IEEE 802 hardware as %s", a), lab.ARP{Op: 2, SHA: l.mac, SPA: a, THA: to.Port.MAC, TPA: to.V4()}.Message(6, lab.EtherIPv4, 6, 4))
			arp(fmt.Sprintf("ARP reply with long addresses as %s", a), lab.ARP{Op: 2, SHA: l.mac, SPA: a, THA: to.Port.MAC, TPA: to.V4()}.Message(1, lab.EtherIPv4, 8, 4))
			list = append(list, inner{fmt.Sprintf("IPv4 from %s", a), lab.EtherIPv4, ip4(a, to.V4(), 0)},
				inner{fmt.Sprintf("IPv4 with options from %s", a), lab.EtherIPv4, ip4(a, to.V4(), 8)})
			continue
		}
		dst := to.V6()
		if a.IsLinkLocalUnicast() {
			dst = eui64(to.Port.MAC)
		}
		icmp6(fmt.Sprintf("advertisement as %s", a), l.ll, dst, lab.ICMPv6NeighbourAdv, 0, lab.ND(0x60, a, 2, l.mac))
		icmp6(fmt.Sprintf("advertisement with two options as %s", a), l.ll, dst, lab.ICMPv6NeighbourAdv, 0, append(lab.ND(0x60, a, 2, l.mac), lab.ND(0, a, 2, l.mac)[20:]...))
		icmp6(fmt.Sprintf("advertisement without option as %s", a), a, dst, lab.ICMPv6NeighbourAdv, 0, lab.ND(0x60, a, 0, intent.MAC{}))
		icmp6(fmt.Sprintf("solicitation as %s", a), a, dst, lab.ICMPv6NeighbourSol, 0, lab.ND(0, dst, 1, l.mac))
		icmp6(fmt.Sprintf("advertisement of code 1 as %s", a), l.ll, dst, lab.ICMPv6NeighbourAdv, 1, lab.ND(0x60, a, 2, l.mac))
		list = append(list, inner{fmt.Sprintf("IPv6 from %s", a), lab.EtherIPv6, ip6(a, dst, lab.ProtoUDP, 64, lab.UDP(netip.AddrPortFrom(a, 9), netip.AddrPortFrom(dst, 9), []byte("lie")))})
	}
	router := append([]byte{64, 0, 0x70, 0x8, 0, 0, 0, 0, 0, 0, 0, 0}, append([]byte{1, 1}, l.mac[:]...)...)
	all := netip.MustParseAddr("ff02::1")
	icmp6("router advertisement", l.ll, all, lab.ICMPv6RouterAdv, 0, router)
	icmp6("router advertisement as the gateway", l.gateways[len(l.gateways)-1], all, lab.ICMPv6RouterAdv, 0, router)
	redirect := append(append(make([]byte, 4), l.ll.AsSlice()...), v.other.V6().AsSlice()...)
	icmp6("redirect", l.ll, to.V6(), lab.ICMPv6Redirect, 0, redirect)
	return list
}

// icmpWithCode is lab.ICMPv6 with a code, which the checksum covers as well.
func icmpWithCode(src, dst netip.Addr, kind, code uint8, body []byte) []byte {
	b := lab.ICMPv6(src, dst, kind, body)
	b[1], b[2], b[3] = code, 0, 0
	binary.BigEndian.PutUint16(b[2:], lab.Checksum(lab.PseudoHeader(src, dst, lab.ProtoICMPv6, len(b)), b))
	return b
}

// ip4 makes an IPv4 packet with bytes of options.
func ip4(src, dst netip.Addr, options int) []byte {
	p := lab.IPFrame(intent.MAC{}, intent.MAC{}, src, dst, lab.ProtoUDP, 64, lab.UDP(netip.AddrPortFrom(src, 9), netip.AddrPortFrom(dst, 9), []byte("lie")))[14:]
	if options == 0 {
		return p
	}
	p = append(p[:20:20], append(bytes.Repeat([]byte{1}, options), p[20:]...)...)
	p[0] = 4<<4 | byte(5+options/4)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], lab.Checksum(0, p[:20+options]))
	return p
}

// Numbers of IPv6 headers (RFC 8200).
const (
	headerHopByHop = 0
	headerFragment = 44
	headerOptions  = 60
)

// wraps returns a message in IPv6 in all the ways in which extension headers and
// fragments can hide it.
func (l *liar) wraps(what string, src, dst netip.Addr, message []byte) []inner {
	var list []inner
	add := func(how string, next uint8, payload []byte) {
		list = append(list, inner{what + ", " + how, lab.EtherIPv6, ip6(src, dst, next, 255, payload)})
	}
	pad := func(next uint8, n int) []byte { // an option of n bytes, header included
		return append([]byte{next, byte(n/8 - 1), 1, byte(n - 4)}, make([]byte, n-4)...)
	}
	part := func(next uint8, offset int, more bool, id uint32) []byte {
		at := uint16(offset)
		if more {
			at |= 1
		}
		b := binary.BigEndian.AppendUint16([]byte{next, 0}, at)
		return binary.BigEndian.AppendUint32(b, id)
	}
	pieces := func(how string, next uint8, payload []byte, cut int) {
		id := l.random.Uint32()
		add(how+", first part", headerFragment, append(part(next, 0, true, id), payload[:cut]...))
		add(how+", second part", headerFragment, append(part(next, cut, false, id), payload[cut:]...))
	}
	add("plain", lab.ProtoICMPv6, message)
	add("behind a hop-by-hop header", headerHopByHop, append(pad(lab.ProtoICMPv6, 8), message...))
	add("behind destination options", headerOptions, append(pad(lab.ProtoICMPv6, 16), message...))
	add("in an atomic fragment", headerFragment, append(part(lab.ProtoICMPv6, 0, false, 7), message...))
	pieces("in two fragments", lab.ProtoICMPv6, message, 8)
	if overlay.OnKernel() {
		// Linux's own datapath reads on into the padding, where it finds our number; see
		// docs/security.md. Receivers that obey RFC 7112 refuse what it lets through.
		return list
	}
	pieces("cut before its type", headerOptions, append(pad(lab.ProtoICMPv6, 8), message...), 8)
	pieces("cut within a header", headerOptions, append(pad(lab.ProtoICMPv6, 16), message...), 8)
	pieces("cut before a fragment header", headerOptions, append(pad(headerFragment, 8), append(part(lab.ProtoICMPv6, 0, false, 9), message...)...), 8)
	return list
}

// A tag is a VLAN tag, or what some take for one.
type tag struct{ kind, tci uint16 }

var tagKinds = []uint16{0x8100, 0x88a8, 0x9100, 0x9200, 0x9300}

// tagStacks returns all stacks of up to depth tags, of each kind, with VLAN 0 and
// another.
func tagStacks(depth int) [][]tag {
	stacks := [][]tag{nil}
	for from := 0; depth > 0; depth-- {
		end := len(stacks)
		for _, s := range stacks[from:end] {
			for _, kind := range tagKinds {
				for _, tci := range []uint16{0, 0xe064} {
					stacks = append(stacks, append([]tag{{kind, tci}}, s...))
				}
			}
		}
		from = end
	}
	return stacks
}

// frameMark is the end of a frame, behind all that it says: its padding.
var frameMark = []byte("borders!")

// frame puts a frame together. Its number is in the padding.
func (i inner) frame(src, dst intent.MAC, tags []tag, number int) []byte {
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	for _, t := range tags {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, t.kind), t.tci)
	}
	b = append(binary.BigEndian.AppendUint16(b, i.kind), i.data...)
	return binary.BigEndian.AppendUint32(append(b, frameMark...), uint32(number))
}

// numberOf returns the number of a frame of ours.
func numberOf(frame []byte) (int, bool) {
	n := len(frame) - 4
	if n < len(frameMark) || !bytes.Equal(frame[n-len(frameMark):n], frameMark) {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(frame[n:])), true
}

// judge says what is wrong about a frame of the liar's that reached a receiver. It
// reads on where a lenient receiver would.
func (l *liar) judge(frame []byte, may func(netip.Addr) bool) error {
	kind, data := binary.BigEndian.Uint16(frame[12:]), frame[14:]
	for _, k := range tagKinds {
		if kind == k {
			return fmt.Errorf("it has a tag of type %#04x", kind)
		}
	}
	switch kind {
	case lab.EtherARP:
		if len(data) < 28 || !bytes.Equal(data[:6], []byte{0, 1, 8, 0, 6, 4}) || data[6] != 0 || data[7] < 1 || data[7] > 2 {
			return fmt.Errorf("ARP of another sort: % x", data[:8])
		}
		if spa := netip.AddrFrom4([4]byte(data[14:])); !may(spa) {
			return fmt.Errorf("ARP as %s", spa)
		}
	case lab.EtherIPv4:
		if src := netip.AddrFrom4([4]byte(data[12:])); !may(src) {
			return fmt.Errorf("IPv4 from %s", src)
		}
	case lab.EtherIPv6:
		return l.judgeIPv6(data, may)
	default:
		return fmt.Errorf("it is of type %#04x", kind)
	}
	return nil
}

func (l *liar) judgeIPv6(data []byte, may func(netip.Addr) bool) error {
	if src := netip.AddrFrom16([16]byte(data[8:])); !may(src) {
		return fmt.Errorf("IPv6 from %s", src)
	}
	next := data[6]
	rest := data[40:][:binary.BigEndian.Uint16(data[4:])]
	fragment := false
	for {
		switch next {
		case headerHopByHop, headerOptions:
			if len(rest) < 8 || len(rest) < 8+8*int(rest[1]) {
				return fmt.Errorf("its headers are cut off")
			}
			next, rest = rest[0], rest[8+8*int(rest[1]):]
			continue
		case headerFragment:
			if len(rest) < 8 {
				return fmt.Errorf("its headers are cut off")
			}
			at := binary.BigEndian.Uint16(rest[2:])
			if at&^7 != 0 {
				return nil // without the first part it is nothing
			}
			fragment = fragment || at&1 != 0
			next, rest = rest[0], rest[8:]
			continue
		}
		break
	}
	if next != lab.ProtoICMPv6 {
		return nil
	}
	switch {
	case len(rest) < 8:
		return fmt.Errorf("ICMPv6 that is cut off")
	case rest[0] == lab.ICMPv6RouterAdv || rest[0] == lab.ICMPv6Redirect:
		return fmt.Errorf("ICMPv6 type %d: it is no router", rest[0])
	case rest[0] != lab.ICMPv6NeighbourAdv && rest[0] != lab.ICMPv6NeighbourSol:
		return nil
	case fragment || len(rest) < 24:
		return fmt.Errorf("neighbour discovery in pieces")
	}
	if target := netip.AddrFrom16([16]byte(rest[8:])); rest[0] == lab.ICMPv6NeighbourAdv && !may(target) {
		return fmt.Errorf("it advertises %s", target)
	}
	return nil
}

// depthOfTags is how many tags all lies are tried with; there is time for fewer in an
// emulated machine.
func depthOfTags() int {
	if overlay.OnKernel() {
		return 1
	}
	return 2
}
