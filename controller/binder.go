package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ovloom/ovloom/controller/world"
	"github.com/ovloom/ovloom/intent"
)

// binder knows which port each local interface carries, and reconciles claims,
// interface rows and the store. It compares the current state with the wanted one, and
// never relies on events: an event that comes late, twice or not at all changes
// nothing.
type binder struct {
	// Set by newBinder.
	self   string
	known  knowledge
	arrive func(intent.PortRef) // called for each port that has come up here
	// others waits, briefly, until all other hosts know a tenant as of a revision; nil:
	// no wait.
	others func(ctx context.Context, tenant string, revision int64) error

	plugs  map[string]*plug                    // by the interface's row
	owners map[intent.PortRef]string           // the plug that carries a port: one of them, if several name it
	stale  map[intent.PortRef]uint64           // ports that may have a claim of this host's without a plug; its generation, if known
	byPort map[intent.PortRef]map[string]*plug // all plugs that name a port

	// expected are ports that are being plugged here, or just were, and whose interface
	// has not been seen yet, with when to give them up; zero: still being plugged.
	// Their claim may come before their interface, and must not be released as one
	// without an interface: a port taken from another host would go back to it.
	expected map[intent.PortRef]time.Time

	claimedAt map[intent.PortRef]int64 // the revisions of this host's claims that are not up yet
	knownAt   map[string]int64         // by tenant: the revision that the other hosts know
}

// knowledge is what a binder needs to know from the controller.
type knowledge struct {
	tenant func(name string) bool    // the store, or a cached copy, has sent the tenant, or that it is gone
	iface  func(ifaceID string) bool // the port of an interface, if any, has been looked up
	busy   func(queue string) bool   // a task of the queue is running
}

// plug is an interface here that names a port.
type plug struct {
	Interface
	ref      intent.PortRef
	resolved bool   // ref is a port in the store
	refused  string // why the port may not be claimed
	granted  uint64 // generation granted by the store; the row may not carry it yet
}

func newBinder(self string, known knowledge, arrive func(intent.PortRef)) *binder {
	return &binder{
		self: self, known: known, arrive: arrive,
		plugs:  map[string]*plug{},
		owners: map[intent.PortRef]string{},
		stale:  map[intent.PortRef]uint64{},
		byPort: map[intent.PortRef]map[string]*plug{},

		expected: map[intent.PortRef]time.Time{},

		claimedAt: map[intent.PortRef]int64{},
		knownAt:   map[string]int64{},
	}
}

// setInterfaces replaces the list of interfaces. It returns the interface ids that were
// added, to be looked up in the store, and the removed ones.
func (b *binder) setInterfaces(list []Interface, w *world.World) (came, went []string) {
	before := b.ids()
	seen := map[string]bool{}
	for _, i := range list {
		if i.IfaceID == "" {
			continue
		}
		seen[i.UUID] = true
		p := b.plugs[i.UUID]
		if p == nil || p.IfaceID != i.IfaceID {
			if p != nil {
				b.detach(p, w)
			}
			p = &plug{}
			b.plugs[i.UUID] = p
			for _, other := range b.plugs {
				if other.IfaceID == i.IfaceID && other.resolved {
					p.Interface = i
					b.attach(p, other.ref, w)
					break
				}
			}
		}
		p.Interface = i
		if p.resolved {
			b.elect(p.ref, w)
		}
	}
	for uuid, p := range b.plugs {
		if !seen[uuid] {
			b.detach(p, w)
			delete(b.plugs, uuid)
		}
	}
	after := b.ids()
	for id := range after {
		if !before[id] {
			came = append(came, id)
		}
	}
	for id := range before {
		if !after[id] {
			went = append(went, id)
		}
	}
	slices.Sort(came)
	slices.Sort(went)
	return came, went
}

func (b *binder) ids() map[string]bool {
	ids := map[string]bool{}
	for _, p := range b.plugs {
		ids[p.IfaceID] = true
	}
	return ids
}

