// Bits and Subfield: the values of fields and ranges of them.

package openflow

import (
	"encoding/binary"
	"net/netip"
)

// Bits is the value of a field: a big-endian number of 128 bits, so that every
// field fits; an Ethernet address takes the last six bytes.
type Bits [16]byte

// BitsOf returns v as Bits.
func BitsOf(v uint64) Bits {
	var b Bits
	binary.BigEndian.PutUint64(b[8:], v)
	return b
}

// BitsOf128 returns a number of 128 bits.
func BitsOf128(high, low uint64) Bits {
	var b Bits
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], low)
	return b
}

// BitsOfMAC returns an Ethernet address as Bits.
func BitsOfMAC(m [6]byte) Bits {
	var b Bits
	copy(b[10:], m[:])
	return b
}

// BitsOfAddr returns an IP address as Bits: 32 of them for IPv4. An absent address
// is all zeros.
func BitsOfAddr(a netip.Addr) Bits {
	var b Bits
	switch {
	case a.Is4():
		a4 := a.As4()
		copy(b[12:], a4[:])
	case a.Is6():
		b = a.As16()
	}
	return b
}

// Uint64 returns the lower 64 bits.
func (b Bits) Uint64() uint64 { return binary.BigEndian.Uint64(b[8:]) }

// High returns the upper 64 bits.
func (b Bits) High() uint64 { return binary.BigEndian.Uint64(b[:8]) }

// IsZero reports whether no bit is set.
func (b Bits) IsZero() bool { return b == Bits{} }

// And returns the bits set in both.
func (b Bits) And(c Bits) Bits { return BitsOf128(b.High()&c.High(), b.Uint64()&c.Uint64()) }

// Or returns the bits set in either.
func (b Bits) Or(c Bits) Bits { return BitsOf128(b.High()|c.High(), b.Uint64()|c.Uint64()) }

// lowBits returns n ones.
func lowBits(n int) Bits {
	switch {
	case n <= 0:
		return Bits{}
	case n >= 128:
		return BitsOf128(^uint64(0), ^uint64(0))
	case n > 64:
		return BitsOf128(1<<(n-64)-1, ^uint64(0))
	case n == 64:
		return BitsOf(^uint64(0))
	}
	return BitsOf(1<<n - 1)
}

// shiftRight returns b moved n bits towards the lowest.
func (b Bits) shiftRight(n int) Bits {
	hi, lo := b.High(), b.Uint64()
	if n >= 64 {
		return BitsOf128(0, hi>>(n-64))
	}
	return BitsOf128(hi>>n, lo>>n|hi<<(64-n))
}

// shiftLeft returns b moved n bits towards the highest.
func (b Bits) shiftLeft(n int) Bits {
	hi, lo := b.High(), b.Uint64()
	if n >= 64 {
		return BitsOf128(lo<<(n-64), 0)
	}
	return BitsOf128(hi<<n|lo>>(64-n), lo<<n)
}

// Subfield is a range of bits of a field, as in NXM_NX_REG0[4..7].
type Subfield struct {
	Field  Field
	Offset uint8 // of the lowest bit
	Width  uint8 // in bits; at least 1
}

// not returns the bits that are not set.
func (b Bits) not() Bits { return BitsOf128(^b.High(), ^b.Uint64()) }

// All returns the whole field.
func (f Field) All() Subfield { return Subfield{Field: f, Width: uint8(f.Width())} }

// Bits returns n bits of a field, from bit lo on. It panics if the field has no
// such bits.
func (f Field) Bits(lo, n int) Subfield {
	if lo < 0 || n < 1 || lo+n > f.Width() {
		panic("openflow: " + f.String() + " has no such bits")
	}
	return Subfield{Field: f, Offset: uint8(lo), Width: uint8(n)}
}

// String returns the range as move and output take it: NXM_NX_REG0[4..7].
func (s Subfield) String() string { return string(s.appendText(nil)) }
