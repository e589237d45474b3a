package lab

// This file puts frames together that no well-behaved kernel would send, and
// sends them from a workload.

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	"golang.org/x/sys/unix"
)

// Broadcast is the Ethernet broadcast address.
var Broadcast = intent.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// SendFrame sends one Ethernet frame out of an interface of the workload, as it
// is.
func (w *Workload) SendFrame(ifname string, frame []byte) error {
	return w.SendFrames(ifname, [][]byte{frame})
}

// SendFrames is SendFrame for many frames, one right after the other.
func (w *Workload) SendFrames(ifname string, frames [][]byte) error {
	err := w.InNetNS(func() error {
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
	if err != nil {
		return fmt.Errorf("send a frame from %s on %s: %w", w.Name, w.Host.Name, err)
	}
	return nil
}

// Ethernet returns a frame.
func Ethernet(src, dst intent.MAC, etherType uint16, payload []byte) []byte {
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// Frame returns an ARP message; its addresses are IPv4. Src and dst are those of
// the Ethernet header, which may differ from the message's.
func (a ARP) Frame(src, dst intent.MAC) []byte {
	b := []byte{0, 1, 8, 0, 6, 4} // Ethernet, IPv4, and the lengths of their addresses
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(append(b, a.SHA[:]...), a.SPA.AsSlice()...)
	b = append(append(b, a.THA[:]...), a.TPA.AsSlice()...)
	return Ethernet(src, dst, EtherARP, b)
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
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return Ethernet(srcMAC, dstMAC, EtherIPv4, append(b, payload...))
}

// UDP returns a UDP datagram for IPFrame, with its checksum.
func UDP(src, dst netip.AddrPort, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	sum := checksum(pseudoHeader(src.Addr(), dst.Addr(), ProtoUDP, len(b)), b)
	if sum == 0 {
		sum = 0xffff // 0 would say that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// ICMPv6 returns a message for IPFrame, with its checksum: type, code 0, and body,
// which is what follows the checksum.
func ICMPv6(src, dst netip.Addr, kind uint8, body []byte) []byte {
	b := append([]byte{kind, 0, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[2:], checksum(pseudoHeader(src, dst, ProtoICMPv6, len(b)), b))
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

// pseudoHeader is the part of the checksum that covers addresses (RFC 768,
// RFC 8200, section 8.1).
func pseudoHeader(src, dst netip.Addr, proto uint8, length int) uint32 {
	sum := uint32(proto) + uint32(length)
	for _, addr := range [][]byte{src.AsSlice(), dst.AsSlice()} {
		for ; len(addr) > 1; addr = addr[2:] {
			sum += uint32(binary.BigEndian.Uint16(addr))
		}
	}
	return sum
}
