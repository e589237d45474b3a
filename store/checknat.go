package store

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

// What Check looks for in routes, externals and NAT.

// routing checks routes by themselves and against the networks of their tenant.
func (c *checker) routing() {
	networks := map[string][]intent.Network{}
	for _, n := range c.networks {
		networks[n.Tenant] = append(networks[n.Tenant], n)
	}
	for _, r := range c.routes {
		name := intent.ObjectName(r)
		if err := r.Validate(); err != nil {
			c.find("%s: %v", name, err)
		}
		if _, ok := c.tenants[r.Tenant]; !ok {
			c.find("%s has no tenant", name)
		}
		found := map[netip.Addr]bool{}
		for _, n := range networks[r.Tenant] {
			if err := noRouteInto(n, r); err != nil {
				c.find("%v", err)
			}
			if err := hopsFit(r, n); err != nil {
				c.find("%s: %v", name, err)
			}
			for _, hop := range r.Via {
				found[hop] = found[hop] || within(n.Subnets, hop)
			}
		}
		for _, hop := range r.Via {
			if !found[hop] {
				c.find("next hop %s of %s is in no subnet of its tenant", hop, name)
			}
		}
	}
}

// nat checks externals and what is on them.
func (c *checker) nat() {
	for name, e := range c.externals {
		if err := e.Validate(); err != nil {
			c.find("external %s: %v", name, err)
		}
		first, last := natRange(e)
		for _, h := range c.hosts {
			if (intent.AddrRange{First: first, Last: last}).Contains(h.VTEP) {
				c.find("external %s uses the VTEP address %s of host %s", name, h.VTEP, h.Name)
			}
		}
	}
	by := map[string]string{}
	for ref, n := range c.snats {
		if other, has := by[ref.Tenant]; has {
			c.find("tenant %s has SNAT through both %s and %s", ref.Tenant, other, ref.External)
		}
		by[ref.Tenant] = ref.External
		c.onExternal(intent.ObjectName(n), n.Validate(), n.Tenant, n.External, n.Address)
		if e := c.externals[n.External]; n.Address.IsValid() != (e.Kind == intent.ExternalHost) {
			c.find("snat %s on an external of kind %s has address %s", ref, e.Kind, n.Address)
		}
	}
	for _, f := range c.floatings {
		c.onExternal(intent.ObjectName(f), f.Validate(), f.Tenant, f.External, f.Address)
		c.reached(intent.ObjectName(f), f.PortRef())
	}
	shared := map[intent.SNATRef]netip.Addr{}
	for ref, n := range c.snats {
		if n.Address.IsValid() {
			shared[ref] = n.Address
		}
	}
	for _, f := range c.forwards {
		c.onExternal(intent.ObjectName(f), f.Validate(), f.Tenant, f.External, f.Address)
		c.reached(intent.ObjectName(f), f.To)
		ref := intent.SNATRef{Tenant: f.Tenant, External: f.External}
		if a, ok := shared[ref]; ok && a != f.Address {
			c.find("%s has address %s, and others of its tenant have %s", intent.ObjectName(f), f.Address, a)
		}
		shared[ref] = f.Address
	}
	for _, a := range c.addresses {
		c.onExternal(intent.ObjectName(a), nil, a.Tenant, a.External, a.Address)
		if _, ok := c.snats[intent.SNATRef{Tenant: a.Tenant, External: a.External}]; !ok {
			c.find("%s has no SNAT", intent.ObjectName(a))
		}
		if _, ok := c.hosts[a.Host]; !ok {
			c.find("%s has no host", intent.ObjectName(a))
		}
	}
}

// onExternal checks what any object on an external must be; an address that is not
// valid is none.
func (c *checker) onExternal(name string, invalid error, tenant, external string, a netip.Addr) {
	if invalid != nil {
		c.find("%s: %v", name, invalid)
	}
	if _, ok := c.tenants[tenant]; !ok {
		c.find("%s has no tenant", name)
	}
	e, ok := c.externals[external]
	if !ok {
		c.find("%s has no external", name)
		return
	}
	if a.IsValid() {
		if err := e.Assignable(a); err != nil {
			c.find("%s: %v", name, err)
		}
	}
}

// reached checks the port that an object on an external leads to.
func (c *checker) reached(name string, ref intent.PortRef) {
	if p, ok := c.ports[ref]; !ok {
		c.find("%s has no port", name)
	} else if !hasIPv4(p) {
		c.find("%s: port %s has no IPv4 address", name, ref)
	}
}

// natIndexes tells add the index keys of externals and of what is on them.
func (c *checker) natIndexes(add func(key, value string)) {
	for name, e := range c.externals {
		add(numberKey(e.Number), name)
	}
	// One key for all that share an address.
	shared := map[string]string{}
	share := func(external string, a netip.Addr, tenant string) {
		key := outsideKey(external, a)
		if other, taken := shared[key]; taken && other != sharedHolder(tenant) {
			c.find("address %s of external %s belongs to both %s and tenant %s", a, external, other, tenant)
		}
		shared[key] = sharedHolder(tenant)
	}
	for ref, n := range c.snats {
		add(userKey(n.External, snatKey(ref)), intent.ObjectName(n))
		if n.Address.IsValid() {
			share(n.External, n.Address, n.Tenant)
		}
	}
	for _, f := range c.forwards {
		add(userKey(f.External, forwardKey(f.Ref())), intent.ObjectName(f))
		add(targetKey(f), intent.ObjectName(f))
		if c.externals[f.External].Kind == intent.ExternalHost {
			add(hostForwardKey(f.Protocol, f.Port), intent.ObjectName(f))
		}
		share(f.External, f.Address, f.Tenant)
	}
	for key, holder := range shared {
		add(key, holder)
	}
	for _, f := range c.floatings {
		add(userKey(f.External, floatingKey(f.Ref())), intent.ObjectName(f))
		add(outsideKey(f.External, f.Address), floatingHolder(f.PortRef()))
	}
	for _, a := range c.addresses {
		ref := intent.SNATRef{Tenant: a.Tenant, External: a.External}
		add(userKey(a.External, natAddressKey(ref, a.Host)), intent.ObjectName(a))
		add(outsideKey(a.External, a.Address), natAddressHolder(a))
		add(natHostKey(a.Host, ref), a.Address.String())
	}
}
