package world

import (
	"cmp"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

func (w *World) forwardClass() objectClass[intent.Forward] {
	return objectClass[intent.Forward]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Forward { return s.Forwards },
		keep: func(t *tenant, now *intent.Forward, deleted bool) *intent.Forward {
			old := replace(t.nat.forwards, now.Ref(), now, deleted)
			if old != nil {
				w.reach(t, old.To, -1)
			}
			if !deleted {
				w.reach(t, now.To, +1)
			}
			return old
		},
		owns: func(t *tenant, old, now *intent.Forward) {
			if old != nil {
				w.ownAddress(t.Name, old.External, old.Address, -1)
			}
			if now != nil {
				w.ownAddress(t.Name, now.External, now.Address, +1)
			}
		},
		changed: func(t *tenant, old, now *intent.Forward) {
			for _, f := range []*intent.Forward{old, now} {
				if f != nil {
					w.forwards.touch(f.Ref())
					w.touchAddress(t, f.External, f.Address)
				}
			}
			w.touchForwardsOf(t, cmp.Or(now, old).External)
			w.natChanged(t, old == nil, now == nil)
		},
		each: func(t *tenant, visit func(*intent.Forward)) {
			for _, f := range t.nat.forwards {
				visit(&f)
			}
		},
		touch: w.touchForwards,
	}
}

func (w *World) forwardKind() kind[intent.ForwardRef, pipeline.ForwardView] {
	return kind[intent.ForwardRef, pipeline.ForwardView]{
		cookie: pipeline.KindForward, needsExternals: true, compare: compareForwards, view: w.forwardView,
		idOf:    func(ref intent.ForwardRef) intent.ID { return w.tenants[ref.Tenant].nat.forwards[ref].ID },
		same:    func(a, b *pipeline.ForwardView) bool { return *a == *b },
		id:      func(v *pipeline.ForwardView) intent.ID { return v.Forward.ID },
		flows:   func(v *pipeline.ForwardView, emit pipeline.Emit) { pipeline.Forward(w.sw, v, emit) },
		changed: func(ref intent.ForwardRef, _, _ *pipeline.ForwardView) { w.check(ref.Tenant) },
	}
}

func (w *World) touchForwards(t *tenant) {
	for ref, f := range t.nat.forwards {
		w.forwards.touch(ref)
		w.touchAddress(t, ref.External, f.Address)
	}
}

// touchForwardsOf marks all forwards of an external: together they decide which host
// answers for their address.
func (w *World) touchForwardsOf(t *tenant, external string) {
	for r, f := range t.nat.forwards {
		if r.External == external {
			w.forwards.touch(r)
			w.touchAddress(t, external, f.Address)
		}
	}
}

// HostForwards returns the forwards of externals of kind host that begin here, in order.
func (w *World) HostForwards() []intent.Forward {
	var list []intent.Forward
	for ref, v := range w.forwards.done {
		if e := w.externalByName[ref.External]; v.Entry && e != nil && e.Kind == intent.ExternalHost {
			list = append(list, v.Forward)
		}
	}
	slices.SortFunc(list, func(a, b intent.Forward) int { return compareForwards(a.Ref(), b.Ref()) })
	return list
}

// forwardsHere reports whether this host answers for the address of a tenant's
// forwards: of kind host, every host for its own; of kind bridge, the host with the
// target of the oldest forward.
func (w *World) forwardsHere(t *tenant, e *intent.External) bool {
	if e.Kind == intent.ExternalHost {
		return true
	}
	var oldest intent.Forward
	for r, f := range t.nat.forwards {
		if r.External != e.Name || oldest.ID != 0 && f.ID > oldest.ID {
			continue
		}
		if n := t.networks[f.To.Network]; n != nil && len(n.claims[f.To.Port]) > 0 {
			oldest = f
		}
	}
	return oldest.ID != 0 && w.here(oldest.To)
}

func (w *World) forwardView(ref intent.ForwardRef) *pipeline.ForwardView {
	t := w.tenants[ref.Tenant]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	f, ok := t.nat.forwards[ref]
	e, up := w.uplink(ref.External)
	inner := w.inner(f.To)
	if !ok || e == nil || !inner.IsValid() {
		return nil
	}
	v := &pipeline.ForwardView{Forward: f, VRF: t.VRF, Zone: zone, Inner: inner, Only: true, First: true,
		Entry: up.OFPort != 0 && w.forwardsHere(t, e), Here: w.here(f.To)}
	if !v.Entry && !v.Here {
		return nil
	}
	for other, o := range t.nat.forwards {
		if other != ref && other.External == ref.External && other.Protocol == ref.Protocol {
			v.Only = false
			v.First = v.First && (f.ID < o.ID || !w.inner(o.To).IsValid())
		}
	}
	v.First = v.First && !v.Only
	return v
}

func compareForwards(a, b intent.ForwardRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.External, b.External),
		cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}
