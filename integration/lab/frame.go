package lab

// This file builds frames that no well-behaved kernel would send, and sends them from a
// workload.

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// Broadcast is the Ethernet broadcast address.
var Broadcast = intent.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// SendFrame sends one Ethernet frame unchanged from an interface of the workload.
func (w *Workload) SendFrame(ifname string, frame []byte) error {
	return w.SendFrames(ifname, [][]byte{frame})
}

// SendFrames is SendFrame for many frames, one immediately after the other.
func (w *Workload) SendFrames(ifname string, frames [][]byte) error {
	if err := sendFrames(w.InNetNS, ifname, frames); err != nil {
		return fmt.Errorf("send a frame from %s on %s: %w", w.Name, w.Host.Name, err)
	}
	return nil
}

// SendFrame sends one Ethernet frame from an interface of the host itself.
func (h *Host) SendFrame(ifname string, frame []byte) error {
	if err := sendFrames(h.InNetNS, ifname, [][]byte{frame}); err != nil {
		return fmt.Errorf("send a frame from %s: %w", h.Name, err)
	}
	return nil
}

func sendFrames(in func(func() error) error, ifname string, frames [][]byte) error {
	return in(func() error {
		nic, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, frame := range frames {
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: nic.Index}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Ethernet returns an Ethernet frame.
func Ethernet(src, dst intent.MAC, etherType uint16, payload []byte) []byte {
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// Frame returns an ARP message; its addresses are IPv4. Src and dst are the Ethernet header's
// addresses, which may differ from the message's.
func (a ARP) Frame(src, dst intent.MAC) []byte {
	return Ethernet(src, dst, EtherARP, a.Message(1, EtherIPv4, 6, 4))
}

// Message returns an ARP message whose hardware type, protocol and address lengths may be
// wrong; for Ethernet and IPv4 they are 1, EtherIPv4, 6 and 4.
func (a ARP) Message(hardware, protocol uint16, hlen, plen byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, hardware)
	b = append(binary.BigEndian.AppendUint16(b, protocol), hlen, plen)
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(append(b, a.SHA[:]...), a.SPA.AsSlice()...)
	return append(append(b, a.THA[:]...), a.TPA.AsSlice()...)
}

// VXLAN returns a VXLAN packet (RFC 7348, section 5) around a frame, without its UDP header.
func VXLAN(vni uint32, frame []byte) []byte {
	const vniIsValid = 0x08
	return append(binary.BigEndian.AppendUint32([]byte{vniIsValid, 0, 0, 0}, vni<<8), frame...)
}

// IPFrame returns a frame with an IPv4 or IPv6 packet.
func IPFrame(srcMAC, dstMAC intent.MAC, src, dst netip.Addr, proto uint8, ttl uint8, payload []byte) []byte {
	if src.Is6() {
		b := []byte{6 << 4, 0, 0, 0}
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
		b = append(b, proto, ttl)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		return Ethernet(srcMAC, dstMAC, EtherIPv6, append(b, payload...))
	}
	b := []byte{4<<4 | 5, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = append(b, 0, 0, 0, 0, ttl, proto, 0, 0)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], Checksum(0, b))
	return Ethernet(srcMAC, dstMAC, EtherIPv4, append(b, payload...))
}

// UDP returns a UDP datagram for IPFrame, with its checksum.
func UDP(src, dst netip.AddrPort, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	sum := Checksum(PseudoHeader(src.Addr(), dst.Addr(), ProtoUDP, len(b)), b)
	if sum == 0 {
		sum = 0xffff // 0 would mean no checksum (RFC 768)
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// ICMPv6 returns a message for IPFrame, with its checksum: type, code 0, and body, which
// follows the checksum.
func ICMPv6(src, dst netip.Addr, kind uint8, body []byte) []byte {
	b := append([]byte{kind, 0, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[2:], Checksum(PseudoHeader(src, dst, ProtoICMPv6, len(b)), b))
	return b
}

// ND returns the body of a neighbour solicitation or advertisement for ICMPv6
// (RFC 4861, sections 4.3 and 4.4): flags in the highest byte, the target, and,
// unless link is absent, a link-layer address option of that type (1 source, 2
// target).
func ND(flags uint8, target netip.Addr, option uint8, link intent.MAC) []byte {
	b := append([]byte{flags, 0, 0, 0}, target.AsSlice()...)
	if link.IsZero() {
		return b
	}
	return append(append(b, option, 1), link[:]...)
}

// PseudoHeader returns the sum of the pseudo-header in the checksum of a TCP segment, a UDP
// datagram or an ICMPv6 message (RFC 768, RFC 8200, section 8.1).
func PseudoHeader(src, dst netip.Addr, proto uint8, length int) uint32 {
	return add(add(uint32(proto)+uint32(length), src.AsSlice()), dst.AsSlice())
}

// Checksum returns the Internet checksum of b (RFC 1071), with sum as the initial value; 0 if b
// contains its right checksum.
func Checksum(sum uint32, b []byte) uint16 {
	sum = add(sum, b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// add adds 16-bit words to a sum.
func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
