package store

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Keys returns every key of the store, ordered.
func (s *Store) Keys(ctx context.Context) ([]string, error) {
	all, _, err := s.kv.List(ctx, "list keys", kv.Root)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(all))
	for i, it := range all {
		keys[i] = it.Key
	}
	return keys, nil
}

// Check reads the whole store at one revision and returns its findings in order, one a
// line: objects that are invalid or lack what they refer to, missing index keys, and keys
// that belong to nothing.
func (s *Store) Check(ctx context.Context) ([]string, error) {
	all, _, err := s.kv.List(ctx, "check the store", kv.Root)
	if err != nil {
		return nil, err
	}
	c := checker{
		index:    map[string]string{},
		guard:    map[string]intent.Guarded{},
		all:      map[intent.Reference]intent.Object{},
		counters: map[intent.PortRef]uint64{},
		ids:      map[intent.ID]string{},
	}
	for _, it := range all {
		c.read(it)
	}
	c.objects()
	c.routing()
	c.nat()
	c.indexes()
	c.guarded()
	slices.Sort(c.findings)
	return c.findings, nil
}

// checker holds the whole store while it is checked.
type checker struct {
	findings []string

	index    map[string]string // index keys as found
	guard    map[string]intent.Guarded
	all      map[intent.Reference]intent.Object
	counters map[intent.PortRef]uint64
	ids      map[intent.ID]string
}

// look returns an object of the store.
func (c *checker) look(ref intent.Reference) (intent.Object, bool) {
	o, ok := c.all[ref]
	return o, ok
}

// each returns all objects of one class.
func each[T intent.Object](c *checker) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, o := range c.all {
			if t, ok := o.(T); ok && !yield(t) {
				return
			}
		}
	}
}

func (c *checker) find(format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// read adds one key to the checker.
func (c *checker) read(it kv.Item) {
	switch {
	case strings.HasPrefix(it.Key, indexRoot):
		c.index[it.Key] = string(it.Value)
		return
	case strings.HasPrefix(it.Key, claimRoot):
		ref, ok := portName(it.Key[len(claimRoot):])
		v, err := kv.Decode[claimValue](it.Value)
		if !ok || err != nil {
			c.find("key %s cannot be read: %v", it.Key, err)
			return
		}
		c.counters[ref] = v.Generation
		return
	case it.Key == kv.NameKey, strings.HasPrefix(it.Key, counterRoot), strings.HasPrefix(it.Key, aliveRoot), strings.HasPrefix(it.Key, appliedRoot),
		strings.HasPrefix(it.Key, examineAsked), strings.HasPrefix(it.Key, examineReports),
		strings.HasPrefix(it.Key, questionsRoot), strings.HasPrefix(it.Key, answersRoot):
		return
	}
	change, err := changeOf(kv.Event{Item: it})
	if err != nil {
		c.find("%v", err)
		return
	}
	if g, is := change.Object.(intent.Guarded); is {
		c.guard[it.Key] = g
		return
	}
	c.all[change.Object.Reference()] = change.Object
	id, has := intent.IDOf(change.Object)
	if !has {
		return
	}
	name := intent.ObjectName(change.Object)
	if other, taken := c.ids[id]; taken && strings.HasPrefix(name, "host ") && strings.HasPrefix(other, "host ") {
		c.find("%s has id %d, which is that of %q: restart ovloomd there, and it takes another; one of an earlier version does not: "+
			"stop it, and start it again after this on another host: ovloom host remove %s --cascade", name, id, other, strings.TrimPrefix(name, "host "))
	} else if taken || id == 0 {
		c.find("%s has id %d, which is that of %q", name, id, other)
	}
	c.ids[id] = name
}

// objects checks each object by itself, and that the objects it needs exist.
func (c *checker) objects() {
	for ref, o := range c.all {
		if err := classes[ref.Class()].check(o, c.look); err != nil {
			c.find("%s: %v", intent.ObjectName(o), err)
		}
		for _, n := range classes[ref.Class()].needsOf(o) {
			if _, ok := c.all[n]; !ok {
				c.find("%s has no %s", intent.ObjectName(o), className(n.Class()))
			}
		}
	}
	for b := range each[intent.Binding](c) {
		if last := c.counters[b.PortRef()]; b.Generation == 0 || b.Generation > last {
			c.find("%s has generation %d, the port's last is %d", intent.ObjectName(b), b.Generation, last)
		}
	}
	for ref := range c.counters {
		if _, ok := c.all[ref]; !ok {
			c.find("claim counter of %s has no port", ref)
		}
	}
	vteps := map[netip.Addr]string{}
	for h := range each[intent.Host](c) {
		vteps[h.VTEP] = h.Name
	}
	for p := range each[intent.Peer](c) {
		if host, taken := vteps[p.VTEP]; taken {
			c.find("%s has the VTEP address of host %s", intent.ObjectName(p), host)
		}
	}
}

// className is the name of a class for people.
func className(c intent.Class) string {
	if c == intent.ClassSNAT {
		return "SNAT"
	}
	return string(c)
}

// indexes compares the index keys with those that the objects should have.
func (c *checker) indexes() {
	want := map[string]string{}
	shared := map[string]bool{}
	for ref, o := range c.all {
		for _, h := range classes[ref.Class()].holdsOf(o, c.look) {
			other, taken := want[h.key]
			if taken && !(h.shared && shared[h.key] && other == h.value) {
				c.find("index key %s belongs to both %s and %s", h.key, other, h.value)
			}
			want[h.key], shared[h.key] = h.value, h.shared
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got, ok := c.index[key]; !ok {
			c.find("index key %s of %s is missing", key, want[key])
		} else if got != want[key] {
			c.find("index key %s names %s instead of %s", key, got, want[key])
		}
	}
	for key, value := range c.index {
		if _, ok := want[key]; !ok {
			c.find("index key %s of %s belongs to nothing", key, value)
		}
	}
}

// guarded compares the guard's keys with the objects they are made from.
func (c *checker) guarded() {
	left := maps.Clone(c.guard)
	for p := range each[intent.Peer](c) {
		k := guardVTEPKey(p.VTEP, p.ID)
		if g, ok := c.guard[k]; !ok || g.VTEP != p.VTEP {
			c.find("key %s of %s is missing: hosts do not keep tenants from its VTEP", k, intent.ObjectName(p))
		}
		delete(left, k)
	}
	for h := range each[intent.Host](c) {
		if g, ok := c.guard[guardHostKey(h.Name)]; ok && g.Host != h.Name {
			c.find("key %s is about host %q", guardHostKey(h.Name), g.Host)
		}
		delete(left, guardHostKey(h.Name))
	}
	for k := range left {
		c.find("key %s belongs to nothing", k)
	}
}
