// The text of matches, as ovs-ofctl prints them (ovs-fields(7)).

package openflow

import (
	"encoding/hex"
	"strconv"
)

// defaultPriority is the priority of a flow whose text has none.
const defaultPriority = 0x8000

// Ethernet types and IP protocols that have names in the text of a match.
const (
	ethIPv4 = 0x0800
	ethARP  = 0x0806
	ethRARP = 0x8035
	ethIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// protocol is a name that stands for an Ethernet type and perhaps an IP protocol.
type protocol struct {
	name    string
	ethType uint64
	proto   uint64 // 0: none
}

// protocols holds the names. With an IP protocol it comes before the one without.
var protocols = [...]protocol{
	{"icmp", ethIPv4, protoICMP}, {"tcp", ethIPv4, protoTCP}, {"udp", ethIPv4, protoUDP},
	{"sctp", ethIPv4, protoSCTP}, {"ip", ethIPv4, 0},
	{"icmp6", ethIPv6, protoICMPv6}, {"tcp6", ethIPv6, protoTCP}, {"udp6", ethIPv6, protoUDP},
	{"sctp6", ethIPv6, protoSCTP}, {"ipv6", ethIPv6, 0},
	{"arp", ethARP, 0}, {"rarp", ethRARP, 0},
	{"mpls", 0x8847, 0}, {"mplsm", 0x8848, 0},
}

// matchOrder is the order in which ovs-ofctl prints terms; the name of the protocol
// comes at FieldEthType, its number where it has no name.
var matchOrder = func() []Field {
	order := []Field{
		FieldPktMark, FieldConjID, FieldActsetOutput, FieldCTState, FieldCTZone, FieldCTMark, FieldCTLabel,
		FieldCTNwSrc, FieldCTIPv6Src, FieldCTNwDst, FieldCTIPv6Dst, FieldCTNwProto, FieldCTTpSrc, FieldCTTpDst,
		FieldPacketType, FieldEthType,
	}
	for n := range 16 {
		order = append(order, Reg(n))
	}
	return append(order,
		FieldTunID, FieldTunSrc, FieldTunDst, FieldTunIPv6Src, FieldTunIPv6Dst, FieldTunGBPID, FieldTunGBPFlags,
		FieldTunFlags, FieldMetadata, FieldInPort, FieldVLANVID, FieldVLANPCP, FieldEthSrc, FieldEthDst, fieldEthTypeNumber,
		FieldIPv6Src, FieldIPv6Dst, FieldIPv6Label, FieldARPSPA, FieldARPTPA, FieldIPSrc, FieldIPDst,
		FieldARPOp, FieldIPProto, FieldARPSHA, FieldARPTHA, FieldIPDSCP, FieldIPECN, FieldIPTTL, FieldIPFrag,
		FieldTCPSrc, FieldTCPDst, FieldUDPSrc, FieldUDPDst, FieldSCTPSrc, FieldSCTPDst,
		FieldICMPType, FieldICMPCode, FieldICMPv6Type, FieldICMPv6Code,
		FieldNDTarget, FieldNDSLL, FieldNDTLL, FieldNDReserved, FieldNDOptionsType, FieldTCPFlags)
}()

// fieldEthTypeNumber marks in matchOrder where an Ethernet type without a name is
// printed.
const fieldEthTypeNumber = fieldCount

// String returns the match as ovs-ofctl prints it; empty if it matches every packet.
func (m Match) String() string { return string(m.appendText(nil)) }

func (m Match) appendText(b []byte) []byte {
	start := len(b)
	var terms termIndex
	for i := range m.Terms {
		if f := m.Terms[i].Field; f < fieldCount {
			terms[f] = &m.Terms[i]
		}
	}
	named := terms.protocol()
	for _, f := range matchOrder {
		if f == fieldEthTypeNumber {
			if t := terms[FieldEthType]; t != nil && named.name == "" {
				b = append(b, "dl_type=0x"...)
				b = append(hex.AppendEncode(b, t.Value[14:]), ',')
			}
			continue
		}
		t := terms[f]
		switch {
		case t == nil:
		case f == FieldEthType:
			if named.name != "" {
				b = append(append(b, named.name...), ',')
			}
		case f == FieldIPProto && named.proto != 0:
		case f == FieldVLANVID:
			b = append(appendVLAN(b, t, terms[FieldVLANPCP]), ',')
		case f == FieldVLANPCP:
			if terms[FieldVLANVID] == nil {
				b = append(appendVLAN(b, &Term{}, t), ',')
			}
		default:
			b = append(append(b, matchName(f, named)...), '=')
			b = append(appendMatchValue(b, t), ',')
		}
	}
	if m.Opaque != "" {
		b = append(b, "opaque="...)
		b = append(hex.AppendEncode(b, []byte(m.Opaque)), ',')
	}
	if len(b) > start {
		b = b[:len(b)-1]
	}
	return b
}

// termIndex finds a match's term for a field.
type termIndex [fieldCount]*Term

// protocol returns the name that stands for the terms for Ethernet type and IP
// protocol, if there is one.
func (x *termIndex) protocol() protocol {
	t := x[FieldEthType]
	if t == nil || t.Mask != FieldEthType.mask() {
		return protocol{}
	}
	proto := x[FieldIPProto]
	for _, p := range protocols {
		if p.ethType == t.Value.Uint64() &&
			(p.proto == 0 || proto != nil && proto.Mask == FieldIPProto.mask() && proto.Value.Uint64() == p.proto) {
			return p
		}
	}
	return protocol{}
}

// matchName returns the name under which ovs-ofctl prints a match on f beside a
// protocol.
func matchName(f Field, p protocol) string {
	switch f {
	case FieldInPort:
		return "in_port"
	case FieldEthSrc:
		return "dl_src"
	case FieldEthDst:
		return "dl_dst"
	case FieldIPSrc:
		return "nw_src"
	case FieldIPDst:
		return "nw_dst"
	case FieldIPDSCP:
		return "nw_tos"
	case FieldIPFrag:
		return "nw_frag"
	}
	if f >= FieldTCPSrc && f <= FieldICMPv6Code {
		for _, name := range [...]string{"tp_src", "tp_dst", "icmp_type", "icmp_code"} {
			if f == p.field(name) {
				return name
			}
		}
	}
	return f.String()
}

// field returns the field that a name means beside the protocol, or FieldNone.
func (p protocol) field(name string) Field {
	var src Field // and the one after it is for the destination
	switch {
	case name == "icmp_type" || name == "icmp_code":
		switch {
		case p.ethType == ethIPv4 && p.proto == protoICMP:
			src = FieldICMPType
		case p.ethType == ethIPv6 && p.proto == protoICMPv6:
			src = FieldICMPv6Type
		}
	case p.ethType != ethIPv4 && p.ethType != ethIPv6:
	case p.proto == protoTCP:
		src = FieldTCPSrc
	case p.proto == protoUDP:
		src = FieldUDPSrc
	case p.proto == protoSCTP:
		src = FieldSCTPSrc
	}
	if src != FieldNone && (name == "tp_dst" || name == "icmp_code") {
		src++
	}
	return src
}

// appendMatchValue appends the value of a term. ovs-ofctl prints some fields in a
// match otherwise than in an action.
func appendMatchValue(b []byte, t *Term) []byte {
	f, exact := t.Field, t.Mask == t.Field.mask()
	switch {
	case f == FieldCTState && t.Mask == ctStateMask:
		return appendFlags(b, ctStateNames[:], t.Value, t.Mask, true)
	case f == FieldTunFlags:
		return appendFlags(b, tunFlagNames[:], t.Value, t.Mask, false)
	case f == FieldCTZone && exact:
		return strconv.AppendUint(b, t.Value.Uint64(), 10)
	case f == FieldIPDSCP && exact:
		return strconv.AppendUint(b, t.Value.Uint64()<<2, 10)
	case f == FieldIPv6Label:
		b = appendHexPadded(b, t.Value.Uint64(), 5)
		if !exact {
			b = appendHexPadded(append(b, '/'), t.Mask.Uint64(), 5)
		}
		return b
	case f.info().format == formatDecimal && !exact:
		b = appendHexPadded(b, t.Value.Uint64(), 1)
		return appendHexPadded(append(b, '/'), t.Mask.Uint64(), 1)
	}
	return appendValue(b, f, t.Value, t.Mask)
}

// appendVLAN appends the terms for FieldVLANVID and FieldVLANPCP, which may be nil.
func appendVLAN(b []byte, vid, pcp *Term) []byte {
	value, mask := vid.Value.Uint64(), vid.Mask.Uint64()
	if pcp != nil {
		value |= pcp.Value.Uint64() << 13
		mask |= pcp.Mask.Uint64() << 13
	}
	vidMask, pcpMask := mask&0xfff, mask>>13
	switch {
	case mask&value&vlanPresent != 0 && (vidMask == 0 || vidMask == 0xfff) &&
		(pcpMask == 0 || pcpMask == 7) && (vidMask != 0 || pcpMask != 0):
		if vidMask != 0 {
			b = appendUint(b, "dl_vlan=", value&0xfff)
		}
		if pcpMask != 0 {
			if vidMask != 0 {
				b = append(b, ',')
			}
			b = appendUint(b, "dl_vlan_pcp=", value>>13)
		}
		return b
	case mask == 0xffff:
		return appendHexPadded(append(b, "vlan_tci="...), value, 4)
	}
	b = appendHexPadded(append(b, "vlan_tci="...), value, 4)
	return appendHexPadded(append(b, '/'), mask, 4)
}

// appendHexPadded appends v in hexadecimal with at least width digits.
func appendHexPadded(b []byte, v uint64, width int) []byte {
	b = append(b, "0x"...)
	for n := width - 1; n > 0 && v>>(4*n) == 0; n-- {
		b = append(b, '0')
	}
	return strconv.AppendUint(b, v, 16)
}

// String returns the term as ovs-ofctl prints it in a match; transport fields have
// names that need no protocol beside them.
func (t Term) String() string {
	b := append([]byte(matchName(t.Field, protocol{})), '=')
	return string(appendMatchValue(b, &t))
}
