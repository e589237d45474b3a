package controller

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"sync"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// compiled is what the last flush compiled, as views: their flows are what the
// switch should hold.
type compiled struct {
	hosts    map[string]intent.Host
	networks map[intent.NetworkRef]pipeline.NetworkView
	ports    map[intent.PortRef]*pipeline.PortView // never changed, only replaced
	peers    map[intent.PeerRef]pipeline.PeerView

	// Derived from the above: where each network's ports are, and how many flows
	// and groups there are, without those of the base.
	members               map[intent.NetworkRef]*members
	flowCount, groupCount int
	uncounted             bool // changes were taken in without compiling them
}

// members says where the ports in force of a network are.
type members struct {
	local  map[of.PortNo]int  // 1; for a moment 2, when an interface's number changes hands
	remote map[netip.Addr]int // ports by VTEP
}

func newCompiled() compiled {
	return compiled{
		hosts:    map[string]intent.Host{},
		networks: map[intent.NetworkRef]pipeline.NetworkView{},
		ports:    map[intent.PortRef]*pipeline.PortView{},
		peers:    map[intent.PeerRef]pipeline.PeerView{},
		members:  map[intent.NetworkRef]*members{},
	}
}

// flush compiles what is dirty and returns the mods that lead from the last flush
// to now, in an order in which no packet sees a half-made change.
func (w *world) flush() []of.Mod {
	mods, flows := w.advance().mods()
	w.done.flowCount += flows
	return mods
}

// settle is flush for a switch that is away, or is going to be compared as a whole:
// nothing is compiled.
func (w *world) settle() {
	if len(w.advance().changes) > 0 {
		w.done.uncounted = true
	}
}

// advance takes in what is dirty, and returns what that changes.
func (w *world) advance() *delta {
	var d delta
	w.advanceHosts(&d)
	w.advancePorts(&d) // before networks: it says where their members are
	w.advanceNetworks(&d)
	w.advancePeers(&d)
	return &d
}

func (w *world) advanceHosts(d *delta) {
	for _, name := range slices.Sorted(maps.Keys(w.dirtyHosts)) {
		old, had := w.done.hosts[name]
		now, have := w.hosts[name]
		if name == w.self {
			have = false // we send no tunnel packets to ourselves
		}
		if had == have && old == now {
			continue
		}
		var before, after source
		if had {
			before = func(emit pipeline.Emit) { pipeline.Host(w.sw, old, emit) }
			delete(w.done.hosts, name)
		}
		if have {
			after = func(emit pipeline.Emit) { pipeline.Host(w.sw, now, emit) }
			w.done.hosts[name] = now
		}
		d.change(before, after)
	}
	clear(w.dirtyHosts)
}

func (w *world) advancePorts(d *delta) {
	for _, ref := range slices.SortedFunc(maps.Keys(w.dirtyPorts), comparePorts) {
		old, had := w.done.ports[ref]
		now, have := w.portView(ref)
		if had && have && samePort(old, now) {
			continue
		}
		var before, after source
		if had {
			before = func(emit pipeline.Emit) { pipeline.Port(w.sw, old, emit) }
			w.count(old, -1)
			delete(w.done.ports, ref)
		}
		if have {
			after = func(emit pipeline.Emit) { pipeline.Port(w.sw, now, emit) }
			w.count(now, +1)
			w.done.ports[ref] = now
		}
		d.change(before, after)
		if had && pipeline.LearnsLocally(old) && !(have && pipeline.LearnsLocally(now) && old.OFPort == now.OFPort && old.Port.ID == now.Port.ID) {
			d.forget(pipeline.MakeCookie(pipeline.KindLearnedPort, old.Port.ID))
		}
	}
	clear(w.dirtyPorts)
}

// count adds or removes a port in its network's members, and marks the network if
// its list of members changed.
func (w *world) count(v *pipeline.PortView, by int) {
	ref := v.Port.Ref().NetworkRef()
	m := w.done.members[ref]
	if m == nil {
		m = &members{local: map[of.PortNo]int{}, remote: map[netip.Addr]int{}}
		w.done.members[ref] = m
	}
	switch {
	case v.OFPort != 0 && v.InForce:
		if tally(m.local, v.OFPort, by) {
			w.dirtyNetworks[ref] = true
		}
	case v.VTEP.IsValid():
		if tally(m.remote, v.VTEP, by) {
			w.dirtyNetworks[ref] = true
		}
	}
	if len(m.local) == 0 && len(m.remote) == 0 {
		delete(w.done.members, ref)
	}
}

