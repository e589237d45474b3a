package ofp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes meters (OpenFlow 1.5, 7.3.4.5 and 7.3.5.14).

// Flags of meters.
const (
	meterKilobits = 1 << iota
	meterPackets
	meterBurst
	meterStats
)

// bandDrop is the type of bands that drop packets, and bandLen their length.
const (
	bandDrop = 1
	bandLen  = 16
)

// allMeters asks for, or deletes, every meter.
const allMeters = 0xffffffff

// AppendMeterMod appends a whole meter-mod message.
func AppendMeterMod(b []byte, xid uint32, m *openflow.MeterMod) ([]byte, error) {
	b, start := begin(b, TypeMeterMod, xid)
	if m.Command > openflow.MeterDelete {
		return b[:start], fmt.Errorf("ofp: meter-mod: command %d is not known", m.Command)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(m.Command))
	if m.Command == openflow.MeterDelete {
		b = append(b, 0, 0)
		return end(binary.BigEndian.AppendUint32(b, m.Meter.ID), start)
	}
	return end(appendMeter(b, &m.Meter), start)
}

// appendMeter appends flags, id and bands.
func appendMeter(b []byte, m *openflow.Meter) []byte {
	flags := uint16(meterPackets)
	if m.Unit == openflow.KilobitsPerSecond {
		flags = meterKilobits
	}
	if m.Burst != 0 {
		flags |= meterBurst
	}
	if m.Stats {
		flags |= meterStats
	}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, m.ID)
	b = append(b, 0, bandDrop, 0, bandLen)
	b = binary.BigEndian.AppendUint32(b, m.Rate)
	b = binary.BigEndian.AppendUint32(b, m.Burst)
	return append(b, 0, 0, 0, 0)
}

// AppendMeterRequest appends the body of a multipart request of type
// MultipartMeterConfig for every meter.
func AppendMeterRequest(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, allMeters), 0, 0, 0, 0)
}

// DecodeMeterConfig reads one part of the reply to a request of type
// MultipartMeterConfig.
func DecodeMeterConfig(part []byte) ([]openflow.Meter, error) {
	var meters []openflow.Meter
	for len(part) > 0 {
		if len(part) < 8 {
			return nil, fmt.Errorf("ofp: meter: %d bytes, want at least 8", len(part))
		}
		n := int(binary.BigEndian.Uint16(part))
		if n < 8 || n > len(part) {
			return nil, fmt.Errorf("ofp: meter: says %d bytes, %d are there", n, len(part))
		}
		m, err := decodeMeter(part[2:n])
		if err != nil {
			return nil, err
		}
		meters = append(meters, m)
		part = part[n:]
	}
	return meters, nil
}

// errMeter says that openflow.Meter cannot hold a meter.
var errMeter = errors.New("more than one band, or one that does not drop, is not supported")

// decodeMeter reads flags, id and bands.
func decodeMeter(b []byte) (openflow.Meter, error) {
	if len(b) < 6 {
		return openflow.Meter{}, fmt.Errorf("ofp: meter: %d bytes, want at least 6", len(b))
	}
	flags := binary.BigEndian.Uint16(b)
	m := openflow.Meter{ID: binary.BigEndian.Uint32(b[2:]), Stats: flags&meterStats != 0}
	switch flags & (meterKilobits | meterPackets) {
	case meterKilobits:
		m.Unit = openflow.KilobitsPerSecond
	case meterPackets:
	default:
		return m, fmt.Errorf("ofp: meter %d: flags %#x say no unit", m.ID, flags)
	}
	b = b[6:]
	if len(b) != bandLen || binary.BigEndian.Uint16(b) != bandDrop || binary.BigEndian.Uint16(b[2:]) != bandLen {
		return m, fmt.Errorf("ofp: meter %d: %w", m.ID, errMeter)
	}
	m.Rate = binary.BigEndian.Uint32(b[4:])
	if flags&meterBurst != 0 {
		m.Burst = binary.BigEndian.Uint32(b[8:])
	}
	return m, nil
}
