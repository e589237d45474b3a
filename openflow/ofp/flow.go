package ofp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes flows: flow-mods, their instructions, and descriptions of
// flows (OpenFlow 1.5, 7.3.4 and 7.3.5.2).

// Types of instructions.
const (
	instructionGoto          = 1
	instructionWriteMetadata = 2
	instructionWriteActions  = 3
	instructionApplyActions  = 4
	instructionClearActions  = 5
	instructionMeter         = 6
)

// anyPort and anyGroup are the wildcards of a filter.
const (
	anyPort  = uint32(openflow.PortAny)
	anyGroup = 0xffffffff
)

// AppendMod appends a whole message that makes the change m, which is a
// *openflow.FlowMod, *openflow.GroupMod or *openflow.MeterMod. The error says what cannot
// be encoded, or that the message is too long; b is then returned as it was.
func AppendMod(b []byte, xid uint32, m openflow.Mod) ([]byte, error) {
	switch m := m.(type) {
	case *openflow.FlowMod:
		return AppendFlowMod(b, xid, m)
	case *openflow.GroupMod:
		return AppendGroupMod(b, xid, m)
	case *openflow.MeterMod:
		return AppendMeterMod(b, xid, m)
	}
	return b, fmt.Errorf("ofp: changes of type %T are not known", m)
}

// AppendFlowMod appends a whole flow-mod message. It allocates nothing if b has
// room. The error says what cannot be encoded; b is then returned as it was.
func AppendFlowMod(b []byte, xid uint32, m *openflow.FlowMod) ([]byte, error) {
	out, start := begin(b, TypeFlowMod, xid)
	f := &m.Flow
	out = binary.BigEndian.AppendUint64(out, f.Cookie)
	out = binary.BigEndian.AppendUint64(out, m.CookieMask)
	out = append(out, f.Table, byte(m.Command))
	out = binary.BigEndian.AppendUint16(out, f.IdleTimeout)
	out = binary.BigEndian.AppendUint16(out, f.HardTimeout)
	out = binary.BigEndian.AppendUint16(out, f.Priority)
	out = binary.BigEndian.AppendUint32(out, noBuffer)
	out = binary.BigEndian.AppendUint32(out, anyPort)
	out = binary.BigEndian.AppendUint32(out, anyGroup)
	out = binary.BigEndian.AppendUint16(out, uint16(f.Flags))
	out = binary.BigEndian.AppendUint16(out, f.Importance)
	out, err := AppendMatch(out, &f.Match)
	if err != nil {
		return b, err
	}
	if m.Command != openflow.FlowDelete && m.Command != openflow.FlowDeleteStrict {
		if out, err = appendInstructions(out, f.Actions); err != nil {
			return b, err
		}
	}
	if out, err = end(out, start); err != nil {
		return b, err
	}
	return out, nil
}

// appendInstructions appends the instructions that a flow's actions stand for: first
// those to apply, then clear_actions, write_actions, write_metadata and goto_table.
func appendInstructions(b []byte, actions []openflow.Action) ([]byte, error) {
	n := 0
	for n < len(actions) && instructionRank(actions[n]) == 0 {
		n++
	}
	var err error
	if n > 0 {
		start := len(b)
		b = append(b, 0, instructionApplyActions, 0, 0, 0, 0, 0, 0)
		if b, err = AppendActions(b, actions[:n]); err != nil {
			return b, err
		}
		if b, err = endAction(b, start); err != nil {
			return b, err
		}
	}
	rank := 0
	for i, a := range actions[n:] {
		r := instructionRank(a)
		if r <= rank && r != rankOpaque {
			return b, fmt.Errorf("ofp: %s comes too late: the order is actions, clear_actions, write_actions, write_metadata, goto_table, each once",
				openflow.ActionsString(actions[n+i:n+i+1]))
		}
		rank = r
		if b, err = appendInstruction(b, a); err != nil {
			return b, err
		}
	}
	return b, nil
}

// instructionRank orders instructions; 0 is an action to apply.
func instructionRank(a openflow.Action) int {
	switch a.(type) {
	case openflow.ClearActions:
		return 1
	case openflow.WriteActions:
		return 2
	case openflow.WriteMetadata:
		return 3
	case openflow.Goto:
		return 4
	case openflow.OpaqueInstruction:
		return rankOpaque
	}
	return 0
}

