package world

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// all returns all objects of the last flush.
func (w *World) all() []object {
	var all []object
	for _, k := range w.kinds {
		all = k.list(all)
	}
	return all
}

// each visits all objects of the last flush, see objects.
func (w *World) each(visit func(object)) {
	for _, k := range w.kinds {
		k.each(visit)
	}
}

// wanted returns all flows and groups of the last flush.
func (w *World) wanted() (flows []of.Flow, groups []of.Group) {
	var base []of.Flow
	pipeline.Base(w.sw, collect(&base))
	objects := w.all()
	for _, o := range objects {
		groups = append(groups, o.groups()...)
	}
	// One list for all parts: copying parts together would double the peak memory use
	// when a host comes back. A port on another host needs less than this.
	const most = 4
	room := make([]of.Flow, most*len(objects)+len(base))
	var outgrown atomic.Bool
	parts := inParallel(len(objects), func(from, to int) []of.Flow {
		some := room[most*from : most*from : most*to]
		for _, o := range objects[from:to] {
			if w.faults.broken(o) {
				continue
			}
			if n := len(some); !o.emit(collect(&some)) {
				some = some[:n]
			}
		}
		if cap(some) > most*(to-from) {
			outgrown.Store(true)
		}
		return some
	})
	if parts = append(parts, base); outgrown.Load() {
		flows = slices.Concat(parts...)
	} else {
		flows = joined(room, parts)
	}
	w.flowCount, w.uncounted = len(flows)-len(base), false
	return flows, groups
}

// joined moves parts, which lie in room in this order or outside of it, together at its
// start.
func joined(room []of.Flow, parts [][]of.Flow) []of.Flow {
	n := 0
	for _, p := range parts {
		n += copy(room[n:], p)
	}
	clear(room[n:])
	return room[:n:n]
}

// Counts returns how many flows, without the base, and groups are wanted.
func (w *World) Counts() (flows, groups int) {
	if w.uncounted {
		w.wanted()
	}
	return w.flowCount, w.groupCount
}

// learnedOwners returns the cookies of learned flows whose object still exists, and the
// ports they lead to. Flows to be forgotten are left out.
func (w *World) learnedOwners() map[pipeline.Cookie]of.PortNo {
	owners := map[pipeline.Cookie]of.PortNo{}
	w.each(func(o object) {
		for _, c := range o.learned() {
			if !w.forgotten[c] {
				owners[c] = o.behind()
			}
		}
	})
	return owners
}

// Held is what a switch holds.
type Held struct {
	Flows  []of.Flow
	Groups []of.Group
	Meters []of.Meter
}

// Target is what a switch should hold, prepared for comparison.
type Target struct {
	owners map[pipeline.Cookie]of.PortNo // cookies of learned flows that may stay, and their switch port; 0: any
	flows  *of.FlowIndex
	groups []of.Group
	meters []of.Meter

	// Unless nil, flows of all other objects are left alone, and all groups: they may
	// belong to tenants that the store has not sent.
	known map[pipeline.Cookie]bool

	// Unless nil, flows of these objects are left alone, because they cannot be
	// compiled, and so are all groups and meters, because those flows may refer to
	// them.
	stay map[pipeline.Cookie]bool
}

// Target compiles all that the last flush wants.
func (w *World) Target() Target {
	w.faults.startOver()
	meters := w.meters() // first: flows must not refer to a meter that cannot be compiled
	flows, groups := w.wanted()
	stay := w.faults.stay()
	w.faults.settled()
	return Target{owners: w.learnedOwners(), flows: settleDoubles(flows), groups: groups, meters: meters, stay: stay}
}

// PartialTarget is Target for a host that does not know all its tenants yet, or, unless
// externalsKnown is set, all externals: flows that may belong to others stay.
func (w *World) PartialTarget(externalsKnown bool) Target {
	t := w.Target()
	t.known = w.knownOwners(externalsKnown)
	return t
}

// Compared says that the switch was compared as a whole with a Target, and changed.
func (w *World) Compared() { clear(w.forgotten) }

// Mods returns the mods that lead from what a switch holds to the target.
func (t Target) Mods(have Held) []of.Mod {
	return append(t.meterMods(have.Meters), t.diff(have.Flows, have.Groups)...)
}

