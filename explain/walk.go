package explain

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// walk follows a packet through the output of ofproto/trace.
type walk struct {
	sw    *Switch
	size  int // bytes of IP packet; 0: it fits everywhere
	steps []intent.TraceStep
	ends  []intent.TraceEnd
	// tooLarge: a check found the packet too large, and the rest of the output is about
	// smaller packets.
	tooLarge bool

	// Of the current round.
	state   fields
	scopes  []scope
	tables  []tableAt // hit so far
	sending *sending  // an output whose details may follow
	ended   int       // ends of earlier rounds
	resume  *resumption
	next    uint8 // the table to which conntrack hands the packet back

	sentTo of.PortNo // port by which the packet that ended last left
}

// scope is a range of lines after which the packet is as it was before: a bucket of a
// group, a clone, another bridge.
type scope struct {
	before  fields
	foreign bool // another bridge: its tables are not the pipeline's

	// The scope lasts while lines are indented by more than indent; the scope of a bridge
	// whose own lines are not indented lasts while they are indented by no less.
	indent int
	level  bool
	bucket bool
	// A clone's actions are not indented: its scope lasts for this many actions.
	clone   bool
	actions int
}

// tableAt is a step and the indentation of its line.
type tableAt struct{ step, indent int }

func (w *walk) round(r round) {
	w.state, w.scopes, w.tables, w.ended = parseFields(r.flow), nil, nil, len(w.ends)
	if r.recirc != "" {
		w.resumed(r)
		if w.resume = w.tracked(r); w.resume != nil {
			return
		}
	}
	end := len(r.nodes)
	for i := 0; i < end && w.resume == nil; i++ {
		n := r.nodes[i]
		w.leave(n)
		w.node(n, r.nodes[i+1:])
		if !strings.HasPrefix(n.text, "check_pkt_larger(") {
			continue
		}
		if larger := largerBranch(r.nodes[i+1:], n.indent); w.larger(n) {
			end, w.tooLarge = i+1+larger, true
		} else {
			i += larger
		}
	}
	w.sent()
	if w.resume != nil {
		return
	}
	w.leave(node{indent: -1, kind: nodeTable}) // all scopes
	for i := range w.steps {
		if s := &w.steps[i]; s.Words == "" {
			s.Words = describeActions(s.Actions)
		}
	}
	switch {
	case r.failure != "":
		w.end(intent.TraceEnd{Kind: intent.TraceDropped, Table: w.lastTable(), Words: r.failure})
	case len(w.ends) == w.ended && !strings.Contains(r.datapath, "recirc("):
		w.end(intent.TraceEnd{Kind: intent.TraceDropped, Table: w.lastTable(), Words: w.noEnd(r)})
	}
}

// largerBranch counts the lines about packets that are larger than a check allows. Open
// vSwitch prints them first; then it prints all lines after the check again for smaller
// packets, and those are the trace.
func largerBranch(nodes []node, indent int) int {
	var at []int // the actions that follow
	for i, n := range nodes {
		if n.indent < indent {
			break
		}
		if n.kind == nodeAction && n.indent == indent {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return 0
	}
	return at[len(at)/2]
}

// larger reports whether the packet is larger than a check allows, and records it.
func (w *walk) larger(n node) bool {
	parsed, err := of.ParseActions(n.text)
	if err != nil || len(parsed) != 1 || w.foreign() {
		return false
	}
	check, ok := parsed[0].(of.CheckPktLarger)
	if !ok || w.size == 0 || w.size+ethernetHeader <= int(check.Len) {
		return false
	}
	w.state.setSub(check.Dst)
	return true
}

// ethernetHeader is the size of the Ethernet header, in bytes.
const ethernetHeader = 14

// noEnd says why a packet ends without being sent or counted as dropped.
func (w *walk) noEnd(r round) string {
	for _, n := range r.nodes {
		if n.kind == nodeAction && strings.HasPrefix(n.text, "group:") {
			return "there is no other port or host to send it to"
		}
	}
	if len(w.steps) > 0 && w.steps[len(w.steps)-1].Words != "" {
		return w.steps[len(w.steps)-1].Words + ": it goes no further"
	}
	return "no flow leads on"
}

// resumed adds what happened between two rounds.
func (w *walk) resumed(r round) {
	if r.ctState == "" {
		return // a group's hash, of no interest to people
	}
	words := "connection tracking: the connection is " + strings.ReplaceAll(strings.Trim(strings.ReplaceAll("|"+r.ctState+"|", "|trk|", "|"), "|"), "|", ", ")
	if t := translation(r.natFrom, r.natTo); t != "" {
		words += "; " + t
	}
	w.steps = append(w.steps, intent.TraceStep{Words: words, Actions: []string{}, Notes: []string{}})
}

// translation describes an address translation: the ends are like
// "nw_src=10.0.0.2,tp_src=…".
func translation(from, to string) string {
	before, after := words(from), words(to)
	var changes []string
	for _, end := range []struct{ name, v4, v6, port string }{
		{"source", "nw_src", "ipv6_src", "tp_src"}, {"destination", "nw_dst", "ipv6_dst", "tp_dst"},
	} {
		show := func(m map[string]string) string {
			addr := cmp.Or(m[end.v4], m[end.v6])
			if before[end.port] != after[end.port] {
				addr += " port " + m[end.port]
			}
			return addr
		}
		if old, now := show(before), show(after); old != now {
			changes = append(changes, fmt.Sprintf("%s %s becomes %s", end.name, old, now))
		}
	}
	return strings.Join(changes, ", ")
}

// words parses "a=1,b=2".
func words(text string) map[string]string {
	m := map[string]string{}
	for _, w := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(w, "=")
		m[key] = value
	}
	return m
}

