// Matches and the constructors of their terms.

package openflow

import (
	"fmt"
	"net/netip"
)

// Match is a condition on packets; its zero value matches every packet.
type Match struct {
	// Terms are ordered by Field, one for each field.
	Terms []Term
	// Opaque are OXM entries unknown to package ofp, as bytes. They occur only in flows
	// decoded from a switch.
	Opaque string
}

// Term is a condition on one field: packet & Mask == Value. Value has no bit set
// outside Mask. In an exact match Mask has all bits of the field.
type Term struct {
	Field       Field
	Value, Mask Bits
}

// Ready-made terms: the protocols that most other terms require.
var (
	IPv4   = Exact(FieldEthType, 0x0800)
	IPv6   = Exact(FieldEthType, 0x86dd)
	ARP    = Exact(FieldEthType, 0x0806)
	ICMP   = Exact(FieldIPProto, 1)
	TCP    = Exact(FieldIPProto, 6)
	UDP    = Exact(FieldIPProto, 17)
	ICMPv6 = Exact(FieldIPProto, 58)
	SCTP   = Exact(FieldIPProto, 132)
)

// MatchOf makes a canonical match from terms in any order. Terms with a zero mask are
// dropped; wide registers are split into the registers they overlay and FieldVLANTCI
// into FieldVLANVID and FieldVLANPCP, as a switch would report them. It panics if two
// terms match the same field, which is a bug of the caller.
func MatchOf(terms ...Term) Match {
	m, err := makeMatch(terms)
	if err != nil {
		panic("openflow: " + err.Error())
	}
	return m
}

// NewMatch is MatchOf for terms from outside: it returns an error where
// MatchOf panics.
func NewMatch(terms []Term) (Match, error) {
	m, err := makeMatch(terms)
	if err != nil {
		return Match{}, fmt.Errorf("openflow: %w", err)
	}
	return m, nil
}

// Exact matches a field of at most 64 bits. It panics if v does not fit in the
// field.
func Exact(f Field, v uint64) Term {
	return Term{Field: f, Value: mustFit(f, BitsOf(v)), Mask: f.mask()}
}

// Masked matches the bits of mask in a field of at most 64 bits. It panics if mask
// does not fit in the field.
func Masked(f Field, v, mask uint64) Term {
	return MaskedBits(f, BitsOf(v), BitsOf(mask))
}

// ExactBits matches a field of any width. It panics if v does not fit in the field.
func ExactBits(f Field, v Bits) Term {
	return Term{Field: f, Value: mustFit(f, v), Mask: f.mask()}
}

// MaskedBits matches the bits of mask in a field of any width. It panics if mask
// does not fit in the field.
func MaskedBits(f Field, v, mask Bits) Term {
	mask = mustFit(f, mask)
	return Term{Field: f, Value: v.And(mask), Mask: mask}
}

// Prefix matches a field that holds an IP address. It panics if p is not a prefix
// of the field's address family.
func Prefix(f Field, p netip.Prefix) Term {
	mustHold(f, p.Addr())
	width := f.Width()
	mask := lowBits(width).And(lowBits(width - p.Bits()).not())
	return Term{Field: f, Value: BitsOfAddr(p.Addr()).And(mask), Mask: mask}
}

// Addr matches a field that holds an IP address. It panics if a is not an address
// of the field's address family.
func Addr(f Field, a netip.Addr) Term {
	mustHold(f, a)
	return Term{Field: f, Value: BitsOfAddr(a), Mask: f.mask()}
}

// MAC matches a field that holds an Ethernet address.
func MAC(f Field, m [6]byte) Term { return ExactBits(f, BitsOfMAC(m)) }

// MACMasked matches some bits of a field that holds an Ethernet address.
func MACMasked(f Field, m, mask [6]byte) Term {
	return MaskedBits(f, BitsOfMAC(m), BitsOfMAC(mask))
}

// InPort matches the port a packet came in by.
func InPort(p PortNo) Term { return Exact(FieldInPort, uint64(p)) }

// EthSrc matches the source address of an Ethernet frame.
func EthSrc(m [6]byte) Term { return MAC(FieldEthSrc, m) }

// EthDst matches the destination address of an Ethernet frame.
func EthDst(m [6]byte) Term { return MAC(FieldEthDst, m) }

// EthDstMasked matches some bits of the destination address of an Ethernet frame.
func EthDstMasked(m, mask [6]byte) Term { return MACMasked(FieldEthDst, m, mask) }

// EthType matches the type of an Ethernet frame.
func EthType(t uint16) Term { return Exact(FieldEthType, uint64(t)) }

// IPProto matches the protocol of an IPv4 or IPv6 packet; it needs IPv4 or IPv6 beside
// it.
func IPProto(p uint8) Term { return Exact(FieldIPProto, uint64(p)) }

// VLAN matches frames with the given 802.1Q VLAN.
func VLAN(vid uint16) Term { return Exact(FieldVLANVID, vlanPresent|uint64(vid)) }

// NoVLAN matches frames without a 802.1Q tag.
func NoVLAN() Term { return Exact(FieldVLANVID, 0) }

// AnyVLAN matches frames with a 802.1Q tag, whatever its VLAN.
func AnyVLAN() Term { return Masked(FieldVLANVID, vlanPresent, vlanPresent) }

