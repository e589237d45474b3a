// Parsing of flows and matches from ovs-ofctl's text. Parsers take what ovs-ofctl
// prints for what this package knows, not every abbreviation that ovs-ofctl takes.

package openflow

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// ParseFlow reads a flow as "ovs-ofctl dump-flows" prints it, with or without
// counters, or as "ovs-ofctl add-flow" takes it. Without a priority it has 32768. The
// error names the part that is wrong.
func ParseFlow(text string) (Flow, error) {
	f, err := parseFlow(text)
	if err != nil {
		return Flow{}, fmt.Errorf("openflow: flow %q: %w", text, err)
	}
	return f, nil
}

// ParseMatch reads a match as ovs-ofctl prints it. The error names the part that is
// wrong.
func ParseMatch(text string) (Match, error) {
	words, err := splitWords(text)
	if err == nil {
		var m Match
		if m, err = parseMatch(words); err == nil {
			return m, nil
		}
	}
	return Match{}, fmt.Errorf("openflow: match %q: %w", text, err)
}

func parseFlow(text string) (Flow, error) {
	head, actions, ok := cutWord(text, "actions=")
	if !ok {
		return Flow{}, fmt.Errorf("actions= is missing: actions=drop drops")
	}
	f, rest, mask, err := parseFlowHead(head)
	if err != nil {
		return Flow{}, err
	}
	if mask != nil {
		return Flow{}, fmt.Errorf("a flow's cookie has no mask")
	}
	if f.Match, err = parseMatch(rest); err != nil {
		return Flow{}, err
	}
	if f.Actions, err = parseActions(actions); err != nil {
		return Flow{}, err
	}
	return f, nil
}

// parseFlowHead reads what comes before a flow's actions, and returns the words of
// its match and the mask of its cookie, if any.
func parseFlowHead(text string) (f Flow, match []string, cookieMask *uint64, err error) {
	f.Priority = defaultPriority
	words, err := splitWords(text)
	if err != nil {
		return f, nil, nil, err
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		var n uint64
		switch key {
		case "cookie":
			cookie, mask, masked := strings.Cut(value, "/")
			if masked {
				cookieMask = new(uint64)
				if *cookieMask, err = parseUint(mask, 64); err != nil {
					return f, nil, nil, fmt.Errorf("%s: %w", w, err)
				}
			}
			f.Cookie, err = parseUint(cookie, 64)
		case "table":
			n, err = parseUint(value, 8)
			f.Table = uint8(n)
		case "priority":
			n, err = parseUint(value, 16)
			f.Priority = uint16(n)
		case "idle_timeout":
			n, err = parseUint(value, 16)
			f.IdleTimeout = uint16(n)
		case "hard_timeout":
			n, err = parseUint(value, 16)
			f.HardTimeout = uint16(n)
		case "importance":
			n, err = parseUint(value, 16)
			f.Importance = uint16(n)
		case "duration", "n_packets", "n_bytes", "idle_age", "hard_age":
			// Counters, so that a dump can be read.
		default:
			if flag := flowFlag(w); flag != 0 {
				f.Flags |= flag
			} else {
				match = append(match, w)
			}
		}
		if err != nil {
			return f, nil, nil, fmt.Errorf("%s: %w", w, err)
		}
	}
	return f, match, cookieMask, nil
}

