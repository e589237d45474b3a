package packet

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// Problem is why a router cannot forward a packet.
type Problem struct{ type4, code4, type6, code6 uint8 }

// Problems (RFC 792, RFC 1122, 3.2.2.1, RFC 4443, 3).
var (
	Expired         = Problem{11, 0, 3, 0} // TTL or hop limit
	NoRoute         = Problem{3, 0, 1, 0}
	HostUnreachable = Problem{3, 1, 1, 3}
	NoProtocol      = Problem{3, 2, 4, 1} // the destination does not speak the protocol
	NoPort          = Problem{3, 3, 1, 4} // nothing listens on it
	TooBig          = Problem{3, 4, 2, 0} // reported with the MTU that it exceeds
)

// Sizes of ICMP errors, in bytes: what every host accepts unfragmented (RFC 1812,
// 4.3.2.3; RFC 4443, 2.4).
const (
	errorMax4 = 576
	errorMax6 = 1280
	errorTTL  = 64
)

// Error returns the frame that tells p's sender of a problem, from a router with that
// MAC and address. mtu is for TooBig only. It returns nil where no error may be sent,
// such as in answer to an error (RFC 1122, 3.2.2; RFC 4443, 2.4).
func (p IP) Error(what Problem, mtu int, mac intent.MAC, router netip.Addr) []byte {
	if !p.mayBeTold() || router.Is4() != p.Src.Is4() {
		return nil
	}
	if p.Src.Is4() {
		quote := p.packet[:min(len(p.packet), errorMax4-ipv4Size-8)]
		b := appendEthernet(make([]byte, 0, ethernetSize+errorMax4), p.EthSrc, mac, typeIPv4)
		b = appendIPv4(b, router, p.Src, protoICMP, 0xc0, errorTTL, 8+len(quote))
		at := len(b)
		b = append(b, what.type4, what.code4, 0, 0, 0, 0)
		b = append(be.AppendUint16(b, uint16(mtu)), quote...)
		be.PutUint16(b[at+2:], Checksum(0, b[at:]))
		return b
	}
	quote := p.packet[:min(len(p.packet), errorMax6-ipv6Size-8)]
	b := appendEthernet(make([]byte, 0, ethernetSize+errorMax6), p.EthSrc, mac, typeIPv6)
	b = appendIPv6(b, router, p.Src, protoICMPv6, errorTTL, 8+len(quote))
	at := len(b)
	b = append(b, what.type6, what.code6, 0, 0)
	b = append(be.AppendUint32(b, uint32(mtu)), quote...)
	be.PutUint16(b[at+2:], Checksum(pseudo(router, p.Src, len(b)-at), b[at:]))
	return b
}

// mayBeTold reports whether the sender may be sent an error about the packet.
func (p IP) mayBeTold() bool {
	switch {
	case p.later:
		return false
	case p.EthDst[0]&1 != 0 || p.Dst.IsMulticast():
		return false // every receiver would send one
	case p.Src.IsUnspecified() || p.Src.IsMulticast() || p.Src.IsLoopback():
		return false // there is no single sender to answer
	case p.Src.Is4() && p.Src.As4()[0] >= 240, p.Dst.Is4() && p.Dst.As4()[0] >= 240:
		return false
	}
	switch p.Proto {
	case protoICMP:
		if !p.Src.Is4() {
			return true
		}
		return len(p.payload) > 0 && isQuery(p.payload[0])
	case protoICMPv6:
		const redirect = 137
		return p.Src.Is4() || len(p.payload) > 0 && p.payload[0] >= 128 && p.payload[0] != redirect
	}
	return true
}

// isQuery reports whether an IPv4 ICMP message is certainly not an error: echo, router
// discovery, timestamp, information and address mask messages.
func isQuery(kind uint8) bool {
	switch kind {
	case 0, 8, 9, 10, 13, 14, 15, 16, 17, 18:
		return true
	}
	return false
}
