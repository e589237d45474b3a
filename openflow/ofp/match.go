package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes matches (OpenFlow 1.5, 7.2.3).

// matchOXM is the type of matches that are made of OXM entries; there is no other.
const matchOXM = 1

// AppendMatch appends a match with its padding. The error says that a field cannot
// be encoded; b is then returned as it was.
func AppendMatch(b []byte, m *openflow.Match) ([]byte, error) {
	start := len(b)
	out, err := appendOXMs(append(b, 0, matchOXM, 0, 0), m)
	if err != nil {
		return b, err
	}
	n := len(out) - start
	if n > MaxLen {
		return b, fmt.Errorf("ofp: match of %d bytes is longer than a message", n)
	}
	binary.BigEndian.PutUint16(out[start+2:], uint16(n))
	return appendPadding(out, n), nil
}

// appendPadding pads something of n bytes to a multiple of eight.
func appendPadding(b []byte, n int) []byte {
	var zeros [8]byte
	return append(b, zeros[:-n&7]...)
}

// appendOXMs appends the entries of a match. Those that need others come after
// them: terms are in such an order but for the addresses of a tracked connection,
// which need the Ethernet type.
func appendOXMs(b []byte, m *openflow.Match) ([]byte, error) {
	var err error
	tracked := 0
	for i := range m.Terms {
		t := &m.Terms[i]
		if isTrackedTuple(t.Field) {
			tracked++
			continue
		}
		if b, err = appendOXM(b, t.Field, t.Value, t.Mask); err != nil {
			return b, err
		}
	}
	for i := 0; tracked > 0; i++ {
		t := &m.Terms[i]
		if isTrackedTuple(t.Field) {
			tracked--
			if b, err = appendOXM(b, t.Field, t.Value, t.Mask); err != nil {
				return b, err
			}
		}
	}
	return append(b, m.Opaque...), nil
}

func isTrackedTuple(f openflow.Field) bool {
	return f >= openflow.FieldCTNwProto && f <= openflow.FieldCTTpDst
}

// DecodeMatch reads the match that b begins with, and its padding.
func DecodeMatch(b []byte) (m openflow.Match, rest []byte, err error) {
	if len(b) < 4 {
		return m, nil, fmt.Errorf("ofp: match: %d bytes, want at least 8", len(b))
	}
	kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	padded := (n + 7) &^ 7
	switch {
	case kind != matchOXM:
		return m, nil, fmt.Errorf("ofp: match: type %d, want %d", kind, matchOXM)
	case n < 4 || padded > len(b):
		return m, nil, fmt.Errorf("ofp: match: says %d bytes, %d are there", n, len(b))
	}
	if m, err = decodeOXMs(b[4:n]); err != nil {
		return openflow.Match{}, nil, err
	}
	return m, b[padded:], nil
}

// decodeOXMs reads entries up to the end of b. Entries of unknown fields are kept
// in Opaque.
func decodeOXMs(b []byte) (openflow.Match, error) {
	var room [16]openflow.Term
	terms := room[:0]
	var opaque []byte
	for len(b) > 0 {
		e, rest, err := nextOXM(b)
		if err != nil {
			return openflow.Match{}, err
		}
		b = rest
		if e.field == openflow.FieldNone {
			opaque = append(opaque, e.raw...)
			continue
		}
		terms = append(terms, openflow.Term{Field: e.field, Value: e.value, Mask: e.mask})
	}
	m, err := openflow.NewMatch(terms)
	if err != nil {
		return openflow.Match{}, err
	}
	m.Opaque = string(opaque)
	return m, nil
}
