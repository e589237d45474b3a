// Constructors of the actions that are awkward to write as literals.

package openflow

import "net/netip"

// Set writes v into a field of at most 64 bits. It panics if v does not fit.
func Set(f Field, v uint64) SetField {
	return SetField{Field: f, Value: mustFit(f, BitsOf(v)), Mask: f.mask()}
}

// SetMasked writes the bits of mask. It panics if mask does not fit in the field.
func SetMasked(f Field, v, mask uint64) SetField {
	return SetBits(f, BitsOf(v), BitsOf(mask))
}

// SetBits writes the bits of mask into a field of any width. It panics if mask does
// not fit in the field.
func SetBits(f Field, v, mask Bits) SetField {
	mask = mustFit(f, mask)
	return SetField{Field: f, Value: v.And(mask), Mask: mask}
}

// SetSub writes v into a range of bits. It panics if v does not fit in it.
func SetSub(s Subfield, v uint64) SetField {
	value := BitsOf(v)
	if value.And(lowBits(int(s.Width))) != value {
		panic("openflow: value too large for " + s.String())
	}
	return SetBits(s.Field, value.shiftLeft(int(s.Offset)), lowBits(int(s.Width)).shiftLeft(int(s.Offset)))
}

// SetMAC writes an Ethernet address.
func SetMAC(f Field, m [6]byte) SetField { return SetBits(f, BitsOfMAC(m), f.mask()) }

// SetAddr writes an IP address. It panics if a is not an address of the field's
// family.
func SetAddr(f Field, a netip.Addr) SetField {
	mustHold(f, a)
	return SetBits(f, BitsOfAddr(a), f.mask())
}

// Copy copies bits from src to dst. It panics if their widths differ.
func Copy(src, dst Subfield) CopyField {
	if src.Width != dst.Width {
		panic("openflow: cannot copy " + src.String() + " to " + dst.String() + ": widths differ")
	}
	return CopyField{Src: src, Dst: dst}
}

// SetVLAN writes the VLAN of the outermost tag, which must be there.
func SetVLAN(vid uint16) SetField { return Set(FieldVLANVID, vlanPresent|uint64(vid)) }
