package world

import (
	"slices"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// HasGroups says whether a switch with these groups and meters has those that are wanted,
// and no other groups.
func (w *World) HasGroups(groups []of.Group, meters []of.Meter) bool {
	var want []of.Group
	w.each(func(o object) { want = append(want, o.groups()...) })
	var d delta
	d.groups(groups, want)
	stay := w.faults.stay()
	if stay != nil {
		d.groupsGone = nil // flows that stay may refer to them
	}
	return len(d.groupsPut)+len(d.groupsGone)+len(Target{meters: w.meters(), stay: stay}.meterMods(meters)) == 0
}

// HasSlice says whether flows are exactly those that are wanted of the cookies that give
// slice when divided by count, besides learned ones.
func (w *World) HasSlice(slice, count uint64, flows []of.Flow) bool {
	var want []of.Flow
	pipeline.Base(w.sw, collect(&want))
	want = slices.DeleteFunc(want, func(f of.Flow) bool { return f.Cookie%count != slice })
	learned := map[pipeline.Cookie]of.PortNo{}
	w.each(func(o object) {
		if uint64(o.cookie())%count == slice {
			if n := len(want); !o.emit(collect(&want)) {
				want = want[:n]
			}
		}
		for _, l := range o.learned() {
			learned[l] = o.behind()
		}
	})
	have := withoutLearned(flows, learned)
	if stay := w.faults.stay(); stay != nil {
		left := func(f of.Flow) bool { return stay[pipeline.Cookie(f.Cookie)] }
		have, want = slices.DeleteFunc(have, left), slices.DeleteFunc(want, left)
	}
	return len(of.IndexFlows(want).Diff(have)) == 0
}
