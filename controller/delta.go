package controller

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// compiled is what the last flush compiled, as views: their flows are what the
// switch should hold.
type compiled struct {
	hosts    map[string]intent.Host
	networks map[intent.NetworkRef]pipeline.NetworkView
	ports    map[intent.PortRef]pipeline.PortView
	peers    map[intent.PeerRef]pipeline.PeerView

	// Derived from the above: where each network's ports are, and how many flows
	// and groups there are, without those of the base.
	members               map[intent.NetworkRef]*members
	flowCount, groupCount int
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
		ports:    map[intent.PortRef]pipeline.PortView{},
		peers:    map[intent.PeerRef]pipeline.PeerView{},
		members:  map[intent.NetworkRef]*members{},
	}
}

// flush compiles what is dirty and returns the mods that lead from the last flush
// to now, in an order in which no packet sees a half-made change.
func (w *world) flush() []of.Mod {
	var d delta
	w.flushHosts(&d)
	w.flushPorts(&d) // before networks: it says where their members are
	w.flushNetworks(&d)
	w.flushPeers(&d)
	return d.mods()
}

func (w *world) flushHosts(d *delta) {
	for _, name := range slices.Sorted(maps.Keys(w.dirtyHosts)) {
		old, had := w.done.hosts[name]
		now, have := w.hosts[name]
		if name == w.self {
			have = false // we send no tunnel packets to ourselves
		}
		if had == have && old == now {
			continue
		}
		var before, after []of.Flow
		if had {
			pipeline.Host(w.sw, old, collect(&before))
			delete(w.done.hosts, name)
		}
		if have {
			pipeline.Host(w.sw, now, collect(&after))
			w.done.hosts[name] = now
		}
		d.flows(before, after)
		w.done.flowCount += len(after) - len(before)
	}
	clear(w.dirtyHosts)
}