// resolve says which port an interface id means, or that it means none.
func (b *binder) resolve(ifaceID string, ref intent.PortRef, ok bool, w *world.World) {
	for _, p := range b.plugs {
		if p.IfaceID != ifaceID || p.resolved == ok && (!ok || p.ref == ref) {
			continue
		}
		b.detach(p, w)
		if ok {
			b.attach(p, ref, w)
		}
	}
}

// expects returns the port of an interface that was just made here for a port with a
// known UUID.
func (b *binder) expects(ifaceID string, w *world.World) (intent.PortRef, bool) {
	for ref := range b.expected {
		if p, known := w.Port(ref); known && p.UUID == ifaceID {
			return ref, true
		}
	}
	return intent.PortRef{}, false
}

func (b *binder) attach(p *plug, ref intent.PortRef, w *world.World) {
	p.ref, p.resolved = ref, true
	if b.byPort[ref] == nil {
		b.byPort[ref] = map[string]*plug{}
	}
	b.byPort[ref][p.UUID] = p
	delete(b.expected, ref)
	b.elect(ref, w)
}

func (b *binder) detach(p *plug, w *world.World) {
	if !p.resolved {
		return
	}
	ref := p.ref
	delete(b.byPort[ref], p.UUID)
	if len(b.byPort[ref]) == 0 {
		delete(b.byPort, ref)
		b.mayBeStale(ref, p.granted)
	}
	p.resolved, p.granted = false, 0
	b.elect(ref, w)
}

// elect chooses the interface that carries a port: a working one first, then the one
// that carries it already, then the first by name.
func (b *binder) elect(ref intent.PortRef, w *world.World) {
	var best *plug
	for _, uuid := range slices.Sorted(maps.Keys(b.byPort[ref])) {
		p := b.byPort[ref][uuid]
		switch {
		case best == nil, best.OFPort == 0 && p.OFPort != 0:
			best = p
		case best.OFPort != 0 && p.OFPort == 0:
		case b.owners[ref] == p.UUID:
			best = p
		case b.owners[ref] == best.UUID:
		case p.Name < best.Name:
			best = p
		}
	}
	if best == nil {
		delete(b.owners, ref)
		w.SetLocal(ref, 0)
		w.SetHeld(ref, 0)
		return
	}
	b.owners[ref] = best.UUID
	w.SetLocal(ref, best.OFPort)
	w.SetHeld(ref, max(best.Generation, best.granted))
}

// tenants returns the tenants that concern this host: the tenants of its plugs, and
// those in which it may have left a claim.
func (b *binder) tenants() map[string]bool {
	span := map[string]bool{}
	for ref := range b.byPort {
		span[ref.Tenant] = true
	}
	for ref := range b.stale {
		span[ref.Tenant] = true
	}
	return span
}

// span remembers this host's claims in a tenant that have no plug: the interface went
// while ovloomd was not running.
func (b *binder) span(u intent.SpanUpdate) {
	if u.Gone {
		delete(b.knownAt, u.Tenant)
		maps.DeleteFunc(b.claimedAt, func(ref intent.PortRef, _ int64) bool { return ref.Tenant == u.Tenant })
		maps.DeleteFunc(b.stale, func(ref intent.PortRef, _ uint64) bool { return ref.Tenant == u.Tenant })
		return
	}
	note := func(c intent.Binding) {
		if c.Host == b.self {
			b.mayBeStale(c.PortRef(), c.Generation)
			if c.Up {
				delete(b.claimedAt, c.PortRef())
			} else {
				b.claimedAt[c.PortRef()] = u.Revision
			}
		}
	}
	if u.Snapshot != nil {
		for _, c := range u.Snapshot.Bindings {
			note(c)
		}
	}
	for _, c := range u.Changes {
		claim, ok := c.Object.(intent.Binding)
		switch {
		case ok && !c.Deleted:
			note(claim)
		case ok && claim.Host == b.self:
			delete(b.claimedAt, claim.PortRef())
		}
	}
}

