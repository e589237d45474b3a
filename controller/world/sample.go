package world

import (
	"slices"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// HasGroups reports whether these groups and meters of a switch include the wanted
// ones, and no other groups.
func (w *World) HasGroups(groups []of.Group, meters []of.Meter) bool {
	var want []of.Group
	w.each(func(o object) { want = append(want, o.groups()...) })
	var d delta
	d.groups(groups, want)
	stay := w.faults.stay()
	if stay != nil {
		d.groupsGone = nil // remaining flows may refer to them
	}
	return len(d.groupsPut)+len(d.groupsGone)+len(Target{meters: w.meters(), stay: stay}.meterMods(meters)) == 0
}

// HasSlice reports whether flows are exactly the wanted ones, besides learned flows,
// among cookies that equal slice modulo count.
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