func (w *world) flushPorts(d *delta) {
	for _, ref := range slices.SortedFunc(maps.Keys(w.dirtyPorts), comparePorts) {
		old, had := w.done.ports[ref]
		now, have := w.portView(ref)
		if had && have && samePort(&old, &now) {
			continue
		}
		var before, after []of.Flow
		if had {
			pipeline.Port(w.sw, &old, collect(&before))
			w.count(&old, -1)
			delete(w.done.ports, ref)
		}
		if have {
			pipeline.Port(w.sw, &now, collect(&after))
			w.count(&now, +1)
			w.done.ports[ref] = now
		}
		d.flows(before, after)
		w.done.flowCount += len(after) - len(before)
		if had && pipeline.LearnsLocally(&old) && !(have && pipeline.LearnsLocally(&now) && old.OFPort == now.OFPort && old.Port.ID == now.Port.ID) {
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

func (w *world) flushNetworks(d *delta) {
	for _, ref := range slices.SortedFunc(maps.Keys(w.dirtyNetworks), compareNetworks) {
		old, had := w.done.networks[ref]
		now, have := w.networkView(ref)
		if had && have && reflect.DeepEqual(old, now) {
			continue
		}
		var before, after []of.Flow
		var groupsBefore, groupsAfter []of.Group
		if had {
			pipeline.Network(&old, collect(&before))
			groupsBefore = pipeline.Groups(w.sw, &old)
			delete(w.done.networks, ref)
		}
		if have {
			pipeline.Network(&now, collect(&after))
			groupsAfter = pipeline.Groups(w.sw, &now)
			w.done.networks[ref] = now
		}
		d.flows(before, after)
		w.done.flowCount += len(after) - len(before)
		d.groups(groupsBefore, groupsAfter)
		w.done.groupCount += len(groupsAfter) - len(groupsBefore)
		if had && old.Network.Learning && !(have && now.Network.Learning && old.Network.ID == now.Network.ID) {
			d.forget(pipeline.MakeCookie(pipeline.KindLearnedNetwork, old.Network.ID))
		}
	}
	clear(w.dirtyNetworks)
}

func (w *world) flushPeers(d *delta) {
	for _, ref := range slices.SortedFunc(maps.Keys(w.dirtyPeers), comparePeers) {
		old, had := w.done.peers[ref]
		now, have := w.peerView(ref)
		if had && have && old == now {
			continue
		}
		var before, after []of.Flow
		if had {
			pipeline.Peer(w.sw, &old, collect(&before))
			delete(w.done.peers, ref)
		}
		if have {
			pipeline.Peer(w.sw, &now, collect(&after))
			w.done.peers[ref] = now
		}
		d.flows(before, after)
		w.done.flowCount += len(after) - len(before)
		if had {
			d.forget(pipeline.MakeCookie(pipeline.KindLearnedPeer, old.Peer.ID))
		}
	}
	clear(w.dirtyPeers)
}

// wanted returns all flows and groups of the last flush.
func (w *world) wanted() (flows []of.Flow, groups []of.Group) {
	add := collect(&flows)
	pipeline.Base(w.sw, add)
	for _, h := range w.done.hosts {
		pipeline.Host(w.sw, h, add)
	}
	for _, n := range w.done.networks {
		pipeline.Network(&n, add)
		groups = append(groups, pipeline.Groups(w.sw, &n)...)
	}
	for _, p := range w.done.ports {
		pipeline.Port(w.sw, &p, add)
	}
	for _, p := range w.done.peers {
		pipeline.Peer(w.sw, &p, add)
	}
	return flows, groups
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
		if pipeline.LearnsLocally(&p) {
			owners[pipeline.MakeCookie(pipeline.KindLearnedPort, p.Port.ID)] = true
		}
	}
	for _, p := range w.done.peers {
		owners[pipeline.MakeCookie(pipeline.KindLearnedPeer, p.Peer.ID)] = true
	}
	return owners
}

// resync returns the mods that lead from what a switch holds to what the last
// flush wants. Learned flows are left alone as long as what they were learned for
// exists.
func (w *world) resync(flows []of.Flow, groups []of.Group) []of.Mod {
	owners := w.learnedOwners()
	have := slices.DeleteFunc(flows, func(f of.Flow) bool { return owners[pipeline.Cookie(f.Cookie)] })
	wantFlows, wantGroups := w.wanted()

	var d delta
	d.flows(have, wantFlows)
	d.groups(groups, wantGroups)
	return d.mods()
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

// delta gathers differences and orders them.
type delta struct {
	adds, deletes []of.Flow
	groupsPut     []of.Group
	groupsGone    []uint32
	forgets       []pipeline.Cookie
}

// flows notes how flows change from before to after.
func (d *delta) flows(before, after []of.Flow) {
	for _, m := range of.Diff(before, after) {
		if m.Command == of.FlowAdd {
			d.adds = append(d.adds, m.Flow)
		} else {
			d.deletes = append(d.deletes, m.Flow)
		}
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

// mods orders the changes. A port that goes is silenced first, and one that comes
// may speak only when all else is in place; groups are there before the flows
// that refer to them and go after them; later tables come before earlier ones;
// what is new comes before what is old goes.
func (d *delta) mods() []of.Mod {
	slices.SortStableFunc(d.adds, func(a, b of.Flow) int { return cmp.Compare(b.Table, a.Table) })
	slices.SortStableFunc(d.deletes, func(a, b of.Flow) int { return cmp.Compare(a.Table, b.Table) })

	mods := make([]of.Mod, 0, len(d.adds)+len(d.deletes)+len(d.groupsPut)+len(d.groupsGone)+len(d.forgets))
	entry := pipeline.EntryTable()
	added := map[of.FlowKey]bool{}
	for _, f := range d.adds {
		if f.Table == entry {
			added[f.Key()] = true
		}
	}
	for _, f := range d.deletes {
		if f.Table == entry && !added[f.Key()] {
			mods = append(mods, remove(f))
		}
	}
	for _, g := range d.groupsPut {
		mods = append(mods, &of.GroupMod{Command: of.GroupAddOrModify, Group: g})
	}
	for _, f := range d.adds {
		mods = append(mods, &of.FlowMod{Command: of.FlowAdd, Flow: f})
	}
	for _, f := range d.deletes {
		if f.Table != entry {
			mods = append(mods, remove(f))
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
