package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// NAT are the parts of the world that externals and NAT need. Whoever gives them to
// a Controller also calls SetUplinks and SetSurroundings, once at least: until then
// no switch is touched.
type NAT struct {
	Externals Externals
	Guard     Guard
	Zones     Zones
	Conntrack Conntrack
	Addresses NATAddresses

	// HostForwards is told of the forwards that begin at the host's own addresses and
	// lead into ports of tenants, once when the controller begins to act and whenever
	// they change. It must not wait. nil: nobody is.
	HostForwards func([]intent.Forward)
}

// Externals tells of all externals. The watch blocks until ctx ends and hides lost
// connections.
type Externals interface {
	WatchExternals(ctx context.Context, deliver func(intent.ExternalsUpdate)) error
}

// Guard tells what all hosts keep tenants from. The watch blocks until ctx ends and hides
// lost connections.
type Guard interface {
	WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error
}

// Zones keeps, for as long as the bridge exists, which zone of the connection tracker
// belongs to whom.
type Zones interface {
	LoadZones(ctx context.Context) (map[string]uint16, error) // none yet: empty
	SaveZones(ctx context.Context, zones map[string]uint16) error
}

// Conntrack is the switch's connection tracker.
type Conntrack interface {
	// Connections returns those of a zone. Before it looks it waits until all packets
	// follow the flows that the switch has by now (unixctl: revalidator/wait): one that
	// still follows older ones might make a connection that was to be cut.
	Connections(ctx context.Context, zone uint16) ([]of.Connections, error)
	// Cut ends connections. One without tuples stands for all of its zone.
	Cut(ctx context.Context, which ...of.Connections) error
	// Limit bounds the connections of a zone; 0: no bound. It is forgotten when
	// ovs-vswitchd ends.
	Limit(ctx context.Context, zone uint16, most uint32) error
}

// Limits is what a Conntrack may have besides: the bounds of all zones, as they are.
type Limits interface {
	Limits(ctx context.Context) (map[uint16]uint32, error)
}

// NATAddresses are the addresses that hosts take from the pools of externals of kind
// bridge, in the store. Claiming again what a host has returns the same.
type NATAddresses interface {
	ClaimNATAddress(ctx context.Context, tenant, external, host string) (netip.Addr, error)
	ReleaseNATAddress(ctx context.Context, tenant, external, host string) error
}

// Uplink is the port of the switch by which packets leave to an external.
type Uplink struct {
	OFPort of.PortNo  // 0: there is none
	MAC    intent.MAC // kind host only: of the interface that the port is
}

// Surroundings is what there is around this host that tenants must not reach.
type Surroundings struct {
	Addresses []netip.Addr // the host's own, IPv4, without those of externals
	Store     []netip.Addr // endpoints of the store

	// Forwards are the ports of Addresses that the host's packet filter leads into ports of
	// tenants at the moment.
	Forwards []HostPort
}

// HostPort is a port of this host's own addresses.
type HostPort = pipeline.HostPort

// natState is what the controller remembers of what it did for NAT.
type natState struct {
	uplinksHeard, surroundingsHeard, externalsHeard, guardHeard bool

	zonesLoaded  bool
	zones        map[string]uint16 // as the bridge keeps them
	limits       map[uint16]uint32 // as the switch has them
	forwards     []intent.Forward  // that HostForwards was told
	forwardsTold bool
	judged       map[string]natRules // by tenant: the rules that its connections were last held against
}

// SetUplinks takes in which externals have a port here, by their names.
func (c *Controller) SetUplinks(ctx context.Context, uplinks map[string]Uplink) {
	uplinks = maps.Clone(uplinks)
	c.send(ctx, func() {
		c.nat.uplinksHeard = true
		c.world.setUplinks(uplinks)
	})
}

// SetSurroundings takes in what tenants must not reach.
func (c *Controller) SetSurroundings(ctx context.Context, s Surroundings) {
	c.send(ctx, func() {
		c.nat.surroundingsHeard = true
		c.world.setSurroundings(s)
	})
}

func (c *Controller) watchExternals(ctx context.Context) {
	loop.Watch(ctx, c.log, "externals", func(ctx context.Context) error {
		return c.deps.NAT.Externals.WatchExternals(ctx, func(u intent.ExternalsUpdate) {
			c.send(ctx, func() {
				c.nat.externalsHeard = true
				c.world.setExternals(u.Externals)
			})
		})
	})
}

