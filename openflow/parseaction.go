// Parsing of actions and instructions.

package openflow

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// ParseActions reads a list of actions as ovs-ofctl prints it after actions=. The
// error names the action that is wrong.
func ParseActions(text string) ([]Action, error) {
	actions, err := parseActions(text)
	if err != nil {
		return nil, fmt.Errorf("openflow: actions %q: %w", text, err)
	}
	return actions, nil
}

func parseActions(text string) ([]Action, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, err
	}
	if len(words) == 1 && words[0] == "drop" {
		return nil, nil
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("no action: drop is the word for none")
	}
	actions := make([]Action, 0, len(words))
	for _, w := range words {
		a, err := parseAction(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// cutName splits an action into its name and its argument, which follows a colon or
// is in parentheses.
func cutName(word string) (name, arg string, parens bool, err error) {
	i := strings.IndexAny(word, ":(")
	switch {
	case i < 0:
		return word, "", false, nil
	case word[i] == ':':
		return word[:i], word[i+1:], false, nil
	case word[len(word)-1] != ')':
		return "", "", false, fmt.Errorf("text behind the closing parenthesis")
	}
	return word[:i], word[i+1 : len(word)-1], true, nil
}

func parseAction(word string) (Action, error) {
	if rest, ok := strings.CutPrefix(word, "check_pkt_larger("); ok {
		return parseCheckPktLarger(rest)
	}
	name, arg, parens, err := cutName(word)
	if err != nil {
		return nil, err
	}
	if parens {
		return parseCall(name, arg)
	}
	switch word {
	case "dec_ttl":
		return DecTTL{}, nil
	case "pop_vlan", "strip_vlan":
		return PopVLAN{}, nil
	case "ct_clear":
		return CTClear{}, nil
	case "clear_actions":
		return ClearActions{}, nil
	case "controller":
		return ToController{MaxLen: 0xffff}, nil
	}
	switch name {
	case "output":
		if strings.HasSuffix(arg, "]") {
			src, err := parseSubfield(arg)
			return OutputReg{src}, err
		}
		return parseOutput(arg)
	case "CONTROLLER", "controller":
		n, err := parseUint(arg, 16)
		return ToController{MaxLen: uint16(n)}, err
	case "push_vlan":
		n, err := parseUint(arg, 16)
		return PushVLAN{uint16(n)}, err
	case "group":
		n, err := parseUint(arg, 32)
		return ToGroup{uint32(n)}, err
	case "set_field":
		return parseSetField(arg)
	case "load":
		return parseLoad(arg)
	case "move":
		return parseMove(arg)
	case "push":
		s, err := parseSubfield(arg)
		return Push{s}, err
	case "pop":
		s, err := parseSubfield(arg)
		return Pop{s}, err
	case "resubmit":
		port, err := parsePort(arg)
		return Resubmit{InPort: port, Table: TableAll}, err
	case "goto_table":
		n, err := parseUint(arg, 8)
		return Goto{uint8(n)}, err
	case "write_metadata":
		v, mask, err := parseMasked(arg, FieldMetadata.mask(), parseBits)
		if err != nil || v.High() != 0 || mask.High() != 0 {
			return nil, fmt.Errorf("%q is not value/mask of 64 bits", arg)
		}
		return WriteMetadata{v.And(mask).Uint64(), mask.Uint64()}, nil
	case "meter":
		n, err := parseUint(arg, 32)
		return ApplyMeter{uint32(n)}, err
	case "opaque", "opaque_instruction":
		raw, err := hex.DecodeString(arg)
		if err != nil {
			return nil, fmt.Errorf("%q is not hexadecimal", arg)
		}
		if name == "opaque" {
			return Opaque{string(raw)}, nil
		}
		return OpaqueInstruction{string(raw)}, nil
	}
	if arg == "" && word == name {
		return parseOutput(word) // a port alone
	}
	return nil, fmt.Errorf("no action %s", name)
}

// parseOutput reads the port of an output.
func parseOutput(arg string) (Action, error) {
	port, err := parsePort(arg)
	if err != nil {
		return nil, fmt.Errorf("no action, and %w", err)
	}
	if port == PortController {
		return ToController{MaxLen: 0xffff}, nil
	}
	return Output{port}, nil
}

// parseCall reads an action with arguments in parentheses.
func parseCall(name, args string) (Action, error) {
	switch name {
	case "resubmit":
		return parseResubmit(args)
	case "controller":
		return parseController(args)
	case "ct":
		return parseCT(args)
	case "learn":
		return parseLearn(args)
	case "conjunction":
		return parseConjunction(args)
	case "write_actions":
		actions, err := parseActions(args)
		return WriteActions{actions}, err
	}
	return nil, fmt.Errorf("no action %s(…)", name)
}

func parseSetField(arg string) (Action, error) {
	i := strings.LastIndex(arg, "->")
	if i < 0 {
		return nil, fmt.Errorf("set_field:value->field is the form")
	}
	f := fieldNamed(arg[i+2:])
	if f == FieldNone {
		return nil, fmt.Errorf("no field %s", arg[i+2:])
	}
	v, mask, err := parseValue(f, arg[:i])
	return SetField{f, v, mask}, err
}

// parseLoad reads load:value->bits, which is set_field with a mask.
func parseLoad(arg string) (Action, error) {
	text, dst, ok := strings.Cut(arg, "->")
	if !ok {
		return nil, fmt.Errorf("load:value->bits is the form")
	}
	v, err := parseBits(text)
	if err != nil {
		return nil, err
	}
	s, err := parseSubfield(dst)
	if err != nil {
		return nil, err
	}
	if v.And(lowBits(int(s.Width))) != v {
		return nil, fmt.Errorf("%s does not fit in %s", text, dst)
	}
	return SetField{s.Field, v.shiftLeft(int(s.Offset)), lowBits(int(s.Width)).shiftLeft(int(s.Offset))}, nil
}

func parseMove(arg string) (Action, error) {
	from, to, ok := strings.Cut(arg, "->")
	if !ok {
		return nil, fmt.Errorf("move:bits->bits is the form")
	}
	src, err := parseSubfield(from)
	if err != nil {
		return nil, err
	}
	dst, err := parseSubfield(to)
	if err != nil {
		return nil, err
	}
	if src.Width != dst.Width {
		return nil, fmt.Errorf("%s has %d bits, %s has %d", from, src.Width, to, dst.Width)
	}
	return CopyField{src, dst}, nil
}

func parseResubmit(args string) (Action, error) {
	parts := strings.Split(args, ",")
	a := Resubmit{InPort: PortInPort, Table: TableAll}
	if len(parts) < 2 || len(parts) > 3 {
		return nil, fmt.Errorf("resubmit([port],[table][,ct]) is the form")
	}
	var err error
	if parts[0] != "" {
		if a.InPort, err = parsePort(parts[0]); err != nil {
			return nil, err
		}
	}
	if parts[1] != "" {
		n, err := parseUint(parts[1], 8)
		if err != nil {
			return nil, err
		}
		a.Table = uint8(n)
	}
	if len(parts) == 3 {
		if parts[2] != "ct" {
			return nil, fmt.Errorf("%q: only ct may be third", parts[2])
		}
		a.CT = true
	}
	return a, nil
}

func parseController(args string) (Action, error) {
	words, err := splitWords(args)
	if err != nil {
		return nil, err
	}
	a := ToController{MaxLen: 0xffff}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var n uint64
		switch key {
		case "reason":
			found := false
			for i, name := range reasonNames {
				if name == value && i != int(ReasonTableMiss) {
					a.Reason, found = PacketInReason(i), true
				}
			}
			if !found {
				n, err = parseUint(value, 8)
				if err == nil && n == uint64(ReasonTableMiss) {
					err = fmt.Errorf("the reason of a table miss cannot be asked for")
				}
				a.Reason = PacketInReason(n)
			}
			if a.Reason == ReasonAction {
				a.Reason = 0
			}
		case "max_len":
			n, err = parseUint(value, 16)
			a.MaxLen = uint16(n)
		case "id":
			n, err = parseUint(value, 16)
			a.ID = uint16(n)
		case "userdata":
			var raw []byte
			if raw, err = hex.DecodeString(strings.ReplaceAll(value, ".", "")); err != nil {
				err = fmt.Errorf("not hexadecimal bytes with dots between")
			}
			a.Userdata = string(raw)
		case "pause":
			a.Pause = true
		case "meter_id":
			n, err = parseUint(value, 32)
			a.MeterID = uint32(n)
		default:
			err = fmt.Errorf("no argument of controller")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	return a, nil
}

func parseCheckPktLarger(rest string) (Action, error) {
	length, dst, ok := strings.Cut(rest, ")->")
	if !ok {
		return nil, fmt.Errorf("check_pkt_larger(length)->bit is the form")
	}
	n, err := parseUint(length, 16)
	if err != nil {
		return nil, err
	}
	s, err := parseSubfield(dst)
	if err != nil {
		return nil, err
	}
	if s.Width != 1 {
		return nil, fmt.Errorf("%s is not one bit", dst)
	}
	return CheckPktLarger{uint16(n), s}, nil
}

func parseConjunction(args string) (Action, error) {
	id, clause, ok := strings.Cut(strings.ReplaceAll(args, " ", ""), ",")
	k, of, ok2 := strings.Cut(clause, "/")
	if !ok || !ok2 {
		return nil, fmt.Errorf("conjunction(id,clause/clauses) is the form")
	}
	n, err := parseUint(id, 32)
	if err != nil {
		return nil, err
	}
	a := Conjunction{ID: uint32(n)}
	if n, err = parseUint(k, 8); err != nil {
		return nil, err
	}
	a.Clause = uint8(n)
	if n, err = parseUint(of, 8); err != nil {
		return nil, err
	}
	a.Of = uint8(n)
	if a.Clause == 0 || a.Clause > a.Of {
		return nil, fmt.Errorf("clauses are counted from 1")
	}
	return a, nil
}
