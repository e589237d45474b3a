// Parsing of actions and instructions.
package openflow

import (
	"encoding/hex"
	"fmt"
	"net/netip"
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

func parseCT(args string) (Action, error) {
	words, err := splitWords(args)
	if err != nil {
		return nil, err
	}
	a := CT{Table: TableAll}
	var nat, exec []Action
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var n uint64
		switch {
		case w == "commit":
			a.Commit = true
		case w == "force":
			a.Force = true
		case w == "nat" || strings.HasPrefix(w, "nat("):
			var x NAT
			x, err = parseNAT(w)
			nat = []Action{x}
		case strings.HasPrefix(w, "exec(") && strings.HasSuffix(w, ")"):
			exec, err = parseActions(w[len("exec(") : len(w)-1])
		case key == "table":
			n, err = parseUint(value, 8)
			a.Table = uint8(n)
		case key == "zone" && strings.HasSuffix(value, "]"):
			a.ZoneSrc, err = parseSubfield(value)
		case key == "zone":
			n, err = parseUint(value, 16)
			a.Zone = uint16(n)
		case w == "alg=ftp":
			a.ALG = 21
		case w == "alg=tftp":
			a.ALG = 69
		case key == "alg":
			n, err = parseUint(value, 16)
			a.ALG = uint16(n)
		default:
			err = fmt.Errorf("no argument of ct")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	if a.ZoneSrc.Field != FieldNone {
		a.Zone = 0
	}
	a.Actions = append(nat, exec...)
	return a, nil
}

// parseNAT reads nat or nat(…).
func parseNAT(word string) (NAT, error) {
	if word == "nat" {
		return NAT{}, nil
	}
	args, ok := strings.CutSuffix(strings.TrimPrefix(word, "nat("), ")")
	if !ok {
		return NAT{}, fmt.Errorf("text behind the closing parenthesis")
	}
	var a NAT
	for _, w := range strings.Split(args, ",") {
		key, value, hasValue := strings.Cut(w, "=")
		switch key {
		case "src", "dst":
			a.Src, a.Dst = key == "src", key == "dst"
			if hasValue {
				if err := a.parseRange(value); err != nil {
					return a, err
				}
			}
		case "persistent":
			a.Persistent = true
		case "hash":
			a.Hash = true
		case "random":
			a.Random = true
		default:
			return a, fmt.Errorf("%q: nat(src=…), nat(dst=…), persistent, hash and random are known", w)
		}
	}
	return a, nil
}

// parseRange reads addr[-addr][:port[-port]], IPv6 addresses in brackets if ports
// follow.
func (a *NAT) parseRange(text string) error {
	addrs, ports := text, ""
	if i := strings.LastIndex(text, "]:"); i >= 0 {
		addrs, ports = text[:i+1], text[i+2:]
	} else if strings.Count(text, ":") == 1 {
		addrs, ports, _ = strings.Cut(text, ":")
	}
	first, last, isRange := strings.Cut(addrs, "-")
	parse := func(s string) (netip.Addr, error) {
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		if err != nil || addr.Zone() != "" {
			return netip.Addr{}, fmt.Errorf("%q is not an address", s)
		}
		return addr, nil
	}
	var err error
	if a.AddrMin, err = parse(first); err != nil {
		return err
	}
	if isRange {
		if a.AddrMax, err = parse(last); err != nil {
			return err
		}
		if a.AddrMax == a.AddrMin {
			a.AddrMax = netip.Addr{}
		}
	}
	if ports == "" {
		return nil
	}
	first, last, isRange = strings.Cut(ports, "-")
	n, err := parseUint(first, 16)
	if err != nil {
		return err
	}
	if a.PortMin = uint16(n); n == 0 {
		return fmt.Errorf("%q: ports begin at 1", ports)
	}
	if isRange {
		if n, err = parseUint(last, 16); err != nil {
			return err
		}
		if a.PortMax = uint16(n); a.PortMax == a.PortMin {
			a.PortMax = 0
		}
	}
	return nil
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

func parseLearn(args string) (Action, error) {
	words, err := splitWords(args)
	if err != nil {
		return nil, err
	}
	a := Learn{Priority: defaultPriority, Table: 1}
	for _, w := range words {
		if err := a.parseArg(w); err != nil {
			return nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	return a, nil
}

// parseArg reads one argument of learn.
func (a *Learn) parseArg(w string) error {
	key, value, _ := strings.Cut(w, "=")
	var n uint64
	var err error
	switch key {
	case "table":
		n, err = parseUint(value, 8)
		a.Table = uint8(n)
	case "idle_timeout":
		n, err = parseUint(value, 16)
		a.IdleTimeout = uint16(n)
	case "hard_timeout":
		n, err = parseUint(value, 16)
		a.HardTimeout = uint16(n)
	case "fin_idle_timeout":
		n, err = parseUint(value, 16)
		a.FinIdle = uint16(n)
	case "fin_hard_timeout":
		n, err = parseUint(value, 16)
		a.FinHard = uint16(n)
	case "priority":
		n, err = parseUint(value, 16)
		a.Priority = uint16(n)
	case "cookie":
		a.Cookie, err = parseUint(value, 64)
	case "limit":
		n, err = parseUint(value, 32)
		a.Limit = uint32(n)
	case "result_dst":
		a.LimitResult, err = parseSubfield(value)
	case "send_flow_rem":
		a.SendFlowRem = true
	case "delete_learned":
		a.DeleteLearned = true
	default:
		var s LearnSpec
		s, err = parseLearnSpec(w)
		a.Specs = append(a.Specs, s)
	}
	return err
}

func parseLearnSpec(w string) (s LearnSpec, err error) {
	if src, ok := strings.CutPrefix(w, "output:"); ok {
		s.Kind = LearnOutput
		s.Src, err = parseSubfield(src)
		return s, err
	}
	dst, src, hasSrc := strings.Cut(w, "=")
	if arg, ok := strings.CutPrefix(w, "load:"); ok {
		s.Kind = LearnLoad
		if src, dst, ok = strings.Cut(arg, "->"); !ok {
			return s, fmt.Errorf("load:bits->bits is the form")
		}
		hasSrc = true
	}
	whole := false
	if f := fieldNamed(dst); f != FieldNone {
		s.Dst, whole = f.All(), true
	} else if s.Dst, err = parseSubfield(dst); err != nil {
		return s, err
	}
	switch {
	case !hasSrc:
		s.Src = s.Dst
	case strings.HasSuffix(src, "]"):
		s.Src, err = parseSubfield(src)
	case whole:
		var mask Bits
		if s.Value, mask, err = parseValue(s.Dst.Field, src); err == nil && mask != s.Dst.Field.mask() {
			err = fmt.Errorf("a mask is not possible here")
		}
	default:
		s.Value, err = parseBits(src)
	}
	switch {
	case err != nil:
	case s.Src.Field != FieldNone && s.Src.Width != s.Dst.Width:
		err = fmt.Errorf("%s has %d bits, %s has %d", src, s.Src.Width, dst, s.Dst.Width)
	case s.Value.And(lowBits(int(s.Dst.Width))) != s.Value:
		err = fmt.Errorf("%s does not fit in %s", src, dst)
	}
	return s, err
}
