// Parsing of learn.

package openflow

import (
	"fmt"
	"strings"
)

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
