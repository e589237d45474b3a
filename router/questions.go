// Package router holds what a gateway keeps in memory while it waits: the addresses that
// it has asked for, and the packets that wait for the answers.
package router

import (
	"net/netip"
	"time"
)

// Neighbour is an address in a network.
type Neighbour struct {
	VNI  uint32
	Addr netip.Addr
}

// Limits bound what waits. All tenants together may use all of it; what is beyond it the
// one with the most has to give up.
type Limits struct {
	Asked int // addresses that are asked for at a time
	Held  int // packets, in all
	Each  int // packets for one address
}

// Question is an address that was asked for, and the packets that wait for it.
type Question[P any] struct {
	Since, Asked time.Time
	VRF          uint32 // of the tenant on whose behalf it was asked

	held []P
}

// Questions are all that are open. When there is room for no more, a tenant that has
// fewer than another takes the room of that one's oldest, so that none can keep the
// others' first packets out.
type Questions[P any] struct {
	limits Limits
	open   map[Neighbour]*Question[P]
	held   int
	tenant map[uint32]load // by VRF
}

// load is how much of what there is one tenant uses.
type load struct{ asked, held int }

// NewQuestions returns an empty set.
func NewQuestions[P any](l Limits) *Questions[P] {
	return &Questions[P]{limits: l, open: map[Neighbour]*Question[P]{}, tenant: map[uint32]load{}}
}

// All returns the open questions. Release may be called while they are visited.
func (q *Questions[P]) All() map[Neighbour]*Question[P] { return q.open }

// Held returns how many packets wait.
func (q *Questions[P]) Held() int { return q.held }

// Ask returns the question about an address; fresh says that it was not open before, so
// that somebody has to be asked. It is nil if there is no room for it.
func (q *Questions[P]) Ask(about Neighbour, vrf uint32, now time.Time) (question *Question[P], fresh bool) {
	if old := q.open[about]; old != nil {
		return old, false
	}
	if len(q.open) >= q.limits.Asked && !q.yield(vrf, func(l load) int { return l.asked }, func(about Neighbour) { q.Release(about) }) {
		return nil, false
	}
	question = &Question[P]{Since: now, VRF: vrf}
	q.open[about] = question
	q.count(vrf, 1, 0)
	return question, true
}

// Hold lets a packet wait for the answer to an open question; false: there is no room.
func (q *Questions[P]) Hold(question *Question[P], p P) bool {
	if len(question.held) >= q.limits.Each {
		return false
	}
	if q.held >= q.limits.Held && !q.yield(question.VRF, func(l load) int { return l.held }, q.dropHeld) {
		return false
	}
	question.held = append(question.held, p)
	q.held++
	q.count(question.VRF, 0, 1)
	return true
}

// Release ends a question and returns the packets that waited for it.
func (q *Questions[P]) Release(about Neighbour) []P {
	question := q.open[about]
	if question == nil {
		return nil
	}
	delete(q.open, about)
	q.held -= len(question.held)
	q.count(question.VRF, -1, -len(question.held))
	return question.held
}

// yield makes room for a tenant at the cost of the one that uses the most; false: that
// has no more than the tenant itself.
func (q *Questions[P]) yield(vrf uint32, used func(load) int, end func(Neighbour)) bool {
	most, loser := used(q.tenant[vrf])+1, vrf
	for other, l := range q.tenant {
		if n := used(l); n > most || n == most && loser != vrf && other < loser {
			most, loser = n, other
		}
	}
	if loser == vrf {
		return false
	}
	var oldest Neighbour
	var since time.Time
	for about, x := range q.open {
		if x.VRF == loser && (since.IsZero() || x.Since.Before(since)) && used(load{1, len(x.held)}) > 0 {
			oldest, since = about, x.Since
		}
	}
	end(oldest)
	return true
}

// dropHeld gives up the first of the packets that wait for an address.
func (q *Questions[P]) dropHeld(about Neighbour) {
	x := q.open[about]
	x.held = x.held[1:]
	q.held--
	q.count(x.VRF, 0, -1)
}

func (q *Questions[P]) count(vrf uint32, asked, held int) {
	l := q.tenant[vrf]
	l.asked += asked
	l.held += held
	if q.tenant[vrf] = l; l == (load{}) {
		delete(q.tenant, vrf)
	}
}