// mayBeStale notes that a port may have a claim of this host's, with the generation if
// it is not 0, and no interface.
func (b *binder) mayBeStale(ref intent.PortRef, generation uint64) {
	if b.byPort[ref] == nil {
		b.stale[ref] = max(b.stale[ref], generation)
	}
}

// tasks compares claims, rows and store, and returns the tasks that reconcile them.
// flowsIn says whether the switch has everything of the last flush.
func (b *binder) tasks(w *world.World, flowsIn bool, claims Claims, rows Interfaces) []task {
	var list []task
	waiting := map[string]bool{}
	others := map[string]bool{} // by tenant: other hosts have ports in it
	othersKnow := func(ref intent.PortRef) bool {
		is, asked := others[ref.Tenant]
		if !asked {
			is = w.HasOthers(ref.Tenant)
			others[ref.Tenant] = is
		}
		return b.othersKnow(ref, is)
	}
	for _, uuid := range slices.Sorted(maps.Keys(b.plugs)) {
		p := b.plugs[uuid]
		up := false
		if p.resolved && b.owners[p.ref] == uuid {
			if _, known := w.Port(p.ref); known {
				own, inForce := w.Claim(p.ref)
				list = append(list, b.settleClaim(p, own, claims, rows)...)
				up = inForce && p.OFPort != 0
				if up && flowsIn && own.Generation != 0 && !own.Up && !othersKnow(p.ref) {
					if t := p.ref.Tenant; !waiting[t] {
						waiting[t] = true
						revision, _ := w.Revision(t)
						list = append(list, b.awaitOthers(t, revision))
					}
					continue
				}
				if flowsIn && own.Generation != 0 && (own.Up != up || own.Fault != p.Fault) {
					list = append(list, b.markUp(p.ref, own.Generation, up, p.Fault, claims))
				}
			}
		}
		if flowsIn && up != p.Installed && (up || b.isKnown(p)) {
			list = append(list, install(uuid, up, rows))
		}
	}
	return append(list, b.releases(w, claims)...)
}

// othersKnow reports whether all other hosts of the port's tenant know that it is here.
// Until then they drop packets that this host sends for the tenant, if the port is its
// first one here, and send the port's packets elsewhere. others says whether there are
// other hosts.
func (b *binder) othersKnow(ref intent.PortRef, others bool) bool {
	return b.others == nil || b.knownAt[ref.Tenant] >= b.claimedAt[ref] || !others
}

// awaitOthers waits for the other hosts to know all claims of a tenant: one wait covers
// all ports that come up meanwhile.
func (b *binder) awaitOthers(tenant string, revision int64) task {
	return task{
		queue: "others of " + tenant, what: "wait for the other hosts to know of a port",
		do:   func(ctx context.Context) error { return b.others(ctx, tenant, revision) },
		done: func() { b.knownAt[tenant] = max(b.knownAt[tenant], revision) },
	}
}

// isKnown reports whether the store, or a cached copy, has sent everything that
// concerns a plug.
func (b *binder) isKnown(p *plug) bool {
	return b.known.iface(p.IfaceID) && (!p.resolved || b.known.tenant(p.ref.Tenant))
}

