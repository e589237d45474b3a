package ofp

import (
	"encoding/binary"
	"fmt"
)

// This file reads and writes lists of properties: a type, a length without padding, a
// value, padded to eight bytes (OpenFlow 1.5, 7.2.5).

// property is one entry of such a list. The value is a part of the message.
type property struct {
	kind  uint16
	value []byte
}

// nextProperty takes the property that b begins with.
func nextProperty(b []byte) (p property, rest []byte, err error) {
	if len(b) < 4 {
		return p, nil, fmt.Errorf("ofp: property: %d bytes, want at least 4", len(b))
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 4 || (n+7)&^7 > len(b) {
		return p, nil, fmt.Errorf("ofp: property: says %d bytes, %d are there", n, len(b))
	}
	return property{binary.BigEndian.Uint16(b), b[4:n]}, b[(n+7)&^7:], nil
}

// beginProperty appends the head of a property; endProperty fills in its length
// and pads.
func beginProperty(b []byte, kind uint16) (out []byte, start int) {
	start = len(b)
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(b, 0, 0), start
}

// beginNested is beginProperty for a value that starts at a multiple of eight bytes.
func beginNested(b []byte, kind uint16) (out []byte, start int) {
	b, start = beginProperty(b, kind)
	return append(b, 0, 0, 0, 0), start
}

// endProperty ends the property that begins at start. One too long for its length
// field does not fit in a message either: end refuses it.
func endProperty(b []byte, start int) []byte {
	n := len(b) - start
	binary.BigEndian.PutUint16(b[start+2:], uint16(min(n, MaxLen)))
	return appendPadding(b, n)
}

// appendUint16Property appends a number of 16 bits, whose padding OpenFlow counts as
// a part of it.
func appendUint16Property(b []byte, kind, v uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(b, 0, 8)
	b = binary.BigEndian.AppendUint16(b, v)
	return append(b, 0, 0)
}

// nested returns the value of a property made with beginNested.
func (p property) nested() ([]byte, error) {
	if len(p.value) < 4 {
		return nil, fmt.Errorf("ofp: nested property: %d bytes, want at least 8", len(p.value)+4)
	}
	return p.value[4:], nil
}

// uint returns a value that is a number of n bytes.
func (p property) uint(n int) (v uint64, err error) {
	if len(p.value) != n {
		return 0, fmt.Errorf("ofp: property %d: value of %d bytes, want %d", p.kind, len(p.value), n)
	}
	for _, c := range p.value {
		v = v<<8 | uint64(c)
	}
	return v, nil
}
