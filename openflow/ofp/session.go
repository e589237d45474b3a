package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file sets up a session: the switch's features, its unsolicited messages, and
// barriers.

// Experimenter messages of Open vSwitch, by subtype.
const (
	nxtSetPacketInFormat = 16
	nxtSetControllerID   = 20
	nxtResume            = 28
	nxtCTFlushZone       = 29
	nxtPacketIn2         = 30
	nxtCTFlush           = 32
)

// beginNicira appends the header of one of Open vSwitch's own messages.
func beginNicira(b []byte, subtype, xid uint32) (out []byte, start int) {
	b, start = begin(b, TypeExperimenter, xid)
	b = binary.BigEndian.AppendUint32(b, NiciraID)
	return binary.BigEndian.AppendUint32(b, subtype), start
}

// mustEnd is end for messages of a fixed, small size.
func mustEnd(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// AppendFeaturesRequest appends a request for the switch's features.
func AppendFeaturesRequest(b []byte, xid uint32) []byte { return empty(b, TypeFeaturesRequest, xid) }

// Features describes a switch (OpenFlow 1.5, 7.3.1).
type Features struct {
	DatapathID uint64
	Tables     uint8
}

// DecodeFeatures reads the body of a features reply.
func DecodeFeatures(body []byte) (Features, error) {
	if len(body) < 24 {
		return Features{}, fmt.Errorf("ofp: features reply: %d bytes, want 24", len(body))
	}
	return Features{DatapathID: binary.BigEndian.Uint64(body), Tables: body[12]}, nil
}

// FragmentsMatch are the flags by which a first fragment is matched like a whole
// packet, with its ports and ICMP type (ovs-fields(7), fragments: nx-match). By default
// Open vSwitch hides them.
const FragmentsMatch = 3

// FragmentsName names a way of treating fragments as ovs-ofctl set-frags does.
func FragmentsName(flags uint16) string {
	switch flags {
	case 0:
		return "normal"
	case 1:
		return "drop"
	case 2:
		return "reassemble"
	case FragmentsMatch:
		return "nx-match"
	}
	return fmt.Sprintf("flags %#x", flags)
}

// Config is the switch's configuration for this connection (OpenFlow 1.5, 7.3.2).
type Config struct {
	Flags uint16 // 0: the default treatment of fragments
	// MissSendLen is the number of bytes of a packet-in. At 0, a connection to a
	// switch's management socket receives no unsolicited messages.
	MissSendLen uint16
}

// AppendSetConfig appends a message that configures the connection. There is no
// reply.
func AppendSetConfig(b []byte, xid uint32, c Config) []byte {
	b, start := begin(b, TypeSetConfig, xid)
	b = binary.BigEndian.AppendUint16(b, c.Flags)
	return mustEnd(binary.BigEndian.AppendUint16(b, c.MissSendLen), start)
}

// AppendGetConfigRequest appends a request for the switch's configuration.
func AppendGetConfigRequest(b []byte, xid uint32) []byte { return empty(b, TypeGetConfigRequest, xid) }

// DecodeConfig reads the body of a get-config reply.
func DecodeConfig(body []byte) (Config, error) {
	if len(body) < 4 {
		return Config{}, fmt.Errorf("ofp: get-config reply: %d bytes, want 4", len(body))
	}
	return Config{Flags: binary.BigEndian.Uint16(body), MissSendLen: binary.BigEndian.Uint16(body[2:])}, nil
}

// AppendPacketIn2Format asks for packet-ins in the format of NXT_PACKET_IN2, the
// only one with userdata and continuations. There is no reply.
func AppendPacketIn2Format(b []byte, xid uint32) []byte {
	b, start := beginNicira(b, nxtSetPacketInFormat, xid)
	return mustEnd(binary.BigEndian.AppendUint32(b, 2), start)
}

// AppendSetControllerID gives this connection the id that the action ToController
// names. There is no reply.
func AppendSetControllerID(b []byte, xid uint32, id uint16) []byte {
	b, start := beginNicira(b, nxtSetControllerID, xid)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return mustEnd(binary.BigEndian.AppendUint16(b, id), start)
}

// Async selects the switch's unsolicited messages. Each mask has a bit for each reason:
// 1<<openflow.ReasonAction and so on.
type Async struct {
	PacketIns    uint32
	PortChanges  uint32
	FlowsRemoved uint32
}

// All reasons for unsolicited messages.
const (
	AllPacketIns    = 1<<(openflow.ReasonPacketOut+1) - 1
	AllPortChanges  = 1<<(openflow.PortModified+1) - 1
	AllFlowsRemoved = 1<<(openflow.RemovedEviction+1) - 1
)

// AppendSetAsync appends a message that selects the unsolicited messages. There is no
// reply.
func AppendSetAsync(b []byte, xid uint32, a Async) []byte {
	b, start := begin(b, TypeSetAsync, xid)
	// Types of the properties for a controller that is not secondary (OpenFlow 1.5, 7.3.10).
	for _, p := range [...]struct {
		kind uint16
		mask uint32
	}{{1, a.PacketIns}, {3, a.PortChanges}, {5, a.FlowsRemoved}} {
		b = binary.BigEndian.AppendUint16(b, p.kind)
		b = binary.BigEndian.AppendUint16(b, 8)
		b = binary.BigEndian.AppendUint32(b, p.mask)
	}
	return mustEnd(b, start)
}

// AppendBarrierRequest appends a barrier: its reply comes after all messages before
// it were processed, and after the errors that they caused.
func AppendBarrierRequest(b []byte, xid uint32) []byte { return empty(b, TypeBarrierRequest, xid) }
