package controller

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ovloom/ovloom/controller/world"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Stats are counts since the controller started.
type Stats struct {
	Mods           int       // messages sent to the switch
	Resyncs        int       // comparisons of the whole switch
	LastResync     time.Time // when the last one began
	LastResyncMods int       // messages that it took
	LastError      string    // why the last attempt failed; "" if it did not
	Clashes        []string  // flows wanted by two objects, as of the last full comparison
}

// Status is the controller's state at one moment.
type Status struct {
	Stats
	Connected bool // to the switch
	Synced    bool // the switch is in the wanted state
	Flows     int  // wanted
	Groups    int
	Tenants   []TenantStatus
	LeftOut   []LeftOut
	NoHosts   bool         // neither the store nor a cached copy has sent the hosts: the switch is left alone
	NoGuard   bool         // neither has sent what tenants must not reach: the switch is left alone
	Missing   []string     // tenants that were here and that neither has sent; their flows stay as they are
	Ports     []PortStatus // plugged here
	Conflicts []Conflict
}

// TenantStatus is a tenant of this host's span.
type TenantStatus struct {
	Name     string
	Revision int64 // of the store, as received
	Applied  int64 // that the switch has, as reported to the store

	// Unlimited: the tenant's connections through NAT on this host have no limit.
	Unlimited bool
}

// PortStatus is an interface here that names a port.
type PortStatus struct {
	Interface
	Ref     intent.PortRef
	Pending bool   // its port is not known yet
	Known   bool   // the store has such a port
	InForce bool   // this host's claim is the one in force
	Refused string // why this host may not claim the port; "": it may
}

// Conflict is a port that more than one host, or more than one interface, claims.
type Conflict struct {
	Ref        intent.PortRef
	Claims     []intent.Binding // newest first
	Interfaces []string         // on this host
}

// Status returns what the controller knows.
func (c *Controller) Status(ctx context.Context) (Status, error) {
	return ask(ctx, c, c.status)
}

// Notes says what flows are for, by their cookies.
type Notes map[pipeline.Cookie]map[of.FlowKey]string

// Of returns the note of a flow; "" if there is none.
func (n Notes) Of(f of.Flow) string {
	owner := pipeline.Cookie(f.Cookie)
	if owner.Learned() {
		return "learned from traffic"
	}
	return n[owner][f.Key()]
}

// notesAtOnce is how many objects' notes are made before the loop runs other work.
const notesAtOnce = 500

// Notes returns the notes of the flows wanted for the objects behind these cookies.
func (c *Controller) Notes(ctx context.Context, owners map[pipeline.Cookie]bool) (Notes, error) {
	notes := Notes{}
	add := func(f of.Flow, note string) {
		owner := pipeline.Cookie(f.Cookie)
		if note == "" || !owners[owner] {
			return
		}
		if notes[owner] == nil {
			notes[owner] = map[of.FlowKey]string{}
		}
		notes[owner][f.Key()] = note
	}
	emitters, err := ask(ctx, c, func() []func(pipeline.Emit) { return c.world.Emitters(owners) })
	for some := range slices.Chunk(emitters, notesAtOnce) {
		if err != nil {
			break
		}
		// In the loop, so that the switch's state does not change meanwhile.
		_, err = ask(ctx, c, func() bool {
			for _, emit := range some {
				emit(add)
			}
			return true
		})
	}
	if err != nil {
		return nil, err // notes may still be in use
	}
	return notes, nil
}

// Port returns the cookie of a port's flows; false if this host does not know it.
func (c *Controller) Port(ctx context.Context, ref intent.PortRef) (pipeline.PortView, bool, error) {
	type found struct {
		view pipeline.PortView
		ok   bool
	}
	f, err := ask(ctx, c, func() found {
		v, ok := c.world.PortView(ref)
		return found{v, ok}
	})
	return f.view, f.ok, err
}

// Objects names the objects behind cookies: "port acme/web/c1".
func (c *Controller) Objects(ctx context.Context) (map[pipeline.Cookie]string, error) {
	return ask(ctx, c, c.world.Objects)
}

// Why Compare fails.
var (
	errNoSwitch = intent.Unavailablef("ovs-vswitchd does not answer").
			WithHint("see whether ovs-vswitchd runs: systemctl status openvswitch-switch")
	errNotSynced = intent.Unavailablef("the switch has not been brought up to date yet").
			WithHint("see `ovloom status` for what ovloomd waits for")
	errChangesAllTheTime = intent.Unavailablef("the switch is being changed all the time").WithHint("try again")
)

func (c *Controller) status() Status {
	s := Status{Stats: c.stats, Connected: c.sw != nil, Synced: c.synced}
	pipeline.Base(c.world.Switch(), func(of.Flow, string) { s.Flows++ })
	flows, groups := c.world.Counts()
	s.Flows, s.Groups = s.Flows+flows, groups
	for name, revision := range c.world.Tenants() {
		s.Tenants = append(s.Tenants, TenantStatus{name, revision, c.applied[name], c.world.Unlimited(name)})
	}
	slices.SortFunc(s.Tenants, func(a, b TenantStatus) int { return cmp.Compare(a.Name, b.Name) })

	for _, p := range c.binder.ports() {
		_, known := c.world.Port(p.ref)
		_, inForce := c.world.Claim(p.ref)
		s.Ports = append(s.Ports, PortStatus{
			Interface: p.Interface, Ref: p.ref,
			Pending: !c.resolved[p.IfaceID],
			Known:   p.resolved && known,
			InForce: p.resolved && inForce && c.binder.owners[p.ref] == p.UUID,
			Refused: p.refused,
		})
	}
	s.LeftOut = c.world.LeftOut()
	s.NoHosts = !c.hostsReceived
	s.NoGuard = c.deps.NAT != nil && !c.nat.guardReceived
	if c.started {
		s.Missing, _ = c.outstanding()
	}
	s.Conflicts = c.conflicts()
	return s
}

func (c *Controller) conflicts() []Conflict {
	duplicates := c.binder.duplicates()
	var list []Conflict
	for ref, claims := range c.world.Claimed() {
		if len(claims) > 1 || duplicates[ref] != nil {
			list = append(list, Conflict{ref, claims, duplicates[ref]})
		}
	}
	slices.SortFunc(list, func(a, b Conflict) int { return world.ComparePorts(a.Ref, b.Ref) })
	return list
}
