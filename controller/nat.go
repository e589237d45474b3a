package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/controller/world"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// NAT is the controller's access to externals and conntrack. Its user must also call
// SetUplinks and SetSurroundings at least once: before that no switch is touched.
type NAT struct {
	Externals Externals
	Guard     Guard
	Zones     Zones
	Conntrack Conntrack
	Addresses NATAddresses

	// HostForwards receives the forwards from the host's own addresses to ports of
	// tenants, when the controller begins to act and whenever they change. It must not
	// block. nil: they are not reported.
	HostForwards func([]intent.Forward)
}

// Externals watches all externals. The watch blocks until ctx ends and hides lost
// connections.
type Externals interface {
	WatchExternals(ctx context.Context, deliver func(intent.ExternalsUpdate)) error
}

// Guard watches the addresses that all hosts close to tenants. The watch blocks until
// ctx ends and hides lost connections.
type Guard interface {
	WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error
}

// Zones stores, with the bridge, which conntrack zone belongs to which name.
type Zones interface {
	LoadZones(ctx context.Context) (map[string]uint16, error) // empty if none are stored
	SaveZones(ctx context.Context, zones map[string]uint16) error
}

// Conntrack is the switch's connection tracker.
type Conntrack interface {
	// Connections returns the connections of a zone. First it waits until all packets
	// follow the switch's current flows (unixctl: revalidator/wait): a packet on an old
	// path could re-create a connection that is to be cut.
	Connections(ctx context.Context, zone uint16) ([]of.Connections, error)
	// Cut ends connections. One without tuples stands for its whole zone.
	Cut(ctx context.Context, which ...of.Connections) error
	// Limit bounds the connections of a zone; 0: no bound. The limit is lost when
	// ovs-vswitchd ends.
	Limit(ctx context.Context, zone uint16, most uint32) error
}

// Limits is an optional part of a Conntrack: the current limits of all zones.
type Limits interface {
	Limits(ctx context.Context) (map[uint16]uint32, error)
}

// NATAddresses are the addresses that hosts claim, in the store, from the pools of
// externals of kind bridge. Claiming again returns the address that the host has.
type NATAddresses interface {
	ClaimNATAddress(ctx context.Context, tenant, external, host string) (netip.Addr, error)
	ReleaseNATAddress(ctx context.Context, tenant, external, host string) error
}

// natState is the state of the controller's NAT work.
type natState struct {
	uplinksReceived, surroundingsReceived, externalsReceived, guardReceived bool

	zonesLoaded      bool
	zones            map[string]uint16 // as stored with the bridge
	limits           map[uint16]uint32 // as the switch has them
	forwards         []intent.Forward  // as last reported to HostForwards
	forwardsReported bool
	checked          map[string]world.Rules // by tenant: the rules of the last check of its connections
}

// reportForwards reports the forwards from this host's own addresses.
func (c *Controller) reportForwards() {
	if c.deps.NAT == nil || c.deps.NAT.HostForwards == nil {
		return
	}
	now := c.world.HostForwards()
	if !c.nat.forwardsReported || !slices.Equal(now, c.nat.forwards) {
		c.nat.forwards, c.nat.forwardsReported = now, true
		c.deps.NAT.HostForwards(slices.Clone(now))
	}
}

// natKnown reports whether enough of this host is known to touch a switch.
func (c *Controller) natKnown() bool {
	return c.deps.NAT == nil || c.nat.uplinksReceived && c.nat.surroundingsReceived && c.nat.guardReceived && c.nat.zonesLoaded
}

// assignZones loads the stored zones, assigns one to each tenant that has come to need
// one, and takes back unneeded ones. A zone is emptied before it is assigned, so that
// no connection of its previous tenant passes to the new one.
func (c *Controller) assignZones(ctx context.Context) {
	if c.deps.NAT == nil || c.busy(zonesQueue) {
		return
	}
	if !c.nat.zonesLoaded {
		var loaded map[string]uint16
		c.do(ctx, task{queue: zonesQueue, what: "load the zones of the connection tracker",
			do: func(ctx context.Context) (err error) {
				loaded, err = c.deps.NAT.Zones.LoadZones(ctx)
				return err
			},
			done: func() {
				c.nat.zonesLoaded, c.nat.zones = true, loaded
				c.world.SetZones(loaded)
			},
		})
		return
	}
	if !c.synced {
		return
	}
	plan := world.PlanZones(c.nat.zones, c.zonesNeeded())
	if len(plan.Empty) == 0 {
		// The stored zones are up to date, but a zone that was taken back may be needed
		// again.
		c.world.SetZones(c.nat.zones)
		return
	}
	// Names that lost their zone have had no flows with it since the last flush.
	c.world.SetZones(plan.Keep)
	// A zone's limit is set before the first flow sends packets there.
	fresh := map[uint16]uint32{}
	for name, limit := range c.world.ZoneLimits() {
		if z := plan.Next[name]; slices.Contains(plan.Empty, z) {
			fresh[z] = limit
		}
	}
	c.do(ctx, task{queue: zonesQueue, what: "share out zones of the connection tracker",
		do: func(ctx context.Context) error {
			for z, limit := range fresh {
				if err := c.deps.NAT.Conntrack.Limit(ctx, z, limit); err != nil {
					delete(fresh, z) // natTasks retries and reports it: the tenant is not cut off for that
				}
			}
			for _, z := range plan.Empty {
				if err := c.deps.NAT.Conntrack.Cut(ctx, of.Connections{Zone: z}); err != nil {
					return err
				}
			}
			return c.deps.NAT.Zones.SaveZones(ctx, plan.Next)
		},
		done: func() {
			for _, z := range plan.Empty {
				delete(c.nat.limits, z)
			}
			maps.Copy(c.nat.limits, fresh)
			c.nat.zones = plan.Next
			c.world.SetZones(plan.Next)
		},
	})
}

