package explain

import (
	"maps"
	"math/big"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// fields is a packet at one moment: its headers, registers and metadata. A field that is
// missing is zero.
type fields map[of.Field]of.Bits

// parseFields parses ofproto/trace's "Flow:". It skips words that package openflow does
// not know.
func parseFields(text string) fields {
	f := fields{}
	words := strings.Split(text, ",")
	proto := ""
	for _, w := range words {
		if !strings.Contains(w, "=") || strings.HasPrefix(w, "dl_type=") {
			if m, err := of.ParseMatch(w); err == nil {
				proto = w + ","
				f.take(m)
			}
		}
	}
	for _, w := range words {
		if m, err := of.ParseMatch(proto + w); err == nil {
			f.take(m)
		}
	}
	return f
}

func (f fields) take(m of.Match) {
	for _, t := range m.Terms {
		f[t.Field] = t.Value
	}
}

func (f fields) clone() fields { return maps.Clone(f) }

// get returns a field, including one that is composed of other fields.
func (f fields) get(field of.Field) of.Bits {
	parts := of.MatchOf(of.ExactBits(field, field.Mask())).Terms
	if len(parts) == 1 && parts[0].Field == field {
		return f[field]
	}
	v := new(big.Int)
	for _, p := range parts { // the highest first
		v.Lsh(v, uint(p.Field.Width()))
		b := f[p.Field]
		v.Or(v, new(big.Int).SetBytes(b[:]))
	}
	return toBits(v)
}

// set writes the bits of mask into a field.
func (f fields) set(field of.Field, value, mask of.Bits) {
	for _, t := range of.MatchOf(of.MaskedBits(field, value, mask.And(field.Mask()))).Terms {
		old := f[t.Field]
		for i := range old {
			old[i] = old[i]&^t.Mask[i] | t.Value[i]
		}
		f[t.Field] = old
	}
}

// copyBits copies bits from one field to another.
func (f fields) copyBits(src, dst of.Subfield) {
	from := f.get(src.Field)
	v := new(big.Int).SetBytes(from[:])
	v.Rsh(v, uint(src.Offset))
	ones := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(src.Width)), big.NewInt(1))
	v.And(v, ones)
	shift := uint(dst.Offset)
	f.set(dst.Field, toBits(v.Lsh(v, shift)), toBits(ones.Lsh(ones, shift)))
}

// setSub sets all bits of a part of a field.
func (f fields) setSub(s of.Subfield) {
	ones := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(s.Width)), big.NewInt(1))
	bits := toBits(ones.Lsh(ones, uint(s.Offset)))
	f.set(s.Field, bits, bits)
}

// toBits truncates v to the size of Bits.
func toBits(v *big.Int) of.Bits {
	var b of.Bits
	raw := v.Bytes()
	raw = raw[max(len(raw)-len(b), 0):]
	copy(b[len(b)-len(raw):], raw)
	return b
}

// number returns the lower 64 bits of a field.
func (f fields) number(field of.Field) uint64 { return f.get(field).Uint64() }

// addr4 returns a field that holds an IPv4 address.
func (f fields) addr4(field of.Field) netip.Addr {
	b := f.get(field)
	return netip.AddrFrom4([4]byte(b[12:]))
}

// mac returns a field that holds an Ethernet address.
func (f fields) mac(field of.Field) intent.MAC {
	b := f.get(field)
	return intent.MAC(b[10:])
}

// packet returns only the headers, as ofproto/trace takes them: what remains of a packet
// on the wire.
func (f fields) packet() string {
	return f.text(of.FieldEthSrc) // package openflow orders headers after metadata
}

// all returns the headers and everything else that the switch knows of the packet.
func (f fields) all() string { return f.text(of.FieldNone) }

func (f fields) text(first of.Field) string {
	var terms []of.Term
	for field, v := range f {
		if field < first || field == of.FieldNDReserved || field == of.FieldNDOptionsType {
			continue
		}
		if v.IsZero() && !required(field) {
			continue
		}
		terms = append(terms, of.ExactBits(field, v.And(field.Mask())))
	}
	m, err := of.NewMatch(terms)
	if err != nil { // two names of one field
		return ""
	}
	return exact(m)
}

// exact formats a packet for ofproto/trace, to which tp_src is always TCP's and icmp_type
// ICMPv4's.
func exact(m of.Match) string {
	words := strings.Split(m.String(), ",")
	proto := ""
	for i, w := range words {
		name, value, given := strings.Cut(w, "=")
		switch {
		case !given:
			proto = name
		case strings.HasPrefix(name, "tp_"):
			words[i] = strings.TrimSuffix(proto, "6") + name[len("tp"):] + "=" + value
		case strings.HasPrefix(name, "icmp_") && proto == "icmp6":
			words[i] = "icmpv6" + name[len("icmp"):] + "=" + value
		}
	}
	return strings.Join(words, ",")
}

// required reports whether a field is significant even when it is zero.
func required(field of.Field) bool {
	switch field {
	case of.FieldEthSrc, of.FieldEthDst, of.FieldIPSrc, of.FieldIPDst, of.FieldIPv6Src, of.FieldIPv6Dst,
		of.FieldICMPType, of.FieldICMPv6Type, of.FieldARPSPA, of.FieldARPTPA:
		return true
	}
	return false
}

// apply applies an action to the fields. An unknown action changes nothing.
func (f fields) apply(a of.Action) {
	switch a := a.(type) {
	case of.SetField:
		f.set(a.Field, a.Value, a.Mask)
	case of.CopyField:
		f.copyBits(a.Src, a.Dst)
	case of.WriteMetadata:
		f.set(of.FieldMetadata, of.BitsOf(a.Value), of.BitsOf(a.Mask))
	case of.PushVLAN:
		f.set(of.FieldVLANVID, of.AnyVLAN().Value, of.FieldVLANVID.Mask())
	case of.PopVLAN:
		delete(f, of.FieldVLANVID)
		delete(f, of.FieldVLANPCP)
	case of.DecTTL:
		if ttl := f.number(of.FieldIPTTL); ttl > 1 {
			f.set(of.FieldIPTTL, of.BitsOf(ttl-1), of.FieldIPTTL.Mask())
		}
	}
}
