package explain

import (
	"regexp"
	"strconv"
	"strings"
)

// output is the output of ofproto/trace: a round for the packet as it came, and one for
// each time that the datapath hands it back (recirculation), in the order in which it
// would.
type output struct {
	rounds []round
}

// round is one translation of the packet.
type round struct {
	recirc  string // "0x1"; "": the packet as it came
	ctState string // state of connection with which a conntrack round continues: "new|trk"; else ""
	natFrom string // addresses and ports before a translation, and after; else ""
	natTo   string

	flow     string // the packet at its start
	nodes    []node
	final    string // the packet at its end; "unchanged"
	megaflow string
	datapath string   // actions
	after    []string // lines below these
	failure  string   // why the translation failed
}

// nodeKind is the kind of a line of a round.
type nodeKind int

const (
	nodeAction nodeKind = iota
	nodeTable           // the flow of a table that the packet hits
	nodeDetail          // of the action before
	nodeWarning
	nodeError
	nodeBucket // of a group; its actions are below it
	nodeBridge // another bridge, to which the packet was output
)

// node is one line.
type node struct {
	kind   nodeKind
	indent int // spaces before it, without those of the line's own format
	table  uint8
	text   string // without the mark of its kind
}

var (
	tableLine  = regexp.MustCompile(`^( *)(\d{1,3})\. (.*)$`)
	bucketLine = regexp.MustCompile(`^bucket \d+$`)
	bridgeLine = regexp.MustCompile(`^bridge\("(.*)"\)$`)
	recircLine = regexp.MustCompile(`^recirc\((0x[0-9a-f]+)\)(?: - resume conntrack with (?:default )?ct_state=(\S+).*)?$`)
)

// parseOutput parses the output of ofproto/trace (ofproto-dpif-trace.c of Open vSwitch).
// It takes unknown lines for actions without effect: a newer Open vSwitch may print more.
func parseOutput(text string) output {
	var out output
	cur := &round{}
	open := false // a round has begun
	body := false // between "Flow:" and "Final flow:"
	push := func() {
		if open {
			out.rounds = append(out.rounds, *cur)
		}
		cur, open, body = &round{}, false, false
	}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \r")
		trimmed := strings.TrimSpace(line)
		if m := recircLine.FindStringSubmatch(trimmed); m != nil {
			push()
			cur.recirc, cur.ctState, open = m[1], m[2], true
			continue
		}
		key, value, _ := strings.Cut(trimmed, ": ")
		switch {
		case trimmed == "" || strings.Trim(trimmed, "=") == "" || strings.Trim(trimmed, "-") == "":
		case key == "Flow" && !body:
			if open && cur.flow != "" {
				push()
			}
			cur.flow, open, body = value, true, true
		case key == "Initial flow":
			cur.natFrom = value
		case key == "Modified flow":
			cur.natTo = value
		case key == "Final flow":
			cur.final, body = value, false
		case key == "Megaflow" && !body:
			cur.megaflow = value
		case key == "Datapath actions" && !body:
			cur.datapath = value
		case strings.HasPrefix(trimmed, "Translation failed"):
			cur.failure, body = trimmed, false
		case body:
			cur.nodes = append(cur.nodes, parseNode(line))
		case open:
			cur.after = append(cur.after, trimmed)
		}
	}
	push()
	return out
}

func parseNode(line string) node {
	text := strings.TrimLeft(line, " ")
	spaces := len(line) - len(text)
	if m := tableLine.FindStringSubmatch(line); m != nil {
		id, err := strconv.ParseUint(m[2], 10, 8)
		if err == nil {
			// The number is padded to at least two places.
			return node{kind: nodeTable, indent: max(spaces-max(2-len(m[2]), 0), 0), table: uint8(id), text: m[3]}
		}
	}
	marked := func(kind nodeKind, text string) node {
		return node{kind: kind, indent: max(spaces-1, 0), text: text}
	}
	switch {
	case strings.HasPrefix(text, "-> "):
		return marked(nodeDetail, text[3:])
	case strings.HasPrefix(text, ">>>> "):
		return marked(nodeError, strings.TrimSuffix(text[5:], " <<<<"))
	case strings.HasPrefix(text, ">> "):
		return marked(nodeWarning, text[3:])
	case bucketLine.MatchString(text):
		return node{kind: nodeBucket, indent: spaces, text: text}
	}
	if m := bridgeLine.FindStringSubmatch(text); m != nil {
		return node{kind: nodeBridge, indent: spaces, text: m[1]}
	}
	return node{kind: nodeAction, indent: spaces, text: text}
}

// rule is the flow that a table's line names.
type rule struct {
	match    string
	priority uint16
	cookie   uint64
	hit      bool // false: no flow matched
}

// parseRule parses "arp,reg1=0x4, priority 100, cookie 0xf04000000000011", where each part
// but the priority may be missing.
func parseRule(text string) rule {
	i := strings.LastIndex(text, "priority ")
	if i < 0 {
		return rule{}
	}
	r := rule{match: strings.TrimRight(text[:i], ", "), hit: true}
	number, rest, _ := strings.Cut(text[i+len("priority "):], ",")
	priority, err := strconv.ParseUint(strings.TrimSpace(number), 10, 16)
	if err != nil {
		return rule{}
	}
	r.priority = uint16(priority)
	if hex, ok := strings.CutPrefix(strings.TrimSpace(rest), "cookie 0x"); ok {
		// An invalid cookie names no object.
		r.cookie, _ = strconv.ParseUint(hex, 16, 64)
	}
	return r
}
