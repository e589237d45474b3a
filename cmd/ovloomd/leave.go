// Taking this host out of the overlay.

package main

import (
	"context"
	"fmt"

	"github.com/ovloom/ovloom/intent"
)

// leaver implements api.Local.
type leaver struct{ *daemon }

// step is one thing that leaving does.
type step struct {
	what string
	do   func(ctx context.Context) error
}

// steps returns what leaving takes. Every step can be repeated, so that leaving can
// go on where it was cut short.
func (l leaver) steps() ([]step, error) {
	var steps []step
	for _, p := range l.agent.Plugged() {
		steps = append(steps, step{"unplug " + p.String(), func(ctx context.Context) error { return l.agent.Remove(ctx, p) }})
	}
	steps = append(steps,
		step{"stop driving the switch", func(context.Context) error { l.stopLoops(); return nil }},
		// Before the card is given back: the way to the store may lead through it.
		step{"remove host " + l.cfg.HostName, func(ctx context.Context) error {
			_, _, err := l.store.RemoveHost(ctx, l.cfg.HostName, true)
			if intent.KindOf(err) == intent.NotFound {
				return nil
			}
			return err
		}},
		step{"remove the ways out", l.exit.Remove},
		step{"delete bridge " + l.cfg.Bridge, func(ctx context.Context) error {
			if err := l.db.DeleteBridge(ctx, l.cfg.Bridge); err != nil || l.aside == nil {
				return err
			}
			return l.aside.Remove(ctx)
		}},
	)
	nic, err := l.uplink.Taken()
	if err == nil && nic != "" {
		steps = append(steps, step{"give back " + nic, l.uplink.Return})
	}
	return steps, err
}

// PlanLeave implements api.Local.
func (l leaver) PlanLeave(ctx context.Context) ([]string, error) {
	steps, err := l.steps()
	if err != nil {
		return nil, err
	}
	if err := l.mayLeave(ctx, true); err != nil {
		return nil, err
	}
	var list []string
	for _, s := range steps {
		list = append(list, s.what)
	}
	return list, nil
}

// Leave implements api.Local.
func (l leaver) Leave(ctx context.Context, cascade bool) (done []string, err error) {
	if err := l.mayLeave(ctx, cascade); err != nil {
		return nil, err
	}
	steps, err := l.steps()
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			err = fmt.Errorf("leaving stopped at %q: %w", s.what, err)
			if len(done) > 0 {
				l.end(err) // half of the daemon is stopped; a new start sorts it out
			}
			return done, err
		}
		done = append(done, s.what)
	}
	l.end(errLeft)
	return done, nil
}

// mayLeave refuses when ports are plugged here, or when other hosts live on the
// store that this one runs.
func (l leaver) mayLeave(ctx context.Context, cascade bool) error {
	var users []string
	for _, p := range l.agent.Plugged() {
		users = append(users, p.String())
	}
	if len(users) > 0 && !cascade {
		return intent.InUseBy("host "+l.cfg.HostName, users)
	}
	hosts, err := l.store.Hosts(ctx)
	if intent.KindOf(err) == intent.Unavailable {
		return intent.Unavailablef("this host cannot leave while the store does not answer: %w", err).
			WithHint("try again when it does; or stop ovloomd, run `ovloomd --leave` here, and on another host: ovloom host remove %s --cascade", l.cfg.HostName)
	}
	if err != nil || len(l.cfg.Store) > 0 {
		return err
	}
	var others []string
	for _, h := range hosts {
		if h.Name != l.cfg.HostName {
			others = append(others, "host "+h.Name)
		}
	}
	if len(others) > 0 {
		e := intent.InUseBy("the store that host "+l.cfg.HostName+" runs", others)
		return e.WithHint("let those hosts leave first")
	}
	return nil
}
