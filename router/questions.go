package router

import (
	"net/netip"
	"time"
)

// neighbour is an address in a network.
type neighbour struct {
	vni  uint32
	addr netip.Addr
}

// limits bound what waits. The tenants share them; when one is reached, the tenant with
// the most gives something up.
type limits struct {
	asked int // addresses asked for at a time
	held  int // packets in all
	each  int // packets for one address
}

// question is an address that was asked for, and the packets that wait for it.
type question[P any] struct {
	since, asked time.Time
	vrf          uint32 // of the tenant that needs the answer

	held []P
}

// questions are the open questions. When they are full, a tenant that has fewer than
// another takes the place of the other's oldest question, so that one tenant cannot
// block the others' first packets.
type questions[P any] struct {
	limits limits
	open   map[neighbour]*question[P]
	held   int
	tenant map[uint32]load // by VRF
}

// load is one tenant's part of the limits.
type load struct{ asked, held int }

// newQuestions returns an empty set.
func newQuestions[P any](l limits) *questions[P] {
	return &questions[P]{limits: l, open: map[neighbour]*question[P]{}, tenant: map[uint32]load{}}
}

// all returns the open questions. release may be called while they are visited.
func (q *questions[P]) all() map[neighbour]*question[P] { return q.open }

// ask returns the question about an address; fresh reports that it was not open before,
// so that it must be sent. It returns nil if there is no room.
func (q *questions[P]) ask(about neighbour, vrf uint32, now time.Time) (x *question[P], fresh bool) {
	if old := q.open[about]; old != nil {
		return old, false
	}
	if len(q.open) >= q.limits.asked && !q.yield(vrf, func(l load) int { return l.asked }, func(about neighbour) { q.release(about) }) {
		return nil, false
	}
	x = &question[P]{since: now, vrf: vrf}
	q.open[about] = x
	q.count(vrf, 1, 0)
	return x, true
}

// hold adds a packet to an open question; false: there is no room.
func (q *questions[P]) hold(x *question[P], p P) bool {
	if len(x.held) >= q.limits.each {
		return false
	}
	if q.held >= q.limits.held && !q.yield(x.vrf, func(l load) int { return l.held }, q.dropHeld) {
		return false
	}
	x.held = append(x.held, p)
	q.held++
	q.count(x.vrf, 0, 1)
	return true
}

// release ends a question and returns the packets that waited for it.
func (q *questions[P]) release(about neighbour) []P {
	x := q.open[about]
	if x == nil {
		return nil
	}
	delete(q.open, about)
	q.held -= len(x.held)
	q.count(x.vrf, -1, -len(x.held))
	return x.held
}

// yield makes room for a tenant at the cost of the one that uses the most; false: that
// is no more than the tenant itself uses.
func (q *questions[P]) yield(vrf uint32, used func(load) int, end func(neighbour)) bool {
	most, loser := used(q.tenant[vrf])+1, vrf
	for other, l := range q.tenant {
		if n := used(l); n > most || n == most && loser != vrf && other < loser {
			most, loser = n, other
		}
	}
	if loser == vrf {
		return false
	}
	var oldest neighbour
	var since time.Time
	for about, x := range q.open {
		if x.vrf == loser && (since.IsZero() || x.since.Before(since)) && used(load{1, len(x.held)}) > 0 {
			oldest, since = about, x.since
		}
	}
	end(oldest)
	return true
}

// dropHeld drops the first of the packets that wait for an address.
func (q *questions[P]) dropHeld(about neighbour) {
	x := q.open[about]
	x.held = x.held[1:]
	q.held--
	q.count(x.vrf, 0, -1)
}

func (q *questions[P]) count(vrf uint32, asked, held int) {
	l := q.tenant[vrf]
	l.asked += asked
	l.held += held
	if q.tenant[vrf] = l; l == (load{}) {
		delete(q.tenant, vrf)
	}
}
