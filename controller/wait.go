package controller

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// waiter is a call of WaitUp.
type waiter struct {
	ref intent.PortRef
	up  chan struct{} // closed when the port is up
}

// WaitUp returns nil when a port that is plugged here has its flows in the switch and
// the store knows it. When ctx ends first, it says what was missing.
func (c *Controller) WaitUp(ctx context.Context, ref intent.PortRef) error {
	w := waiter{ref, make(chan struct{})}
	c.send(ctx, func() { c.waiters = append(c.waiters, w) })
	select {
	case <-w.up:
		return nil
	case <-ctx.Done():
	}
	// The loop knows what is missing. It is asked with a deadline of its own.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), taskTimeout)
	defer cancel()
	why, err := ask(late, c, func() string {
		c.waiters = slices.DeleteFunc(c.waiters, func(x waiter) bool { return x.up == w.up })
		return c.missing(ref)
	})
	if err != nil {
		return err
	}
	return intent.Unavailablef("port %s is not up: %s: %w", ref, why, ctx.Err())
}

// wakeWaiters ends the waits for ports that are up.
func (c *Controller) wakeWaiters() {
	c.waiters = slices.DeleteFunc(c.waiters, func(w waiter) bool {
		if c.missing(w.ref) != "" {
			return false
		}
		close(w.up)
		return true
	})
}

// missing says what a port still lacks to be up here; "": nothing.
func (c *Controller) missing(ref intent.PortRef) string {
	own, inForce := c.world.Claim(ref)
	_, known := c.world.Port(ref)
	plug := c.binder.plugs[c.binder.owners[ref]]
	switch {
	case plug == nil:
		return "no interface on the bridge names it"
	case plug.OFPort == 0 && plug.Error != "":
		return "the switch cannot open its interface: " + plug.Error
	case plug.OFPort == 0:
		return "the switch has not opened its interface yet"
	case !known:
		return "the store has not sent it yet"
	case own.Generation == 0:
		return "the store has not confirmed that it is plugged here"
	case !inForce:
		return "another host claims it; see ovloom status"
	case c.sw == nil:
		return "ovs-vswitchd does not answer"
	case !c.synced:
		return "its flows are not in the switch"
	case !own.Up || !plug.Installed:
		return "it has yet to be marked as up"
	}
	return ""
}
