package controller

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Stats are counts since the controller started.
type Stats struct {
	Mods           int       // messages sent to the switch
	Resyncs        int       // comparisons of the whole switch
	LastResync     time.Time // when the last one began
	LastResyncMods int       // how many messages it took
	LastError      string    // why the last attempt failed; "" if it did not
	Clashes        []string  // flows that two objects want, as the last comparison of all found
}

// Status is what the controller knows, at one moment.
type Status struct {
	Stats
	Connected bool // to the switch
	Synced    bool // the switch holds what is wanted
	Flows     int  // wanted
	Groups    int
	Tenants   []TenantStatus
	LeftOut   []LeftOut
	NoHosts   bool         // nobody has told of the hosts: nothing is done here
	NoGuard   bool         // nobody has told of what tenants are kept from: nothing is done here
	Unheard   []string     // tenants that were here, of which neither the store nor a copy tells; their flows stay as they are
	Ports     []PortStatus // plugged here
	Conflicts []Conflict
}

// TenantStatus is a tenant of this host's span.
type TenantStatus struct {
	Name     string
	Revision int64 // of the store, that was taken in
	Applied  int64 // that the switch has, as told to the store

	// Unlimited: nothing bounds the tenant's connections through NAT on this host.
	Unlimited bool
}

// PortStatus is an interface here that names a port.
type PortStatus struct {
	Interface
	Ref     intent.PortRef
	Unheard bool   // nobody has told yet which port it is
	Known   bool   // the store has such a port
	InForce bool   // this host's claim is the one in force
	Refused string // why this host may not claim the port; "": nothing is in the way
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

// Notes say what flows are for, by whose they are.
type Notes map[pipeline.Cookie]map[of.FlowKey]string

// Of returns the note of a flow; "" if there is none.
func (n Notes) Of(f of.Flow) string { return n[pipeline.Cookie(f.Cookie)][f.Key()] }

// notesAtOnce is how many objects' notes are made without letting the loop go on.
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
	objects, err := ask(ctx, c, func() []object {
		pipeline.Base(c.world.sw, add)
		return slices.DeleteFunc(c.world.all(), func(o object) bool { return !owners[o.cookie()] })
	})
	for some := range slices.Chunk(objects, notesAtOnce) {
		if err != nil {
			break
		}
		// In the loop, because what the switch looks like must not change meanwhile.
		_, err = ask(ctx, c, func() bool {
			for _, o := range some {
				o.emit(add)
			}
			return true
		})
	}
	if err != nil {
		return nil, err // and notes may still be written to
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
		if v := c.world.ports.done[ref]; v != nil {
			return found{*v, true}
		}
		return found{}
	})
	return f.view, f.ok, err
}

// Compare returns the mods that would lead from what the switch holds to what a
// new process would want it to hold, and which flows two objects want: nothing, if all
// is right. It changes nothing, and the loop goes on while the switch tells what it holds.
func (c *Controller) Compare(ctx context.Context) (mods []of.Mod, clashes []string, err error) {
	type start struct {
		sw     Switch
		synced bool
		as     pipeline.Switch
		epoch  int
	}
	type answer struct {
		mods    []of.Mod
		clashes []string
		again   bool
	}
	for range compareTries {
		from, err := ask(ctx, c, func() start {
			if c.sw == nil || !c.synced {
				return start{sw: c.sw}
			}
			return start{c.sw, true, c.world.sw, c.disturbed.epoch}
		})
		if err != nil {
			return nil, nil, err
		}
		switch {
		case from.sw == nil:
			return nil, nil, intent.Unavailablef("ovs-vswitchd does not answer").
				WithHint("see whether ovs-vswitchd runs: systemctl status openvswitch-switch")
		case !from.synced:
			return nil, nil, intent.Unavailablef("the switch has not been brought up to date yet").
				WithHint("see `ovloom status` for what ovloomd waits for")
		}
		dump, cancel := context.WithTimeout(ctx, applyTimeout)
		meters, flows, groups, err := held(dump, from.sw, from.as)
		cancel()
		if err != nil {
			return nil, nil, err
		}
		a, err := ask(ctx, c, func() answer {
			if c.sw != from.sw || !c.synced || c.disturbed.epoch != from.epoch {
				return answer{again: true}
			}
			w := c.world.recomputed()
			want := w.target()
			if !c.allHeard() {
				want.known = w.knownOwners(c.externalsKnown())
			}
			return answer{mods: append(want.meterMods(meters), want.resync(flows, groups)...), clashes: w.clashes(want)}
		})
		if err != nil {
			return nil, nil, err
		}
		if !a.again {
			return a.mods, a.clashes, nil
		}
	}
	return nil, nil, intent.Unavailablef("the switch is being changed all the time").WithHint("try again")
}