func (c *Controller) watchGuard(ctx context.Context) {
	loop.Watch(ctx, c.log, "what tenants are kept from", func(ctx context.Context) error {
		return c.deps.NAT.Guard.WatchGuard(ctx, func(u intent.GuardUpdate) {
			c.send(ctx, func() {
				c.nat.guardHeard = true
				c.world.setGuarded(u)
			})
		})
	})
}

// tellForwards tells of forwards that the host's own packet filter has to begin.
func (c *Controller) tellForwards() {
	if c.deps.NAT == nil || c.deps.NAT.HostForwards == nil {
		return
	}
	now := c.world.hostForwards()
	if !c.nat.forwardsTold || !slices.Equal(now, c.nat.forwards) {
		c.nat.forwards, c.nat.forwardsTold = now, true
		c.deps.NAT.HostForwards(slices.Clone(now))
	}
}

// natKnown says whether this host has told enough of itself to touch a switch.
func (c *Controller) natKnown() bool {
	return c.deps.NAT == nil || c.nat.uplinksHeard && c.nat.surroundingsHeard && c.nat.guardHeard && c.nat.zonesLoaded
}

// lookAfterZones loads which zones there are, gives one to each tenant that has come
// to need one, and takes back those that nobody needs. A zone is empty when it
// is given: what another tenant left there would be taken for the new one's.
func (c *Controller) lookAfterZones(ctx context.Context) {
	if c.deps.NAT == nil || c.busy(zonesLane) {
		return
	}
	if !c.nat.zonesLoaded {
		var loaded map[string]uint16
		c.do(ctx, deed{lane: zonesLane, what: "load the zones of the connection tracker",
			do: func(ctx context.Context) (err error) {
				loaded, err = c.deps.NAT.Zones.LoadZones(ctx)
				return err
			},
			done: func() {
				c.nat.zonesLoaded, c.nat.zones = true, loaded
				c.world.setZones(loaded)
			},
		})
		return
	}
	if !c.synced {
		return
	}
	plan := planZones(c.nat.zones, c.zonesNeeded())
	if len(plan.empty) == 0 {
		// All is as it is kept, but perhaps one was taken back that is needed again.
		c.world.setZones(c.nat.zones)
		return
	}
	// Whoever lost its zone has no flows with it since the last flush.
	c.world.setZones(plan.keep)
	// A zone is bounded before the first flow sends packets there.
	fresh := map[uint16]uint32{}
	for name, limit := range c.world.zoneLimits() {
		if z := plan.next[name]; slices.Contains(plan.empty, z) {
			fresh[z] = limit
		}
	}
	c.do(ctx, deed{lane: zonesLane, what: "share out zones of the connection tracker",
		do: func(ctx context.Context) error {
			for z, limit := range fresh {
				if err := c.deps.NAT.Conntrack.Limit(ctx, z, limit); err != nil {
					delete(fresh, z) // natDeeds tries again, and says so: a tenant is not kept inside for that
				}
			}
			for _, z := range plan.empty {
				if err := c.deps.NAT.Conntrack.Cut(ctx, of.Connections{Zone: z}); err != nil {
					return err
				}
			}
			return c.deps.NAT.Zones.SaveZones(ctx, plan.next)
		},
		done: func() {
			for _, z := range plan.empty {
				delete(c.nat.limits, z)
			}
			maps.Copy(c.nat.limits, fresh)
			c.nat.zones = plan.next
			c.world.setZones(plan.next)
		},
	})
}

// natDeeds does what NAT needs done outside: addresses for this host, limits, and
// cutting what the rules do not allow any more.
func (c *Controller) natDeeds(ctx context.Context) {
	if c.deps.NAT == nil || !c.synced || !c.nat.externalsHeard {
		return
	}
	for _, a := range c.world.natAddressesDue() {
		c.claimAddress(ctx, a)
	}
	for _, name := range slices.Sorted(maps.Keys(c.world.nat.suspects)) {
		t := c.world.tenants[name]
		if _, ok := c.nat.judged[name]; !ok && t != nil {
			c.world.leftUnseen(t)
		}
		rules, ok := c.world.natRules(t)
		if !ok {
			delete(c.nat.judged, name) // its zone is emptied as a whole
			c.world.judged(name, rules.left)
			continue
		}
		c.limit(ctx, rules)
		c.judge(ctx, name, rules)
	}
}

