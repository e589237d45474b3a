// Differences between what a switch has and what it should have.

package openflow

import (
	"hash/maphash"
)

// Diff returns the mods from the flows that a switch has to the wanted flows: a FlowAdd
// for each flow that is missing or differs (it replaces the flow with its key), later
// tables first, then a FlowDeleteStrict for each unwanted flow, earlier tables first.
// So no packet meets a flow that sends it to flows not there yet, and no flow is
// deleted while another still leads to it.
//
// A flow that differs is added, not modified: a modification keeps the cookie, which
// names the flow's owner. Keys must be unique within a list; of two flows with the same
// key, Diff uses the later one.
func Diff(have, want []Flow) []FlowMod { return IndexFlows(want).Diff(have) }

// FlowIndex is a list of flows, no two with the same key, made ready to be compared
// with what a switch has. It finds flows by key without a copy of each: it maps a hash
// to the flow with that hash added last, and chain leads to those before it.
type FlowIndex struct {
	flows []Flow
	seed  maphash.Seed
	last  map[uint64]int32
	chain []int32 // -1: none

	shadowed []int32 // flows that are not the last with their key
	key      []byte  // scratch
}

// IndexFlows returns an index of flows, which it keeps.
func IndexFlows(flows []Flow) *FlowIndex {
	x := &FlowIndex{flows: flows}
	if len(flows) == 0 {
		return x
	}
	x.seed = maphash.MakeSeed()
	x.last = make(map[uint64]int32, len(flows))
	x.chain = make([]int32, len(flows))
	x.key = make([]byte, 0, 256)
	for i := range flows {
		h := x.hash(&flows[i])
		x.chain[i] = -1
		if before, ok := x.last[h]; ok {
			x.chain[i] = before
			for at := before; at >= 0; at = x.chain[at] {
				if x.flows[at].sameKey(&x.flows[i]) {
					x.shadowed = append(x.shadowed, at)
					break
				}
			}
		}
		x.last[h] = int32(i)
	}
	return x
}

// Diff is the function Diff with the index's flows as the wanted ones. It must not be
// called concurrently.
func (x *FlowIndex) Diff(have []Flow) []FlowMod {
	right := make([]bool, len(x.flows)) // whether the switch has it
	var remove []int32
	missing := len(x.flows)
	for _, i := range x.shadowed {
		right[i] = true // its key is unique in the switch
		missing--
	}
	for i := range have {
		at := x.find(&have[i])
		if at < 0 {
			remove = append(remove, int32(i))
		} else if !right[at] && have[i].sameBody(&x.flows[at]) {
			right[at] = true
			missing--
		}
	}
	if missing+len(remove) == 0 {
		return nil
	}
	add := make([]int32, 0, missing)
	for i, ok := range right {
		if !ok {
			add = append(add, int32(i))
		}
	}
	mods := make([]FlowMod, len(add)+len(remove))
	first := placesByTable(x.flows, add)
	for _, i := range add {
		// Backwards: the last table comes first.
		at := len(add) - 1 - first.next(x.flows[i].Table)
		mods[at] = FlowMod{Command: FlowAdd, Flow: x.flows[i]}
	}
	first = placesByTable(have, remove)
	for _, i := range remove {
		at := len(add) + first.next(have[i].Table)
		mods[at] = FlowMod{Command: FlowDeleteStrict, CookieMask: ^uint64(0), Flow: have[i]}
	}
	return mods
}

// Doubles returns pairs of flows with the same key, which a list must not have: a
// switch holds only one of them.
func (x *FlowIndex) Doubles() [][2]Flow {
	var pairs [][2]Flow
	for i := range x.flows {
		for at := x.chain[i]; at >= 0; at = x.chain[at] {
			if x.flows[at].sameKey(&x.flows[i]) {
				pairs = append(pairs, [2]Flow{x.flows[at], x.flows[i]})
				break
			}
		}
	}
	return pairs
}

func (x *FlowIndex) hash(f *Flow) uint64 {
	x.key = f.appendKey(x.key[:0])
	return maphash.Bytes(x.seed, x.key)
}

// find returns the number of the flow with f's key, or -1.
func (x *FlowIndex) find(f *Flow) int {
	if len(x.flows) == 0 {
		return -1
	}
	at, ok := x.last[x.hash(f)]
	if !ok {
		return -1
	}
	for ; at >= 0; at = x.chain[at] {
		if x.flows[at].sameKey(f) {
			return int(at)
		}
	}
	return -1
}

// tablePlaces holds for each table where its next flow goes.
type tablePlaces [256]int

// placesByTable prepares to sort the chosen flows by table.
func placesByTable(flows []Flow, chosen []int32) tablePlaces {
	var places tablePlaces
	for _, i := range chosen {
		places[flows[i].Table]++
	}
	sum := 0
	for t, n := range places {
		places[t] = sum
		sum += n
	}
	return places
}

// next returns the place of one more flow of a table.
func (p *tablePlaces) next(table uint8) int {
	at := p[table]
	p[table]++
	return at
}