// all reports whether everything unwanted may be deleted.
func (t Target) all() bool { return t.known == nil && t.stay == nil }

// diff is Mods without meters. Learned flows stay as long as the object that they were
// learned for exists.
func (t Target) diff(flows []of.Flow, groups []of.Group) []of.Mod {
	have := slices.DeleteFunc(withoutLearned(flows, t.owners), func(f of.Flow) bool {
		return t.leavesAlone(pipeline.Cookie(f.Cookie))
	})
	var d delta
	d.groups(groups, t.groups)
	if !t.all() {
		d.groupsGone = nil
	}
	return d.order(t.flows.Diff(have))
}

// knownOwners returns the cookies of the objects of the last flush that are completely
// known.
func (w *World) knownOwners(externalsKnown bool) map[pipeline.Cookie]bool {
	known := map[pipeline.Cookie]bool{}
	w.each(func(o object) { known[o.cookie()] = externalsKnown || !o.needsExternals() })
	return known
}

// leavesAlone reports whether an unwanted flow may belong to a tenant that the store
// has not sent, or belongs to an object that is left out. A flow of an object without a
// tenant may have been made for a tenant.
func (t Target) leavesAlone(c pipeline.Cookie) bool {
	if t.stay[c] {
		return true
	}
	if t.known == nil || !c.Ours() {
		return false
	}
	switch c.Kind() {
	case pipeline.KindBase, pipeline.KindReason, pipeline.KindHost:
		return false
	case pipeline.KindExternal, pipeline.KindGuard:
		return true
	}
	return !t.known[c]
}

// withoutLearned leaves out flows that the switch learned for these objects and that
// lead to the right port. A flow with such a cookie in any other table was made by
// another program; one that leads to another port was learned when the object had that
// port.
func withoutLearned(flows []of.Flow, owners map[pipeline.Cookie]of.PortNo) []of.Flow {
	tables := pipeline.LearnedTables()
	return slices.DeleteFunc(flows, func(f of.Flow) bool {
		behind, ok := owners[pipeline.Cookie(f.Cookie)]
		if !ok || !slices.Contains(tables, f.Table) {
			return false
		}
		port := pipeline.LearnedPort(f)
		return behind == 0 || port == 0 || port == behind
	})
}

// meters returns all meters that flows of the last flush refer to.
func (w *World) meters() []of.Meter {
	all := pipeline.Meters(w.sw)
	w.each(func(o object) { all = append(all, o.meters()...) })
	return all
}

// meterMods returns the meters that the switch lacks: all of them after a crash of
// ovs-vswitchd. Unwanted meters of shares are deleted, unless they may belong to a
// tenant that the store has not sent.
func (t Target) meterMods(have []of.Meter) []of.Mod {
	at := map[uint32]of.Meter{}
	for _, m := range have {
		at[m.ID] = m
	}
	var mods []of.Mod
	for _, m := range t.meters {
		switch old, ok := at[m.ID]; {
		case !ok:
			mods = append(mods, &of.MeterMod{Command: of.MeterAdd, Meter: m})
		case old != m:
			mods = append(mods, &of.MeterMod{Command: of.MeterModify, Meter: m})
		}
		delete(at, m.ID)
	}
	if t.all() {
		for _, id := range slices.Sorted(maps.Keys(at)) {
			if pipeline.IsShare(id) {
				mods = append(mods, &of.MeterMod{Command: of.MeterDelete, Meter: of.Meter{ID: id}})
			}
		}
	}
	return mods
}

// collect appends the emitted flows.
func collect(into *[]of.Flow) pipeline.Emit {
	return func(f of.Flow, _ string) { *into = append(*into, f) }
}

// inParallel does n pieces of work, on all CPUs if that is worthwhile, and returns the
// results in order.
func inParallel[T any](n int, work func(from, to int) T) []T {
	const few = 1000
	if n <= few {
		return []T{work(0, n)}
	}
	parts := runtime.GOMAXPROCS(0)
	results := make([]T, parts)
	var wait sync.WaitGroup
	for i := range results {
		wait.Go(func() { results[i] = work(i*n/parts, (i+1)*n/parts) })
	}
	wait.Wait()
	return results
}