// tally adds to a count and says whether the key came or went.
func tally[K comparable](counts map[K]int, k K, by int) bool {
	n := counts[k] + by
	if n == 0 {
		delete(counts, k)
		return true
	}
	counts[k] = n
	return n == 1 && by > 0
}

func (w *world) advanceNetworks(d *delta) {
	for _, ref := range slices.SortedFunc(maps.Keys(w.dirtyNetworks), compareNetworks) {
		old, had := w.done.networks[ref]
		now, have := w.networkView(ref)
		if had && have && reflect.DeepEqual(old, now) {
			continue
		}
		var before, after source
		var groupsBefore, groupsAfter []of.Group
		if had {
			before = func(emit pipeline.Emit) { pipeline.Network(&old, emit) }
			groupsBefore = pipeline.Groups(w.sw, &old)
			delete(w.done.networks, ref)
		}
		if have {
			after = func(emit pipeline.Emit) { pipeline.Network(&now, emit) }
			groupsAfter = pipeline.Groups(w.sw, &now)
			w.done.networks[ref] = now
		}
		d.change(before, after)
		d.groups(groupsBefore, groupsAfter)
		w.done.groupCount += len(groupsAfter) - len(groupsBefore)
		if had && old.Network.Learning && !(have && now.Network.Learning && old.Network.ID == now.Network.ID) {
			d.forget(pipeline.MakeCookie(pipeline.KindLearnedNetwork, old.Network.ID))
		}
	}
	clear(w.dirtyNetworks)
}

func (w *world) advancePeers(d *delta) {
	for _, ref := range slices.SortedFunc(maps.Keys(w.dirtyPeers), comparePeers) {
		old, had := w.done.peers[ref]
		now, have := w.peerView(ref)
		if had && have && old == now {
			continue
		}
		var before, after source
		if had {
			before = func(emit pipeline.Emit) { pipeline.Peer(w.sw, &old, emit) }
			delete(w.done.peers, ref)
		}
		if have {
			after = func(emit pipeline.Emit) { pipeline.Peer(w.sw, &now, emit) }
			w.done.peers[ref] = now
		}
		d.change(before, after)
		if had {
			d.forget(pipeline.MakeCookie(pipeline.KindLearnedPeer, old.Peer.ID))
		}
	}
	clear(w.dirtyPeers)
}

// sources returns what emits all flows of the last flush.
func (w *world) sources() []source {
	all := make([]source, 0, 1+len(w.done.hosts)+len(w.done.networks)+len(w.done.ports)+len(w.done.peers))
	all = append(all, func(emit pipeline.Emit) { pipeline.Base(w.sw, emit) })
	for _, h := range w.done.hosts {
		all = append(all, func(emit pipeline.Emit) { pipeline.Host(w.sw, h, emit) })
	}
	for _, n := range w.done.networks {
		all = append(all, func(emit pipeline.Emit) { pipeline.Network(&n, emit) })
	}
	for _, p := range w.done.ports {
		all = append(all, func(emit pipeline.Emit) { pipeline.Port(w.sw, p, emit) })
	}
	for _, p := range w.done.peers {
		all = append(all, func(emit pipeline.Emit) { pipeline.Peer(w.sw, &p, emit) })
	}
	return all
}

// wanted returns all flows and groups of the last flush.
func (w *world) wanted() (flows []of.Flow, groups []of.Group) {
	for _, n := range w.done.networks {
		groups = append(groups, pipeline.Groups(w.sw, &n)...)
	}
	sources := w.sources()
	parts := inParallel(len(sources), func(from, to int) []of.Flow {
		some := make([]of.Flow, 0, 2*(to-from)) // as many as a port on another host needs
		for _, emit := range sources[from:to] {
			emit(collect(&some))
		}
		return some
	})
	flows = slices.Concat(parts...)

	base := 0
	sources[0](func(of.Flow, string) { base++ })
	w.done.flowCount, w.done.uncounted = len(flows)-base, false
	return flows, groups
}

// counts returns how many flows, without those of the base, and groups are wanted.
func (w *world) counts() (flows, groups int) {
	if w.done.uncounted {
		w.wanted()
	}
	return w.done.flowCount, w.done.groupCount
}

// learnedOwners returns the cookies of learned flows whose object still exists.
func (w *world) learnedOwners() map[pipeline.Cookie]bool {
	owners := map[pipeline.Cookie]bool{}
	for _, n := range w.done.networks {
		if n.Network.Learning {
			owners[pipeline.MakeCookie(pipeline.KindLearnedNetwork, n.Network.ID)] = true
		}
	}
	for _, p := range w.done.ports {
		if pipeline.LearnsLocally(p) {
			owners[pipeline.MakeCookie(pipeline.KindLearnedPort, p.Port.ID)] = true
		}
	}
	for _, p := range w.done.peers {
		owners[pipeline.MakeCookie(pipeline.KindLearnedPeer, p.Peer.ID)] = true
	}
	return owners
}

