package ofp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file writes actions (OpenFlow 1.5, 7.2.6, and those of Open vSwitch:
// ovs-actions(7)). Open vSwitch refuses some of its older actions in OpenFlow 1.5,
// among them NXAST_REG_LOAD and NXAST_REG_MOVE.

// Types of actions.
const (
	actionOutput       = 0
	actionPushVLAN     = 17
	actionPopVLAN      = 18
	actionGroup        = 22
	actionDecTTL       = 24
	actionSetField     = 25
	actionCopyField    = 28
	actionMeter        = 29
	actionExperimenter = 0xffff
)

// Subtypes of Nicira's actions.
const (
	nxResubmit       = 1
	nxResubmitTable  = 14
	nxOutputReg      = 15
	nxLearn          = 16
	nxController     = 20
	nxPush           = 27
	nxPop            = 28
	nxOutputReg2     = 32
	nxConjunction    = 34
	nxCT             = 35
	nxNAT            = 36
	nxController2    = 37
	nxCTClear        = 43
	nxResubmitCT     = 44
	nxLearn2         = 45
	nxCheckPktLarger = 49
)

// Properties of nxController2.
const (
	controllerMaxLen = iota
	controllerID
	controllerReason
	controllerUserdata
	controllerPause
	controllerMeter
)

// errInstruction says that an instruction is among actions.
var errInstruction = errors.New("ofp: goto_table, write_metadata, clear_actions and write_actions are instructions of a flow, not actions")

// AppendActions appends a list of actions. The error names the action that cannot be
// encoded; b is then returned as it was.
func AppendActions(b []byte, actions []openflow.Action) ([]byte, error) {
	out := b
	for _, a := range actions {
		var err error
		if out, err = appendAction(out, a); err != nil {
			return b, err
		}
	}
	return out, nil
}

// appendAction appends one action. Its length is filled in at the end.
func appendAction(b []byte, action openflow.Action) ([]byte, error) {
	start := len(b)
	var err error
	switch a := action.(type) {
	case openflow.Output:
		b = appendOutput(b, a.Port, 0xffff)
	case openflow.OutputReg:
		b, err = appendOutputReg(b, a)
	case openflow.ToGroup:
		b = append(b, 0, actionGroup, 0, 8)
		b = binary.BigEndian.AppendUint32(b, a.ID)
	case openflow.ToController:
		b = appendToController(b, &a)
	case openflow.SetField:
		b = append(b, 0, actionSetField, 0, 0)
		if a.Field == openflow.FieldInPort {
			b, err = appendSetInPort(b, a)
		} else {
			b, err = appendOXM(b, a.Field, a.Value.And(a.Mask), a.Mask)
		}
	case openflow.CopyField:
		b, err = appendCopyField(b, &a)
	case openflow.Push:
		b, err = appendStack(b, nxPush, a.Src)
	case openflow.Pop:
		b, err = appendStack(b, nxPop, a.Dst)
	case openflow.PushVLAN:
		b = append(b, 0, actionPushVLAN, 0, 8)
		b = append(binary.BigEndian.AppendUint16(b, a.EtherType), 0, 0)
	case openflow.PopVLAN:
		b = append(b, 0, actionPopVLAN, 0, 8, 0, 0, 0, 0)
	case openflow.DecTTL:
		b = append(b, 0, actionDecTTL, 0, 8, 0, 0, 0, 0)
	case openflow.Resubmit:
		b, err = appendResubmit(b, a)
	case openflow.CT:
		b, err = appendCT(b, &a)
	case openflow.NAT:
		return b, errors.New("ofp: nat is possible only inside ct")
	case openflow.CTClear:
		b = append(appendNicira(b, nxCTClear), 0, 0, 0, 0, 0, 0)
	case openflow.CheckPktLarger:
		b, err = appendCheckPktLarger(b, &a)
	case openflow.Conjunction:
		if a.Clause == 0 || a.Clause > a.Of {
			return b, fmt.Errorf("ofp: conjunction: clause %d of %d: clauses are counted from 1", a.Clause, a.Of)
		}
		b = append(appendNicira(b, nxConjunction), a.Clause-1, a.Of)
		b = binary.BigEndian.AppendUint32(b, a.ID)
	case openflow.Learn:
		b, err = appendLearn(b, &a)
	case openflow.ApplyMeter:
		b = append(b, 0, actionMeter, 0, 8)
		b = binary.BigEndian.AppendUint32(b, a.ID)
	case openflow.Opaque:
		return appendOpaque(b, a.Raw)
	case openflow.Goto, openflow.WriteMetadata, openflow.ClearActions, openflow.WriteActions:
		return b, errInstruction
	case nil:
		return b, errors.New("ofp: no action: a list of actions holds nil")
	default:
		return b, fmt.Errorf("ofp: actions of type %T are not known", action)
	}
	if err != nil {
		return b[:start], err
	}
	return endAction(b, start)
}

// endAction pads the action that begins at start and fills in its length.
func endAction(b []byte, start int) ([]byte, error) {
	b = appendPadding(b, len(b)-start)
	n := len(b) - start
	if n > MaxLen {
		return b[:start], fmt.Errorf("ofp: action of %d bytes is longer than a message", n)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	return b, nil
}

// appendNicira appends the head of one of Open vSwitch's own actions.
func appendNicira(b []byte, subtype uint16) []byte {
	b = append(b, 0xff, 0xff, 0, 0)
	b = binary.BigEndian.AppendUint32(b, NiciraID)
	return binary.BigEndian.AppendUint16(b, subtype)
}

func appendOutput(b []byte, port openflow.PortNo, maxLen uint16) []byte {
	b = append(b, 0, actionOutput, 0, 16)
	b = binary.BigEndian.AppendUint32(b, uint32(port))
	if port != openflow.PortController {
		maxLen = 0
	}
	b = binary.BigEndian.AppendUint16(b, maxLen)
	return append(b, 0, 0, 0, 0, 0, 0)
}

// checkSubfield refuses bits that a field does not have.
func checkSubfield(s openflow.Subfield) error {
	if s.Width == 0 || int(s.Offset)+int(s.Width) > s.Field.Width() {
		return fmt.Errorf("ofp: %s: the field has %d bits", s, s.Field.Width())
	}
	return nil
}

// offsetAndWidth packs a range of bits; both parts must fit.
func offsetAndWidth(s openflow.Subfield) (uint16, error) {
	if err := checkSubfield(s); err != nil {
		return 0, err
	}
	if s.Width > 64 {
		return 0, fmt.Errorf("ofp: %s: at most 64 bits are possible here", s)
	}
	return uint16(s.Offset)<<6 | uint16(s.Width-1), nil
}

func appendOutputReg(b []byte, a openflow.OutputReg) ([]byte, error) {
	packed, err := offsetAndWidth(a.Src)
	if err != nil {
		return b, err
	}
	b = binary.BigEndian.AppendUint16(appendNicira(b, nxOutputReg), packed)
	if b, err = appendHeader(b, a.Src.Field); err != nil {
		return b, err
	}
	return append(b, 0xff, 0xff, 0, 0, 0, 0, 0, 0), nil
}

// appendToController uses the oldest form that can hold a, so that the action reads the
// same after a dump.
func appendToController(b []byte, a *openflow.ToController) []byte {
	reason := a.Reason
	if reason == openflow.ReasonTableMiss {
		reason = openflow.ReasonAction
	}
	if a.Userdata == "" && !a.Pause && a.MeterID == 0 {
		if reason == openflow.ReasonAction && a.ID == 0 {
			return appendOutput(b, openflow.PortController, a.MaxLen)
		}
		b = binary.BigEndian.AppendUint16(appendNicira(b, nxController), a.MaxLen)
		b = binary.BigEndian.AppendUint16(b, a.ID)
		return append(b, byte(reason), 0)
	}
	b = append(appendNicira(b, nxController2), 0, 0, 0, 0, 0, 0)
	var at int
	if a.MaxLen != 0xffff {
		b, at = beginProperty(b, controllerMaxLen)
		b = endProperty(append(binary.BigEndian.AppendUint16(b, a.MaxLen), 0, 0), at)
	}
	if a.ID != 0 {
		b, at = beginProperty(b, controllerID)
		b = endProperty(append(binary.BigEndian.AppendUint16(b, a.ID), 0, 0), at)
	}
	if reason != openflow.ReasonAction {
		b, at = beginProperty(b, controllerReason)
		b = endProperty(append(b, byte(reason)), at)
	}
	if a.Userdata != "" {
		b, at = beginProperty(b, controllerUserdata)
		b = endProperty(append(b, a.Userdata...), at)
	}
	if a.Pause {
		b, at = beginProperty(b, controllerPause)
		b = endProperty(b, at)
	}
	if a.MeterID != 0 {
		b, at = beginProperty(b, controllerMeter)
		b = endProperty(binary.BigEndian.AppendUint32(b, a.MeterID), at)
	}
	return b
}

func appendCopyField(b []byte, a *openflow.CopyField) ([]byte, error) {
	if err := checkSubfield(a.Src); err != nil {
		return b, err
	}
	if err := checkSubfield(a.Dst); err != nil {
		return b, err
	}
	if a.Src.Width != a.Dst.Width {
		return b, fmt.Errorf("ofp: move: %s and %s are not equally wide", a.Src, a.Dst)
	}
	b = append(b, 0, actionCopyField, 0, 0, 0, a.Src.Width, 0, a.Src.Offset, 0, a.Dst.Offset, 0, 0)
	b, err := appendHeader(b, a.Src.Field)
	if err != nil {
		return b, err
	}
	return appendHeader(b, a.Dst.Field)
}

func appendStack(b []byte, subtype uint16, s openflow.Subfield) ([]byte, error) {
	if err := checkSubfield(s); err != nil {
		return b, err
	}
	b = append(appendNicira(b, subtype), 0, s.Offset)
	b, err := appendHeader(b, s.Field)
	return append(b, 0, s.Width, 0, 0, 0, 0, 0, 0), err
}

func appendResubmit(b []byte, a openflow.Resubmit) ([]byte, error) {
	port, err := port16(a.InPort)
	if err != nil {
		return b, err
	}
	subtype := uint16(nxResubmitTable)
	switch {
	case a.CT:
		subtype = nxResubmitCT
	case a.Table == openflow.TableAll:
		subtype = nxResubmit
	}
	b = binary.BigEndian.AppendUint16(appendNicira(b, subtype), port)
	if subtype == nxResubmit {
		return append(b, 0, 0, 0, 0), nil
	}
	return append(b, a.Table, 0, 0, 0), nil
}

// port16 returns a port's 16-bit number, as in OpenFlow 1.0. No port stands for
// PortInPort.
func port16(p openflow.PortNo) (uint16, error) {
	switch {
	case p == 0:
		return uint16(openflow.PortInPort & 0xffff), nil
	case p >= 0xffffff00:
		return uint16(p & 0xffff), nil
	case p < 0xff00:
		return uint16(p), nil
	}
	return 0, fmt.Errorf("ofp: resubmit: port %d does not fit in 16 bits", p)
}

// port32 is the reverse of port16.
func port32(p uint16) openflow.PortNo {
	if p >= 0xff00 {
		return openflow.PortNo(p) | 0xffff0000
	}
	return openflow.PortNo(p)
}

func appendCheckPktLarger(b []byte, a *openflow.CheckPktLarger) ([]byte, error) {
	if err := checkSubfield(a.Dst); err != nil {
		return b, err
	}
	if a.Dst.Width != 1 {
		return b, fmt.Errorf("ofp: check_pkt_larger: %s is not one bit", a.Dst)
	}
	b = binary.BigEndian.AppendUint16(appendNicira(b, nxCheckPktLarger), a.Len)
	b, err := appendHeader(append(b, 0, a.Dst.Offset), a.Dst.Field)
	return append(b, 0, 0, 0, 0, 0, 0), err
}

// appendOpaque appends an action that was decoded as bytes.
func appendOpaque(b []byte, raw string) ([]byte, error) {
	if len(raw) < 8 || len(raw)%8 != 0 || int(raw[2])<<8|int(raw[3]) != len(raw) {
		return b, fmt.Errorf("ofp: opaque action of %d bytes: it does not say its own length", len(raw))
	}
	return append(b, raw...), nil
}
