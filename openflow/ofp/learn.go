package ofp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/openflow"
)

// This file reads and writes learn (ovs-actions(7)).

// Flags of learn.
const (
	learnSendFlowRem = 1 << iota
	learnDeleteLearned
	learnWriteResult
)

// Parts of the head of a learn spec: whether the bits are in the spec itself, what is
// done with them, and how many they are.
const (
	specImmediate = 1 << 13
	specMatch     = 0 << 11
	specLoad      = 1 << 11
	specOutput    = 2 << 11
	specDstMask   = 3 << 11
	specWidthMask = 0x7ff
)

// learnHeadLen is the length of learn before its specs, and learn2HeadLen that of
// its newer form before the field for the result.
const (
	learnHeadLen  = 32
	learn2HeadLen = 40
)

func appendLearn(b []byte, a *openflow.Learn) ([]byte, error) {
	if a.Table == openflow.TableAll {
		return b, errors.New("ofp: learn: table 255 is none to learn into")
	}
	start := len(b)
	hasResult := a.LimitResult.Field != openflow.FieldNone
	subtype, flags := uint16(nxLearn), uint16(0)
	if a.SendFlowRem {
		flags |= learnSendFlowRem
	}
	if a.DeleteLearned {
		flags |= learnDeleteLearned
	}
	if hasResult {
		flags |= learnWriteResult
	}
	if a.Limit != 0 || hasResult {
		subtype = nxLearn2
	}
	b = appendNicira(b, subtype)
	b = binary.BigEndian.AppendUint16(b, a.IdleTimeout)
	b = binary.BigEndian.AppendUint16(b, a.HardTimeout)
	b = binary.BigEndian.AppendUint16(b, a.Priority)
	b = binary.BigEndian.AppendUint64(b, a.Cookie)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, a.Table, 0)
	b = binary.BigEndian.AppendUint16(b, a.FinIdle)
	b = binary.BigEndian.AppendUint16(b, a.FinHard)
	if subtype == nxLearn2 {
		b = binary.BigEndian.AppendUint32(b, a.Limit)
		b = append(b, 0, a.LimitResult.Offset, 0, 0)
		if hasResult {
			if err := checkSubfield(a.LimitResult); err != nil {
				return b, err
			}
			if a.LimitResult.Width != 1 {
				return b, fmt.Errorf("ofp: learn: result_dst=%s: the result is one bit", a.LimitResult)
			}
			var err error
			if b, err = appendHeader(b, a.LimitResult.Field); err != nil {
				return b, err
			}
		}
	}
	for i := range a.Specs {
		var err error
		if b, err = appendLearnSpec(b, &a.Specs[i]); err != nil {
			return b, err
		}
		if len(b)-start > MaxLen {
			return b, fmt.Errorf("ofp: learn: too many parts: %d bytes", len(b)-start)
		}
	}
	return b, nil
}

func appendLearnSpec(b []byte, s *openflow.LearnSpec) ([]byte, error) {
	if s.Kind == openflow.LearnOutput {
		if err := checkSubfield(s.Src); err != nil {
			return b, err
		}
		b = binary.BigEndian.AppendUint16(b, specOutput|uint16(s.Src.Width))
		return appendLearnSubfield(b, s.Src)
	}
	head := uint16(s.Dst.Width)
	switch s.Kind {
	case openflow.LearnMatch:
		head |= specMatch
	case openflow.LearnLoad:
		head |= specLoad
	default:
		return b, fmt.Errorf("ofp: learn: no kind %d of parts", s.Kind)
	}
	if err := checkSubfield(s.Dst); err != nil {
		return b, err
	}
	var err error
	if s.Src.Field == openflow.FieldNone {
		b = binary.BigEndian.AppendUint16(b, head|specImmediate)
		n := immediateLen(int(s.Dst.Width))
		if !fits(s.Value, int(s.Dst.Width)) {
			return b, fmt.Errorf("ofp: learn: a value is too large for %s", s.Dst)
		}
		b = append(b, s.Value[16-n:]...)
	} else {
		if err := checkSubfield(s.Src); err != nil {
			return b, err
		}
		if s.Src.Width != s.Dst.Width {
			return b, fmt.Errorf("ofp: learn: %s and %s are not equally wide", s.Src, s.Dst)
		}
		b = binary.BigEndian.AppendUint16(b, head)
		if b, err = appendLearnSubfield(b, s.Src); err != nil {
			return b, err
		}
	}
	return appendLearnSubfield(b, s.Dst)
}

