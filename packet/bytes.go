package packet

import (
	"encoding/binary"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// Sizes of headers, in bytes.
const (
	ethernetSize = 14
	ipv4Size     = 20 // without options
	ipv6Size     = 40
)

// Types of Ethernet frames.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd
)

// Protocols in IP packets (IANA).
const (
	protoICMP   = 1
	protoUDP    = 17
	protoICMPv6 = 58
)

var be = binary.BigEndian

// appendEthernet appends an Ethernet header.
func appendEthernet(b []byte, dst, src intent.MAC, kind uint16) []byte {
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	return be.AppendUint16(b, kind)
}

// appendIPv4 appends an IPv4 header for size bytes of a protocol (RFC 791), with Don't
// Fragment set, so that it needs no identification (RFC 6864).
func appendIPv4(b []byte, src, dst netip.Addr, proto, tos, ttl uint8, size int) []byte {
	at := len(b)
	b = append(b, 0x45, tos)
	b = be.AppendUint16(b, uint16(ipv4Size+size))
	b = append(b, 0, 0, 0x40, 0, ttl, proto, 0, 0)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	be.PutUint16(b[at+10:], Checksum(0, b[at:]))
	return b
}

// appendIPv6 appends an IPv6 header for size bytes of a protocol (RFC 8200).
func appendIPv6(b []byte, src, dst netip.Addr, proto, hops uint8, size int) []byte {
	b = append(b, 0x60, 0, 0, 0)
	b = be.AppendUint16(b, uint16(size))
	b = append(b, proto, hops)
	b = append(b, src.AsSlice()...)
	return append(b, dst.AsSlice()...)
}

// pseudo returns the sum of an ICMPv6 message's pseudo-header (RFC 8200, 8.1).
func pseudo(src, dst netip.Addr, size int) uint32 {
	return sum(sum(uint32(size)+protoICMPv6, src.AsSlice()), dst.AsSlice())
}

// sum adds up 16-bit words.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(be.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// Checksum returns the Internet checksum of b (RFC 1071), starting from the sum s of
// what comes before it; 0 if b includes a correct checksum.
func Checksum(s uint32, b []byte) uint16 {
	s = sum(s, b)
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
