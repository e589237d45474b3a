package world

import (
	"reflect"

	"github.com/ovloom/ovloom/intent"
)

// objectClass is how a World stores the objects of one class that the store has by
// tenant.
type objectClass[T intent.Object] struct {
	// of returns the objects of a snapshot.
	of func(t *tenant, s *intent.Snapshot) []T
	// keep replaces the object with now's reference or, if deleted is set, removes it,
	// and returns the previous object; nil: none. It also keeps data derived from the
	// tenant's objects alone.
	keep func(t *tenant, now *T, deleted bool) (old *T)
	// owns records what an object alone may have among all tenants, or releases it:
	// either may be nil. nil: nothing is exclusive.
	owns func(t *tenant, old, now *T)
	// changed marks what depends on the object. One of old and now may be nil.
	changed func(t *tenant, old, now *T)
	// each visits all objects of the class in a tenant; nil: nothing is exclusive.
	// Visit must not keep the pointer.
	each func(t *tenant, visit func(*T))
	// touch marks all objects of the class; nil: they have no flows of their own.
	touch func(t *tenant)
}

// intake is what all classes have in common.
type intake interface {
	change(w *World, t *tenant, o intent.Object, deleted bool)
	snapshot(w *World, t *tenant, s *intent.Snapshot)
	disown(t *tenant)
	touchAll(t *tenant)
}

// declareClass adds a class to those of w.
func declareClass[T intent.Object](w *World, c objectClass[T]) {
	w.classes = append(w.classes, &c)
	w.classOf[reflect.TypeFor[T]()] = &c
}

func (c *objectClass[T]) change(w *World, t *tenant, o intent.Object, deleted bool) {
	now := o.(T)
	c.take(w, t, &now, deleted)
}

func (c *objectClass[T]) snapshot(w *World, t *tenant, s *intent.Snapshot) {
	list := c.of(t, s)
	for i := range list {
		c.take(w, t, &list[i], false)
	}
}

// take applies a change of one object. If that fails, the other objects are not
// affected.
func (c *objectClass[T]) take(w *World, t *tenant, o *T, deleted bool) {
	defer func() {
		if r := recover(); r != nil {
			w.faults.note(w.faults.facts, intent.ObjectName(*o), 0, r)
		}
	}()
	old, now := c.keep(t, o, deleted), o
	if deleted {
		now = nil
	}
	if c.owns != nil {
		c.owns(t, old, now)
	}
	if old == nil && now == nil {
		old = o // part of it may be left
	}
	c.changed(t, old, now)
	if w.faults.any() {
		w.faults.forget(w.faults.facts, intent.ObjectName(*o))
	}
}

func (c *objectClass[T]) disown(t *tenant) {
	if c.owns != nil {
		c.each(t, func(o *T) { c.owns(t, o, nil) })
	}
}

func (c *objectClass[T]) touchAll(t *tenant) {
	if c.touch != nil {
		c.touch(t)
	}
}

// replace puts an object into a map, or removes it, and returns the previous one.
func replace[K comparable, T any](m map[K]T, k K, o *T, deleted bool) (old *T) {
	if was, ok := m[k]; ok {
		kept := was // only the previous object needs memory of its own
		old = &kept
	}
	if deleted {
		delete(m, k)
	} else {
		m[k] = *o
	}
	return old
}
