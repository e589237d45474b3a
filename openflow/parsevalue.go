// Parsing of fields, their values and ranges of their bits.

package openflow

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// fieldNames finds fields by their names in matches and set_field.
var fieldNames = func() map[string]Field {
	names := map[string]Field{
		"in_port": FieldInPort, "tunnel_id": FieldTunID,
		"dl_src": FieldEthSrc, "dl_dst": FieldEthDst, "dl_type": FieldEthType,
		"nw_src": FieldIPSrc, "nw_dst": FieldIPDst, "ip_proto": FieldIPProto, "ip_ecn": FieldIPECN,
		"nw_frag": FieldIPFrag,
	}
	for f := FieldNone + 1; f < fieldCount; f++ {
		names[f.String()] = f
	}
	return names
}()

// oxmNames finds fields by their names in ranges of bits.
var oxmNames = func() map[string]Field {
	names := map[string]Field{
		"OXM_OF_ETH_SRC": FieldEthSrc, "OXM_OF_ETH_DST": FieldEthDst, "OXM_OF_ETH_TYPE": FieldEthType,
		"OXM_OF_TUNNEL_ID": FieldTunID, "OXM_OF_IPV4_SRC": FieldIPSrc, "OXM_OF_IPV4_DST": FieldIPDst,
		"OXM_OF_IPV6_SRC": FieldIPv6Src, "OXM_OF_IPV6_DST": FieldIPv6Dst, "OXM_OF_IP_PROTO": FieldIPProto,
		"OXM_OF_ARP_OP": FieldARPOp, "OXM_OF_ARP_SPA": FieldARPSPA, "OXM_OF_ARP_TPA": FieldARPTPA,
		"OXM_OF_ARP_SHA": FieldARPSHA, "OXM_OF_ARP_THA": FieldARPTHA,
	}
	for f := FieldNone + 1; f < fieldCount; f++ {
		names[f.info().oxm] = f
	}
	return names
}()

// fieldNamed returns the field with this name, or FieldNone.
func fieldNamed(name string) Field { return fieldNames[name] }

// parseSubfield reads a range of bits: NXM_NX_REG0[], reg0[4], NXM_NX_REG0[4..7].
func parseSubfield(text string) (Subfield, error) {
	name, rest, ok := strings.Cut(text, "[")
	bits, ok2 := strings.CutSuffix(rest, "]")
	if !ok || !ok2 {
		return Subfield{}, fmt.Errorf("%q is not a range of bits like NXM_NX_REG0[4..7]", text)
	}
	f := oxmNames[name]
	if f == FieldNone {
		f = fieldNamed(name)
	}
	if f == FieldNone {
		return Subfield{}, fmt.Errorf("%s: no field %s", text, name)
	}
	if bits == "" {
		return f.All(), nil
	}
	first, last, isRange := strings.Cut(bits, "..")
	if !isRange {
		last = first
	}
	lo, err := parseUint(first, 8)
	if err != nil {
		return Subfield{}, fmt.Errorf("%s: %w", text, err)
	}
	hi, err := parseUint(last, 8)
	if err != nil {
		return Subfield{}, fmt.Errorf("%s: %w", text, err)
	}
	if lo > hi || int(hi) >= f.Width() {
		return Subfield{}, fmt.Errorf("%s: bits 0 to %d are possible, the lower first", text, f.Width()-1)
	}
	return Subfield{Field: f, Offset: uint8(lo), Width: uint8(hi - lo + 1)}, nil
}

// parseValue reads a value of f, with a mask after a slash or, without one, with
// the mask of an exact match.
func parseValue(f Field, text string) (value, mask Bits, err error) {
	switch f.info().format {
	case formatIPv4, formatIPv6:
		value, mask, err = parseAddrMask(f, text)
	case formatMAC:
		value, mask, err = parseMasked(text, f.mask(), parseMAC)
	case formatPort:
		if port, err := parsePort(text); err == nil {
			return BitsOf(uint64(port)), f.mask(), nil
		}
		value, mask, err = parseMasked(text, f.mask(), parseBits)
	case formatCTState:
		value, mask, err = parseFlags(text, ctStateNames[:], f)
	case formatTCPFlags:
		value, mask, err = parseFlags(text, tcpFlagNames[:], f)
	case formatTunFlags:
		value, mask, err = parseFlags(text, tunFlagNames[:], f)
	case formatFrag:
		for _, fr := range fragments {
			if fr.name == text {
				return BitsOf(fr.value), BitsOf(fr.mask), nil
			}
		}
		value, mask, err = parseMasked(text, f.mask(), parseBits)
	case formatPacketType:
		if ns, kind, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(text, "("), ")"), ","); ok {
			high, err := parseUint(ns, 16)
			if err != nil {
				return value, mask, err
			}
			low, err := parseUint(kind, 16)
			return BitsOf(high<<16 | low), f.mask(), err
		}
		value, mask, err = parseMasked(text, f.mask(), parseBits)
	default:
		value, mask, err = parseMasked(text, f.mask(), parseBits)
	}
	if err != nil {
		return value, mask, err
	}
	if value.And(f.mask()) != value || mask.And(f.mask()) != mask {
		return value, mask, fmt.Errorf("%s is too large for the %d bits of %s", text, f.Width(), f)
	}
	return value.And(mask), mask, nil
}

