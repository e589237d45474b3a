package world

import (
	"maps"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Addresses that hosts claim from the pools of externals of kind bridge for a tenant's
// SNAT.

// takenKey is a host and an external that it has an address of.
type takenKey struct{ external, host string }

func (w *World) natAddressClass() objectClass[intent.NATAddress] {
	return objectClass[intent.NATAddress]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.NATAddress { return s.NATAddresses },
		keep: func(t *tenant, now *intent.NATAddress, deleted bool) *intent.NATAddress {
			if now.Host == w.self {
				if delete(t.nat.own, now.External); !deleted {
					t.nat.own[now.External] = now.Address
				}
			}
			return replace(t.nat.taken, takenKey{now.External, now.Host}, now, deleted)
		},
		owns: func(t *tenant, old, now *intent.NATAddress) {
			if old != nil {
				w.ownAddress(t.Name, old.External, old.Address, -1)
			}
			if now != nil {
				w.ownAddress(t.Name, now.External, now.Address, +1)
			}
		},
		changed: func(t *tenant, old, now *intent.NATAddress) {
			for _, a := range []*intent.NATAddress{old, now} {
				if a != nil {
					w.touchAddress(t, a.External, a.Address)
				}
			}
			w.senders.touch(t.Name)
			for _, s := range t.nat.snats {
				w.snats.touch(s.Ref())
			}
			w.natChanged(t, false, false)
		},
		each: func(t *tenant, visit func(*intent.NATAddress)) {
			for _, a := range t.nat.taken {
				visit(&a)
			}
		},
		touch: w.touchNATAddresses,
	}
}

func (w *World) touchNATAddresses(t *tenant) {
	for k, a := range t.nat.taken {
		w.touchAddress(t, k.external, a.Address)
	}
}

// AddressDue is an address of an external of kind bridge that this host has to claim or
// release.
type AddressDue struct {
	Tenant, External string
	Take             bool
}

// AddressesDue returns the due addresses of all tenants.
func (w *World) AddressesDue() []AddressDue {
	var list []AddressDue
	for _, name := range slices.Sorted(maps.Keys(w.tenants)) {
		list = append(list, w.AddressesDueOf(name)...)
	}
	return list
}

// AddressesDueOf compares the addresses that this host has for a tenant with those that
// it needs: one for each external of kind bridge with an uplink here that the tenant's
// ports here leave by.
func (w *World) AddressesDueOf(tenant string) []AddressDue {
	t := w.tenants[tenant]
	if t == nil {
		return nil
	}
	var list []AddressDue
	needed := func(external string) bool {
		_, ok := t.nat.snats[external]
		e, up := w.uplink(external)
		return ok && e != nil && e.Kind == intent.ExternalBridge && up.OFPort != 0 && w.hasPorts(t)
	}
	for _, external := range slices.Sorted(maps.Keys(t.nat.snats)) {
		if needed(external) && !t.nat.own[external].IsValid() {
			list = append(list, AddressDue{t.Name, external, true})
		}
	}
	for _, external := range slices.Sorted(maps.Keys(t.nat.own)) {
		if !needed(external) {
			list = append(list, AddressDue{t.Name, external, false})
		}
	}
	return list
}

// HoldsAddress reports whether this host has a pool address for a tenant: the tenant
// concerns this host until it is released.
func (w *World) HoldsAddress(tenant string) bool {
	t := w.tenants[tenant]
	return t != nil && len(t.nat.own) > 0
}

// hasPorts reports whether any port of a tenant is here.
func (w *World) hasPorts(t *tenant) bool {
	for name := range t.networks {
		if m := w.members[intent.NetworkRef{Tenant: t.Name, Network: name}]; m != nil && len(m.local) > 0 {
			return true
		}
	}
	return false
}
