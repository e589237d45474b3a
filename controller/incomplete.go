package controller

import (
	"slices"
	"time"
)

// What the controller does while its intent is incomplete: the store does not answer, and
// its cached copy is damaged or not there. It acts for the tenants that it knows and leaves
// alone what may be another's.

// startPatience is how long a start waits for the store to send tenants, and to look up
// interfaces, that are not in the cached copy. The switch keeps its flows meanwhile.
const startPatience = 3 * time.Second

// mayStart says whether enough is known to act on it.
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

// outstanding returns the tenants that are followed, and the ids of interfaces here, of
// which the store has not sent anything yet.
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

// complete says whether nothing is outstanding.
func (c *Controller) complete() bool {
	tenants, ids := c.outstanding()
	return len(tenants)+len(ids) == 0 && c.externalsKnown()
}

// externalsKnown says whether the store has sent the externals.
func (c *Controller) externalsKnown() bool { return c.deps.NAT == nil || c.nat.externalsReceived }

// partialSync is what the last comparison left alone because the store had not sent it.
type partialSync struct {
	on      bool
	tenants int       // that were outstanding
	since   time.Time // when one of them came
}

// partialMayChange sees to it that what was left alone is compared once all is known.
// It returns false while the switch must not be touched: a tenant has come whose interfaces
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

// zonesNeeded returns for whom zones are needed: while not all tenants are known,
// whoever has one keeps it.
func (c *Controller) zonesNeeded() map[string]bool {
	names := c.world.ZoneNames()
	if tenants, _ := c.outstanding(); len(tenants) > 0 {
		for name := range c.nat.zones {
			names[name] = true
		}
	}
	return names
}
