package controller

import (
	"slices"
	"time"
)

// What the controller does while its intent is incomplete: the store does not answer,
// and the cached copy is damaged or missing. It acts for the tenants that it knows, and
// leaves flows alone that may belong to others.

// startPatience is how long a start waits for tenants and interface ids that are not in
// the cached copy. The switch keeps its flows meanwhile.
const startPatience = 3 * time.Second

// mayStart reports whether enough is known to act on.
func (c *Controller) mayStart() bool {
	if c.started {
		return true
	}
	if !c.hostsReceived || !c.interfacesReceived || !c.recalled || !c.natKnown() {
		return false
	}
	if c.waitsSince.IsZero() {
		c.waitsSince = time.Now()
	}
	if !c.complete() {
		if time.Since(c.waitsSince) < startPatience {
			return false
		}
		tenants, ids := c.outstanding()
		c.log.Warn("starting with incomplete intent: some tenants are in neither store nor cache; leaving their flows unchanged",
			"tenants", tenants, "interfaces", ids, "externals-known", c.externalsKnown())
	}
	c.started = true
	return true
}

// outstanding returns the followed tenants, and the ids of interfaces here, that the
// store has not sent yet.
func (c *Controller) outstanding() (tenants, ids []string) {
	for t := range c.follows {
		if !c.received[t] {
			tenants = append(tenants, t)
		}
	}
	for id := range c.resolves {
		if !c.resolved[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(tenants)
	slices.Sort(ids)
	return tenants, ids
}

// complete reports whether nothing is outstanding.
func (c *Controller) complete() bool {
	tenants, ids := c.outstanding()
	return len(tenants)+len(ids) == 0 && c.externalsKnown()
}

// externalsKnown reports whether the store has sent the externals.
func (c *Controller) externalsKnown() bool { return c.deps.NAT == nil || c.nat.externalsReceived }

// partialSync is what the last comparison left alone because its intent was unknown.
type partialSync struct {
	on      bool
	tenants int       // outstanding tenants
	since   time.Time // when one of them arrived
}

// partialMayChange compares what was left alone once everything is known. It returns
// false while the switch must not be touched: a tenant has arrived whose interfaces
// here are still to be looked up, and until then its ports look unplugged.
func (c *Controller) partialMayChange() bool {
	if !c.partial.on {
		return true
	}
	tenants, ids := c.outstanding()
	switch {
	case c.complete():
		c.partial = partialSync{}
		c.synced = false
	case len(tenants) == c.partial.tenants || len(ids) == 0:
		c.partial.tenants, c.partial.since = len(tenants), time.Time{}
	case c.partial.since.IsZero():
		c.partial.since = time.Now()
		fallthrough
	default:
		c.synced = false
		return time.Since(c.partial.since) >= startPatience
	}
	return true
}

// zonesNeeded returns who needs a zone: while some tenants are unknown, existing zones
// stay.
func (c *Controller) zonesNeeded() map[string]bool {
	names := c.world.ZoneNames()
	if tenants, _ := c.outstanding(); len(tenants) > 0 {
		for name := range c.nat.zones {
			names[name] = true
		}
	}
	return names
}
