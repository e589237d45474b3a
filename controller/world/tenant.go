package world

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// tenant is a tenant of the host's span.
type tenant struct {
	intent.Tenant
	revision int64
	networks map[string]*network
	routes   map[netip.Prefix]intent.Route
	hops     map[netip.Addr][]netip.Prefix // destinations of routes, by next hop, ascending
	senders  map[string]int                // claims by host
	nat      natFacts
}

func (w *World) tenantClass() objectClass[intent.Tenant] {
	return objectClass[intent.Tenant]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Tenant { return []intent.Tenant{s.Tenant} },
		keep: func(t *tenant, now *intent.Tenant, _ bool) *intent.Tenant { // a deleted tenant is dropped as a whole
			old := t.Tenant
			t.Tenant = *now
			return &old
		},
		owns: func(_ *tenant, old, now *intent.Tenant) {
			if now == nil || old.VRF != now.VRF || old.ID != now.ID {
				w.ownTenant(old, now)
			}
		},
		changed: func(t *tenant, old, now *intent.Tenant) {
			if now != nil && (old.VRF != now.VRF || old.ID != now.ID) {
				w.touchAll(t)
			}
		},
		each:  func(t *tenant, visit func(*intent.Tenant)) { visit(&t.Tenant) },
		touch: func(t *tenant) { w.senders.touch(t.Name); w.tenantNAT.touch(t.Name); w.guards.touch("") },
	}
}

// Update applies an update from the store about one tenant.
func (w *World) Update(u intent.SpanUpdate) {
	switch {
	case u.Gone:
		w.Forget(u.Tenant)
	case u.Snapshot != nil:
		w.snapshot(u.Tenant, u.Snapshot)
	default:
		t := w.tenant(u.Tenant)
		for _, c := range u.Changes {
			w.change(t, c)
		}
	}
	if t := w.tenants[u.Tenant]; t != nil {
		t.revision = max(t.revision, u.Revision)
	}
}

// Forget drops a tenant from the span.
func (w *World) Forget(name string) {
	if w.drop(name) {
		w.check(name)
	}
}

// Tenants returns the tenants of the span, each with its revision.
func (w *World) Tenants() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for name, t := range w.tenants {
			if !yield(name, t.revision) {
				return
			}
		}
	}
}

// Revision returns a tenant's revision; false: it is not in the span.
func (w *World) Revision(tenant string) (int64, bool) {
	t := w.tenants[tenant]
	if t == nil {
		return 0, false
	}
	return t.revision, true
}

func (w *World) snapshot(name string, s *intent.Snapshot) {
	w.drop(name)
	t := w.tenant(name)
	for _, c := range w.classes {
		c.snapshot(w, t, s)
	}
}

func (w *World) change(t *tenant, c intent.Change) {
	if known := w.classOf[reflect.TypeOf(c.Object)]; known != nil {
		known.change(w, t, c.Object, c.Deleted)
	}
}

// drop removes a tenant's facts, and marks all its objects; false: there were none.
func (w *World) drop(name string) bool {
	t := w.tenants[name]
	if t == nil {
		return false
	}
	w.touchAll(t)
	for _, c := range w.classes {
		c.disown(t)
	}
	delete(w.tenants, name)
	return true
}

// touchAll marks all objects of a tenant. An unchanged one costs a comparison.
func (w *World) touchAll(t *tenant) {
	for _, c := range w.classes {
		c.touchAll(t)
	}
}

func (w *World) tenant(name string) *tenant {
	t := w.tenants[name]
	if t == nil {
		t = &tenant{
			networks: map[string]*network{},
			routes:   map[netip.Prefix]intent.Route{},
			hops:     map[netip.Addr][]netip.Prefix{},
			senders:  map[string]int{},
			nat:      newNATFacts(),
		}
		t.Name = name
		w.tenants[name] = t
	}
	return t
}

func (w *World) tenantID(name string) intent.ID { return w.tenants[name].ID }

// ownTenant records a tenant's unique values, or releases them.
func (w *World) ownTenant(old, now *intent.Tenant) {
	u := &w.unique
	var shared []string
	if old != nil && old.ID != 0 {
		shared = append(u.tenantIDs.remove(old.ID, old.Name), u.vrfs.remove(old.VRF, old.Name)...)
	}
	if now != nil && now.ID != 0 {
		shared = slices.Concat(shared, u.tenantIDs.add(now.ID, now.Name), u.vrfs.add(now.VRF, now.Name))
	}
	for _, name := range shared {
		if t := w.tenants[name]; t != nil {
			w.touchAll(t)
		}
	}
}

// olderTenant orders tenants by age.
func (w *World) olderTenant(a, b string) int {
	id := func(name string) intent.ID {
		if t := w.tenants[name]; t != nil {
			return t.ID
		}
		return 0
	}
	return cmp.Or(cmp.Compare(id(a), id(b)), cmp.Compare(a, b))
}

// tenantConflict says why a tenant is left out; "": it is not.
func (w *World) tenantConflict(t *tenant) string {
	u := &w.unique
	if len(u.tenantIDs.more)+len(u.vrfs.more) == 0 {
		return ""
	}
	if other, ok := u.vrfs.before(t.VRF, t.Name, w.olderTenant); ok {
		return fmt.Sprintf("it has VRF %d, which is that of tenant %s", t.VRF, other)
	}
	if other, ok := u.tenantIDs.before(t.ID, t.Name, w.olderTenant); ok {
		return fmt.Sprintf("it has id %d, which is that of tenant %s", t.ID, other)
	}
	return ""
}

// tenantConflicts lists tenants that are left out.
func (w *World) tenantConflicts(add func(object, why string)) {
	for _, t := range w.tenants {
		add("tenant "+t.Name, w.tenantConflict(t))
	}
}