// leave ends the scopes that a line is no longer part of.
func (w *walk) leave(n node) {
	if n.kind == nodeDetail || n.kind == nodeWarning || n.kind == nodeError {
		return // details of the line before
	}
	for len(w.scopes) > 0 {
		s := w.scopes[len(w.scopes)-1]
		inside := n.indent > s.indent || s.level && n.indent == s.indent
		if s.clone && n.indent == s.indent {
			inside = s.actions > 0 || n.kind != nodeAction
		}
		if inside {
			return
		}
		w.sent()
		w.state = s.before
		w.scopes = w.scopes[:len(w.scopes)-1]
	}
}

func (w *walk) enter(s scope) {
	s.before = w.state.clone()
	w.scopes = append(w.scopes, s)
}

// foreign reports whether the packet is in a bridge other than the integration bridge.
func (w *walk) foreign() bool {
	for i := len(w.scopes) - 1; i >= 0; i-- {
		if s := w.scopes[i]; !s.bucket && !s.clone {
			return s.foreign
		}
	}
	return false
}

// branch returns the depth of nested copies that the packet is in.
func (w *walk) branch() int {
	n := 0
	for _, s := range w.scopes {
		if s.bucket || s.clone {
			n++
		}
	}
	return n
}

func (w *walk) node(n node, rest []node) {
	switch n.kind {
	case nodeDetail, nodeWarning, nodeError:
		w.detail(n)
		return
	case nodeBridge:
		w.sent()
		if len(w.scopes) == 0 && n.text == w.sw.Bridge {
			return // where every round begins
		}
		s := scope{indent: n.indent, foreign: n.text != w.sw.Bridge}
		s.level = len(rest) > 0 && rest[0].indent == n.indent
		w.enter(s)
		if !s.foreign { // as any packet that comes in
			for field := of.FieldMetadata; field <= of.FieldXXReg3; field++ {
				delete(w.state, field)
			}
		}
		return
	}
	w.sent()
	switch n.kind {
	case nodeTable:
		if !w.foreign() {
			w.table(n)
		}
	case nodeBucket:
		w.enter(scope{indent: n.indent, bucket: true})
	case nodeAction:
		if !w.foreign() {
			w.action(n, rest)
		}
	}
}

// table adds the step of a table.
func (w *walk) table(n node) {
	from := w.lastTable()
	r := parseRule(n.text)
	step := intent.TraceStep{Table: tableName(n.table), Flow: n.text, Branch: w.branch(), Actions: []string{}, Notes: []string{}}
	match, err := of.ParseMatch(r.match)
	if r.hit && err == nil {
		step.Words = w.sw.Note(of.Flow{Table: n.table, Priority: r.priority, Cookie: r.cookie, Match: match})
		for _, t := range match.Terms {
			if t.Field == of.FieldInPort {
				w.state[of.FieldInPort] = t.Value
			}
		}
	}
	switch {
	case !r.hit && n.table == pipeline.SharesTable():
		step.Words = "no share is counted"
	case !r.hit:
		step.Words = "no flow matches"
	}
	cookie := pipeline.Cookie(r.cookie)
	if r.hit && cookie.Ours() {
		step.Object = strings.TrimSpace(w.sw.Object(cookie)) // some kinds have only one object
	}
	w.steps = append(w.steps, step)
	w.tables = append(w.tables, tableAt{len(w.steps) - 1, n.indent})
	if n.table == pipeline.DropTable() {
		e := intent.TraceEnd{Kind: intent.TraceDropped, Table: from, Words: "no reason is given"}
		if cookie.Ours() && cookie.Kind() == pipeline.KindReason {
			reason := pipeline.Reason(cookie.ID())
			e.Reason, e.Words = reason.String(), reason.Meaning()
		}
		w.end(e)
	}
}