// settleClaim claims the port of a plug where that has not been done, and keeps the
// claim's generation on the interface's row, so that a restarted ovloomd does not claim
// again.
func (b *binder) settleClaim(p *plug, own intent.Binding, claims Claims, rows Interfaces) []task {
	ref, uuid := p.ref, p.UUID
	held := max(p.Generation, p.granted)
	switch {
	case own.Generation == 0 && p.OFPort == 0:
		return nil // wait until the interface works
	case own.Generation == 0 || own.Generation != held:
		var got intent.Binding
		plugged := p.Plugged
		return []task{{
			queue: storeQueue(ref), what: "claim the port", goal: fmt.Sprintf("%s claims", uuid),
			do: func(ctx context.Context) (err error) {
				if plugged {
					got, err = claims.ClaimFree(ctx, ref, b.self, held)
				} else {
					got, err = claims.Claim(ctx, ref, b.self, held)
				}
				return err
			},
			failed: func(err error) {
				p.refused = ""
				if conflict := new(intent.Error); errors.As(err, &conflict) && conflict.Kind == intent.Conflict {
					p.refused = conflict.What
				}
			},
			done: func() {
				p.granted, p.refused = got.Generation, ""
				b.mayBeStale(ref, got.Generation) // the interface may have gone meanwhile
			},
		}}
	case p.Generation != held:
		return []task{{
			queue: "row " + uuid, what: "keep the claim's generation on the interface", goal: fmt.Sprintf("generation %d", held),
			do: func(ctx context.Context) error { return rows.SetGeneration(ctx, uuid, held) },
		}}
	}
	return nil
}

func (b *binder) markUp(ref intent.PortRef, generation uint64, up bool, fault string, claims Claims) task {
	return task{
		queue: storeQueue(ref), what: "mark the binding", goal: fmt.Sprintf("%d up %v %s", generation, up, fault),
		do: func(ctx context.Context) error { return claims.MarkUp(ctx, ref, b.self, generation, up, fault) },
		done: func() {
			if up {
				b.arrive(ref)
			}
		},
	}
}

func install(uuid string, on bool, rows Interfaces) task {
	return task{
		queue: "row " + uuid, what: "mark the interface", goal: fmt.Sprintf("installed %v", on),
		do: func(ctx context.Context) error { return rows.SetInstalled(ctx, uuid, on) },
	}
}

// expectFor is how long the switch's database may take to show the interface of a
// plugged port.
const expectFor = 15 * time.Second

// releases gives up claims without an interface, but not while some interface's port is
// unknown.
func (b *binder) releases(w *world.World, claims Claims) []task {
	for _, p := range b.plugs {
		if !b.known.iface(p.IfaceID) {
			return nil
		}
	}
	maps.DeleteFunc(b.expected, func(_ intent.PortRef, until time.Time) bool {
		return !until.IsZero() && time.Now().After(until)
	})
	var list []task
	for _, ref := range slices.SortedFunc(maps.Keys(b.stale), world.ComparePorts) {
		own, _ := w.Claim(ref)
		generation := max(own.Generation, b.stale[ref])
		_, expected := b.expected[ref]
		switch {
		case b.byPort[ref] != nil:
			delete(b.stale, ref)
		case expected:
		case b.known.busy(storeQueue(ref)):
			// A claim may be under way, and must not be forgotten.
		case generation != 0:
			list = append(list, task{
				queue: storeQueue(ref), what: "release the port", goal: fmt.Sprintf("%d released", generation),
				do: func(ctx context.Context) error { return claims.Release(ctx, ref, b.self, generation) },
				done: func() {
					if b.stale[ref] == generation {
						b.stale[ref] = 0 // the watch may not have shown it yet
					}
				},
			})
		case b.known.tenant(ref.Tenant):
			delete(b.stale, ref) // the store has no claim of this host's
		}
	}
	return list
}

// storeQueue orders the store's calls about one port.
func storeQueue(ref intent.PortRef) string { return "store " + ref.String() }

// duplicates returns the ports that several interfaces here name.
func (b *binder) duplicates() map[intent.PortRef][]string {
	d := map[intent.PortRef][]string{}
	for ref, plugs := range b.byPort {
		if len(plugs) < 2 {
			continue
		}
		for _, p := range plugs {
			d[ref] = append(d[ref], p.Name)
		}
		slices.Sort(d[ref])
	}
	return d
}

// ports returns the plugs, by interface name.
func (b *binder) ports() []plug {
	var all []plug
	for _, p := range b.plugs {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b plug) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}
