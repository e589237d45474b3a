package controller

import (
	"context"
	"maps"
	"time"

	"github.com/ovloom/ovloom/controller/world"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// What the daemon tells the controller of its host. What the store says comes by watches.

// SetInterfaces takes in the interfaces of the integration bridge: all of them.
func (c *Controller) SetInterfaces(ctx context.Context, list []Interface) {
	c.send(ctx, func() {
		came, went := c.binder.setInterfaces(list, c.world)
		for _, id := range came {
			if ref, ok := c.binder.expects(id, c.world); ok {
				// Flows are made of what the store has sent: its answer about what the id means may
				// come later.
				c.binder.resolve(id, ref, true, c.world)
			}
			c.resolve(ctx, id)
		}
		for _, id := range went {
			c.resolves[id]()
			delete(c.resolves, id)
			delete(c.resolved, id)
		}
		c.interfacesReceived = true
	})
}

// Expect says that a port is about to be claimed for this host, and its interface made.
// The function that it returns says what came of it: after a success the interface is
// waited for, for a while.
func (c *Controller) Expect(ctx context.Context, ref intent.PortRef) (done func(error)) {
	c.send(ctx, func() { c.binder.expected[ref] = time.Time{} })
	return func(err error) {
		c.send(context.WithoutCancel(ctx), func() {
			_, expected := c.binder.expected[ref]
			switch {
			case err != nil || c.binder.byPort[ref] != nil:
				delete(c.binder.expected, ref)
			case expected: // the interface has not been seen yet
				c.binder.expected[ref] = time.Now().Add(expectFor)
			}
		})
	}
}

// Unexpect says that a port was unplugged. If its interface has not been seen yet it will
// never be, and the port's claim is given up.
func (c *Controller) Unexpect(ctx context.Context, ref intent.PortRef) {
	c.send(ctx, func() { delete(c.binder.expected, ref) })
}

// Connected takes in a switch that has just connected, and the number of its
// tunnel port.
func (c *Controller) Connected(ctx context.Context, sw Switch, vxlan of.PortNo) {
	c.send(ctx, func() {
		c.world.SetSwitch(pipeline.Switch{VXLANPort: vxlan, KernelDatapath: c.deps.KernelDatapath, NoMeters: c.noMeters})
		c.sw, c.synced = sw, false
		clear(c.nat.limits) // it may have started anew
		c.world.CheckAll()
		c.foreign, c.repairing = foreignChanges{epoch: c.foreign.epoch + 1}, false
		c.retrySync, c.syncBackoff = time.Time{}, 0
	})
}

// Disconnected takes in that the switch is gone; sw is the one that Connected was
// given.
func (c *Controller) Disconnected(ctx context.Context, sw Switch) {
	c.send(ctx, func() {
		if c.sw == sw {
			c.sw, c.synced = nil, false
		}
	})
}

// Disturbed takes in that another program has changed something in the switch, or
// may have. All of it is compared with what is wanted, soon, and put back.
func (c *Controller) Disturbed(ctx context.Context, sw Switch) {
	c.send(ctx, func() {
		if c.sw == sw {
			c.foreign.pending = true
		}
	})
}

// SetMeters takes in whether the switch that connects next has meters. Until it is
// called it is taken for having some.
func (c *Controller) SetMeters(ctx context.Context, some bool) {
	c.send(ctx, func() { c.noMeters = !some })
}

// SetPenalties takes in which ports of the switch make too many cached flows: all of
// them.
func (c *Controller) SetPenalties(ctx context.Context, ports map[of.PortNo]bool) {
	ports = maps.Clone(ports)
	c.send(ctx, func() { c.world.SetPenalties(ports) })
}

// SetUplinks takes in which externals have a port here, by their names.
func (c *Controller) SetUplinks(ctx context.Context, uplinks map[string]Uplink) {
	uplinks = maps.Clone(uplinks)
	c.send(ctx, func() {
		c.nat.uplinksReceived = true
		c.world.SetUplinks(uplinks)
	})
}

// SetSurroundings takes in what tenants must not reach.
func (c *Controller) SetSurroundings(ctx context.Context, s Surroundings) {
	c.send(ctx, func() {
		c.nat.surroundingsReceived = true
		c.world.SetSurroundings(s)
	})
}

// Recall follows the tenants that this host knew when it last ran: it may have
// left claims in them. Until it is called no switch is touched.
func (c *Controller) Recall(ctx context.Context, tenants []string) {
	c.send(ctx, func() {
		for _, t := range tenants {
			c.follow(ctx, t)
		}
		c.recalled = true
	})
}

// Claimed takes in which ports the store says that this host claims. A claim that no
// interface is behind is given up: one that was made while the store's answer was lost
// would stay for ever.
func (c *Controller) Claimed(ctx context.Context, refs []intent.PortRef) {
	c.send(ctx, func() {
		if !c.started {
			return
		}
		for _, ref := range refs {
			c.binder.mayBeStale(ref, 0)
		}
	})
}

// Uplink is the port of the switch by which packets leave to an external.
type Uplink = world.Uplink

// Surroundings is what there is around this host that tenants must not reach.
type Surroundings = world.Surroundings

// HostPort is a port of this host's own addresses.
type HostPort = pipeline.HostPort

// LeftOut is an object of which this host makes no flows, or no new ones.
type LeftOut = world.LeftOut

// ZoneName is the name under which the zone of a tenant is kept.
func ZoneName(t intent.Tenant) string { return world.ZoneName(t) }
