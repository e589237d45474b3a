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

// Inputs from the daemon about its host. Input from the store comes by watches.

// SetInterfaces replaces the list of the integration bridge's interfaces.
func (c *Controller) SetInterfaces(ctx context.Context, list []Interface) {
	c.send(ctx, func() {
		came, went := c.binder.setInterfaces(list, c.world)
		for _, id := range came {
			if ref, ok := c.binder.expects(id, c.world); ok {
				// Flows follow from what the store has sent; the lookup of the id may
				// answer later.
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

// Expect announces that a port is about to be claimed for this host and its interface
// made. The returned function reports the outcome: after a success the interface is
// expected for a while.
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

// Unexpect says that a port was unplugged. If its interface has not been seen yet, it
// is no longer expected, and the port's claim is given up.
func (c *Controller) Unexpect(ctx context.Context, ref intent.PortRef) {
	c.send(ctx, func() { delete(c.binder.expected, ref) })
}

// Connected sets the switch that has just connected, and the number of its tunnel port.
func (c *Controller) Connected(ctx context.Context, sw Switch, vxlan of.PortNo) {
	c.send(ctx, func() {
		c.world.SetSwitch(pipeline.Switch{VXLANPort: vxlan, KernelDatapath: c.deps.KernelDatapath, NoMeters: c.noMeters})
		c.sw, c.synced = sw, false
		clear(c.nat.limits) // ovs-vswitchd may have restarted
		c.world.CheckAll()
		c.foreign, c.repairing = foreignChanges{epoch: c.foreign.epoch + 1}, false
		c.retrySync, c.syncBackoff = time.Time{}, 0
	})
}

// Disconnected says that the switch is gone; sw is the one given to Connected.
func (c *Controller) Disconnected(ctx context.Context, sw Switch) {
	c.send(ctx, func() {
		if c.sw == sw {
			c.sw, c.synced = nil, false
		}
	})
}

// Disturbed says that another program has, or may have, changed something in the
// switch. The switch is soon compared with the wanted state and repaired.
func (c *Controller) Disturbed(ctx context.Context, sw Switch) {
	c.send(ctx, func() {
		if c.sw == sw {
			c.foreign.pending = true
		}
	})
}

// SetMeters says whether the switch that connects next has meters. Until it is called,
// the controller assumes that it has.
func (c *Controller) SetMeters(ctx context.Context, some bool) {
	c.send(ctx, func() { c.noMeters = !some })
}

// SetPenalties replaces the list of switch ports with too many cached flows.
func (c *Controller) SetPenalties(ctx context.Context, ports map[of.PortNo]bool) {
	ports = maps.Clone(ports)
	c.send(ctx, func() { c.world.SetPenalties(ports) })
}

// SetUplinks replaces the list of externals with a port here, by name.
func (c *Controller) SetUplinks(ctx context.Context, uplinks map[string]Uplink) {
	uplinks = maps.Clone(uplinks)
	c.send(ctx, func() {
		c.nat.uplinksReceived = true
		c.world.SetUplinks(uplinks)
	})
}

// SetSurroundings sets the addresses that tenants must not reach.
func (c *Controller) SetSurroundings(ctx context.Context, s Surroundings) {
	c.send(ctx, func() {
		c.nat.surroundingsReceived = true
		c.world.SetSurroundings(s)
	})
}

// Recall follows the tenants that this host knew when it last ran: it may have left
// claims in them. No switch is touched before this call.
func (c *Controller) Recall(ctx context.Context, tenants []string) {
	c.send(ctx, func() {
		for _, t := range tenants {
			c.follow(ctx, t)
		}
		c.recalled = true
	})
}

// Claimed sets the ports that this host claims according to the store. A claim without
// an interface is given up: a claim whose answer was lost would otherwise stay for
// ever.
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

// Surroundings are the addresses around this host that tenants must not reach.
type Surroundings = world.Surroundings

// HostPort is a port of this host's own addresses.
type HostPort = pipeline.HostPort

// LeftOut is an object without flows, or without new ones, on this host.
type LeftOut = world.LeftOut

// ZoneName is the name under which a tenant's zone is stored.
func ZoneName(t intent.Tenant) string { return world.ZoneName(t) }