// compareTries is how often Compare begins anew because the switch was changed meanwhile.
const compareTries = 10

// Objects names the objects behind cookies: "port acme/web/c1".
func (c *Controller) Objects(ctx context.Context) (map[pipeline.Cookie]string, error) {
	return ask(ctx, c, c.world.objects)
}

// ask runs f in the loop and returns its answer.
func ask[T any](ctx context.Context, c *Controller, f func() T) (T, error) {
	answer := make(chan T, 1)
	c.send(ctx, func() { answer <- f() })
	select {
	case a := <-answer:
		return a, nil
	case <-c.ended:
		var zero T
		return zero, intent.Unavailablef("the controller has stopped")
	case <-ctx.Done():
		var zero T
		return zero, intent.Unavailablef("the controller does not answer: %w", ctx.Err())
	}
}

func (c *Controller) status() Status {
	s := Status{Stats: c.stats, Connected: c.sw != nil, Synced: c.synced}
	pipeline.Base(c.world.sw, func(of.Flow, string) { s.Flows++ })
	flows, groups := c.world.counts()
	s.Flows, s.Groups = s.Flows+flows, groups
	for name, t := range c.world.tenants {
		s.Tenants = append(s.Tenants, TenantStatus{name, t.revision, c.applied[name], c.world.unlimited(t)})
	}
	slices.SortFunc(s.Tenants, func(a, b TenantStatus) int { return cmp.Compare(a.Name, b.Name) })

	for _, p := range c.binder.ports() {
		_, _, _, known := c.world.find(p.ref)
		_, inForce := c.world.claim(p.ref)
		s.Ports = append(s.Ports, PortStatus{
			Interface: p.Interface, Ref: p.ref,
			Unheard: !c.answered[p.IfaceID],
			Known:   p.resolved && known,
			InForce: p.resolved && inForce && c.binder.owners[p.ref] == p.UUID,
			Refused: p.refused,
		})
	}
	s.LeftOut = c.world.leftOut()
	s.NoHosts = !c.hostsHeard
	s.NoGuard = c.deps.NAT != nil && !c.nat.guardHeard
	if c.started {
		s.Unheard, _ = c.unheard()
	}
	s.Conflicts = c.conflicts()
	return s
}

func (c *Controller) conflicts() []Conflict {
	doubles := c.binder.doubles()
	var list []Conflict
	for _, t := range c.world.tenants {
		for network, n := range t.networks {
			for port, claims := range n.claims {
				ref := intent.PortRef{Tenant: t.Name, Network: network, Port: port}
				if len(claims) < 2 && doubles[ref] == nil {
					continue
				}
				claims = slices.Clone(claims)
				slices.SortFunc(claims, func(a, b intent.Binding) int { return cmp.Compare(b.Generation, a.Generation) })
				list = append(list, Conflict{ref, claims, doubles[ref]})
			}
		}
	}
	slices.SortFunc(list, func(a, b Conflict) int { return comparePorts(a.Ref, b.Ref) })
	return list
}

// objects names the objects whose flows the switch has.
func (w *world) objects() map[pipeline.Cookie]string {
	names := map[pipeline.Cookie]string{}
	for _, t := range pipeline.Tables() {
		names[pipeline.MakeCookie(pipeline.KindBase, intent.ID(t.ID))] = "table " + t.Name
	}
	for _, r := range pipeline.Reasons() {
		names[pipeline.MakeCookie(pipeline.KindReason, intent.ID(r))] = "reason " + r.String()
	}
	w.each(func(o object) {
		name := o.name()
		names[o.cookie()] = name
		_, ref, _ := strings.Cut(name, " ")
		for _, c := range o.learned() {
			names[c] = c.Kind().String() + " " + ref
		}
	})
	return names
}
