package world

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// What a tenant's NAT has in common: its conntrack zone, and flows of the tenant as a
// whole.

// natFacts are the NAT objects of a tenant.
type natFacts struct {
	snats     map[string]intent.SNAT // by external
	floatings map[intent.FloatingRef]intent.Floating
	forwards  map[intent.ForwardRef]intent.Forward
	taken     map[takenKey]intent.NATAddress // addresses that hosts have taken from pools

	own        map[string]netip.Addr           // addresses that this host has, by external
	floatingAt map[outerKey]intent.FloatingRef // by address
	targets    map[intent.PortRef]int          // how many floatings and forwards lead to a port
}

func newNATFacts() natFacts {
	return natFacts{
		snats:      map[string]intent.SNAT{},
		floatings:  map[intent.FloatingRef]intent.Floating{},
		forwards:   map[intent.ForwardRef]intent.Forward{},
		taken:      map[takenKey]intent.NATAddress{},
		own:        map[string]netip.Addr{},
		floatingAt: map[outerKey]intent.FloatingRef{},
		targets:    map[intent.PortRef]int{},
	}
}

// count returns how many objects of NAT the tenant has.
func (n *natFacts) count() int { return len(n.snats) + len(n.floatings) + len(n.forwards) }

// any reports whether the tenant has any NAT.
func (n *natFacts) any() bool { return n.count() > 0 }

func (w *World) tenantNATKind() kind[string, pipeline.TenantView] {
	return kind[string, pipeline.TenantView]{
		cookie: pipeline.KindTenant, needsExternals: true, compare: strings.Compare, view: w.tenantNATView, idOf: w.tenantID,
		same:    func(a, b *pipeline.TenantView) bool { return reflect.DeepEqual(a, b) },
		id:      func(v *pipeline.TenantView) intent.ID { return v.Tenant.ID },
		flows:   func(v *pipeline.TenantView, emit pipeline.Emit) { pipeline.TenantNAT(w.sw, v, emit) },
		meters:  func(v *pipeline.TenantView) []of.Meter { return pipeline.TenantMeters(w.sw, v) },
		changed: func(tenant string, _, _ *pipeline.TenantView) { w.check(tenant) },
	}
}

// SetZones replaces the zones that may be used, by ZoneName.
func (w *World) SetZones(zones map[string]uint16) {
	if maps.Equal(zones, w.zones) {
		return
	}
	for _, t := range w.tenants {
		if name := ZoneName(t.Tenant); zones[name] != w.zones[name] {
			w.touchNAT(t)
			w.touchRoutes(t)
		}
	}
	w.zones = zones
}

// natChanged marks what depends on any change of a tenant's NAT. It is called after the
// change; came or went say that an object was added or removed.
func (w *World) natChanged(t *tenant, came, went bool) {
	w.tenantNAT.touch(t.Name)
	if n := t.nat.count(); came && n == 1 || went && n == 0 {
		w.touchWidths(t) // packets from outside may be too large
	}
}

// touchNAT marks all of a tenant's NAT objects.
func (w *World) touchNAT(t *tenant) {
	w.tenantNAT.touch(t.Name)
	w.touchSNATs(t)
	w.touchFloatings(t)
	w.touchForwards(t)
	w.touchNATAddresses(t)
}

// touchTarget marks the NAT that depends on where a port is.
func (w *World) touchTarget(t *tenant, ref intent.PortRef) {
	if t.nat.targets[ref] == 0 {
		return
	}
	for r, f := range t.nat.floatings {
		if r.PortRef == ref {
			w.floatings.touch(r)
			w.touchAddress(t, r.External, f.Address)
		}
	}
	for r, f := range t.nat.forwards {
		if f.To == ref {
			w.touchForwardsOf(t, r.External)
		}
	}
}

// reach counts the floating addresses and forwards that lead to a port.
func (w *World) reach(t *tenant, ref intent.PortRef, by int) {
	targets := t.nat.targets
	any, was := len(targets) > 0, targets[ref]
	if targets[ref] += by; targets[ref] == 0 {
		delete(targets, ref)
	}
	if (was > 0) != (targets[ref] > 0) {
		w.ports.touch(ref)
	}
	if any != (len(targets) > 0) {
		w.touchRoutes(t) // packets on them may be answers
	}
}

// zone returns the zone of a tenant that has NAT; 0: none yet.
func (w *World) zone(t *tenant) uint16 {
	if t == nil || t.ID == 0 || !t.nat.any() || w.tenantConflict(t) != "" {
		return 0
	}
	return w.zones[ZoneName(t.Tenant)]
}

// LacksZone reports whether a tenant has NAT and no zone for it.
func (w *World) LacksZone(tenant string) bool {
	t := w.tenants[tenant]
	return t != nil && t.nat.any() && w.zone(t) == 0
}

// ZoneNames returns the names that need zones.
func (w *World) ZoneNames() map[string]bool {
	names := map[string]bool{}
	for _, t := range w.tenants {
		if t.ID != 0 && t.nat.any() {
			names[ZoneName(t.Tenant)] = true
		}
	}
	return names
}

// inner returns the first IPv4 address of a port; not valid: none.
func (w *World) inner(ref intent.PortRef) netip.Addr {
	t, n, p, ok := w.find(ref)
	if !ok || !w.portUsed(t, n, &p) {
		return netip.Addr{}
	}
	for _, a := range p.Addrs {
		if a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

func (w *World) tenantNATView(name string) *pipeline.TenantView {
	t := w.tenants[name]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	v := &pipeline.TenantView{Tenant: t.Tenant, Zone: zone, Out: w.answersBy(t)}
	for _, n := range t.networks {
		if !n.known || w.networkConflict(t, n) != "" {
			continue
		}
		for _, s := range n.intent.Subnets {
			if s.Prefix.Addr().Is4() {
				v.Subnets = append(v.Subnets, s.Prefix)
			}
		}
	}
	slices.SortFunc(v.Subnets, comparePrefixes)
	return v
}

// answersBy returns the VNI of an external that the tenant is reached by: its oldest
// forward's, or any.
func (w *World) answersBy(t *tenant) uint32 {
	var oldest intent.Forward
	vni := uint32(intent.VNIReserved)
	for ref, f := range t.nat.forwards {
		if e := w.externalByName[ref.External]; e != nil && (oldest.ID == 0 || f.ID < oldest.ID) {
			oldest, vni = f, e.VNI()
		}
	}
	return vni
}
