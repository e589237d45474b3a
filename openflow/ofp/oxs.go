package ofp

import (
	"encoding/binary"
	"fmt"
)

// This file reads the statistics of flows (OXS: OpenFlow 1.5, 7.2.4).

// flowCounters are the statistics of one flow; missing ones are zero.
type flowCounters struct {
	duration, idle float64 // seconds
	packets, bytes uint64
}

// Entries of a list of statistics: class, field and length.
const (
	oxsDuration = 0x80020008
	oxsIdleTime = 0x80020208
	oxsPackets  = 0x80020808
	oxsBytes    = 0x80020a08
)

// decodeStats takes the list of statistics at the start of b. Unknown entries are
// skipped.
func decodeStats(b []byte) (s flowCounters, rest []byte, err error) {
	if len(b) < 4 {
		return s, nil, fmt.Errorf("ofp: statistics: %d bytes, want at least 4", len(b))
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 4 || (n+7)&^7 > len(b) {
		return s, nil, fmt.Errorf("ofp: statistics: say %d bytes, %d are there", n, len(b))
	}
	rest = b[(n+7)&^7:]
	for b = b[4:n]; len(b) > 0; {
		if len(b) < 4 || len(b) < 4+int(b[3]) {
			return s, nil, fmt.Errorf("ofp: statistics: an entry is cut off")
		}
		entry, value := binary.BigEndian.Uint32(b), b[4:4+int(b[3])]
		b = b[4+len(value):]
		switch entry {
		case oxsDuration:
			s.duration = seconds(value)
		case oxsIdleTime:
			s.idle = seconds(value)
		case oxsPackets:
			s.packets = binary.BigEndian.Uint64(value)
		case oxsBytes:
			s.bytes = binary.BigEndian.Uint64(value)
		}
	}
	return s, rest, nil
}

// seconds reads seconds and nanoseconds, 32 bits each.
func seconds(b []byte) float64 {
	return float64(binary.BigEndian.Uint32(b)) + float64(binary.BigEndian.Uint32(b[4:]))/1e9
}