// immediateLen returns the bytes that a value of width bits takes in a spec.
func immediateLen(width int) int { return (width + 15) / 16 * 2 }

// fits says whether v has no bit set above width.
func fits(v openflow.Bits, width int) bool {
	full := width / 8
	if !allZero(v[:max(15-full, 0)]) {
		return false
	}
	return full == 16 || v[15-full]>>(width%8) == 0
}

func appendLearnSubfield(b []byte, s openflow.Subfield) ([]byte, error) {
	b, err := appendHeader(b, s.Field)
	return append(b, 0, s.Offset), err
}

// decodeLearn reads a learn action; ok is false if Learn cannot hold it.
func decodeLearn(subtype uint16, raw []byte) (a openflow.Learn, ok bool) {
	if len(raw) < learnHeadLen {
		return a, false
	}
	a = openflow.Learn{
		IdleTimeout: binary.BigEndian.Uint16(raw[10:]),
		HardTimeout: binary.BigEndian.Uint16(raw[12:]),
		Priority:    binary.BigEndian.Uint16(raw[14:]),
		Cookie:      binary.BigEndian.Uint64(raw[16:]),
		Table:       raw[26],
		FinIdle:     binary.BigEndian.Uint16(raw[28:]),
		FinHard:     binary.BigEndian.Uint16(raw[30:]),
	}
	flags := binary.BigEndian.Uint16(raw[24:])
	a.SendFlowRem, a.DeleteLearned = flags&learnSendFlowRem != 0, flags&learnDeleteLearned != 0
	if flags&^(learnSendFlowRem|learnDeleteLearned|learnWriteResult) != 0 || a.Table == openflow.TableAll || raw[27] != 0 {
		return a, false
	}
	b := raw[learnHeadLen:]
	if subtype == nxLearn2 {
		if len(raw) < learn2HeadLen {
			return a, false
		}
		a.Limit = binary.BigEndian.Uint32(raw[32:])
		offset := binary.BigEndian.Uint16(raw[36:])
		b = raw[learn2HeadLen:]
		if flags&learnWriteResult != 0 {
			if len(b) < 4 {
				return a, false
			}
			if a.LimitResult, ok = subfieldOf(binary.BigEndian.Uint32(b), offset, 1); !ok {
				return a, false
			}
			b = b[4:]
		} else if offset != 0 {
			return a, false
		}
	} else if flags&learnWriteResult != 0 {
		return a, false
	}
	for len(b) >= 2 && (b[0] != 0 || b[1] != 0) {
		var s openflow.LearnSpec
		if s, b, ok = decodeLearnSpec(b); !ok {
			return a, false
		}
		a.Specs = append(a.Specs, s)
	}
	return a, isPadding(b)
}

// decodeLearnSpec takes the spec that b, of at least two bytes, begins with.
func decodeLearnSpec(b []byte) (s openflow.LearnSpec, rest []byte, ok bool) {
	head := binary.BigEndian.Uint16(b)
	b = b[2:]
	width := head & specWidthMask
	if head&^(specImmediate|specDstMask|specWidthMask) != 0 || width == 0 || width > 128 {
		return s, nil, false
	}
	take := func() (openflow.Subfield, bool) {
		if len(b) < 6 {
			return openflow.Subfield{}, false
		}
		sub, ok := subfieldOf(binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:]), width)
		b = b[6:]
		return sub, ok
	}
	if head&specImmediate != 0 {
		n := immediateLen(int(width))
		if len(b) < n {
			return s, nil, false
		}
		copy(s.Value[16-n:], b)
		b = b[n:]
		if !fits(s.Value, int(width)) {
			return s, nil, false
		}
	} else if s.Src, ok = take(); !ok {
		return s, nil, false
	}
	switch head & specDstMask {
	case specMatch:
		s.Kind = openflow.LearnMatch
	case specLoad:
		s.Kind = openflow.LearnLoad
	case specOutput:
		s.Kind = openflow.LearnOutput
		return s, b, head&specImmediate == 0
	default:
		return s, nil, false
	}
	s.Dst, ok = take()
	return s, b, ok
}
