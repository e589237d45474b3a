package world

import (
	"cmp"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

func (w *World) floatingClass() objectClass[intent.Floating] {
	return objectClass[intent.Floating]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Floating { return s.Floatings },
		keep: func(t *tenant, now *intent.Floating, deleted bool) *intent.Floating {
			ref := now.Ref()
			old := replace(t.nat.floatings, ref, now, deleted)
			if old != nil {
				w.reach(t, ref.PortRef, -1)
				if at := (outerKey{ref.External, old.Address}); t.nat.floatingAt[at] == ref {
					delete(t.nat.floatingAt, at)
				}
			}
			if !deleted {
				w.reach(t, ref.PortRef, +1)
				t.nat.floatingAt[outerKey{ref.External, now.Address}] = ref
			}
			return old
		},
		owns: func(t *tenant, old, now *intent.Floating) {
			if old != nil {
				w.ownAddress(t.Name, old.External, old.Address, -1)
			}
			if now != nil {
				w.ownAddress(t.Name, now.External, now.Address, +1)
			}
		},
		changed: func(t *tenant, old, now *intent.Floating) {
			for _, f := range []*intent.Floating{old, now} {
				if f != nil {
					w.floatings.touch(f.Ref())
					w.touchAddress(t, f.External, f.Address)
				}
			}
			port := cmp.Or(now, old).PortRef()
			if t.nat.targets[port] > 1 || now == nil { // the source address of the port's connections may change
				for other := range t.nat.floatings {
					if other.PortRef == port {
						w.floatings.touch(other)
					}
				}
			}
			w.natChanged(t, old == nil, now == nil)
		},
		each: func(t *tenant, visit func(*intent.Floating)) {
			for _, f := range t.nat.floatings {
				visit(&f)
			}
		},
		touch: w.touchFloatings,
	}
}

func (w *World) floatingKind() kind[intent.FloatingRef, pipeline.FloatingView] {
	return kind[intent.FloatingRef, pipeline.FloatingView]{
		cookie: pipeline.KindFloating, needsExternals: true, compare: compareFloatings, view: w.floatingView,
		idOf:    func(ref intent.FloatingRef) intent.ID { return w.tenants[ref.Tenant].nat.floatings[ref].ID },
		same:    func(a, b *pipeline.FloatingView) bool { return *a == *b },
		id:      func(v *pipeline.FloatingView) intent.ID { return v.Floating.ID },
		flows:   pipeline.Floating,
		changed: func(ref intent.FloatingRef, _, _ *pipeline.FloatingView) { w.check(ref.Tenant) },
	}
}

func (w *World) touchFloatings(t *tenant) {
	for ref, f := range t.nat.floatings {
		w.floatings.touch(ref)
		w.touchAddress(t, ref.External, f.Address)
	}
}

func (w *World) floatingView(ref intent.FloatingRef) *pipeline.FloatingView {
	t := w.tenants[ref.Tenant]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	f, ok := t.nat.floatings[ref]
	e, up := w.uplink(ref.External)
	inner := w.inner(ref.PortRef)
	if !ok || e == nil || up.OFPort == 0 || !inner.IsValid() || !w.here(ref.PortRef) {
		return nil
	}
	return &pipeline.FloatingView{Floating: f, VNI: e.VNI(), VRF: t.VRF, Zone: zone, Inner: inner, Source: w.isSource(t, f)}
}

// isSource reports whether a port's own connections use one of its floating addresses:
// they use the oldest that has an uplink here.
func (w *World) isSource(t *tenant, f intent.Floating) bool {
	// There are few externals, and many floating addresses.
	for external, up := range w.uplinks {
		other, ok := t.nat.floatings[intent.FloatingRef{PortRef: f.PortRef(), External: external}]
		if ok && other.ID < f.ID && w.externalByName[external] != nil && up.OFPort != 0 {
			return false
		}
	}
	return true
}

func compareFloatings(a, b intent.FloatingRef) int {
	return cmp.Or(ComparePorts(a.PortRef, b.PortRef), cmp.Compare(a.External, b.External))
}