// natUnderWay says whether something is still being done for a tenant's NAT. What
// failed is not: it is tried again, but nobody need wait for it.
func (c *Controller) natUnderWay(t *tenant) bool {
	if c.deps.NAT == nil {
		return false
	}
	lanes := []string{}
	if t.nat.any() && c.world.zone(t) == 0 {
		lanes = append(lanes, zonesLane)
	}
	if c.world.nat.suspects[t.Name] {
		lanes = append(lanes, connectionsLane(t.Name))
	}
	for _, a := range c.world.addressesDue(t) {
		lanes = append(lanes, a.lane())
	}
	return slices.ContainsFunc(lanes, func(l string) bool { return c.lanes[l].wait == 0 })
}

// Lanes of deeds.

const zonesLane = "zones"

func connectionsLane(tenant string) string { return "connections of " + tenant }

func limitLane(zone uint16) string { return fmt.Sprintf("limit of zone %d", zone) }

func (a addressDue) lane() string { return fmt.Sprintf("address of %s on %s", a.tenant, a.external) }

func (c *Controller) claimAddress(ctx context.Context, a addressDue) {
	d := deed{lane: a.lane(), goal: fmt.Sprint(a.due)}
	if a.due {
		d.what = "claim an external address"
		d.do = func(ctx context.Context) error {
			_, err := c.deps.NAT.Addresses.ClaimNATAddress(ctx, a.tenant, a.external, c.host)
			return err
		}
	} else {
		d.what = "release an external address"
		d.do = func(ctx context.Context) error {
			return c.deps.NAT.Addresses.ReleaseNATAddress(ctx, a.tenant, a.external, c.host)
		}
	}
	c.do(ctx, d)
}

// limit bounds the connections of a zone.
func (c *Controller) limit(ctx context.Context, r natRules) {
	if most, ok := c.nat.limits[r.zone]; ok && most == r.limit {
		return
	}
	c.do(ctx, deed{lane: limitLane(r.zone), what: "bound the connections of a tenant",
		do:   func(ctx context.Context) error { return c.deps.NAT.Conntrack.Limit(ctx, r.zone, r.limit) },
		done: func() { c.nat.limits[r.zone] = r.limit },
	})
}

// lookAtLimits compares the bounds of zones with those that were set. One that differs is set
// again, and told.
func (c *Controller) lookAtLimits(ctx context.Context) {
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
	c.do(ctx, deed{lane: "look at limits", what: "look at the limits of the connection tracker",
		do: func(ctx context.Context) error {
			now, failed = look.Limits(ctx)
			return nil // the connection to the switch tells what is wrong with it
		},
		done: func() {
			if failed != nil || c.sw != sw {
				return
			}
			for _, zone := range slices.Sorted(maps.Keys(before)) {
				want, ok := c.nat.limits[zone]
				if !ok || want != before[zone] || now[zone] == want || c.busy(limitLane(zone)) {
					continue
				}
				delete(c.nat.limits, zone)
				c.world.suspectAll()
				if c.deps.Repairs != nil {
					c.deps.Repairs.Put("limits of connections changed by another program", 0, fmt.Sprintf("zone %d had %d, not %d", zone, now[zone], want))
				}
			}
		},
	})
}

// judge cuts the connections of a tenant that the rules in force would not have
// made.
func (c *Controller) judge(ctx context.Context, tenant string, rules natRules) {
	if old, ok := c.nat.judged[tenant]; ok && reflect.DeepEqual(old, rules) {
		if most, ok := c.nat.limits[rules.zone]; ok && most == rules.limit {
			c.world.judged(tenant, rules.left)
		}
		return
	}
	var cut int
	c.do(ctx, deed{lane: connectionsLane(tenant), what: "hold the connections of a tenant against its rules",
		do: func(ctx context.Context) error {
			all, err := c.deps.NAT.Conntrack.Connections(ctx, rules.zone)
			if err != nil {
				return err
			}
			bad := slices.DeleteFunc(all, rules.allow)
			if cut = len(bad); cut == 0 {
				return nil
			}
			return c.deps.NAT.Conntrack.Cut(ctx, bad...)
		},
		done: func() {
			c.world.forgive(tenant, rules.left)
			rules.left = nil
			c.nat.judged[tenant] = rules
			if cut > 0 {
				c.log.Info("connections cut", "tenant", tenant, "connections", cut)
			}
		},
	})
}

// How often ovloomd asks for the gateway of an uplink, so that it is known before it
// is needed, and how it tells of an address that has come here.
const (
	gatewayEvery  = 30 * time.Second
	announceTimes = 3
	announceEvery = time.Second
)
