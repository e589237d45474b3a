// Package leave takes a host out of the overlay, step by step: it unplugs all ports, and
// removes everything that ovloomd has created on the host.
//
// Every step can be repeated, so leaving can resume where it was interrupted.
//
//	leave.go  Host: leave by the running daemon
//	alone.go  Alone: leave without a daemon
package leave

import (
	"context"
	"errors"
	"fmt"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/intent"
)

// ErrLeft ends a daemon whose host has left the overlay.
var ErrLeft = errors.New("this host has left the overlay")

// Ports are the ports plugged into the host; *agent.Agent implements it.
type Ports interface {
	Plugged() []agent.Plugged
	Remove(ctx context.Context, p agent.Plugged) error
}

// Store has the hosts of the overlay; *store.Store is one.
type Store interface {
	Hosts(ctx context.Context) ([]intent.HostState, error)
	RemoveHost(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error)
}

// Switch is the local Open vSwitch; *ovsdb.DB is one.
type Switch interface {
	DeleteBridge(ctx context.Context, name string) error
}

// Underlay is the bridge that has the underlay's NIC; *underlay.Underlay is one.
type Underlay interface {
	Taken() (nic string, err error)
	Return(ctx context.Context) error
}

// Host takes the host of a running daemon out of the overlay. It implements api.Local.
type Host struct {
	Name     string
	Bridge   string // the integration bridge
	HasStore bool   // a member of the store runs here

	Ports    Ports
	Store    Store
	Switch   Switch
	Underlay Underlay

	// RemoveExits removes the uplinks, and RemoveApart the rules that isolate the host's own
	// network from its ports; nil: there are none.
	RemoveExits, RemoveApart func(context.Context) error

	// StopLoops ends the loops that drive the switch and keep the host alive in the store.
	// End ends the daemon for a reason.
	StopLoops func()
	End       func(why error)
}

// step is one step of leaving.
type step struct {
	what string
	do   func(ctx context.Context) error
}

// steps returns the steps of leaving, in order.
func (h *Host) steps() ([]step, error) {
	steps := unplug(h.Ports)
	steps = append(steps,
		step{"stop driving the switch", func(context.Context) error { h.StopLoops(); return nil }},
		// Before the NIC is given back: the route to the store may use its bridge.
		step{"remove host " + h.Name, func(ctx context.Context) error {
			_, _, err := h.Store.RemoveHost(ctx, h.Name, true)
			if intent.KindOf(err) == intent.NotFound {
				return nil
			}
			return err
		}},
		step{"remove the uplinks", h.RemoveExits},
		deleteBridge(h.Switch, h.Bridge, h.RemoveApart),
	)
	nic, err := h.Underlay.Taken()
	if err == nil && nic != "" {
		steps = append(steps, step{"give back " + nic, h.Underlay.Return})
	}
	return steps, err
}

// unplug returns the steps that unplug all ports.
func unplug(ports Ports) []step {
	var steps []step
	for _, p := range ports.Plugged() {
		steps = append(steps, step{"unplug " + p.String(), func(ctx context.Context) error { return ports.Remove(ctx, p) }})
	}
	return steps
}

// deleteBridge returns the step that deletes the integration bridge and then calls apart,
// if it is not nil.
func deleteBridge(sw Switch, bridge string, apart func(context.Context) error) step {
	return step{"delete bridge " + bridge, func(ctx context.Context) error {
		if err := sw.DeleteBridge(ctx, bridge); err != nil || apart == nil {
			return err
		}
		return apart(ctx)
	}}
}

// run takes the steps in order, and calls done after each that succeeded.
func run(ctx context.Context, steps []step, done func(what string)) error {
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("leaving stopped at %q: %w", s.what, err)
		}
		done(s.what)
	}
	return nil
}

// PlanLeave implements api.Local.
func (h *Host) PlanLeave(ctx context.Context) ([]string, error) {
	steps, err := h.steps()
	if err != nil {
		return nil, err
	}
	if err := h.mayLeave(ctx, true); err != nil {
		return nil, err
	}
	var list []string
	for _, s := range steps {
		list = append(list, s.what)
	}
	return list, nil
}

// Leave implements api.Local.
func (h *Host) Leave(ctx context.Context, cascade bool) (done []string, err error) {
	if err := h.mayLeave(ctx, cascade); err != nil {
		return nil, err
	}
	steps, err := h.steps()
	if err != nil {
		return nil, err
	}
	if err := run(ctx, steps, func(what string) { done = append(done, what) }); err != nil {
		if len(done) > 0 {
			h.End(err) // half of the daemon has stopped; its supervisor restarts it
		}
		return done, err
	}
	h.End(ErrLeft)
	return done, nil
}

// mayLeave fails if ports are plugged here, unless cascade is true, or if this host runs
// the store that other hosts use.
func (h *Host) mayLeave(ctx context.Context, cascade bool) error {
	var users []string
	for _, p := range h.Ports.Plugged() {
		users = append(users, p.String())
	}
	if len(users) > 0 && !cascade {
		return intent.InUseBy("host "+h.Name, users)
	}
	hosts, err := h.Store.Hosts(ctx)
	if intent.KindOf(err) == intent.Unavailable {
		return intent.Unavailablef("this host cannot leave while the store does not answer: %w", err).
			WithHint("try again when it does; or stop ovloomd, run `ovloomd --leave` here, and on another host: ovloom host remove %s --cascade", h.Name)
	}
	if err != nil || !h.HasStore {
		return err
	}
	var others []string
	for _, other := range hosts {
		if other.Name != h.Name {
			others = append(others, "host "+other.Name)
		}
	}
	if len(others) > 0 {
		e := intent.InUseBy("the store that host "+h.Name+" runs", others)
		return e.WithHint("let those hosts leave first")
	}
	return nil
}
