// The text of field values, as ovs-ofctl prints them.

package openflow

import (
	"encoding/hex"
	"math/bits"
	"net/netip"
	"strconv"
)

// appendValue appends value under mask as the text of f.
func appendValue(b []byte, f Field, value, mask Bits) []byte {
	info := f.info()
	exact := mask == f.mask()
	switch info.format {
	case formatIPv4:
		return appendAddrMask(b, value, mask, 32)
	case formatIPv6:
		return appendAddrMask(b, value, mask, 128)
	case formatMAC:
		b = appendMAC(b, value)
		if !exact {
			b = appendMAC(append(b, '/'), mask)
		}
		return b
	case formatPort:
		if exact {
			return PortNo(value.Uint64()).appendText(b)
		}
	case formatCTState:
		return appendFlags(b, ctStateNames[:], value, mask, exact)
	case formatTCPFlags:
		return appendFlags(b, tcpFlagNames[:], value, mask, exact)
	case formatTunFlags:
		return appendFlags(b, tunFlagNames[:], value, mask, exact)
	case formatFrag:
		if name := fragName(value.Uint64(), mask.Uint64()); name != "" {
			return append(b, name...)
		}
	case formatPacketType:
		v := value.Uint64()
		if exact {
			b = append(b, '(')
			b = appendSmall(b, v>>16)
			b = append(b, ',')
			b = appendSmall(b, v&0xffff)
			return append(b, ')')
		}
	}
	if info.format == formatDecimal {
		b = strconv.AppendUint(b, value.Uint64(), 10)
	} else {
		b = appendHex(b, value)
	}
	if !exact {
		b = appendHex(append(b, '/'), mask)
	}
	return b
}

// appendSmall appends a part of a packet type, in hexadecimal from 10 on.
func appendSmall(b []byte, v uint64) []byte {
	if v < 10 {
		return strconv.AppendUint(b, v, 10)
	}
	return strconv.AppendUint(append(b, "0x"...), v, 16)
}

// appendHex appends v in hexadecimal, zero as 0.
func appendHex(b []byte, v Bits) []byte {
	hi, lo := v.High(), v.Uint64()
	switch {
	case hi != 0:
		b = strconv.AppendUint(append(b, "0x"...), hi, 16)
		return hex.AppendEncode(b, v[8:])
	case lo == 0:
		return append(b, '0')
	}
	return strconv.AppendUint(append(b, "0x"...), lo, 16)
}

// appendMAC appends an Ethernet address.
func appendMAC(b []byte, v Bits) []byte {
	for i, c := range v[10:] {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, []byte{c})
	}
	return b
}

// appendAddrMask appends an IP address of width bits with its mask, as a prefix
// length where it is one.
func appendAddrMask(b []byte, value, mask Bits, width int) []byte {
	b = appendAddr(b, value, width)
	if mask == lowBits(width) {
		return b
	}
	b = append(b, '/')
	if n, ok := prefixLen(mask, width); ok {
		return strconv.AppendInt(b, int64(n), 10)
	}
	return appendAddr(b, mask, width)
}

// appendAddr appends an IP address of width bits.
func appendAddr(b []byte, v Bits, width int) []byte {
	if width == 32 {
		return netip.AddrFrom4([4]byte(v[12:])).AppendTo(b)
	}
	// The C library prints the last 32 bits of ::a:b as an IPv4 address.
	if v.High() == 0 && v.Uint64()>>32 == 0 && v[12]|v[13] != 0 {
		b = append(b, "::"...)
		return netip.AddrFrom4([4]byte(v[12:])).AppendTo(b)
	}
	return netip.AddrFrom16(v).AppendTo(b)
}

// prefixLen returns the length of a mask of width bits that is a prefix.
func prefixLen(mask Bits, width int) (int, bool) {
	n := bits.OnesCount64(mask.High()) + bits.OnesCount64(mask.Uint64())
	return n, mask == lowBits(width).And(lowBits(width-n).not())
}

// Names of flags, lowest bit first.
var (
	ctStateNames = [...]string{"new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"}
	tcpFlagNames = [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"}
	tunFlagNames = [...]string{"oam"}
)

// appendFlags appends flags: a|b when all are matched, else +a-b.
func appendFlags(b []byte, names []string, value, mask Bits, exact bool) []byte {
	v, m := value.Uint64(), mask.Uint64()
	if exact && v == 0 {
		return append(b, '0')
	}
	first := true
	for i, name := range names {
		bit := uint64(1) << i
		switch {
		case exact && v&bit != 0:
			if !first {
				b = append(b, '|')
			}
			b = append(b, name...)
			first = false
		case !exact && m&bit != 0:
			if v&bit != 0 {
				b = append(b, '+')
			} else {
				b = append(b, '-')
			}
			b = append(b, name...)
		}
	}
	return b
}

// fragments are the names of matches on FieldIPFrag.
var fragments = [...]struct {
	name        string
	value, mask uint64
}{
	{"no", 0, 3}, {"first", 1, 3}, {"later", 3, 3},
	{"no", 0, 1}, {"yes", 1, 1},
	{"not_later", 0, 2}, {"later", 2, 2},
}

// fragName returns the name of a match on FieldIPFrag, if it has one.
func fragName(value, mask uint64) string {
	for _, f := range fragments {
		if f.value == value && f.mask == mask {
			return f.name
		}
	}
	return ""
}

// portNames are the reserved ports that have names.
var portNames = [...]struct {
	port PortNo
	name string
}{
	{PortInPort, "IN_PORT"}, {PortTable, "TABLE"}, {PortNormal, "NORMAL"}, {PortFlood, "FLOOD"},
	{PortAll, "ALL"}, {PortController, "CONTROLLER"}, {PortLocal, "LOCAL"}, {PortAny, "ANY"},
	{portUnset, "UNSET"},
}

// portUnset is what FieldActsetOutput holds without an output in the action set.
const portUnset PortNo = 0xfffffff7

// String returns the port's number, or the name of a reserved port.
func (p PortNo) String() string { return string(p.appendText(nil)) }

func (p PortNo) appendText(b []byte) []byte {
	for _, n := range portNames {
		if n.port == p {
			return append(b, n.name...)
		}
	}
	return strconv.AppendUint(b, uint64(p), 10)
}

func (s Subfield) appendText(b []byte) []byte {
	info := s.Field.info()
	if info.oxm == "" {
		b = append(b, "<none>"...)
	}
	b = append(b, info.oxm...)
	b = append(b, '[')
	if s.Offset != 0 || s.Width != info.bits {
		b = strconv.AppendUint(b, uint64(s.Offset), 10)
		if s.Width != 1 {
			b = append(b, ".."...)
			b = strconv.AppendInt(b, int64(s.Offset)+int64(s.Width)-1, 10)
		}
	}
	return append(b, ']')
}
