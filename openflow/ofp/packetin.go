package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads packet-ins (NXT_PACKET_IN2) and resumes held packets (NXT_RESUME).
// Both have the same list of properties.

// Properties of a packet-in.
const (
	pinPacket       = 0
	pinFullLen      = 1
	pinBufferID     = 2
	pinTable        = 3
	pinCookie       = 4
	pinReason       = 5
	pinMetadata     = 6
	pinUserdata     = 7
	pinContinuation = 8
)

// noCookie is the cookie of a packet-in without a flow.
const noCookie = 1<<64 - 1

// IsPacketIn2 reports whether the body of an experimenter message is a packet-in.
func IsPacketIn2(body []byte) bool {
	return len(body) >= 8 && binary.BigEndian.Uint32(body) == NiciraID && binary.BigEndian.Uint32(body[4:]) == nxtPacketIn2
}

// DecodePacketIn reads the body of an experimenter message that is a packet-in. Unknown
// properties are skipped.
func DecodePacketIn(body []byte) (openflow.PacketIn, error) {
	if !IsPacketIn2(body) {
		return openflow.PacketIn{}, fmt.Errorf("ofp: packet-in: not an NXT_PACKET_IN2")
	}
	p := openflow.PacketIn{Cookie: noCookie}
	for rest := body[8:]; len(rest) > 0; {
		prop, after, err := nextProperty(rest)
		if err == nil {
			err = packetInProperty(&p, prop)
		}
		if err != nil {
			return openflow.PacketIn{}, fmt.Errorf("packet-in: %w", err)
		}
		rest = after
	}
	switch {
	case len(p.Packet) == 0:
		return openflow.PacketIn{}, fmt.Errorf("ofp: packet-in: without a packet")
	case p.FullLen == 0:
		p.FullLen = len(p.Packet)
	case p.FullLen < len(p.Packet):
		return openflow.PacketIn{}, fmt.Errorf("ofp: packet-in: %d bytes of a packet of %d", len(p.Packet), p.FullLen)
	}
	return p, nil
}

// packetInProperty stores one property in p.
func packetInProperty(p *openflow.PacketIn, prop property) (err error) {
	var v uint64
	switch prop.kind {
	case pinPacket:
		p.Packet = append([]byte(nil), prop.value...)
	case pinFullLen:
		v, err = prop.uint(4)
		p.FullLen = int(v)
	case pinTable:
		v, err = prop.uint(1)
		p.Table = uint8(v)
	case pinCookie:
		p.Cookie, err = prop.cookie()
	case pinReason:
		v, err = prop.uint(1)
		p.Reason = openflow.PacketInReason(v)
	case pinMetadata:
		p.Metadata, err = decodeOXMs(prop.value)
	case pinUserdata:
		p.Userdata = string(prop.value)
	case pinContinuation:
		var b []byte
		b, err = prop.nested()
		p.Continuation = string(b)
	}
	return err
}

// cookie returns a number of eight bytes, which here begins at a multiple of eight.
func (p property) cookie() (uint64, error) {
	b, err := p.nested()
	if err == nil && len(b) != 8 {
		err = fmt.Errorf("ofp: cookie of %d bytes, want 8", len(b))
	}
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// AppendResume appends a message that resumes the held packet p, with the packet,
// metadata and userdata that p has now. There is no reply. The error says that p is not
// held, cannot be encoded or is too long; b is then returned as it was.
func AppendResume(b []byte, xid uint32, p openflow.PacketIn) ([]byte, error) {
	if p.Continuation == "" {
		return b, fmt.Errorf("ofp: resume: the packet-in is not of a held packet")
	}
	b, start := beginNicira(b, nxtResume, xid)
	b, err := appendPacketInProperties(b, p)
	if err != nil {
		return b[:start], fmt.Errorf("resume: %w", err)
	}
	return end(b, start)
}

func appendPacketInProperties(b []byte, p openflow.PacketIn) ([]byte, error) {
	b, start := beginProperty(b, pinPacket)
	b = endProperty(append(b, p.Packet...), start)
	b, start = beginProperty(b, pinTable)
	b = endProperty(append(b, p.Table), start)
	if p.Cookie != noCookie {
		b, start = beginNested(b, pinCookie)
		b = endProperty(binary.BigEndian.AppendUint64(b, p.Cookie), start)
	}
	b, start = beginProperty(b, pinReason)
	b = endProperty(append(b, byte(p.Reason)), start)
	b, start = beginProperty(b, pinMetadata)
	b, err := appendOXMs(b, &p.Metadata)
	if err != nil {
		return b, err
	}
	b = endProperty(b, start)
	b, start = beginNested(b, pinContinuation)
	return endProperty(append(b, p.Continuation...), start), nil
}
