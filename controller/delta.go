package controller

import (
	"cmp"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// flush compiles what is dirty and returns the mods that lead from the last flush
// to now, in an order in which no packet sees a half-made change. It returns false if
// everything must be compared instead: an object has failed, or one that had failed
// has changed.
func (w *world) flush() (mods []of.Mod, sure bool) {
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

// settle is flush for a switch that is away, or is going to be compared as a whole:
// nothing is compiled.
func (w *world) settle() {
	d := delta{uncompiled: true}
	w.advance(&d)
	if d.some {
		w.uncounted = true
	}
	for _, c := range d.forgets {
		w.forgotten[c] = true
	}
}

// advance takes in what is dirty, and tells d what that changes.
func (w *world) advance(d *delta) {
	w.touchHops()
	for _, k := range w.kinds() {
		k.advance(d)
	}
	w.groupCount += d.groupsMore
}

// all returns all objects of the last flush.
func (w *world) all() []object {
	var all []object
	for _, k := range w.kinds() {
		all = k.list(all)
	}
	return all
}

// each visits all objects of the last flush, see objects.
func (w *world) each(visit func(object)) {
	for _, k := range w.kinds() {
		k.each(visit)
	}
}

// wanted returns all flows and groups of the last flush.
func (w *world) wanted() (flows []of.Flow, groups []of.Group) {
	var base []of.Flow
	pipeline.Base(w.sw, collect(&base))
	objects := w.all()
	for _, o := range objects {
		groups = append(groups, o.groups()...)
	}
	// One list for all parts: to copy parts into one would double what is the most that
	// is alive when a host comes back. A port on another host needs less than this.
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

// counts returns how many flows, without those of the base, and groups are wanted.
func (w *world) counts() (flows, groups int) {
	if w.uncounted {
		w.wanted()
	}
	return w.flowCount, w.groupCount
}

// learnedOwners returns the cookies of learned flows whose object still exists, and what
// they lead to. What is to be forgotten is left out.
func (w *world) learnedOwners() map[pipeline.Cookie]of.PortNo {
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

// target is what a switch should hold, made ready to compare.
type target struct {
	owners map[pipeline.Cookie]of.PortNo // of learned flows that may stay: what they lead to; 0: anything
	flows  *of.FlowIndex
	groups []of.Group
	meters []of.Meter

	// Unless nil, flows of none of these objects are left alone: of tenants that nobody
	// has told of. So are groups.
	known map[pipeline.Cookie]bool

	// Unless nil, flows of these objects are left alone: they cannot be made anew. So are
	// groups and meters, which those may refer to.
	stay map[pipeline.Cookie]bool
}

func (w *world) target() target {
	w.faults.startOver()
	meters := w.meters() // first: flows must not refer to one that cannot be made
	flows, groups := w.wanted()
	stay := w.faults.stay()
	w.faults.settled()
	return target{owners: w.learnedOwners(), flows: settleDoubles(flows), groups: groups, meters: meters, stay: stay}
}

// all says whether whatever is not wanted may go.
func (t target) all() bool { return t.known == nil && t.stay == nil }

// resync returns the mods that lead from what a switch holds to what the last
// flush wants. Learned flows are left alone as long as what they were learned for
// exists.
func (t target) resync(flows []of.Flow, groups []of.Group) []of.Mod {
	have := slices.DeleteFunc(withoutLearned(flows, t.owners), func(f of.Flow) bool {
		return t.spares(pipeline.Cookie(f.Cookie))
	})
	var d delta
	d.groups(groups, t.groups)
	if !t.all() {
		d.groupsGone = nil
	}
	return d.order(t.flows.Diff(have))
}

func (w *world) resync(flows []of.Flow, groups []of.Group) []of.Mod {
	return w.target().resync(flows, groups)
}

// meters returns all meters that flows of the last flush refer to.
func (w *world) meters() []of.Meter {
	all := pipeline.Meters(w.sw)
	w.each(func(o object) { all = append(all, o.meters()...) })
	return all
}

// meterMods returns what the switch lacks of the meters that flows refer to: all of
// them after a crash of ovs-vswitchd. Those of shares that are not wanted go, unless
// they may be of a tenant that nobody has told of.
func (t target) meterMods(have []of.Meter) []of.Mod {
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

// delta gathers differences and orders them.
type delta struct {
	uncompiled bool // what changes flows alone is not kept
	some       bool // something has changed
	changes    []change
	groupsPut  []of.Group
	groupsGone []uint32
	groupsMore int // how many groups there are more
	metersHad  map[uint32]of.Meter
	metersWant map[uint32]of.Meter
	forgets    []pipeline.Cookie // of what the switch learned for objects that are gone
}

// change is how an object changes; nil: it is not there. The flows are compiled when
// the delta is complete: all at once can be done on all CPUs.
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

// meters returns the changes of meters. One may pass from an object to another, as a
// number of a port of the switch does.
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

// compile returns what leads from the flows before to those after, and how many
// flows there are more.
func (c change) compile(into []of.FlowMod) (mods []of.FlowMod, more int) {
	if c.before == nil {
		// New objects come by the ten thousand: nothing to compare.
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

// mods compiles the changes, and says how many flows there are more.
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

// order orders the changes. A port that goes is silenced first, and one that comes
// may speak only when all else is in place; groups are there before the flows
// that refer to them and go after them; later tables come before earlier ones;
// what is new comes before what is old goes.
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
	passed := map[uint32]bool{} // from an object to another
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

// movedFlows returns the keys of flows that pass from one object to another with the same
// cookie: an external address that one tenant gives up and another has.
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

// inParallel does n pieces of work, in parts on all CPUs if that is worth the
// trouble, and returns what the parts came to, in order.
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

// remove deletes one flow, unless the flow with its key belongs to another object
// by now: a MAC or an interface may have changed hands.
func remove(f of.Flow) *of.FlowMod {
	return &of.FlowMod{Command: of.FlowDeleteStrict, CookieMask: ^uint64(0), Flow: of.Flow{
		Table: f.Table, Priority: f.Priority, Cookie: f.Cookie, Match: f.Match}}
}

// collect appends what the pipeline emits.
func collect(into *[]of.Flow) pipeline.Emit {
	return func(f of.Flow, _ string) { *into = append(*into, f) }
}

// samePort says whether two views give the same flows.
func samePort(a, b *pipeline.PortView) bool {
	return a.OFPort == b.OFPort && a.InForce == b.InForce && a.Elsewhere == b.Elsewhere && a.VTEP == b.VTEP && a.VRF == b.VRF && a.Peers == b.Peers && a.Penalty == b.Penalty && a.Reached == b.Reached &&
		a.Port.ID == b.Port.ID && a.Port.MAC == b.Port.MAC && a.Port.Learn == b.Port.Learn &&
		slices.Equal(a.Port.Addrs, b.Port.Addrs) && a.Port.Name == b.Port.Name &&
		slices.Equal(a.Hops, b.Hops) && slices.Equal(a.Routed, b.Routed) &&
		(a.Network == b.Network || reflect.DeepEqual(a.Network, b.Network))
}

func comparePorts(a, b intent.PortRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Port, b.Port))
}

func comparePeers(a, b intent.PeerRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Peer, b.Peer))
}

func compareRoutes(a, b intent.RouteRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
}

func compareNetworks(a, b intent.NetworkRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network))
}
