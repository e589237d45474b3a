package world

import (
	"maps"
	"reflect"
	"slices"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Flush compiles dirty objects and returns the mods from the last flush to now, in an
// order in which no packet sees a half-made change. It returns false if everything must
// be compared instead: an object has failed, or one that had failed has changed.
func (w *World) Flush() (mods []of.Mod, sure bool) {
	var d delta
	w.advance(&d)
	mods, flows := d.mods()
	if w.faults.takeNews() {
		w.uncounted = true
		return nil, false
	}
	w.flowCount += flows
	return mods, true
}

// Settle is Flush for a switch that is away, or is about to be compared as a whole:
// nothing is compiled.
func (w *World) Settle() {
	d := delta{uncompiled: true}
	w.advance(&d)
	if d.some {
		w.uncounted = true
	}
	for _, c := range d.forgets {
		w.forgotten[c] = true
	}
}

// Pending reports whether facts have come since the last flush: then the switch does
// not hold what a Recomputed world wants.
func (w *World) Pending() bool {
	return len(w.hopsMoved) > 0 || slices.ContainsFunc(w.kinds, objects.pending)
}

// advance applies the dirty objects, and adds the changes to d.
func (w *World) advance(d *delta) {
	w.touchHops()
	for _, k := range w.kinds {
		k.advance(d)
	}
	w.groupCount += d.groupsMore
}

// delta gathers differences and orders them.
type delta struct {
	uncompiled bool // changes of flows alone are not kept
	some       bool // something has changed
	changes    []change
	groupsPut  []of.Group
	groupsGone []uint32
	groupsMore int // growth in the number of groups
	metersHad  map[uint32]of.Meter
	metersWant map[uint32]of.Meter
	forgets    []pipeline.Cookie // what the switch learned for objects that are gone
}

// change is a change of an object; nil: it is absent. Flows are compiled when the delta
// is complete, on all CPUs.
type change struct{ before, after object }

func (d *delta) change(before, after object) {
	d.some = true
	if !d.uncompiled {
		d.changes = append(d.changes, change{before, after})
	}
	var old, now []of.Group
	if before != nil {
		old = before.groups()
	}
	if after != nil {
		now = after.groups()
	}
	d.groups(old, now)
	d.groupsMore += len(now) - len(old)
	if before != nil {
		gather(&d.metersHad, before.meters())
	}
	if after != nil {
		gather(&d.metersWant, after.meters())
	}
}

func gather(into *map[uint32]of.Meter, list []of.Meter) {
	for _, m := range list {
		if *into == nil {
			*into = map[uint32]of.Meter{}
		}
		(*into)[m.ID] = m
	}
}

// meters returns the changes of meters. A meter may pass from one object to another, as
// a switch port number does.
func (d *delta) meters() []of.Mod {
	var mods []of.Mod
	for _, id := range slices.Sorted(maps.Keys(d.metersWant)) {
		m := d.metersWant[id]
		switch old, ok := d.metersHad[id]; {
		case !ok:
			mods = append(mods, &of.MeterMod{Command: of.MeterAdd, Meter: m})
		case old != m:
			mods = append(mods, &of.MeterMod{Command: of.MeterModify, Meter: m})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.metersHad)) {
		if _, ok := d.metersWant[id]; !ok {
			mods = append(mods, &of.MeterMod{Command: of.MeterDelete, Meter: of.Meter{ID: id}})
		}
	}
	return mods
}

func (d *delta) groups(before, after []of.Group) {
	old := map[uint32]of.Group{}
	for _, g := range before {
		old[g.ID] = g
	}
	for _, g := range after {
		if o, ok := old[g.ID]; !ok || !reflect.DeepEqual(o, g) {
			d.groupsPut = append(d.groupsPut, g)
		}
		delete(old, g.ID)
	}
	d.groupsGone = append(d.groupsGone, slices.Sorted(maps.Keys(old))...)
}

// compile returns the mods from the flows before to the flows after, and by how many
// flows they grow.
func (c change) compile(into []of.FlowMod) (mods []of.FlowMod, more int) {
	if c.before == nil {
		// New objects come by the ten thousand and need no comparison.
		n := len(into)
		if !c.after.emit(func(f of.Flow, _ string) { into = append(into, of.FlowMod{Command: of.FlowAdd, Flow: f}) }) {
			return into[:n], 0
		}
		return into, len(into) - n
	}
	var before, after []of.Flow
	if !c.before.emit(collect(&before)) || c.after != nil && !c.after.emit(collect(&after)) {
		return into, 0 // everything will be compared
	}
	return append(into, of.Diff(before, after)...), len(after) - len(before)
}

// mods compiles the changes, and says by how many flows they grow.
func (d *delta) mods() (mods []of.Mod, more int) {
	type part struct {
		mods []of.FlowMod
		more int
	}
	parts := inParallel(len(d.changes), func(from, to int) (p part) {
		p.mods = make([]of.FlowMod, 0, 2*(to-from))
		for _, c := range d.changes[from:to] {
			var n int
			p.mods, n = c.compile(p.mods)
			p.more += n
		}
		return p
	})
	var flows [][]of.FlowMod
	for _, p := range parts {
		flows = append(flows, p.mods)
		more += p.more
	}
	return d.order(flows...), more
}

// order orders the changes. A port that is removed is silenced first, and a new one may
// send only when everything else is in place; groups are added before the flows that
// refer to them and deleted after them; later tables come before earlier ones;
// additions come before deletions.
func (d *delta) order(flows ...[]of.FlowMod) []of.Mod {
	var adds, deletes [tables][]*of.FlowMod
	n := 0
	for _, list := range flows {
		n += len(list)
		for i := range list {
			m := &list[i]
			if m.Command == of.FlowAdd {
				adds[m.Flow.Table] = append(adds[m.Flow.Table], m)
			} else {
				deletes[m.Flow.Table] = append(deletes[m.Flow.Table], m)
			}
		}
	}
	mods := make([]of.Mod, 0, n+len(d.groupsPut)+len(d.groupsGone)+len(pipeline.LearnedTables())*len(d.forgets))
	mods = append(mods, d.meters()...)
	entry := pipeline.EntryTable()
	if len(deletes[entry]) > 0 {
		added := map[of.FlowKey]bool{}
		for _, m := range adds[entry] {
			added[m.Flow.Key()] = true
		}
		for _, m := range deletes[entry] {
			if !added[m.Flow.Key()] {
				mods = append(mods, remove(m.Flow))
			}
		}
	}
	for _, g := range d.groupsPut {
		mods = append(mods, &of.GroupMod{Command: of.GroupAddOrModify, Group: g})
	}
	for table := range slices.Backward(adds[:]) {
		for _, m := range adds[table] {
			mods = append(mods, m)
		}
	}
	for table := range deletes {
		if table == int(entry) {
			continue
		}
		moved := movedFlows(adds[table], deletes[table])
		for _, m := range deletes[table] {
			if !moved[m.Flow.Key()] {
				mods = append(mods, remove(m.Flow))
			}
		}
	}
	passed := map[uint32]bool{} // from one object to another
	if len(d.groupsGone) > 0 {
		for _, g := range d.groupsPut {
			passed[g.ID] = true
		}
	}
	for _, id := range d.groupsGone {
		if passed[id] {
			continue
		}
		mods = append(mods, &of.GroupMod{Command: of.GroupDelete, Group: of.Group{ID: id}})
	}
	for _, c := range d.forgets {
		for _, t := range pipeline.LearnedTables() {
			mods = append(mods, &of.FlowMod{Command: of.FlowDelete, CookieMask: ^uint64(0), Flow: of.Flow{Table: t, Cookie: uint64(c)}})
		}
	}
	return mods
}

// movedFlows returns the keys of flows that pass from one object to another with the
// same cookie: an external address that moves from one tenant to another.
func movedFlows(adds, deletes []*of.FlowMod) map[of.FlowKey]bool {
	var moved map[of.FlowKey]bool
	isAddress := func(m *of.FlowMod) bool { return pipeline.Cookie(m.Flow.Cookie).Kind() == pipeline.KindAddress }
	if !slices.ContainsFunc(deletes, isAddress) {
		return nil
	}
	for _, m := range adds {
		if isAddress(m) {
			if moved == nil {
				moved = map[of.FlowKey]bool{}
			}
			moved[m.Flow.Key()] = true
		}
	}
	return moved
}

// tables is how many tables a switch can have.
const tables = 256

// remove deletes one flow, unless the flow with its key belongs to another object by
// now: a MAC or an interface may have moved.
func remove(f of.Flow) *of.FlowMod {
	return &of.FlowMod{Command: of.FlowDeleteStrict, CookieMask: ^uint64(0), Flow: of.Flow{
		Table: f.Table, Priority: f.Priority, Cookie: f.Cookie, Match: f.Match}}
}