// CTState matches connection tracking state: the bits of set must be set, those
// of clear must not.
func CTState(set, clear CTBits) Term {
	return Masked(FieldCTState, uint64(set), uint64(set|clear))
}

// CTBits are bits of FieldCTState (ovs-fields(7), ct_state).
type CTBits uint8

// Bits of FieldCTState.
const (
	CTNew CTBits = 1 << iota
	CTEst
	CTRel
	CTRpl
	CTInv
	CTTrk
	CTSNAT
	CTDNAT
)

// ctStateMask has all known bits of FieldCTState.
var ctStateMask = BitsOf(0xff)

// vlanPresent is the bit of FieldVLANVID that says that there is a tag.
const vlanPresent = 0x1000

// mustFit returns v, which must be a value of f.
func mustFit(f Field, v Bits) Bits {
	if f == FieldNone || f >= fieldCount {
		panic("openflow: no field")
	}
	if v.And(f.mask()) != v {
		panic(fmt.Sprintf("openflow: %s holds %d bits: value too large", f, f.Width()))
	}
	return v
}

// mustHold panics if f cannot hold a.
func mustHold(f Field, a netip.Addr) {
	if want := f.info().format; !(want == formatIPv4 && a.Is4()) && !(want == formatIPv6 && a.Is6() && a.Zone() == "") {
		panic(fmt.Sprintf("openflow: %s cannot hold the address %s", f, a))
	}
}

// makeMatch sorts, splits and checks terms.
func makeMatch(terms []Term) (Match, error) {
	out := make([]Term, 0, len(terms))
	for _, t := range terms {
		if t.Field == FieldNone || t.Field >= fieldCount {
			return Match{}, fmt.Errorf("a match term names no field")
		}
		t.Mask = t.Mask.And(t.Field.mask())
		if t.Field == FieldCTState {
			t.Mask = t.Mask.And(ctStateMask) // there are no other bits
		}
		t.Value = t.Value.And(t.Mask)
		out = appendSplit(out, t)
	}
	out = addVLANPresent(out)
	// A flow has few terms: insertion sort, no allocation.
	for i := 1; i < len(out); i++ {
		for j := i; j > 0 && out[j].Field < out[j-1].Field; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	for i := 1; i < len(out); i++ {
		if out[i].Field == out[i-1].Field {
			return Match{}, fmt.Errorf("a match has two terms for %s", out[i].Field)
		}
	}
	if len(out) == 0 {
		out = nil
	}
	return Match{Terms: out}, nil
}

// appendSplit appends the canonical terms that together mean t.
func appendSplit(out []Term, t Term) []Term {
	part := func(f Field, shift int) {
		full := f.mask()
		if mask := t.Mask.shiftRight(shift).And(full); !mask.IsZero() {
			out = append(out, Term{Field: f, Value: t.Value.shiftRight(shift).And(mask), Mask: mask})
		}
	}
	switch {
	case t.Mask.IsZero():
	case t.Field == FieldIPFrag:
		out = append(out, canonicalFrag(t))
	case t.Field == FieldPacketType && t.Value.IsZero():
		// Ethernet, which a switch assumes anyway.
	case t.Field >= FieldXReg0 && t.Field <= FieldXReg7:
		first := FieldReg0 + 2*(t.Field-FieldXReg0)
		part(first, 32)
		part(first+1, 0)
	case t.Field >= FieldXXReg0 && t.Field <= FieldXXReg3:
		first := FieldReg0 + 4*(t.Field-FieldXXReg0)
		part(first, 96)
		part(first+1, 64)
		part(first+2, 32)
		part(first+3, 0)
	case t.Field == FieldVLANTCI:
		part(FieldVLANVID, 0)
		if !(t.Mask.Uint64()&0x1fff == 0x1fff && t.Value.Uint64()&0x1fff == 0) {
			part(FieldVLANPCP, 13) // a frame without tag has no priority
		}
	default:
		out = append(out, t)
	}
	return out
}

// canonicalFrag writes the two matches on fragments that have a form with one bit and
// one with two, "no" and "later", in the form with two: their text is the same.
func canonicalFrag(t Term) Term {
	name := fragName(t.Value.Uint64(), t.Mask.Uint64())
	for _, f := range fragments {
		if f.name == name {
			return Term{Field: FieldIPFrag, Value: BitsOf(f.value), Mask: BitsOf(f.mask)}
		}
	}
	return t
}

// addVLANPresent adds to a term for a VLAN priority what it implies: that there is a
// tag.
func addVLANPresent(terms []Term) []Term {
	pcp, vid := -1, -1
	for i, t := range terms {
		switch t.Field {
		case FieldVLANPCP:
			pcp = i
		case FieldVLANVID:
			vid = i
		}
	}
	present := BitsOf(vlanPresent)
	switch {
	case pcp < 0:
	case vid < 0:
		terms = append(terms, Term{Field: FieldVLANVID, Value: present, Mask: present})
	case terms[vid].Mask.And(present).IsZero():
		terms[vid].Value = terms[vid].Value.Or(present)
		terms[vid].Mask = terms[vid].Mask.Or(present)
	}
	return terms
}
