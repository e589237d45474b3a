package ofp

import (
	"encoding/binary"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads actions. One that it does not know, or that the values of package
// openflow cannot hold, is kept as openflow.Opaque.

// DecodeActions reads a list of actions up to the end of b. The error says where the
// list is malformed.
func DecodeActions(b []byte) ([]openflow.Action, error) {
	return appendDecoded(nil, b)
}

// appendDecoded is DecodeActions for a list that grows.
func appendDecoded(actions []openflow.Action, b []byte) ([]openflow.Action, error) {
	for len(b) > 0 {
		raw, rest, err := nextAction(b)
		if err != nil {
			return nil, err
		}
		actions = append(actions, decodeAction(raw))
		b = rest
	}
	return actions, nil
}

// nextAction takes b's first action: all its bytes, at least 8.
func nextAction(b []byte) (raw, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, fmt.Errorf("ofp: action: %d bytes, want at least 8", len(b))
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 8 || n%8 != 0 || n > len(b) {
		return nil, nil, fmt.Errorf("ofp: action of type %d: says %d bytes, %d are there", binary.BigEndian.Uint16(b), n, len(b))
	}
	return b[:n], b[n:], nil
}

// isNicira says whether raw is Open vSwitch's own action with this subtype.
func isNicira(raw []byte, subtype uint16) bool {
	got, ok := niciraSubtype(raw)
	return ok && got == subtype
}

// niciraSubtype returns the subtype of one of Open vSwitch's own actions.
func niciraSubtype(raw []byte) (uint16, bool) {
	if len(raw) < 16 || binary.BigEndian.Uint16(raw) != actionExperimenter || binary.BigEndian.Uint32(raw[4:]) != NiciraID {
		return 0, false
	}
	return binary.BigEndian.Uint16(raw[8:]), true
}

// decodeAction reads one action.
func decodeAction(raw []byte) openflow.Action {
	var a openflow.Action
	if subtype, ok := niciraSubtype(raw); ok {
		a = decodeNicira(subtype, raw)
	} else {
		a = decodeStandard(raw)
	}
	if a == nil {
		return openflow.Opaque{Raw: string(raw)}
	}
	return a
}

// decodeStandard reads an action of OpenFlow itself; nil if it must be opaque.
func decodeStandard(raw []byte) openflow.Action {
	value := binary.BigEndian.Uint32(raw[4:])
	switch binary.BigEndian.Uint16(raw) {
	case actionOutput:
		if len(raw) != 16 || !allZero(raw[10:]) {
			return nil
		}
		maxLen := binary.BigEndian.Uint16(raw[8:])
		if openflow.PortNo(value) == openflow.PortController {
			return openflow.ToController{MaxLen: maxLen}
		}
		if maxLen != 0 {
			return nil
		}
		return openflow.Output{Port: openflow.PortNo(value)}
	case actionGroup:
		if len(raw) == 8 {
			return openflow.ToGroup{ID: value}
		}
	case actionMeter:
		if len(raw) == 8 {
			return openflow.ApplyMeter{ID: value}
		}
	case actionPushVLAN:
		if len(raw) == 8 && value&0xffff == 0 {
			return openflow.PushVLAN{EtherType: uint16(value >> 16)}
		}
	case actionPopVLAN:
		if len(raw) == 8 && value == 0 {
			return openflow.PopVLAN{}
		}
	case actionDecTTL:
		if len(raw) == 8 && value == 0 {
			return openflow.DecTTL{}
		}
	case actionSetField:
		if len(raw) == 16 && binary.BigEndian.Uint32(raw[4:]) == nxmInPort && allZero(raw[10:]) {
			return openflow.Set(openflow.FieldInPort, uint64(portFrom16(binary.BigEndian.Uint16(raw[8:]))))
		}
		e, rest, err := nextOXM(raw[4:])
		if err == nil && e.field != openflow.FieldNone && isPadding(rest) {
			return openflow.SetField{Field: e.field, Value: e.value, Mask: e.mask}
		}
	case actionCopyField:
		return decodeCopyField(raw)
	}
	return nil
}

func decodeCopyField(raw []byte) openflow.Action {
	if len(raw) != 24 || !allZero(raw[10:12]) || !allZero(raw[20:]) {
		return nil
	}
	width := binary.BigEndian.Uint16(raw[4:])
	src, ok := subfieldOf(binary.BigEndian.Uint32(raw[12:]), binary.BigEndian.Uint16(raw[6:]), width)
	if !ok {
		return nil
	}
	dst, ok := subfieldOf(binary.BigEndian.Uint32(raw[16:]), binary.BigEndian.Uint16(raw[8:]), width)
	if !ok {
		return nil
	}
	return openflow.CopyField{Src: src, Dst: dst}
}

// decodeNicira reads one of Open vSwitch's own actions, of at least 16 bytes; nil if
// it must be opaque.
func decodeNicira(subtype uint16, raw []byte) openflow.Action {
	switch subtype {
	case nxResubmit, nxResubmitTable, nxResubmitCT:
		return decodeResubmit(subtype, raw)
	case nxOutputReg, nxOutputReg2:
		return decodeOutputReg(subtype, raw)
	case nxController:
		if len(raw) != 16 || raw[14] == byte(openflow.ReasonTableMiss) || raw[15] != 0 {
			return nil
		}
		return openflow.ToController{
			MaxLen: binary.BigEndian.Uint16(raw[10:]),
			ID:     binary.BigEndian.Uint16(raw[12:]),
			Reason: canonicalReason(raw[14]),
		}
	case nxController2:
		if a, ok := decodeController2(raw); ok {
			return a
		}
	case nxPush, nxPop:
		if len(raw) != 24 || !allZero(raw[18:]) {
			return nil
		}
		s, ok := subfieldOf(binary.BigEndian.Uint32(raw[12:]), binary.BigEndian.Uint16(raw[10:]), binary.BigEndian.Uint16(raw[16:]))
		switch {
		case !ok:
			return nil
		case subtype == nxPush:
			return openflow.Push{Src: s}
		}
		return openflow.Pop{Dst: s}
	case nxConjunction:
		if len(raw) == 16 && raw[10] < raw[11] {
			return openflow.Conjunction{ID: binary.BigEndian.Uint32(raw[12:]), Clause: raw[10] + 1, Of: raw[11]}
		}
	case nxCT:
		if a, ok := decodeCT(raw); ok {
			return a
		}
	case nxCTClear:
		if len(raw) == 16 && allZero(raw[10:]) {
			return openflow.CTClear{}
		}
	case nxLearn, nxLearn2:
		if a, ok := decodeLearn(subtype, raw); ok {
			return a
		}
	case nxCheckPktLarger:
		if len(raw) != 24 || !allZero(raw[18:]) {
			return nil
		}
		if dst, ok := subfieldOf(binary.BigEndian.Uint32(raw[14:]), binary.BigEndian.Uint16(raw[12:]), 1); ok {
			return openflow.CheckPktLarger{Len: binary.BigEndian.Uint16(raw[10:]), Dst: dst}
		}
	}
	return nil
}

func decodeResubmit(subtype uint16, raw []byte) openflow.Action {
	if len(raw) != 16 || !allZero(raw[13:]) {
		return nil
	}
	port := binary.BigEndian.Uint16(raw[10:])
	a := openflow.Resubmit{InPort: port32(port), Table: raw[12], CT: subtype == nxResubmitCT}
	if port == 0 {
		return nil // Resubmit uses 0 for an unchanged port
	}
	if subtype == nxResubmit {
		if a.Table != 0 {
			return nil
		}
		a.Table = openflow.TableAll
	}
	return a
}

func decodeOutputReg(subtype uint16, raw []byte) openflow.Action {
	if len(raw) != 24 {
		return nil
	}
	header, maxLen := binary.BigEndian.Uint32(raw[12:]), binary.BigEndian.Uint16(raw[16:])
	if subtype == nxOutputReg2 {
		maxLen, header = binary.BigEndian.Uint16(raw[12:]), binary.BigEndian.Uint32(raw[14:])
	}
	src, ok := unpackSubfield(header, binary.BigEndian.Uint16(raw[10:]))
	if !ok || maxLen != 0xffff || !allZero(raw[18:]) {
		return nil
	}
	return openflow.OutputReg{Src: src}
}

// canonicalReason drops ToController's default reason.
func canonicalReason(r byte) openflow.PacketInReason {
	if openflow.PacketInReason(r) == openflow.ReasonAction {
		return 0
	}
	return openflow.PacketInReason(r)
}

// decodeController2 reads the newer form of controller; ok is false if ToController
// cannot hold it.
func decodeController2(raw []byte) (a openflow.ToController, ok bool) {
	a.MaxLen = 0xffff
	if !allZero(raw[10:16]) {
		return a, false
	}
	for b := raw[16:]; len(b) > 0; {
		p, rest, err := nextProperty(b)
		if err != nil {
			return a, false
		}
		b, ok = rest, true
		var v uint64
		switch p.kind {
		case controllerMaxLen:
			a.MaxLen, ok = p.paddedUint16()
		case controllerID:
			a.ID, ok = p.paddedUint16()
		case controllerReason:
			v, err = p.uint(1)
			ok = byte(v) != byte(openflow.ReasonTableMiss)
			a.Reason = canonicalReason(byte(v))
		case controllerUserdata:
			a.Userdata = string(p.value)
		case controllerPause:
			a.Pause, ok = true, len(p.value) == 0
		case controllerMeter:
			v, err = p.uint(4)
			a.MeterID = uint32(v)
		default:
			return a, false
		}
		if err != nil || !ok {
			return a, false
		}
	}
	// A controller2 that says no more than the older forms is decoded to the same
	// value: the effect is the same.
	return a, true
}

// paddedUint16 returns a number of 16 bits whose padding counts as part of it.
func (p property) paddedUint16() (uint16, bool) {
	if len(p.value) != 4 || !allZero(p.value[2:]) {
		return 0, false
	}
	return binary.BigEndian.Uint16(p.value), true
}

// subfieldOf returns the bits of a field that a header of four bytes names; ok is
// false if the field is unknown or has no such bits.
func subfieldOf(header uint32, offset, width uint16) (s openflow.Subfield, ok bool) {
	f := fieldOf(header)
	if f == openflow.FieldNone || header&0x100 != 0 || width == 0 || int(offset)+int(width) > f.Width() {
		return s, false
	}
	return openflow.Subfield{Field: f, Offset: uint8(offset), Width: uint8(width)}, true
}

// unpackSubfield is the reverse of offsetAndWidth.
func unpackSubfield(header uint32, packed uint16) (openflow.Subfield, bool) {
	return subfieldOf(header, packed>>6, packed&0x3f+1)
}

// allZero says whether b has no bit set.
func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// isPadding says whether b may stand behind a value to fill eight bytes.
func isPadding(b []byte) bool { return len(b) < 8 && allZero(b) }