// natTasks returns NAT's calls to other processes: addresses for this host, limits, and
// cutting connections that the rules no longer allow.
func (c *Controller) natTasks(ctx context.Context) {
	if c.deps.NAT == nil || !c.synced || !c.nat.externalsReceived {
		return
	}
	for _, a := range c.world.AddressesDue() {
		c.claimAddress(ctx, a)
	}
	for _, name := range c.world.Unchecked() {
		if _, ok := c.nat.checked[name]; !ok {
			c.world.DepartedUnseen(name)
		}
		rules, ok := c.world.Rules(name)
		if !ok {
			delete(c.nat.checked, name) // its zone is emptied as a whole
			c.world.Checked(name, rules.Departed)
			continue
		}
		c.limit(ctx, rules)
		c.checkConnections(ctx, name, rules)
	}
}

// natUnderWay reports whether work for a tenant's NAT is under way. Failed work does
// not count: it is retried, but need not delay what waits for the tenant.
func (c *Controller) natUnderWay(tenant string) bool {
	if c.deps.NAT == nil {
		return false
	}
	queues := []string{}
	if c.world.LacksZone(tenant) {
		queues = append(queues, zonesQueue)
	}
	if c.world.IsUnchecked(tenant) {
		queues = append(queues, connectionsQueue(tenant))
	}
	for _, a := range c.world.AddressesDueOf(tenant) {
		queues = append(queues, addressQueue(a))
	}
	return slices.ContainsFunc(queues, func(q string) bool { return c.queues[q].wait == 0 })
}

// Queues of tasks.

const zonesQueue = "zones"

func connectionsQueue(tenant string) string { return "connections of " + tenant }

func limitQueue(zone uint16) string { return fmt.Sprintf("limit of zone %d", zone) }

func addressQueue(a world.AddressDue) string {
	return fmt.Sprintf("address of %s on %s", a.Tenant, a.External)
}

func (c *Controller) claimAddress(ctx context.Context, a world.AddressDue) {
	t := task{queue: addressQueue(a), goal: fmt.Sprint(a.Take)}
	if a.Take {
		t.what = "claim an external address"
		t.do = func(ctx context.Context) error {
			_, err := c.deps.NAT.Addresses.ClaimNATAddress(ctx, a.Tenant, a.External, c.host)
			return err
		}
	} else {
		t.what = "release an external address"
		t.do = func(ctx context.Context) error {
			return c.deps.NAT.Addresses.ReleaseNATAddress(ctx, a.Tenant, a.External, c.host)
		}
	}
	c.do(ctx, t)
}

// limit sets the limit of a zone.
func (c *Controller) limit(ctx context.Context, r world.Rules) {
	if most, ok := c.nat.limits[r.Zone]; ok && most == r.Limit {
		return
	}
	c.do(ctx, task{queue: limitQueue(r.Zone), what: "bound the connections of a tenant",
		do:   func(ctx context.Context) error { return c.deps.NAT.Conntrack.Limit(ctx, r.Zone, r.Limit) },
		done: func() { c.nat.limits[r.Zone] = r.Limit },
	})
}

// checkLimits compares the limits of zones with those that were set. A different one is
// set again, and reported.
func (c *Controller) checkLimits(ctx context.Context) {
	if c.deps.NAT == nil || len(c.nat.limits) == 0 {
		return
	}
	look, ok := c.deps.NAT.Conntrack.(Limits)
	if !ok {
		return
	}
	sw, before := c.sw, maps.Clone(c.nat.limits)
	var now map[uint16]uint32
	var failed error
	c.do(ctx, task{queue: "sample limits", what: "look at the limits of the connection tracker",
		do: func(ctx context.Context) error {
			now, failed = look.Limits(ctx)
			return nil // the connection to the switch reports its own errors
		},
		done: func() {
			if failed != nil || c.sw != sw {
				return
			}
			for _, zone := range slices.Sorted(maps.Keys(before)) {
				want, ok := c.nat.limits[zone]
				if !ok || want != before[zone] || now[zone] == want || c.busy(limitQueue(zone)) {
					continue
				}
				delete(c.nat.limits, zone)
				c.world.CheckAll()
				if c.deps.Repairs != nil {
					c.deps.Repairs.Put("limits of connections changed by another program", 0, fmt.Sprintf("zone %d had %d, not %d", zone, now[zone], want))
				}
			}
		},
	})
}

// checkConnections cuts a tenant's connections that the rules in force do not allow.
func (c *Controller) checkConnections(ctx context.Context, tenant string, rules world.Rules) {
	if old, ok := c.nat.checked[tenant]; ok && reflect.DeepEqual(old, rules) {
		if most, ok := c.nat.limits[rules.Zone]; ok && most == rules.Limit {
			c.world.Checked(tenant, rules.Departed)
		}
		return
	}
	var cut int
	c.do(ctx, task{queue: connectionsQueue(tenant), what: "check the connections of a tenant against its rules",
		do: func(ctx context.Context) error {
			all, err := c.deps.NAT.Conntrack.Connections(ctx, rules.Zone)
			if err != nil {
				return err
			}
			bad := slices.DeleteFunc(all, rules.Allow)
			if cut = len(bad); cut == 0 {
				return nil
			}
			return c.deps.NAT.Conntrack.Cut(ctx, bad...)
		},
		done: func() {
			c.world.ForgetDeparted(tenant, rules.Departed)
			rules.Departed = nil
			c.nat.checked[tenant] = rules
			if cut > 0 {
				c.log.Info("connections cut", "tenant", tenant, "connections", cut)
			}
		},
	})
}
