package store

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// Checks of routes, externals and NAT.

// routing checks routes against the networks of their tenant.
func (c *checker) routing() {
	networks := map[string][]intent.Network{}
	for n := range each[intent.Network](c) {
		networks[n.Tenant] = append(networks[n.Tenant], n)
	}
	for r := range each[intent.Route](c) {
		found := map[netip.Addr]bool{}
		for _, n := range networks[r.Tenant] {
			if err := noRouteInto(n, r); err != nil {
				c.find("%v", err)
			}
			if err := hopsFit(r, n); err != nil {
				c.find("%s: %v", intent.ObjectName(r), err)
			}
			for _, hop := range r.Via {
				found[hop] = found[hop] || within(n.Subnets, hop)
			}
		}
		for _, hop := range r.Via {
			if !found[hop] {
				c.find("next hop %s of %s is in no subnet of its tenant", hop, intent.ObjectName(r))
			}
		}
	}
}

// nat checks externals against hosts, and the objects on each external.
func (c *checker) nat() {
	for e := range each[intent.External](c) {
		first, last := natRange(e)
		for h := range each[intent.Host](c) {
			if (intent.AddrRange{First: first, Last: last}).Contains(h.VTEP) {
				c.find("external %s uses the VTEP address %s of host %s", e.Name, h.VTEP, h.Name)
			}
		}
	}
	by := map[string]string{}
	shared := map[intent.SNATRef]netip.Addr{}
	for n := range each[intent.SNAT](c) {
		if other, has := by[n.Tenant]; has {
			c.find("tenant %s has SNAT through both %s and %s", n.Tenant, other, n.External)
		}
		by[n.Tenant] = n.External
		e := c.addressOn(n, n.External, n.Address)
		if n.Address.IsValid() != (e.Kind == intent.ExternalHost) {
			c.find("%s on an external of kind %s has address %s", intent.ObjectName(n), e.Kind, n.Address)
		}
		if n.Address.IsValid() {
			shared[n.Ref()] = n.Address
		}
	}
	for f := range each[intent.Floating](c) {
		c.addressOn(f, f.External, f.Address)
		c.reached(f, f.PortRef())
	}
	for f := range each[intent.Forward](c) {
		c.addressOn(f, f.External, f.Address)
		c.reached(f, f.To)
		ref := intent.SNATRef{Tenant: f.Tenant, External: f.External}
		if a, ok := shared[ref]; ok && a != f.Address {
			c.find("%s has address %s, and others of its tenant have %s", intent.ObjectName(f), f.Address, a)
		}
		shared[ref] = f.Address
	}
	for a := range each[intent.NATAddress](c) {
		c.addressOn(a, a.External, a.Address)
	}
}

// addressOn checks the address of an object on an external, and returns the external; an
// invalid external counts as absent.
func (c *checker) addressOn(o intent.Object, external string, a netip.Addr) intent.External {
	e, ok := c.all[intent.ExternalRef{External: external}].(intent.External)
	if ok && a.IsValid() {
		if err := e.Assignable(a); err != nil {
			c.find("%s: %v", intent.ObjectName(o), err)
		}
	}
	return e
}

// reached checks the port that an object on an external leads to.
func (c *checker) reached(o intent.Object, ref intent.PortRef) {
	if p, ok := c.all[ref].(intent.Port); ok && !hasIPv4(p) {
		c.find("%s: port %s has no IPv4 address", intent.ObjectName(o), ref)
	}
}
