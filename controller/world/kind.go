package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// kind is one kind of object that has flows, such as ports: the objects touched by
// facts since the last flush, and the views of the last flush. A view is the whole
// input of its object's flows, and is never changed, only replaced.
//
// To add a kind: give it a field in World, declare it in New, and touch its objects
// where facts change. Everything else (changes, comparisons, notes) follows.
type kind[K comparable, V any] struct {
	// Set when it is declared.
	cookie  pipeline.Kind
	compare func(a, b K) int           // the order in which objects are applied
	view    func(K) *V                 // the view by the facts; nil: the object does not exist
	same    func(a, b *V) bool         // whether two views give the same flows
	id      func(*V) intent.ID         // of the object
	flows   func(*V, pipeline.Emit)    // emits its flows
	groups  func(*V) []of.Group        // that its flows refer to; nil: none have any
	meters  func(*V) []of.Meter        // that its flows refer to; nil: none have any
	learned func(*V) []pipeline.Cookie // cookies of flows that the switch learns for it; nil: none
	behind  func(*V) of.PortNo         // the switch port that learned flows lead to; nil or 0: any
	stale   func(old, now *V) bool     // whether all learned flows are to go; nil: only those whose cookies are gone
	changed func(ref K, old, now *V)   // further effects of a change; nil: none. One of old and now may be nil
	idOf    func(K) intent.ID          // the object's id by the facts alone, in case its view fails
	closed  func() *V                  // the view to use while none can be computed and none is known; nil: none
	faults  *faults

	needsExternals bool // views are complete only once the externals are known

	dirty   map[K]bool // failed objects stay here
	touched bool       // some became dirty since the last flush
	done    map[K]*V
}

// objects is what kinds have in common.
type objects interface {
	// advance applies the dirty objects, and adds the changes to d.
	advance(d *delta)
	// each visits all objects of the last flush. Visit must not keep the object, which
	// is reused for the next visit.
	each(visit func(object))
	// list appends the objects, which may be kept.
	list(into []object) []object
	kind() pipeline.Kind
	// pending reports whether any became dirty since the last flush.
	pending() bool
}

// object is one object as of the last flush.
type object interface {
	cookie() pipeline.Cookie
	name() string // for people: "port acme/web/c1"
	// emit returns false if it fails; the emitted flows are then incomplete.
	emit(pipeline.Emit) (whole bool)
	groups() []of.Group
	meters() []of.Meter
	learned() []pipeline.Cookie
	behind() of.PortNo // the switch port that learned flows lead to; 0: any
	needsExternals() bool
}

// declareKind adds a kind to those of w.
func declareKind[K comparable, V any](w *World, k kind[K, V]) *kind[K, V] {
	k.dirty, k.done, k.faults = map[K]bool{}, map[K]*V{}, w.faults
	w.kinds = append(w.kinds, &k)
	return &k
}

// expect makes room for n new objects.
func (k *kind[K, V]) expect(n int) {
	if len(k.dirty) == 0 {
		k.dirty = make(map[K]bool, n)
	}
	if len(k.done) == 0 {
		k.done = make(map[K]*V, n)
	}
}

// touch says that facts about an object changed.
func (k *kind[K, V]) touch(ref K) { k.dirty[ref], k.touched = true, true }

func (k *kind[K, V]) pending() bool { return k.touched }

func (k *kind[K, V]) kind() pipeline.Kind { return k.cookie }

func (k *kind[K, V]) each(visit func(object)) {
	e := entry[K, V]{k: k}
	for ref, v := range k.done {
		e.ref, e.v = ref, v
		visit(&e)
	}
}

func (k *kind[K, V]) list(into []object) []object {
	entries := make([]entry[K, V], 0, len(k.done))
	into = slices.Grow(into, len(k.done))
	for ref, v := range k.done {
		entries = append(entries, entry[K, V]{k, ref, v})
		into = append(into, &entries[len(entries)-1])
	}
	return into
}

func (k *kind[K, V]) advance(d *delta) {
	refs := slices.AppendSeq(make([]K, 0, len(k.dirty)), maps.Keys(k.dirty))
	slices.SortFunc(refs, k.compare)
	failed := map[K]bool{}
	for _, ref := range refs {
		old := k.done[ref]
		now, same, ok := k.look(ref, old)
		if !ok { // it stays as it was, until the next flush
			failed[ref] = true
		}
		if !ok || same {
			continue
		}
		if old != nil {
			delete(k.done, ref)
		}
		if now != nil {
			k.done[ref] = now
		}
		k.note(d, ref, old, now)
		k.forget(d, old, now)
		if k.changed != nil {
			k.follow(ref, old, now)
		}
	}
	// Not cleared: a map keeps its capacity, and iterating over it takes time at every
	// change.
	k.dirty, k.touched = failed, false
}

