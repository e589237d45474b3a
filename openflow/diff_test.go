package openflow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// flowsOf parses flows, one a line.
func flowsOf(t testing.TB, text string) []Flow {
	t.Helper()
	var flows []Flow
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		f, err := ParseFlow(line)
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
	}
	return flows
}

// modTexts returns changes as text.
func modTexts(mods []FlowMod) string {
	var b strings.Builder
	for i := range mods {
		fmt.Fprintln(&b, mods[i].String())
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	const have = `
		cookie=0x1, priority=1,ip actions=output:1
		cookie=0x2, priority=2,ip actions=output:1
		cookie=0x3, table=5, priority=3,ip actions=output:1
		cookie=0x4, table=9, priority=4,ip actions=ct(commit,zone=1,nat(src=10.0.0.1))
		cookie=0x5, table=9, priority=5,ip actions=CONTROLLER:65535
		cookie=0x6, table=9, idle_timeout=5, priority=6,ip actions=drop
		cookie=0x7, table=9, priority=7,ip actions=learn(table=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])`
	for _, test := range []struct{ name, want, mods string }{
		{"nothing", have, ""},
		{"all new and all old", "", `flow delete_strict cookie=0x1/0xffffffffffffffff, table=0, priority=1,ip
flow delete_strict cookie=0x2/0xffffffffffffffff, table=0, priority=2,ip
flow delete_strict cookie=0x3/0xffffffffffffffff, table=5, priority=3,ip
flow delete_strict cookie=0x4/0xffffffffffffffff, table=9, priority=4,ip
flow delete_strict cookie=0x5/0xffffffffffffffff, table=9, priority=5,ip
flow delete_strict cookie=0x6/0xffffffffffffffff, table=9, priority=6,ip
flow delete_strict cookie=0x7/0xffffffffffffffff, table=9, priority=7,ip
`},
		{"other cookie, timeout, actions", strings.NewReplacer("0x1", "0x11", "idle_timeout=5", "idle_timeout=6", "zone=1", "zone=2").Replace(have),
			`flow add cookie=0x6, table=9, idle_timeout=6, priority=6,ip actions=drop
flow add cookie=0x4, table=9, priority=4,ip actions=ct(commit,zone=2,nat(src=10.0.0.1))
flow add cookie=0x11, priority=1,ip actions=output:1
`},
		{"later tables first, new before old", strings.NewReplacer("priority=2,", "priority=22,", "priority=3,", "priority=33,", "priority=7,", "priority=77,").Replace(have),
			`flow add cookie=0x7, table=9, priority=77,ip actions=learn(table=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])
flow add cookie=0x3, table=5, priority=33,ip actions=output:1
flow add cookie=0x2, priority=22,ip actions=output:1
flow delete_strict cookie=0x2/0xffffffffffffffff, table=0, priority=2,ip
flow delete_strict cookie=0x3/0xffffffffffffffff, table=5, priority=3,ip
flow delete_strict cookie=0x7/0xffffffffffffffff, table=9, priority=7,ip
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := modTexts(Diff(flowsOf(t, have), flowsOf(t, test.want))); got != test.mods {
				t.Errorf("got\n%swant\n%s", got, test.mods)
			}
		})
	}
	if got := modTexts(Diff(nil, flowsOf(t, "priority=1,ip actions=drop\ntable=3, ip actions=drop"))); got !=
		"flow add table=3, ip actions=drop\nflow add priority=1,ip actions=drop\n" {
		t.Errorf("from nothing: %s", got)
	}
}

// TestSameActions checks that ways to write one action are equal, and others not.
func TestSameActions(t *testing.T) {
	ct := func(change func(*CT)) []Action {
		a := CT{Commit: true, Table: TableAll, Actions: []Action{NAT{Src: true}}}
		change(&a)
		return []Action{a}
	}
	same := ct(func(*CT) {})
	for _, test := range []struct {
		name  string
		a, b  []Action
		equal bool
	}{
		{"none and empty", nil, []Action{}, true},
		{"port CONTROLLER", []Action{Output{PortController}}, []Action{ToController{MaxLen: 0xffff}}, true},
		{"reason action", []Action{ToController{Reason: ReasonAction}}, []Action{ToController{}}, true},
		{"resubmit as it is", []Action{Resubmit{Table: 3}}, []Action{Resubmit{InPort: PortInPort, Table: 3}}, true},
		{"bits outside a mask", []Action{SetField{Reg(0), BitsOf(0xff), BitsOf(1)}}, []Action{SetMasked(Reg(0), 1, 1)}, true},
		{"metadata outside a mask", []Action{WriteMetadata{0xff, 1}}, []Action{WriteMetadata{1, 1}}, true},
		{"the same ct", same, ct(func(*CT) {}), true},
		{"another zone", same, ct(func(a *CT) { a.Zone = 1 }), false},
		{"another table", same, ct(func(a *CT) { a.Table = 1 }), false},
		{"other actions in ct", same, ct(func(a *CT) { a.Actions = []Action{NAT{Dst: true}} }), false},
		{"ct and another", same, []Action{CTClear{}}, false},
		{"another and ct", []Action{CTClear{}}, same, false},
		{"learn and ct", []Action{Learn{}}, same, false},
		{"more", []Action{DecTTL{}}, []Action{DecTTL{}, DecTTL{}}, false},
		{"order", []Action{DecTTL{}, CTClear{}}, []Action{CTClear{}, DecTTL{}}, false},
		{"learn", []Action{Learn{Specs: []LearnSpec{{Dst: Reg(0).All()}}}}, []Action{Learn{Specs: []LearnSpec{{Dst: Reg(0).All()}}}}, true},
		{"another learn", []Action{Learn{Specs: []LearnSpec{{Dst: Reg(0).All()}}}}, []Action{Learn{Specs: []LearnSpec{{Dst: Reg(1).All()}}}}, false},
		{"write_actions", []Action{WriteActions{same}}, []Action{WriteActions{same}}, true},
		{"other write_actions", []Action{WriteActions{same}}, []Action{WriteActions{}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := EqualActions(test.a, test.b); got != test.equal {
				t.Errorf("%s and %s: equal is %v", ActionsString(test.a), ActionsString(test.b), got)
			}
		})
	}
}

// manyFlows makes flows like those of a large network.
func manyFlows(count int) []Flow {
	flows := make([]Flow, count)
	for i := range flows {
		flows[i] = Flow{
			Table: 40, Priority: 100, Cookie: uint64(i),
			Match:   MatchOf(Masked(FieldMetadata, uint64(i>>12), 0xffffff), EthDst([6]byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)})),
			Actions: []Action{Set(Reg(2), uint64(i)), Resubmit{InPort: PortInPort, Table: 100}},
		}
	}
	return flows
}

func BenchmarkDiff100k(b *testing.B) {
	const count = 100_000
	have, want := manyFlows(count), manyFlows(count)
	for i := 0; i < count; i += 1000 {
		want[i].Cookie++
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := len(Diff(have, want)); got != count/1000 {
			b.Fatal(got)
		}
	}
}

// Two flows with one key are found, and make no endless difference.
func TestDoubles(t *testing.T) {
	flow := func(table uint8, reg, cookie uint64) Flow {
		return Flow{Table: table, Cookie: cookie, Match: MatchOf(Exact(FieldReg0, reg))}
	}
	x := IndexFlows([]Flow{flow(1, 1, 1), flow(1, 2, 2), flow(2, 1, 3), flow(1, 1, 4), flow(1, 1, 5)})
	var got []string
	for _, d := range x.Doubles() {
		got = append(got, fmt.Sprint(d[0].Cookie, d[1].Cookie))
	}
	if want := []string{"1 4", "4 5"}; !slices.Equal(got, want) {
		t.Errorf("doubles %q, want %q", got, want)
	}
	if mods := x.Diff([]Flow{flow(1, 1, 5), flow(1, 2, 2), flow(2, 1, 3)}); len(mods) != 0 {
		t.Errorf("a switch that holds the last of them is changed by %v", mods)
	}
	if mods := x.Diff(nil); len(mods) != 3 {
		t.Errorf("an empty switch is sent %v", mods)
	}
}
