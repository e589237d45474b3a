package controller

import (
	"context"
	"maps"
	"time"
)

// What this host reports to other hosts, through the store, about the progress of its
// switch.

// reportApplied reports the switch's progress to the store when something in the host's
// span has changed.
func (c *Controller) reportApplied(ctx context.Context) {
	now := map[string]int64{}
	for t := range c.follows {
		if revision, ok := c.world.Revision(t); ok {
			now[t] = revision
			if reported, ok := c.applied[t]; ok && c.natUnderWay(t) {
				now[t] = reported
			}
		}
	}
	if maps.Equal(now, c.applied) {
		return
	}
	c.do(ctx, task{queue: "applied", what: "report what is applied",
		do:   func(ctx context.Context) error { return c.deps.Progress.SetAppliedSpan(ctx, c.host, now) },
		done: func() { c.applied = now },
	})
}

// othersPatience is how long a new port waits for other hosts to know of it: one that
// is alive but stuck must not keep it down.
const othersPatience = 2 * time.Second

// waitOthers waits until all other hosts know a tenant as of a revision, but no longer
// than othersPatience.
func (c *Controller) waitOthers(ctx context.Context, tenant string, revision int64) error {
	limited, cancel := context.WithTimeout(ctx, othersPatience)
	defer cancel()
	if err := c.deps.Progress.WaitOthers(limited, c.host, tenant, revision); err != nil && ctx.Err() == nil {
		c.log.Info("other hosts may not know of a port that is up", "tenant", tenant, "error", err)
	}
	return nil
}
