package openflow

import "net/netip"

// Match is what a packet must look like; its zero value matches every packet.
type Match struct {
	// Terms are ordered by Field, one for each field.
	Terms []Term
	// Opaque are OXM entries that package ofp does not know, as bytes. Only
	// flows decoded from a switch have them.
	Opaque string
}

// Term is a condition on one field: packet & Mask == Value. Value has no bit set
// outside Mask. In an exact match Mask has all bits of the field.
type Term struct {
	Field       Field
	Value, Mask Bits
}

// MatchOf makes a match of terms in any order. It panics if two terms are
// about the same field, which is a bug of the caller.
func MatchOf(terms ...Term) Match { panic("openflow: not built yet") }

// Exact matches a field of at most 64 bits.
func Exact(f Field, v uint64) Term { panic("openflow: not built yet") }

// Masked matches the bits of mask in a field of at most 64 bits.
func Masked(f Field, v, mask uint64) Term { panic("openflow: not built yet") }

// Prefix matches a field that holds an IP address.
func Prefix(f Field, p netip.Prefix) Term { panic("openflow: not built yet") }

// Addr matches a field that holds an IP address.
func Addr(f Field, a netip.Addr) Term { panic("openflow: not built yet") }

// MAC matches a field that holds an Ethernet address.
func MAC(f Field, m [6]byte) Term { panic("openflow: not built yet") }

// MACMasked matches some bits of a field that holds an Ethernet address.
func MACMasked(f Field, m, mask [6]byte) Term { panic("openflow: not built yet") }
