package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads the counters of meters, and how many meters a switch supports
// (OpenFlow 1.5, 7.3.5.13 and 7.3.5.16).

// meterStatsLen is the length of a meter's counters before those of its bands, and
// bandStatsLen that of each band's, in bytes.
const (
	meterStatsLen = 40
	bandStatsLen  = 16
)

// DecodeMeterStats reads one part of the reply to a request of type
// MultipartMeterStats, whose body is made by AppendMeterRequest.
func DecodeMeterStats(part []byte) ([]openflow.MeterStats, error) {
	var all []openflow.MeterStats
	for len(part) > 0 {
		if len(part) < meterStatsLen {
			return nil, fmt.Errorf("ofp: meter counters: %d bytes, want at least %d", len(part), meterStatsLen)
		}
		n := int(binary.BigEndian.Uint16(part[4:]))
		if n < meterStatsLen || n > len(part) || (n-meterStatsLen)%bandStatsLen != 0 {
			return nil, fmt.Errorf("ofp: meter counters: say %d bytes, %d are there", n, len(part))
		}
		s := openflow.MeterStats{ID: binary.BigEndian.Uint32(part), Packets: binary.BigEndian.Uint64(part[16:]), Bytes: binary.BigEndian.Uint64(part[24:])}
		for band := part[meterStatsLen:n]; len(band) > 0; band = band[bandStatsLen:] {
			s.Dropped += binary.BigEndian.Uint64(band)
			s.DroppedBytes += binary.BigEndian.Uint64(band[8:])
		}
		all = append(all, s)
		part = part[n:]
	}
	return all, nil
}

// DecodeMeterFeatures reads the reply to a request of type MultipartMeterFeatures: how
// many meters the switch supports.
func DecodeMeterFeatures(part []byte) ([]uint32, error) {
	if len(part) < 4 {
		return nil, fmt.Errorf("ofp: meter features: %d bytes, want at least 4", len(part))
	}
	return []uint32{binary.BigEndian.Uint32(part)}, nil
}
