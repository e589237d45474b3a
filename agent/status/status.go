// Package status answers questions of users about one host: its state and what is wrong with
// it, the flows of its switch and their purpose, tracked connections and learned MACs.
//
//	status.go     Host: the state of the host
//	warnings.go   what is wrong, with remedies
//	penalties.go  ports that are rate limited
//	drops.go      drops, by reason
//	lastknown.go  answers of other parts, kept for when they do not answer
//	flows.go      Observer: the flows of the switch
//	observed.go   tracked connections and learned MACs
package status

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/repair"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// Controller is the loop that drives the switch; *controller.Controller is one.
type Controller interface {
	Status(ctx context.Context) (controller.Status, error)
	Objects(ctx context.Context) (map[pipeline.Cookie]string, error)
	Notes(ctx context.Context, owners map[pipeline.Cookie]bool) (controller.Notes, error)
	Compare(ctx context.Context) (mods []of.Mod, clashes []string, err error)
}

// Switch is the connection to the integration bridge; *keeper.Link is one.
type Switch interface {
	State() (connected bool, since time.Time, err error)
	Flows(ctx context.Context, filter ofconn.FlowFilter) ([]of.FlowStats, error)
	MeterStats(ctx context.Context) ([]of.MeterStats, error)
}

// Database is the local Open_vSwitch database; *ovsdb.DB is one.
type Database interface {
	State() ovsdb.State
	Version(ctx context.Context) (ovsdb.Version, error)
	Interfaces(bridge string) []ovsdb.Interface
}

// Store is the store as this host follows it; *store.Store is one.
type Store interface {
	LeftOut() []store.LeftOut
	NextTrial() (cluster.Trial, bool)
}

// Presence is this host in the store; *agent.Presence is one.
type Presence interface {
	State() (connected bool, since time.Time, err error)
	Down() error
}

// Agent knows the state of plugged ports; *agent.Agent is one.
type Agent interface {
	Underlay(vtep netip.Addr) agent.Underlay
	States() map[string]agent.State
}

// Config configures a Host. Every field but ApartFault is required.
type Config struct {
	Host     intent.Host
	Bridge   string    // the integration bridge
	Store    string    // a description of the store: "embedded in this process"
	OVSDB    string    // socket of ovsdb-server
	OpenFlow string    // socket of ovs-vswitchd
	Started  time.Time // the daemon

	Controller Controller
	Switch     Switch
	Database   Database
	Follows    Store
	Presence   Presence
	Agent      Agent

	// These return what is wrong with the bridges, with the underlay's NIC, and with the rules
	// that isolate the host's own network from its ports. ApartFault is nil without such rules.
	BridgesFault, CardFault, ApartFault func() error

	Exits     func() exit.Status
	Penalties func() map[uint32]datapath.Penalty
	Cache     func(ctx context.Context) (datapath.CacheStats, error)
	Repairs   func() []repair.Entry
	// TooLarge counts the packets larger than an MTU that reached ovloomd.
	TooLarge func() (packets, bytes uint64)
}

// Host reports the state of this host.
type Host struct {
	Config

	// The last answers of other parts.
	controller lastKnown[controller.Status]
	version    lastKnown[ovsdb.Version]
	drops      lastKnown[[]api.Drop]
	cache      lastKnown[datapath.CacheStats]
}

// New returns a Host.
func New(cfg Config) *Host { return &Host{Config: cfg} }

// answers are the answers of all parts, current or last known.
type answers struct {
	controller answer[controller.Status]
	version    answer[ovsdb.Version]
	drops      answer[[]api.Drop]
	cache      answer[datapath.CacheStats]
}

// ask asks all parts in parallel.
func (h *Host) ask(ctx context.Context) (a answers) {
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { a.controller = h.controller.ask(ctx, h.Controller.Status) })
	asking.Go(func() { a.version = h.version.ask(ctx, h.Database.Version) })
	asking.Go(func() { a.drops = h.drops.ask(ctx, h.readDrops) })
	asking.Go(func() { a.cache = h.cache.ask(ctx, h.Cache) })
	return a
}

// Status implements api.Backend. It answers even if other parts are down or hang: their last
// answers then stand in, marked as stale.
func (h *Host) Status(ctx context.Context) (api.Status, error) {
	a := h.ask(ctx)
	c := a.controller.Value
	self := h.Config.Host
	u := h.Agent.Underlay(self.VTEP)
	s := api.Status{
		Version: self.Version, Host: self.Name, VTEP: self.VTEP,
		Datapath: self.Datapath, Bridge: h.Bridge, OVSVersion: a.version.Value.OVS,
		Started: h.Started, Uptime: int64(time.Since(h.Started).Seconds()),
		Connections: h.connections(),
		Resync:      api.Resync{At: c.LastResync, Messages: c.LastResyncMods},
		Flows:       c.Flows, Groups: c.Groups,
		Drops:     a.drops.Value,
		Underlay:  api.Underlay{Interface: u.Interface, MTU: u.MTU, Fault: u.Fault},
		Ports:     h.ports(c),
		Conflicts: conflicts(c),
		LeftOut:   h.leftOut(c),
		Repairs:   []api.Repair{},
	}
	if v := a.cache.Value; !a.cache.Stale || !a.cache.At.IsZero() {
		s.Cache = &api.Cache{Hits: v.Hits, Misses: v.Misses, Lost: v.Lost, Flows: v.Flows, Masks: v.Masks, MaskHits: v.MaskHits}
	}
	for _, t := range c.Tenants {
		s.Tenants = append(s.Tenants, t.Name)
		s.Revision = max(s.Revision, t.Applied)
	}
	for _, e := range h.Repairs() {
		s.Repairs = append(s.Repairs, api.Repair{At: e.At, First: e.First, Times: e.Times, What: e.What, Count: e.Count, Detail: e.Detail})
	}
	stale, late := a.stale(h.Bridge)
	exits := h.Exits()
	s.Stale, s.Uplinks = stale, exits.Uplinks
	s.Warnings = slices.Concat(late, h.warnings(c), h.penaltyWarnings(c), exits.Warnings)
	return s, nil
}

