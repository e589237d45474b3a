package ofp

import (
	"encoding/binary"
	"fmt"
)

// This file frames messages: the header that each begins with, and the two
// functions that every encoder of a whole message starts and ends with.

// Version is the number of OpenFlow 1.5 in a header.
const Version = 0x06

// HeaderLen is the length of a message's header in bytes.
const HeaderLen = 8

// MaxLen is the longest message in bytes; the header's length field has 16 bits.
const MaxLen = 1<<16 - 1

// Type is the type of a message (OpenFlow 1.5, 7.1).
type Type uint8

// Types of messages that ovloom sends or understands.
const (
	TypeHello            Type = 0
	TypeError            Type = 1
	TypeEchoRequest      Type = 2
	TypeEchoReply        Type = 3
	TypeExperimenter     Type = 4
	TypeFeaturesRequest  Type = 5
	TypeFeaturesReply    Type = 6
	TypeGetConfigRequest Type = 7
	TypeGetConfigReply   Type = 8
	TypeSetConfig        Type = 9
	TypePacketIn         Type = 10
	TypeFlowRemoved      Type = 11
	TypePortStatus       Type = 12
	TypePacketOut        Type = 13
	TypeFlowMod          Type = 14
	TypeGroupMod         Type = 15
	TypePortMod          Type = 16
	TypeTableMod         Type = 17
	TypeMultipartRequest Type = 18
	TypeMultipartReply   Type = 19
	TypeBarrierRequest   Type = 20
	TypeBarrierReply     Type = 21
	TypeSetAsync         Type = 28
	TypeMeterMod         Type = 29
	TypeBundleControl    Type = 33
	TypeBundleAdd        Type = 34
)

var typeNames = map[Type]string{
	TypeHello: "hello", TypeError: "error", TypeEchoRequest: "echo request", TypeEchoReply: "echo reply",
	TypeExperimenter: "experimenter", TypeFeaturesRequest: "features request", TypeFeaturesReply: "features reply",
	TypeGetConfigRequest: "get-config request", TypeGetConfigReply: "get-config reply", TypeSetConfig: "set-config",
	TypePacketIn: "packet-in", TypeFlowRemoved: "flow-removed", TypePortStatus: "port-status",
	TypePacketOut: "packet-out", TypeFlowMod: "flow-mod", TypeGroupMod: "group-mod", TypePortMod: "port-mod",
	TypeTableMod: "table-mod", TypeMultipartRequest: "multipart request", TypeMultipartReply: "multipart reply",
	TypeBarrierRequest: "barrier request", TypeBarrierReply: "barrier reply", TypeSetAsync: "set-async",
	TypeMeterMod: "meter-mod", TypeBundleControl: "bundle-control", TypeBundleAdd: "bundle-add-message",
}

// String returns the type in words.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("message of type %d", uint8(t))
}

// Header is the header of every message (OpenFlow 1.5, 7.1.1).
type Header struct {
	Version uint8
	Type    Type
	Length  uint16 // of the whole message, in bytes
	XID     uint32 // a reply has its request's xid
}

// DecodeHeader reads the header at the start of b, which may be only a part of the
// message. A length shorter than a header is an error: the message boundaries are lost.
func DecodeHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("ofp: header: %d bytes, want %d", len(b), HeaderLen)
	}
	h := Header{
		Version: b[0],
		Type:    Type(b[1]),
		Length:  binary.BigEndian.Uint16(b[2:]),
		XID:     binary.BigEndian.Uint32(b[4:]),
	}
	if h.Length < HeaderLen {
		return Header{}, fmt.Errorf("ofp: header: message length %d is shorter than a header", h.Length)
	}
	return h, nil
}

// begin appends the header of a message of type t; its length is filled in by
// end, which needs the offset that begin returns.
func begin(b []byte, t Type, xid uint32) (out []byte, start int) {
	start = len(b)
	b = append(b, Version, byte(t), 0, 0)
	return binary.BigEndian.AppendUint32(b, xid), start
}

// end fills in the length of the message that begins at start and ends with b.
// A message that is too long is cut off b again.
func end(b []byte, start int) ([]byte, error) {
	n := len(b) - start
	if n > MaxLen {
		t := Type(b[start+1])
		return b[:start], fmt.Errorf("ofp: %s of %d bytes is longer than the %d that fit in a message", t, n, MaxLen)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	return b, nil
}

// empty appends a message that is only a header.
func empty(b []byte, t Type, xid uint32) []byte {
	b, start := begin(b, t, xid)
	binary.BigEndian.PutUint16(b[start+2:], HeaderLen)
	return b
}