// lastTable returns the table where the packet is. It skips the table of shares, through
// which the packet only passes.
func (w *walk) lastTable() string {
	for i := len(w.tables) - 1; i >= 0; i-- {
		if name := w.steps[w.tables[i].step].Table; name != tableName(pipeline.SharesTable()) {
			return name
		}
	}
	return ""
}

// step returns the step that a line belongs to; nil if there is none.
func (w *walk) step(n node) *intent.TraceStep {
	for i := len(w.tables) - 1; i >= 0; i-- {
		if t := w.tables[i]; t.indent < n.indent {
			return &w.steps[t.step]
		}
	}
	return nil
}

func (w *walk) action(n node, rest []node) {
	step := w.step(n)
	if step == nil {
		return
	}
	step.Actions = append(step.Actions, n.text)
	if inner, ok := strings.CutPrefix(n.text, "clone("); ok {
		w.enter(scope{indent: n.indent, clone: true, actions: countActions(strings.TrimSuffix(inner, ")"))})
		return
	}
	if i := len(w.scopes) - 1; i >= 0 && w.scopes[i].clone && n.indent == w.scopes[i].indent {
		w.scopes[i].actions--
	}
	parsed, err := of.ParseActions(n.text)
	if err != nil || len(parsed) != 1 {
		return
	}
	send := func(port of.PortNo) {
		w.sending = &sending{port: port, back: port == of.PortInPort, state: w.state.clone(), table: step.Table}
	}
	switch a := parsed[0].(type) {
	case of.Output:
		send(a.Port)
	case of.OutputReg:
		send(of.PortNo(w.sub(a.Src)))
	case of.CT:
		w.next = a.Table
	case of.Learn:
		w.learn(a, rest, step)
	case of.ToController:
		words := cmp.Or(step.Words, "ovloomd acts on it")
		w.end(intent.TraceEnd{Kind: intent.TraceHanded, Table: step.Table, Words: words})
	default:
		w.state.apply(a)
	}
}

// resumption is where to resume a trace that Open vSwitch stopped.
type resumption struct {
	state fields
	table uint8
}

// learn handles the action learn. A trace learns nothing, so Open vSwitch goes on as if
// there were no room. If there is room, and the action records whether there was, the
// trace has to be resumed from there.
func (w *walk) learn(a of.Learn, rest []node, step *intent.TraceStep) {
	if a.LimitResult.Field == of.FieldNone || len(rest) < 2 || rest[0].kind != nodeWarning {
		return
	}
	next, err := of.ParseActions(rest[1].text)
	if err != nil || len(next) != 1 {
		return
	}
	table, ok := next[0].(of.Goto)
	if !ok || !w.sw.Room(a.Cookie, a.Limit, w.state.mac(of.FieldEthSrc)) {
		return
	}
	w.state.setSub(a.LimitResult)
	step.Actions = append(step.Actions, rest[1].text)
	w.resume = &resumption{w.state.clone(), table.Table}
}

// sub returns a part of a field.
func (w *walk) sub(s of.Subfield) uint64 {
	tmp := w.state.clone()
	tmp[of.FieldPktMark] = of.Bits{}
	tmp.copyBits(s, of.Subfield{Field: of.FieldPktMark, Width: min(s.Width, 32)})
	return tmp.number(of.FieldPktMark)
}

// countActions counts actions separated by commas; actions in parentheses count as one.
func countActions(text string) int {
	n, depth := 1, 0
	for _, c := range text {
		switch {
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ',' && depth == 0:
			n++
		}
	}
	return n
}

func (w *walk) end(e intent.TraceEnd) {
	e.Packet = w.state.packet()
	e.External = w.sw.external(w.state)
	w.ends = append(w.ends, e)
}
