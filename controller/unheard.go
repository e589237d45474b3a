package controller

import (
	"slices"
	"time"

	"github.com/ovloom/ovloom/pipeline"
)

// This file is what the controller does while it has not been told everything: when
// the store does not answer and what was kept of it on disk is damaged or not there.
// It acts for the tenants that it knows and leaves alone what may be another's.

// startPatience is how long a start waits for the store to tell of tenants and
// interfaces that no copy on disk knows. The switch keeps its flows meanwhile.
const startPatience = 3 * time.Second

// mayStart says whether enough is known to act on it.
func (c *Controller) mayStart() bool {
	if c.started {
		return true
	}
	if !c.hostsHeard || !c.interfacesHeard || !c.recalled || !c.natKnown() {
		return false
	}
	if c.waitsSince.IsZero() {
		c.waitsSince = time.Now()
	}
	if !c.allHeard() {
		if time.Since(c.waitsSince) < startPatience {
			return false
		}
		tenants, ids := c.unheard()
		c.log.Warn("starting without what neither the store nor the copies on disk tell of: its flows stay as they are",
			"tenants", tenants, "interfaces", ids, "externals-known", c.externalsKnown())
	}
	c.started = true
	return true
}

// unheard returns the tenants that are followed, and the ids of interfaces here, of
// which nobody has told yet.
func (c *Controller) unheard() (tenants, ids []string) {
	for t := range c.follows {
		if !c.heard[t] {
			tenants = append(tenants, t)
		}
	}
	for id := range c.resolves {
		if !c.answered[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(tenants)
	slices.Sort(ids)
	return tenants, ids
}

// allHeard says whether all has been told of.
func (c *Controller) allHeard() bool {
	tenants, ids := c.unheard()
	return len(tenants)+len(ids) == 0 && c.externalsKnown()
}

// externalsKnown says whether the ways out of the overlay have been told of.
func (c *Controller) externalsKnown() bool { return c.deps.NAT == nil || c.nat.externalsHeard }

// spare is what the last comparison left alone because nobody had told of it.
type spare struct {
	on      bool
	tenants int       // of which nothing was heard
	turned  time.Time // when one of them was heard of
}

// lookAfterSpared sees to it that what was left alone is compared once all is known.
// It returns false while the switch must not be touched: a tenant has been heard of
// whose interfaces here are about to be, and until then its ports look unplugged.
func (c *Controller) lookAfterSpared() bool {
	if !c.spared.on {
		return true
	}
	tenants, ids := c.unheard()
	switch {
	case c.allHeard():
		c.spared = spare{}
		c.synced = false
	case len(tenants) == c.spared.tenants || len(ids) == 0:
		c.spared.tenants, c.spared.turned = len(tenants), time.Time{}
	case c.spared.turned.IsZero():
		c.spared.turned = time.Now()
		fallthrough
	default:
		c.synced = false
		return time.Since(c.spared.turned) >= startPatience
	}
	return true
}

// knownOwners returns the cookies of the objects of the last flush of which all is
// known.
func (w *world) knownOwners(externalsKnown bool) map[pipeline.Cookie]bool {
	known := map[pipeline.Cookie]bool{}
	w.each(func(o object) { known[o.cookie()] = externalsKnown || !needsExternals(o.cookie().Kind()) })
	return known
}

// needsExternals says whether flows of a kind can be told only by who knows the
// externals.
func needsExternals(k pipeline.Kind) bool {
	switch k {
	case pipeline.KindTenant, pipeline.KindSNAT, pipeline.KindFloating, pipeline.KindForward, pipeline.KindAddress:
		return true
	}
	return false
}

// spares says whether a flow that is not wanted may be that of a tenant that nobody
// has told of, or is that of an object that is left out. What has no tenant of its own may have been made for one.
func (t target) spares(c pipeline.Cookie) bool {
	if t.stay[c] {
		return true
	}
	if t.known == nil || !c.Ours() {
		return false
	}
	switch c.Kind() {
	case pipeline.KindBase, pipeline.KindReason, pipeline.KindHost:
		return false
	case pipeline.KindExternal, pipeline.KindGuard:
		return true
	}
	return !t.known[c]
}

// zonesNeeded returns for whom zones are needed: while not all tenants are known,
// whoever has one keeps it.
func (c *Controller) zonesNeeded() map[string]bool {
	names := c.world.zoneNames()
	if tenants, _ := c.unheard(); len(tenants) > 0 {
		for name := range c.nat.zones {
			names[name] = true
		}
	}
	return names
}
