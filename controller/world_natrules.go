package controller

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// This file says what a tenant's connections are held against, and which addresses
// this host should have.

// natRules returns what the connections of a tenant are held against; false if it has
// no zone.
func (w *world) natRules(t *tenant) (natRules, bool) {
	r := natRules{zone: w.zone(t), snat: map[netip.Addr]bool{}, floating: map[netip.Addr]netip.Addr{},
		forwards: map[forwardKey]netip.AddrPort{}, targets: map[forwardKey]bool{}}
	if r.zone == 0 {
		return r, false
	}
	r.left = maps.Clone(w.nat.left[t.Name])
	r.limit = t.connections()
	for external := range t.nat.snats {
		if v := w.nat.snats.done[intent.SNATRef{Tenant: t.Name, External: external}]; v != nil && v.Address.IsValid() {
			r.snat[v.Address] = true
		}
	}
	for ref := range t.nat.floatings {
		if v := w.nat.floatings.done[ref]; v != nil {
			r.floating[v.Floating.Address] = v.Inner
		}
	}
	for ref := range t.nat.forwards {
		if v := w.nat.forwards.done[ref]; v != nil {
			proto, target := v.Forward.Protocol.Number(), netip.AddrPortFrom(v.Inner, v.Forward.ToPort)
			if v.Entry {
				r.forwards[forwardKey{proto, netip.AddrPortFrom(v.Forward.Address, v.Forward.Port)}] = target
			}
			if v.Here {
				r.targets[forwardKey{proto, target}] = true
			}
		}
	}
	return r, true
}

// connections returns how many connections the tenant may have on a host; 0: any number.
// All of them are in one zone, so that of several SNATs the one that allows most decides.
func (t *tenant) connections() uint32 {
	if len(t.nat.snats) == 0 {
		return intent.DefaultConnections // of floating addresses and forwards
	}
	var most uint32
	for _, s := range t.nat.snats {
		limit, limited := s.Limit()
		if !limited {
			return 0
		}
		most = max(most, limit)
	}
	return most
}

// zoneLimits returns what bounds the connections of each zone, by the zone's name.
func (w *world) zoneLimits() map[string]uint32 {
	limits := map[string]uint32{}
	for _, t := range w.tenants {
		if t.ID != 0 && t.nat.any() {
			limits[zoneName(t.Tenant)] = t.connections()
		}
	}
	return limits
}

// unlimited says whether nothing bounds the tenant's connections here.
func (w *world) unlimited(t *tenant) bool {
	r, ok := w.natRules(t)
	return ok && r.limit == 0
}

// suspect says that connections of a tenant may have to end, or its limit to change.
func (w *world) suspect(tenant string) { w.nat.suspects[tenant] = true }

func (w *world) suspectAll() {
	for name := range w.tenants {
		w.suspect(name)
	}
}

// portLeft remembers the addresses of a port that was here, or forgets those of one
// that is.
func (w *world) portLeft(tenant string, old, now *pipeline.PortView) {
	if t := w.tenants[tenant]; t == nil || !t.nat.any() {
		delete(w.nat.left, tenant)
		return
	}
	if old != nil && old.InForce && old.OFPort != 0 {
		w.leave(tenant, old.Port.Addrs)
	}
	left := w.nat.left[tenant]
	if now != nil && now.InForce && now.OFPort != 0 {
		for _, a := range now.Port.Addrs {
			delete(left, a)
		}
	}
	if len(left) > 0 {
		w.suspect(tenant)
	}
}

// leftUnseen takes the ports that are on other hosts for ones that were here: before
// the first judgement nobody knows.
func (w *world) leftUnseen(t *tenant) {
	for name, n := range t.networks {
		for port := range n.ports {
			ref := intent.PortRef{Tenant: t.Name, Network: name, Port: port}
			if v := w.ports.done[ref]; v != nil && v.VTEP.IsValid() {
				w.leave(t.Name, v.Port.Addrs)
			}
		}
	}
}

// leave remembers addresses of ports that were here.
func (w *world) leave(tenant string, addrs []netip.Addr) {
	if w.nat.left[tenant] == nil {
		w.nat.left[tenant] = map[netip.Addr]bool{}
	}
	for _, a := range addrs {
		w.nat.left[tenant][a] = true
	}
}

// forgive forgets addresses of ports that were here: their connections were cut.
func (w *world) forgive(tenant string, left map[netip.Addr]bool) {
	maps.DeleteFunc(w.nat.left[tenant], func(a netip.Addr, _ bool) bool { return left[a] })
	if len(w.nat.left[tenant]) == 0 {
		delete(w.nat.left, tenant)
	}
}

// judged says that a tenant's connections and its limit are as they must be.
func (w *world) judged(tenant string, left map[netip.Addr]bool) {
	w.forgive(tenant, left)
	delete(w.nat.suspects, tenant)
}

// addressDue is an address of an external of kind bridge that this host is to take,
// or to give back.
type addressDue struct {
	tenant, external string
	due              bool
}

// natAddressesDue returns what is due of all tenants.
func (w *world) natAddressesDue() []addressDue {
	var list []addressDue
	for _, name := range slices.Sorted(maps.Keys(w.tenants)) {
		list = append(list, w.addressesDue(w.tenants[name])...)
	}
	return list
}

// addressesDue compares the addresses that this host has for a tenant with those that it
// needs: one if it has a port of the tenant, which leaves by an external of kind
// bridge that has an uplink here.
func (w *world) addressesDue(t *tenant) []addressDue {
	var list []addressDue
	needed := func(external string) bool {
		_, ok := t.nat.snats[external]
		e, up := w.uplink(external)
		return ok && e != nil && e.Kind == intent.ExternalBridge && up.OFPort != 0 && w.hasPorts(t)
	}
	for _, external := range slices.Sorted(maps.Keys(t.nat.snats)) {
		if needed(external) && !t.nat.own[external].IsValid() {
			list = append(list, addressDue{t.Name, external, true})
		}
	}
	for _, external := range slices.Sorted(maps.Keys(t.nat.own)) {
		if !needed(external) {
			list = append(list, addressDue{t.Name, external, false})
		}
	}
	return list
}

// hasPorts says whether any port of a tenant is here.
func (w *world) hasPorts(t *tenant) bool {
	for name := range t.networks {
		if m := w.members[intent.NetworkRef{Tenant: t.Name, Network: name}]; m != nil && len(m.local) > 0 {
			return true
		}
	}
	return false
}

// holdsAddress says whether this host has an address of a pool for a tenant: until it
// was given back, the tenant concerns this host.
func (w *world) holdsAddress(tenant string) bool {
	t := w.tenants[tenant]
	if t == nil {
		return false
	}
	return len(t.nat.own) > 0
}
