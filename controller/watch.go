package controller

import (
	"context"
	"errors"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
)

// errLeft ends the watch of a tenant that no longer concerns this host.
var errLeft = errors.New("the tenant left this host")

// hopeless reports whether retrying is useless: the object cannot exist.
func hopeless(err error) bool { return intent.KindOf(err) == intent.Invalid }

func (c *Controller) watchHosts(ctx context.Context) {
	loop.Watch(ctx, c.log, "hosts", func(ctx context.Context) error {
		return c.deps.Span.WatchHosts(ctx, func(u intent.HostsUpdate) {
			c.send(ctx, func() {
				c.hostsReceived = true
				c.world.SetHosts(u.Hosts)
			})
		})
	})
}

func (c *Controller) watchExternals(ctx context.Context) {
	loop.Watch(ctx, c.log, "externals", func(ctx context.Context) error {
		return c.deps.NAT.Externals.WatchExternals(ctx, func(u intent.ExternalsUpdate) {
			c.send(ctx, func() {
				c.nat.externalsReceived = true
				c.world.SetExternals(u.Externals)
			})
		})
	})
}

func (c *Controller) watchGuard(ctx context.Context) {
	loop.Watch(ctx, c.log, "what tenants are kept from", func(ctx context.Context) error {
		return c.deps.NAT.Guard.WatchGuard(ctx, func(u intent.GuardUpdate) {
			c.send(ctx, func() {
				c.nat.guardReceived = true
				c.world.SetGuarded(u)
			})
		})
	})
}

// followTenants watches the tenants that concern this host, and no others.
func (c *Controller) followTenants(ctx context.Context) {
	span := c.binder.tenants()
	for t := range c.follows {
		if c.world.HoldsAddress(t) {
			span[t] = true
		}
	}
	for t := range span {
		c.follow(ctx, t)
	}
	for t, stop := range c.follows {
		// A tenant not yet sent may hold a claim of this host's.
		if span[t] || !c.received[t] {
			continue
		}
		stop(errLeft)
		delete(c.follows, t)
		delete(c.received, t)
		c.world.Forget(t)
		c.log.Info("tenant left this host", "tenant", t)
	}
}

func (c *Controller) follow(ctx context.Context, tenant string) {
	if c.follows[tenant] != nil {
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	c.follows[tenant] = stop
	go func() {
		loop.Watch(ctx, c.log, "tenant "+tenant, func(ctx context.Context) error {
			return c.deps.Span.WatchTenant(ctx, tenant, func(u intent.SpanUpdate) {
				c.send(ctx, func() {
					if ctx.Err() == nil { // else it was unfollowed meanwhile
						c.received[tenant] = true
						c.world.Update(u)
						c.binder.span(u)
					}
				})
			})
		})
		if errors.Is(context.Cause(ctx), errLeft) {
			if err := c.deps.Span.DropCopy(tenant); err != nil {
				c.log.Warn("cannot remove the cached copy of a tenant", "tenant", tenant, "error", err)
			}
		}
	}()
}

// resolve watches which port an interface id means.
func (c *Controller) resolve(ctx context.Context, ifaceID string) {
	ctx, stop := context.WithCancel(ctx)
	c.resolves[ifaceID] = stop
	go func() {
		loop.Watch(ctx, c.log, "interface "+ifaceID, func(ctx context.Context) error {
			err := c.deps.Span.WatchResolve(ctx, ifaceID, func(ref intent.PortRef, ok bool) {
				c.send(ctx, func() {
					if ctx.Err() == nil {
						c.resolved[ifaceID] = true
						c.binder.resolve(ifaceID, ref, ok, c.world)
					}
				})
			})
			if hopeless(err) {
				c.log.Warn("an interface names no port", "iface-id", ifaceID, "error", err)
				c.send(ctx, func() { c.resolved[ifaceID] = true })
				<-ctx.Done() // until the interface goes or names another port
			}
			return err
		})
	}()
}
