package router

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func about(vni, n uint32) Neighbour {
	return Neighbour{vni, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}
}

// A tenant that scans takes all the room that nobody else needs, and nothing that
// another needs.
func TestAScanTakesNothingFromAnotherTenant(t *testing.T) {
	q := NewQuestions[int](Limits{Asked: 64, Held: 128, Each: 4})
	now := time.Unix(1, 0)
	for n := range uint32(1000) {
		if x, _ := q.Ask(about(1, n), 1, now.Add(time.Duration(n))); x != nil {
			for p := range 4 {
				q.Hold(x, p)
			}
		}
	}
	if len(q.open) != 64 || q.held != 128 {
		t.Fatalf("a scan alone has %d questions and %d packets waiting", len(q.open), q.held)
	}
	for n := range uint32(32) {
		x, fresh := q.Ask(about(2, n), 2, now)
		if x == nil || !fresh {
			t.Fatalf("question %d of another tenant finds no room", n)
		}
		if !q.Hold(x, 0) {
			t.Fatalf("the packet of question %d of another tenant finds no room", n)
		}
	}
	for n := range uint32(32) {
		if got := q.Release(about(2, n)); len(got) != 1 {
			t.Errorf("packets that waited for address %d: %v", n, got)
		}
	}
	if x, _ := q.Ask(about(1, 2000), 1, now); x == nil {
		t.Error("there is room again, but not for the scan")
	}
}

// Whatever comes and goes, the counts are those of what is there, and within limits.
func TestCountsStayTrue(t *testing.T) {
	limits := Limits{Asked: 8, Held: 16, Each: 3}
	r := rand.New(rand.NewPCG(1, 2))
	q := NewQuestions[int](limits)
	for step := range 20000 {
		who := 1 + r.Uint32N(4)
		at := about(who, r.Uint32N(6))
		if r.IntN(4) == 0 {
			q.Release(at)
		} else if x, _ := q.Ask(at, who, time.Unix(int64(step), 0)); x != nil {
			q.Hold(x, step)
		}
		held, loads := 0, map[uint32]load{}
		for _, x := range q.open {
			held += len(x.held)
			l := loads[x.VRF]
			loads[x.VRF] = load{l.asked + 1, l.held + len(x.held)}
			if len(x.held) > limits.Each {
				t.Fatalf("step %d: %d packets wait for one address", step, len(x.held))
			}
		}
		if held != q.held || held > limits.Held || len(q.open) > limits.Asked || len(loads) != len(q.tenant) {
			t.Fatalf("step %d: %d questions, %d packets, counted %d; tenants %v, counted %v", step, len(q.open), held, q.held, loads, q.tenant)
		}
		for vrf, l := range loads {
			if q.tenant[vrf] != l {
				t.Fatalf("step %d: tenant %d has %v, counted %v", step, vrf, l, q.tenant[vrf])
			}
		}
	}
}
