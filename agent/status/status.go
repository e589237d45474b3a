// Package status answers what people ask about one host: how it is, what flows its switch has
// and what they are for, and what the switch has found out by itself.
//
//	status.go     Host: the state of the host
//	warnings.go   what is wrong, and what to do
//	penalties.go  which ports are held to a rate
//	drops.go      what is dropped, by reason
//	lastknown.go  answers of others, kept for when they do not answer
//	flows.go      Observer: the flows of the switch
//	observed.go   connections, and where MACs are
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

// Agent looks after what is plugged; *agent.Agent is one.
type Agent interface {
	Underlay(vtep netip.Addr) agent.Underlay
	States() map[string]agent.State
}

// Config says what a host's state is read from. Every field but ApartFault is required.
type Config struct {
	Host     intent.Host
	Bridge   string    // the integration bridge
	Store    string    // what the store is, for people: "embedded in this process"
	OVSDB    string    // socket of ovsdb-server
	OpenFlow string    // socket of ovs-vswitchd
	Started  time.Time // the daemon

	Controller Controller
	Switch     Switch
	Database   Database
	Follows    Store
	Presence   Presence
	Agent      Agent

	// What these return is wrong: with the bridges, with the underlay's card, and with the
	// rules that keep the host's own network apart from its ports; nil: there are none.
	BridgesFault, CardFault, ApartFault func() error

	Exits     func() exit.Status
	Penalties func() map[uint32]datapath.Penalty
	Cache     func(ctx context.Context) (datapath.CacheStats, error)
	Repairs   func() []repair.Entry
	// TooLarge is what ovloomd itself has seen of packets larger than an MTU.
	TooLarge func() (packets, bytes uint64)
}

// Host is the state of this host.
type Host struct {
	Config

	// What the answers of others were last.
	controller lastKnown[controller.Status]
	version    lastKnown[ovsdb.Version]
	drops      lastKnown[[]api.Drop]
	cache      lastKnown[datapath.CacheStats]
}

// New returns the state of the host that cfg tells of.
func New(cfg Config) *Host { return &Host{Config: cfg} }

// answers are what others say of the host, as of now or as of when they last answered.
type answers struct {
	controller answer[controller.Status]
	version    answer[ovsdb.Version]
	drops      answer[[]api.Drop]
	cache      answer[datapath.CacheStats]
}

// ask asks all others at once.
func (h *Host) ask(ctx context.Context) (a answers) {
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { a.controller = h.controller.ask(ctx, h.Controller.Status) })
	asking.Go(func() { a.version = h.version.ask(ctx, h.Database.Version) })
	asking.Go(func() { a.drops = h.drops.ask(ctx, h.readDrops) })
	asking.Go(func() { a.cache = h.cache.ask(ctx, h.Cache) })
	return a
}

// Status implements api.Backend. It answers while any of the others is down or hangs: what
// they do not tell in time is what they told last, and is marked so.
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

// stale returns which answers are not of now, and warns of them.
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
	if a.cache.Stale { // what is dropped is then stale, too, and the warning about that is enough
		stale = append(stale, api.Stale{Part: "cache", At: a.cache.At})
	}
	return stale, w
}

// ports returns the ports that the controller or the agent knows of here.
func (h *Host) ports(c controller.Status) (list []api.BoundPort) {
	states := h.Agent.States()
	for _, p := range c.Ports {
		state := states[p.Name]
		list = append(list, api.BoundPort{
			Port: portName(p), Interface: p.Name, OFPort: uint32(p.OFPort), Up: p.InForce && p.Installed && !state.Down, Fault: state.What})
		delete(states, p.Name)
	}
	for name, state := range states { // what the switch has lost
		list = append(list, api.BoundPort{Port: state.Port, Interface: name, Fault: state.What})
	}
	slices.SortFunc(list, func(a, b api.BoundPort) int {
		return cmp.Or(strings.Compare(a.Port, b.Port), strings.Compare(a.Interface, b.Interface))
	})
	return list
}

// conflicts returns the ports that are plugged several times.
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

// leftOut returns what this host follows and cannot use.
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
