package world

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// outerKey is an address of an external.
type outerKey struct {
	external string
	addr     netip.Addr
}

// addressRef is an address of an external that a tenant uses: for SNAT, as a floating
// address or for forwards.
type addressRef struct {
	tenant string
	outerKey
}

// String returns the reference for people.
func (r addressRef) String() string { return r.addr.String() + " of " + r.tenant + " on " + r.external }

func (w *World) addressKind() kind[addressRef, pipeline.AddressView] {
	return kind[addressRef, pipeline.AddressView]{
		cookie: pipeline.KindAddress, needsExternals: true, compare: compareAddresses, view: w.addressView,
		idOf: func(ref addressRef) intent.ID {
			return pipeline.AddressID(w.externalByName[ref.external].Number, ref.addr)
		},
		same: func(a, b *pipeline.AddressView) bool { return reflect.DeepEqual(a, b) },
		id: func(v *pipeline.AddressView) intent.ID {
			return pipeline.AddressID(v.External.Number, v.Address)
		},
		flows:   func(v *pipeline.AddressView, emit pipeline.Emit) { pipeline.Address(w.sw, v, emit) },
		changed: func(_ addressRef, old, now *pipeline.AddressView) { w.table.SetAddress(old, now) },
	}
}

func (w *World) touchAddress(t *tenant, external string, a netip.Addr) {
	if a.IsValid() {
		w.addresses.touch(addressRef{t.Name, outerKey{external, a}})
	}
}

// ownAddress counts a use of an external address by a tenant, or the end of one.
func (w *World) ownAddress(tenant, external string, a netip.Addr, by int) {
	if !a.IsValid() {
		return
	}
	k := outerKey{external, a}
	users := w.unique.outer[k]
	if users == nil {
		users = map[string]int{}
		w.unique.outer[k] = users
	}
	was := len(users)
	if users[tenant] += by; users[tenant] <= 0 {
		delete(users, tenant)
	}
	if len(users) > 1 || was > 1 {
		for other := range users {
			w.addresses.touch(addressRef{other, k})
		}
	}
	if len(users) == 0 {
		delete(w.unique.outer, k)
	}
}

// addressConflict says why a tenant may not use an address of an external.
func (w *World) addressConflict(t *tenant, k outerKey) string {
	users := w.unique.outer[k]
	if len(users) < 2 {
		return ""
	}
	for other := range users {
		if w.olderTenant(other, t.Name) < 0 {
			return fmt.Sprintf("tenant %s has it, too", other)
		}
	}
	return ""
}

// addressConflicts lists external addresses that tenants do not get because another
// tenant uses them.
func (w *World) addressConflicts(add func(object, why string)) {
	for k, users := range w.unique.outer {
		for name := range users {
			if t := w.tenants[name]; t != nil {
				add(fmt.Sprintf("address %s of tenant %s on %s", k.addr, name, k.external), w.addressConflict(t, k))
			}
		}
	}
}

func (w *World) addressView(ref addressRef) *pipeline.AddressView {
	t := w.tenants[ref.tenant]
	e, up := w.uplink(ref.external)
	zone := w.zone(t)
	if e == nil || zone == 0 {
		return nil
	}
	used, here := w.usesAddress(t, e, ref.addr)
	if !used || w.addressConflict(t, ref.outerKey) != "" {
		return nil
	}
	segment, _ := w.segment(e)
	var beside []uint32
	for _, other := range w.externalByName {
		if other != e && e.Kind == intent.ExternalBridge && other.SharesSegment(*e) {
			beside = append(beside, other.VNI())
		}
	}
	slices.Sort(beside)
	return &pipeline.AddressView{Address: ref.addr, External: e, Segment: segment, Beside: beside, VRF: t.VRF, Zone: zone, Here: here && up.OFPort != 0, Router: w.routerMAC()}
}

// usesAddress reports whether a tenant uses an external address, and whether this host
// answers for it.
func (w *World) usesAddress(t *tenant, e *intent.External, a netip.Addr) (used, here bool) {
	if ref, ok := t.nat.floatingAt[outerKey{e.Name, a}]; ok {
		return true, w.here(ref.PortRef)
	}
	if s, ok := t.nat.snats[e.Name]; ok && s.Address == a {
		return true, true // kind host: every host answers
	}
	for k, taken := range t.nat.taken {
		if k.external == e.Name && taken.Address == a {
			return true, k.host == w.self
		}
	}
	for r, f := range t.nat.forwards {
		if r.External == e.Name && f.Address == a {
			return true, w.forwardsHere(t, e)
		}
	}
	return false, false
}

func compareAddresses(a, b addressRef) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.external, b.external), a.addr.Compare(b.addr))
}