// flowFlag returns the flag of a name; 0 if there is none.
func flowFlag(name string) FlowFlags {
	for i, n := range flowFlagNames {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// parseMatch reads the words of a match. Names that depend on the protocol may come
// before it.
func parseMatch(words []string) (Match, error) {
	var terms []Term
	var opaque []byte
	var later []string // depend on the protocol
	var proto protocol
	for _, w := range words {
		if p, ok := protocolNamed(w); ok {
			terms = append(terms, Exact(FieldEthType, p.ethType))
			proto.ethType = p.ethType
			if p.proto != 0 {
				terms = append(terms, Exact(FieldIPProto, p.proto))
				proto.proto = p.proto
			}
			continue
		}
		key, value, ok := strings.Cut(w, "=")
		switch {
		case w == "eth":
			continue
		case !ok:
			return Match{}, fmt.Errorf("%s: neither a protocol nor field=value", w)
		case key == "opaque":
			raw, err := hex.DecodeString(value)
			if err != nil {
				return Match{}, fmt.Errorf("%s: not hexadecimal", w)
			}
			opaque = append(opaque, raw...)
			continue
		case key == "tp_src", key == "tp_dst", key == "icmp_type", key == "icmp_code":
			later = append(later, w)
			continue
		}
		t, err := parseTerm(key, value)
		if err != nil {
			return Match{}, fmt.Errorf("%s: %w", w, err)
		}
		if t.Field == FieldEthType {
			proto.ethType = t.Value.Uint64()
		}
		if t.Field == FieldIPProto {
			proto.proto = t.Value.Uint64()
		}
		terms = append(terms, t)
	}
	for _, w := range later {
		key, value, _ := strings.Cut(w, "=")
		f := proto.field(key)
		if f == FieldNone {
			f = fieldNamed(key) // icmp_type is a field's own name too
		}
		if f == FieldNone {
			return Match{}, fmt.Errorf("%s: needs tcp, udp, sctp or icmp (or tcp6, …) beside it", w)
		}
		v, mask, err := parseValue(f, value)
		if err != nil {
			return Match{}, fmt.Errorf("%s: %w", w, err)
		}
		terms = append(terms, Term{f, v, mask})
	}
	m, err := makeMatch(terms)
	m.Opaque = string(opaque)
	return m, err
}

// protocolNamed returns the protocol that a word of a match names.
func protocolNamed(word string) (protocol, bool) {
	for _, p := range protocols {
		if p.name == word {
			return p, true
		}
	}
	return protocol{}, false
}

// parseTerm reads a term whose name does not depend on the protocol.
func parseTerm(name, value string) (Term, error) {
	switch name {
	case "dl_vlan":
		n, err := parseUint(value, 16)
		switch {
		case err != nil:
			return Term{}, err
		case n == 0xffff:
			return NoVLAN(), nil
		case n > 0xfff:
			return Term{}, fmt.Errorf("a VLAN is between 0 and 4095")
		}
		return VLAN(uint16(n)), nil
	case "dl_vlan_pcp":
		name = "vlan_pcp"
	case "nw_tos":
		n, err := parseUint(value, 8)
		if err != nil {
			return Term{}, err
		}
		if n&3 != 0 {
			return Term{}, fmt.Errorf("the two lower bits of nw_tos are nw_ecn")
		}
		return Exact(FieldIPDSCP, n>>2), nil
	}
	f := fieldNamed(name)
	if f == FieldNone {
		return Term{}, fmt.Errorf("no field or keyword %s", name)
	}
	v, mask, err := parseValue(f, value)
	return Term{f, v, mask}, err
}

// cutWord cuts text at a key that starts a word outside of parentheses.
func cutWord(text, key string) (before, after string, found bool) {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		}
		if depth == 0 && strings.HasPrefix(text[i:], key) && (i == 0 || isSeparator(text[i-1])) {
			return text[:i], text[i+len(key):], true
		}
	}
	return text, "", false
}

func isSeparator(c byte) bool {
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

// splitWords splits at commas and white space outside of parentheses.
func splitWords(text string) ([]string, error) {
	var words []string
	depth, start := 0, 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) {
			switch text[i] {
			case '(', '[':
				depth++
			case ')', ']':
				if depth--; depth < 0 {
					return nil, fmt.Errorf("%s: closed before it is opened", text[start:i+1])
				}
			}
			if depth > 0 || !isSeparator(text[i]) {
				continue
			}
		}
		if i > start {
			words = append(words, text[start:i])
		}
		start = i + 1
	}
	if depth != 0 {
		return nil, fmt.Errorf("%s: a parenthesis is not closed", text)
	}
	return words, nil
}

// parseUint reads a number of at most size bits, decimal or after 0x hexadecimal.
func parseUint(s string, size int) (uint64, error) {
	digits, base := s, 10
	if rest, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseUint(digits, base, size)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of %d bits", s, size)
	}
	return n, nil
}
