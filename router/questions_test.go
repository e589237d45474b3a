package router

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func about(vni, n uint32) neighbour {
	return neighbour{vni, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}
}

// A tenant that scans gets only room that no other tenant needs.
func TestAScanTakesNothingFromAnotherTenant(t *testing.T) {
	q := newQuestions[int](limits{asked: 64, held: 128, each: 4})
	now := time.Unix(1, 0)
	for n := range uint32(1000) {
		if x, _ := q.ask(about(1, n), 1, now.Add(time.Duration(n))); x != nil {
			for p := range 4 {
				q.hold(x, p)
			}
		}
	}
	if len(q.open) != 64 || q.held != 128 {
		t.Fatalf("a scan alone has %d questions and %d packets waiting", len(q.open), q.held)
	}
	for n := range uint32(32) {
		x, fresh := q.ask(about(2, n), 2, now)
		if x == nil || !fresh {
			t.Fatalf("request %d of another tenant finds no room", n)
		}
		if !q.hold(x, 0) {
			t.Fatalf("the packet of request %d of another tenant finds no room", n)
		}
	}
	for n := range uint32(32) {
		if got := q.release(about(2, n)); len(got) != 1 {
			t.Errorf("packets that waited for address %d: %v", n, got)
		}
	}
	if x, _ := q.ask(about(1, 2000), 1, now); x == nil {
		t.Error("there is room again, but not for the scan")
	}
}

// After any changes, the counts are right and within the limits.
func TestCountsStayTrue(t *testing.T) {
	most := limits{asked: 8, held: 16, each: 3}
	r := rand.New(rand.NewPCG(1, 2))
	q := newQuestions[int](most)
	for step := range 20000 {
		who := 1 + r.Uint32N(4)
		at := about(who, r.Uint32N(6))
		if r.IntN(4) == 0 {
			q.release(at)
		} else if x, _ := q.ask(at, who, time.Unix(int64(step), 0)); x != nil {
			q.hold(x, step)
		}
		held, loads := 0, map[uint32]load{}
		for _, x := range q.open {
			held += len(x.held)
			l := loads[x.vrf]
			loads[x.vrf] = load{l.asked + 1, l.held + len(x.held)}
			if len(x.held) > most.each {
				t.Fatalf("step %d: %d packets wait for one address", step, len(x.held))
			}
		}
		if held != q.held || held > most.held || len(q.open) > most.asked || len(loads) != len(q.tenant) {
			t.Fatalf("step %d: %d questions, %d packets, counted %d; tenants %v, counted %v", step, len(q.open), held, q.held, loads, q.tenant)
		}
		for vrf, l := range loads {
			if q.tenant[vrf] != l {
				t.Fatalf("step %d: tenant %d has %v, counted %v", step, vrf, l, q.tenant[vrf])
			}
		}
	}
}