// parseMasked reads value or value/mask.
func parseMasked(text string, full Bits, parse func(string) (Bits, error)) (value, mask Bits, err error) {
	first, second, masked := strings.Cut(text, "/")
	if value, err = parse(first); err != nil || !masked {
		return value, full, err
	}
	mask, err = parse(second)
	return value, mask, err
}

// parseBits reads a number: decimal of 64 bits or hexadecimal of 128.
func parseBits(text string) (Bits, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	if !ok || len(digits) <= 16 {
		n, err := parseUint(text, 64)
		return BitsOf(n), err
	}
	digits = strings.TrimLeft(digits, "0")
	var b Bits
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) > len(b) {
		return b, fmt.Errorf("%q is not a number of 128 bits", text)
	}
	copy(b[len(b)-len(raw):], raw)
	return b, nil
}

func parseMAC(text string) (Bits, error) {
	var m [6]byte
	parts := strings.Split(text, ":")
	if len(parts) != len(m) {
		return Bits{}, fmt.Errorf("%q is not an Ethernet address like 02:00:00:00:00:01", text)
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 8)
		if err != nil {
			return Bits{}, fmt.Errorf("%q is not an Ethernet address like 02:00:00:00:00:01", text)
		}
		m[i] = byte(n)
	}
	return BitsOfMAC(m), nil
}

// parseAddrMask reads an address, a prefix or an address with a mask.
func parseAddrMask(f Field, text string) (value, mask Bits, err error) {
	parse := func(s string) (Bits, error) {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4() != (f.Width() == 32) {
			return Bits{}, fmt.Errorf("%q is not an address for %s", s, f)
		}
		return BitsOfAddr(a), nil
	}
	first, second, masked := strings.Cut(text, "/")
	if value, err = parse(first); err != nil || !masked {
		return value, f.mask(), err
	}
	if strings.ContainsAny(second, ".:") {
		mask, err = parse(second)
		return value, mask, err
	}
	n, err := parseUint(second, 8)
	if err != nil || int(n) > f.Width() {
		return value, mask, fmt.Errorf("%q is not a prefix length of %s", second, f)
	}
	return value, f.mask().And(lowBits(f.Width() - int(n)).not()), nil
}

// parseFlags reads a|b, +a-b, 0 or value/mask.
func parseFlags(text string, names []string, f Field) (value, mask Bits, err error) {
	if v, m, err := parseMasked(text, f.mask(), parseBits); err == nil {
		return v, m, nil
	}
	var v, m uint64
	exact := text != "" && text[0] != '+' && text[0] != '-'
	for rest := text; rest != ""; {
		set, end := true, 0
		if !exact {
			set = rest[0] == '+'
			rest = rest[1:]
			end = strings.IndexAny(rest, "+-")
		} else {
			end = strings.IndexByte(rest, '|')
		}
		name := rest
		if end >= 0 {
			name, rest = rest[:end], rest[end:]
		} else {
			rest = ""
		}
		rest = strings.TrimPrefix(rest, "|")
		bit := uint64(0)
		for i, n := range names {
			if n == name {
				bit = 1 << i
			}
		}
		if bit == 0 || m&bit != 0 {
			return value, mask, fmt.Errorf("%q: the flags of %s are %s, each at most once", text, f, strings.Join(names, " "))
		}
		m |= bit
		if set {
			v |= bit
		}
	}
	if exact {
		return BitsOf(v), f.mask(), nil
	}
	return BitsOf(v), BitsOf(m), nil
}

// parsePort reads a port's number or the name of a reserved one.
func parsePort(text string) (PortNo, error) {
	for _, n := range portNames {
		if strings.EqualFold(n.name, text) {
			return n.port, nil
		}
	}
	n, err := parseUint(text, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a port's number nor a reserved port's name", text)
	}
	return PortNo(n), nil
}