// stale returns which answers are not current, and warnings about them.
func (a answers) stale(bridge string) (stale []api.Stale, w []api.Warning) {
	add := func(part, subject string, at time.Time, err error, do string) {
		stale = append(stale, api.Stale{Part: part, At: at})
		what := "no answer yet about " + subject
		if !at.IsZero() {
			what = fmt.Sprintf("%s: as of %s, for there is no newer answer", subject, at.UTC().Format("15:04:05Z"))
		}
		if err != nil {
			what += ": " + intent.What(err)
		}
		w = append(w, api.Warning{What: what, Do: do})
	}
	if a.controller.Stale {
		add("controller", "ports and flows", a.controller.At, a.controller.Err, "see whether ovs-vswitchd and ovsdb-server answer: ovs-vsctl -t 5 show")
	}
	if a.version.Stale && a.version.Value.OVS == "" {
		add("ovs_version", "the version of Open vSwitch", a.version.At, a.version.Err, "")
	}
	if a.drops.Stale && a.controller.Value.Connected {
		add("drops", "what is dropped", a.drops.At, a.drops.Err, "see whether ovs-vswitchd answers: ovs-ofctl show "+bridge)
	}
	if a.cache.Stale { // drops are then stale, too, and their warning is enough
		stale = append(stale, api.Stale{Part: "cache", At: a.cache.At})
	}
	return stale, w
}

// ports returns this host's ports: the controller's, and ports that only the agent knows.
func (h *Host) ports(c controller.Status) (list []api.BoundPort) {
	states := h.Agent.States()
	for _, p := range c.Ports {
		state := states[p.Name]
		list = append(list, api.BoundPort{
			Port: portName(p), Interface: p.Name, OFPort: uint32(p.OFPort), Up: p.InForce && p.Installed && !state.Down, Fault: state.What})
		delete(states, p.Name)
	}
	for name, state := range states { // interfaces that the switch has lost
		list = append(list, api.BoundPort{Port: state.Port, Interface: name, Fault: state.What})
	}
	slices.SortFunc(list, func(a, b api.BoundPort) int {
		return cmp.Or(strings.Compare(a.Port, b.Port), strings.Compare(a.Interface, b.Interface))
	})
	return list
}

// conflicts returns the ports that are plugged more than once.
func conflicts(c controller.Status) (list []api.Conflict) {
	for _, x := range c.Conflicts {
		conflict := api.Conflict{Port: x.Ref.String(), Interfaces: x.Interfaces}
		for _, b := range x.Claims {
			conflict.Claims = append(conflict.Claims, api.Claim{Host: b.Host, Generation: b.Generation, Up: b.Up})
		}
		list = append(list, conflict)
	}
	return list
}

// leftOut returns the objects that this host follows but cannot use.
func (h *Host) leftOut(c controller.Status) []api.LeftOut {
	list := []api.LeftOut{}
	for _, l := range h.Follows.LeftOut() {
		list = append(list, api.LeftOut{Key: l.Key, Object: l.Object, Reason: l.Why, Newer: l.Newer})
	}
	for _, l := range c.LeftOut {
		list = append(list, api.LeftOut{Object: l.Object, Reason: l.Why})
	}
	return list
}

func portName(p controller.PortStatus) string {
	if p.Known {
		return p.Ref.String()
	}
	return p.IfaceID
}

func (h *Host) connections() []api.Connection {
	db := h.Database.State()
	list := []api.Connection{
		{Name: "store", Target: h.Store},
		{Name: "ovsdb", Target: h.OVSDB, Connected: db.Connected, Since: db.Since, Error: intent.What(db.LastError)},
		{Name: "openflow", Target: h.OpenFlow},
	}
	for i, state := range map[int]func() (bool, time.Time, error){0: h.Presence.State, 2: h.Switch.State} {
		connected, since, err := state()
		list[i].Connected, list[i].Since, list[i].Error = connected, since, intent.What(err)
	}
	if trial, ok := h.Follows.NextTrial(); ok {
		list[0].RetryAt, list[0].RetryError = trial.Next, trial.Last
	}
	for i := range list {
		if list[i].Connected {
			list[i].Error = ""
		}
	}
	return list
}
