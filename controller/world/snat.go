package world

import (
	"cmp"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

func (w *World) snatClass() objectClass[intent.SNAT] {
	return objectClass[intent.SNAT]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.SNAT { return s.SNATs },
		keep: func(t *tenant, now *intent.SNAT, deleted bool) *intent.SNAT {
			return replace(t.nat.snats, now.External, now, deleted)
		},
		owns: func(t *tenant, old, now *intent.SNAT) {
			if old != nil {
				w.ownAddress(t.Name, old.External, old.Address, -1)
			}
			if now != nil {
				w.ownAddress(t.Name, now.External, now.Address, +1)
			}
		},
		changed: func(t *tenant, old, now *intent.SNAT) {
			for _, s := range []*intent.SNAT{old, now} {
				if s != nil {
					w.snats.touch(s.Ref())
					w.touchAddress(t, s.External, s.Address)
				}
			}
			for _, s := range t.nat.snats { // which of several is used
				w.snats.touch(s.Ref())
			}
			w.natChanged(t, old == nil, now == nil)
		},
		each: func(t *tenant, visit func(*intent.SNAT)) {
			for _, s := range t.nat.snats {
				visit(&s)
			}
		},
		touch: w.touchSNATs,
	}
}

func (w *World) snatKind() kind[intent.SNATRef, pipeline.SNATView] {
	return kind[intent.SNATRef, pipeline.SNATView]{
		cookie: pipeline.KindSNAT, needsExternals: true, compare: compareSNATs, view: w.snatView,
		idOf:    func(ref intent.SNATRef) intent.ID { return w.tenants[ref.Tenant].nat.snats[ref.External].ID },
		same:    func(a, b *pipeline.SNATView) bool { return *a == *b },
		id:      func(v *pipeline.SNATView) intent.ID { return v.SNAT.ID },
		flows:   pipeline.SNAT,
		changed: func(ref intent.SNATRef, _, _ *pipeline.SNATView) { w.check(ref.Tenant) },
	}
}

func (w *World) touchSNATs(t *tenant) {
	for external, s := range t.nat.snats {
		w.snats.touch(s.Ref())
		w.touchAddress(t, external, s.Address)
	}
}

func (w *World) snatView(ref intent.SNATRef) *pipeline.SNATView {
	t := w.tenants[ref.Tenant]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	s, ok := t.nat.snats[ref.External]
	e, up := w.uplink(ref.External)
	if !ok || e == nil {
		return nil
	}
	for _, other := range t.nat.snats {
		if other.ID < s.ID {
			return nil // the store allows one per tenant; this one is about to go
		}
	}
	v := &pipeline.SNATView{SNAT: s, VNI: e.VNI(), VRF: t.VRF, Zone: zone}
	if up.OFPort != 0 {
		v.Address = w.snatAddress(t, e)
	}
	return v
}

// snatAddress returns a tenant's SNAT address here; not valid: none yet.
func (w *World) snatAddress(t *tenant, e *intent.External) netip.Addr {
	if e.Kind == intent.ExternalHost {
		return t.nat.snats[e.Name].Address
	}
	return t.nat.own[e.Name]
}

func compareSNATs(a, b intent.SNATRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.External, b.External))
}