// look computes the view of an object, and reports whether it gives the same flows as
// the old one. It returns false for ok if that fails.
func (k *kind[K, V]) look(ref K, old *V) (now *V, same, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			k.faults.note(k.faults.views, k.nameOf(ref), k.staying(ref, old), r)
			if old == nil && k.closed != nil {
				now, same, ok = k.closed(), false, true
			}
		}
	}()
	now = k.view(ref)
	same = old == nil && now == nil || old != nil && now != nil && k.same(old, now)
	if k.faults.any() {
		if name := k.nameOf(ref); same {
			k.faults.forget(k.faults.views, name)
		} else {
			k.faults.changed(name)
		}
	}
	return now, same, true
}

// staying returns the cookie of the flows that stay as they are while the view of an
// object fails; 0: its old view still makes them.
func (k *kind[K, V]) staying(ref K, old *V) (c pipeline.Cookie) {
	if old != nil {
		return 0
	}
	defer func() { _ = recover() }() // then its flows are unknown
	if id := k.idOf(ref); id != 0 || k.cookie == pipeline.KindGuard {
		c = pipeline.MakeCookie(k.cookie, id)
	}
	return c
}

// follow applies the further effects of a change.
func (k *kind[K, V]) follow(ref K, old, now *V) {
	defer func() {
		if r := recover(); r != nil {
			k.faults.note(k.faults.facts, k.nameOf(ref), 0, r)
		}
	}()
	k.changed(ref, old, now)
}

func (k *kind[K, V]) nameOf(ref K) string { return fmt.Sprint(k.cookie, " ", ref) }

// note adds a change to a delta.
func (k *kind[K, V]) note(d *delta, ref K, old, now *V) {
	if d.uncompiled && k.groups == nil {
		d.some = true
		return
	}
	var before, after object
	if old != nil {
		before = &entry[K, V]{k, ref, old}
	}
	if now != nil {
		after = &entry[K, V]{k, ref, now}
	}
	d.change(before, after)
}

// forget deletes what the switch learned for the object's previous view.
func (k *kind[K, V]) forget(d *delta, old, now *V) {
	if k.learned == nil || old == nil {
		return
	}
	var keep []pipeline.Cookie
	if now != nil && (k.stale == nil || !k.stale(old, now)) {
		keep = k.learned(now)
	}
	for _, c := range k.learned(old) {
		if !slices.Contains(keep, c) {
			d.forgets = append(d.forgets, c)
		}
	}
}

// entry is one object of a kind.
type entry[K comparable, V any] struct {
	k   *kind[K, V]
	ref K
	v   *V
}

func (e *entry[K, V]) cookie() pipeline.Cookie { return pipeline.MakeCookie(e.k.cookie, e.k.id(e.v)) }

func (e *entry[K, V]) needsExternals() bool { return e.k.needsExternals }

func (e *entry[K, V]) name() string { return e.k.nameOf(e.ref) }

func (e *entry[K, V]) emit(emit pipeline.Emit) (whole bool) {
	defer e.caught()
	e.k.flows(e.v, emit)
	return true
}

func (e *entry[K, V]) groups() []of.Group {
	if e.k.groups == nil {
		return nil
	}
	defer e.caught()
	return e.k.groups(e.v)
}

func (e *entry[K, V]) meters() []of.Meter {
	if e.k.meters == nil {
		return nil
	}
	defer e.caught()
	return e.k.meters(e.v)
}

// caught is to be deferred: it records a panic while compiling the view.
func (e *entry[K, V]) caught() {
	if r := recover(); r != nil {
		e.k.faults.note(e.k.faults.flows, e.name(), e.cookie(), r)
	}
}

func (e *entry[K, V]) learned() []pipeline.Cookie {
	if e.k.learned == nil {
		return nil
	}
	return e.k.learned(e.v)
}

func (e *entry[K, V]) behind() of.PortNo {
	if e.k.behind == nil {
		return 0
	}
	return e.k.behind(e.v)
}
