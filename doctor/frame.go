package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// tunnelOverhead is what VXLAN over IPv4 adds to an Ethernet frame, in bytes: VXLAN,
// UDP and IPv4 headers.
const tunnelOverhead = 8 + 8 + 20

// Sizes of probes, in bytes of the underlay's IP packet.
const (
	frameMin = 14 + 32 // of the frame itself: Ethernet header and a probe's fields
	sizeMin  = frameMin + tunnelOverhead
	sizeMax  = 65535
)

// etherType is an EtherType for local experiments (IEEE 802, 9.2.3).
const etherType = 0x88b5

// magic distinguishes ovloom's probes from other experiments, and encodes their version.
const magic = 0x6f766c01

// kind is the kind of a probe.
type kind uint16

const (
	request kind = 1
	answer  kind = 2
)

// probe is the content of a frame. A request and its answer have the same Run, Size and
// Sent.
type probe struct {
	Kind kind
	Size uint16 // of the request in the underlay, in bytes of IP packet
	Run  uint64 // the examination that it is part of
	Sent int64  // by the requester's clock, in ns since 1970
	Back int64  // in an answer: by the responder's clock
}

// append appends the frame, which has size bytes in the underlay.
func (p probe) append(b []byte, size int) []byte {
	start := len(b)
	// Locally administered addresses that no device has.
	b = append(b, 0x0e, 0x6f, 0x76, 0x6c, 0, 2, 0x0e, 0x6f, 0x76, 0x6c, 0, 1)
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Kind))
	b = binary.BigEndian.AppendUint16(b, p.Size)
	b = binary.BigEndian.AppendUint64(b, p.Run)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Sent))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Back))
	return append(b, make([]byte, size-tunnelOverhead-(len(b)-start))...)
}

var errNoProbe = errors.New("no probe")

// parse reads the head of a frame that had frameLen bytes.
func parse(b []byte, frameLen int) (probe, error) {
	if len(b) < frameMin || binary.BigEndian.Uint16(b[12:]) != etherType || binary.BigEndian.Uint32(b[14:]) != magic {
		return probe{}, errNoProbe
	}
	b = b[18:]
	p := probe{
		Kind: kind(binary.BigEndian.Uint16(b)), Size: binary.BigEndian.Uint16(b[2:]),
		Run:  binary.BigEndian.Uint64(b[4:]),
		Sent: int64(binary.BigEndian.Uint64(b[12:])), Back: int64(binary.BigEndian.Uint64(b[20:])),
	}
	switch {
	case p.Kind != request && p.Kind != answer:
		return probe{}, fmt.Errorf("probe of kind %d", p.Kind)
	case p.Kind == request && int(p.Size) != frameLen+tunnelOverhead:
		return probe{}, fmt.Errorf("probe of %d bytes says it has %d", frameLen+tunnelOverhead, p.Size)
	}
	return p, nil
}

// offset returns by how much the responder's clock is ahead, and the round-trip time of an
// answer received at got.
func (p probe) offset(got time.Time) (offset, rtt time.Duration) {
	rtt = time.Duration(got.UnixNano() - p.Sent)
	return time.Duration(p.Back-p.Sent) - rtt/2, rtt
}