// target is what a switch should hold, made ready to compare.
type target struct {
	owners map[pipeline.Cookie]bool // of learned flows that may stay
	flows  *of.FlowIndex
	groups []of.Group
}

func (w *world) target() target {
	flows, groups := w.wanted()
	return target{w.learnedOwners(), of.IndexFlows(flows), groups}
}

// resync returns the mods that lead from what a switch holds to what the last
// flush wants. Learned flows are left alone as long as what they were learned for
// exists.
func (t target) resync(flows []of.Flow, groups []of.Group) []of.Mod {
	have := slices.DeleteFunc(flows, func(f of.Flow) bool { return t.owners[pipeline.Cookie(f.Cookie)] })
	var d delta
	d.groups(groups, t.groups)
	return d.order(t.flows.Diff(have))
}

func (w *world) resync(flows []of.Flow, groups []of.Group) []of.Mod {
	return w.target().resync(flows, groups)
}

// meterMods returns what the switch lacks of the meters that flows refer to: all of
// them after a crash of ovs-vswitchd.
func meterMods(sw pipeline.Switch, have []of.Meter) []of.Mod {
	at := map[uint32]of.Meter{}
	for _, m := range have {
		at[m.ID] = m
	}
	var mods []of.Mod
	for _, m := range pipeline.Meters(sw) {
		switch old, ok := at[m.ID]; {
		case !ok:
			mods = append(mods, &of.MeterMod{Command: of.MeterAdd, Meter: m})
		case old != m:
			mods = append(mods, &of.MeterMod{Command: of.MeterModify, Meter: m})
		}
	}
	return mods
}

// source emits the flows of one object; nil: there is no such object.
type source func(pipeline.Emit)

// delta gathers differences and orders them.
type delta struct {
	changes    []change
	groupsPut  []of.Group
	groupsGone []uint32
	forgets    []pipeline.Cookie
}

// change is how an object's flows change. They are compiled when the delta is
// complete: all at once can be done on all CPUs.
type change struct{ before, after source }

func (d *delta) change(before, after source) {
	if before != nil || after != nil { // else it came and went between two flushes
		d.changes = append(d.changes, change{before, after})
	}
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

// forget deletes what the switch learned for an object.
func (d *delta) forget(c pipeline.Cookie) { d.forgets = append(d.forgets, c) }

// compile returns what leads from the flows before to those after, and how many
// flows there are more.
func (c change) compile(into []of.FlowMod) (mods []of.FlowMod, more int) {
	if c.before == nil {
		// New objects come by the ten thousand: nothing to compare.
		n := len(into)
		c.after(func(f of.Flow, _ string) { into = append(into, of.FlowMod{Command: of.FlowAdd, Flow: f}) })
		return into, len(into) - n
	}
	var before, after []of.Flow
	c.before(collect(&before))
	if c.after != nil {
		c.after(collect(&after))
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
	mods := make([]of.Mod, 0, n+len(d.groupsPut)+len(d.groupsGone)+len(d.forgets))
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
		for _, m := range deletes[table] {
			mods = append(mods, remove(m.Flow))
		}
	}
	for _, id := range d.groupsGone {
		mods = append(mods, &of.GroupMod{Command: of.GroupDelete, Group: of.Group{ID: id}})
	}
	for _, c := range d.forgets {
		mods = append(mods, &of.FlowMod{Command: of.FlowDelete, CookieMask: ^uint64(0), Flow: of.Flow{Table: pipeline.LearnedTable(), Cookie: uint64(c)}})
	}
	return mods
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
	return a.OFPort == b.OFPort && a.InForce == b.InForce && a.VTEP == b.VTEP && a.VRF == b.VRF && a.Peers == b.Peers &&
		a.Port.ID == b.Port.ID && a.Port.MAC == b.Port.MAC && a.Port.Learn == b.Port.Learn &&
		slices.Equal(a.Port.Addrs, b.Port.Addrs) && a.Port.Name == b.Port.Name &&
		(a.Network == b.Network || reflect.DeepEqual(a.Network, b.Network))
}

func comparePorts(a, b intent.PortRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Port, b.Port))
}

func comparePeers(a, b intent.PeerRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Peer, b.Peer))
}

func compareNetworks(a, b intent.NetworkRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network))
}