// rankOpaque is the rank of unknown instructions; there may be several.
const rankOpaque = 5

func appendInstruction(b []byte, action openflow.Action) ([]byte, error) {
	switch a := action.(type) {
	case openflow.ClearActions:
		return append(b, 0, instructionClearActions, 0, 8, 0, 0, 0, 0), nil
	case openflow.WriteActions:
		start := len(b)
		b, err := AppendActions(append(b, 0, instructionWriteActions, 0, 0, 0, 0, 0, 0), a.Actions)
		if err != nil {
			return b, err
		}
		return endAction(b, start)
	case openflow.WriteMetadata:
		b = append(b, 0, instructionWriteMetadata, 0, 24, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint64(b, a.Value&a.Mask)
		return binary.BigEndian.AppendUint64(b, a.Mask), nil
	case openflow.Goto:
		return append(b, 0, instructionGoto, 0, 8, a.Table, 0, 0, 0), nil
	case openflow.OpaqueInstruction:
		return appendOpaque(b, a.Raw)
	}
	return b, errors.New("ofp: not an instruction")
}

// DecodeInstructions reads instructions up to the end of b as a flow's actions.
func DecodeInstructions(b []byte) ([]openflow.Action, error) {
	var found [7][]byte // by type
	var opaque []openflow.Action
	for len(b) > 0 {
		raw, rest, err := nextAction(b) // instructions are framed like actions
		if err != nil {
			return nil, err
		}
		b = rest
		kind := binary.BigEndian.Uint16(raw)
		if int(kind) >= len(found) || kind == 0 {
			opaque = append(opaque, openflow.OpaqueInstruction{Raw: string(raw)})
			continue
		}
		if found[kind] != nil {
			return nil, fmt.Errorf("ofp: instruction of type %d is given twice", kind)
		}
		if want := instructionLens[kind]; want != 0 && len(raw) != want {
			return nil, fmt.Errorf("ofp: instruction of type %d: %d bytes, want %d", kind, len(raw), want)
		}
		found[kind] = raw
	}
	var actions []openflow.Action
	var err error
	if raw := found[instructionMeter]; raw != nil {
		actions = append(actions, openflow.ApplyMeter{ID: binary.BigEndian.Uint32(raw[4:])})
	}
	if raw := found[instructionApplyActions]; raw != nil {
		if actions, err = appendDecoded(actions, raw[8:]); err != nil {
			return nil, err
		}
	}
	if found[instructionClearActions] != nil {
		actions = append(actions, openflow.ClearActions{})
	}
	if raw := found[instructionWriteActions]; raw != nil {
		written, err := DecodeActions(raw[8:])
		if err != nil {
			return nil, err
		}
		actions = append(actions, openflow.WriteActions{Actions: written})
	}
	if raw := found[instructionWriteMetadata]; raw != nil {
		mask := binary.BigEndian.Uint64(raw[16:])
		actions = append(actions, openflow.WriteMetadata{Value: binary.BigEndian.Uint64(raw[8:]) & mask, Mask: mask})
	}
	if raw := found[instructionGoto]; raw != nil {
		actions = append(actions, openflow.Goto{Table: raw[4]})
	}
	return append(actions, opaque...), nil
}

// instructionLens are the lengths of instructions in bytes; 0: any.
var instructionLens = [7]int{
	instructionGoto: 8, instructionWriteMetadata: 24, instructionClearActions: 8, instructionMeter: 8,
}

// flowModLen is the length of a flow-mod's body before the match.
const flowModLen = 40

// DecodeFlowMod reads the body of a flow-mod, which may be untrusted. A filter on ports
// or groups, which FlowMod does not have, is an error.
func DecodeFlowMod(body []byte) (openflow.FlowMod, error) {
	var m openflow.FlowMod
	if len(body) < flowModLen {
		return m, fmt.Errorf("ofp: flow-mod: %d bytes, want at least %d", len(body), flowModLen)
	}
	m.Command = openflow.FlowCommand(body[17])
	if m.Command > openflow.FlowDeleteStrict {
		return m, fmt.Errorf("ofp: flow-mod: command %d is not known", body[17])
	}
	if deletes := m.Command >= openflow.FlowDelete; deletes &&
		(binary.BigEndian.Uint32(body[28:]) != anyPort || binary.BigEndian.Uint32(body[32:]) != anyGroup) {
		return m, errors.New("ofp: flow-mod: filters by port or group are not supported")
	}
	m.CookieMask = binary.BigEndian.Uint64(body[8:])
	m.Flow = openflow.Flow{
		Cookie:      binary.BigEndian.Uint64(body),
		Table:       body[16],
		IdleTimeout: binary.BigEndian.Uint16(body[18:]),
		HardTimeout: binary.BigEndian.Uint16(body[20:]),
		Priority:    binary.BigEndian.Uint16(body[22:]),
		Flags:       openflow.FlowFlags(binary.BigEndian.Uint16(body[36:])),
		Importance:  binary.BigEndian.Uint16(body[38:]),
	}
	match, rest, err := DecodeMatch(body[flowModLen:])
	if err != nil {
		return m, err
	}
	m.Flow.Match = match
	m.Flow.Actions, err = DecodeInstructions(rest)
	return m, err
}

// FlowFilter selects the flows of a request. Its zero value selects the flows of table
// 0.
type FlowFilter struct {
	Table              uint8 // openflow.TableAll: every table
	Cookie, CookieMask uint64
	Match              openflow.Match // flows at least as narrow; the zero value: all
}

// AppendFlowRequest appends the body of a multipart request of type MultipartFlowDesc.
func AppendFlowRequest(b []byte, f *FlowFilter) ([]byte, error) {
	out := append(b, f.Table, 0, 0, 0)
	out = binary.BigEndian.AppendUint32(out, anyPort)
	out = binary.BigEndian.AppendUint32(out, anyGroup)
	out = append(out, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint64(out, f.Cookie)
	out = binary.BigEndian.AppendUint64(out, f.CookieMask)
	out, err := AppendMatch(out, &f.Match)
	if err != nil {
		return b, err
	}
	return out, nil
}

// flowDescLen is the length of a flow's description before the match.
const flowDescLen = 24

// DecodeFlowStats reads one part of the reply to a request of type
// MultipartFlowDesc.
func DecodeFlowStats(part []byte) ([]openflow.FlowStats, error) {
	if len(part) == 0 {
		return nil, nil
	}
	flows := make([]openflow.FlowStats, 0, len(part)/128+1)
	for len(part) > 0 {
		if len(part) < flowDescLen {
			return nil, fmt.Errorf("ofp: flow description: %d bytes, want at least %d", len(part), flowDescLen)
		}
		n := int(binary.BigEndian.Uint16(part))
		if n < flowDescLen || n > len(part) {
			return nil, fmt.Errorf("ofp: flow description: says %d bytes, %d are there", n, len(part))
		}
		flows = append(flows, openflow.FlowStats{})
		if err := decodeFlowDesc(part[:n], &flows[len(flows)-1]); err != nil {
			return nil, err
		}
		part = part[n:]
	}
	return flows, nil
}

// decodeFlowDesc reads one flow's description.
func decodeFlowDesc(b []byte, f *openflow.FlowStats) error {
	f.Flow = openflow.Flow{
		Table:       b[4],
		Priority:    binary.BigEndian.Uint16(b[6:]),
		IdleTimeout: binary.BigEndian.Uint16(b[8:]),
		HardTimeout: binary.BigEndian.Uint16(b[10:]),
		Flags:       openflow.FlowFlags(binary.BigEndian.Uint16(b[12:])),
		Importance:  binary.BigEndian.Uint16(b[14:]),
		Cookie:      binary.BigEndian.Uint64(b[16:]),
	}
	match, rest, err := DecodeMatch(b[flowDescLen:])
	if err != nil {
		return err
	}
	f.Match = match
	stats, rest, err := decodeStats(rest)
	if err != nil {
		return err
	}
	f.Packets, f.Bytes, f.Duration, f.IdleAge = stats.packets, stats.bytes, stats.duration, stats.idle
	f.Actions, err = DecodeInstructions(rest)
	return err
}
