package exit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
)

// This file keeps the way through the host: what others change of it is put back at once,
// and what may cut it off is tried.

// What Status says of the probe.
const (
	probePassed  = "passed"
	probeDropped = "dropped"
)

// watch takes in what happens on the host until ctx ends.
func (r *Reconciler) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.deps.Host.WatchExit(ctx, r.set.Link, func(e hostnet.ExitEvent) {
			if e.Own {
				r.own.Store(true)
			}
			if e.Other {
				r.other.Store(true)
			}
			select {
			case r.events <- struct{}{}:
			default:
			}
		})
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot watch the host uplink; checking it every 10 seconds", "error", err)
		}
		loop.Pause(ctx, ownEvery*lookEach)
	}
}

// pause says how long what happens is to be let pass: longer if somebody else insists.
func (r *Reconciler) pause() time.Duration {
	r.putBack = slices.DeleteFunc(r.putBack, func(t time.Time) bool { return time.Since(t) > time.Minute })
	if len(r.putBack) >= tooOften {
		return fightPause
	}
	return keepPause
}

// make makes the way through the host.
func (r *Reconciler) make(ctx context.Context, e hostnet.Exit) error {
	if err := r.deps.Host.EnsureExit(ctx, e); err != nil {
		return err
	}
	r.up.Store(true)
	r.made = &e
	table, err := r.deps.Host.ExitTable(ctx, e.Link)
	if err != nil {
		return err
	}
	r.table = table
	return nil
}

// keep puts back what is not as it was made.
func (r *Reconciler) keep(ctx context.Context) error {
	if r.made == nil || len(r.made.Subnets) == 0 {
		return nil
	}
	changed, err := r.deps.Host.ExitChanged(ctx, *r.made, r.table)
	if err != nil || len(changed) == 0 {
		return err
	}
	if err := r.make(ctx, *r.made); err != nil {
		return err
	}
	r.putBack = append(r.putBack, time.Now())
	r.deps.Repairs.Put("host uplink changed by another program", len(changed), strings.Join(changed, "; "))
	return nil
}

// probe tries whether what tenants send passes the host.
func (r *Reconciler) probe(ctx context.Context, e hostnet.Exit, port of.PortNo) (faults []hostnet.ExitFault, result string) {
	if r.deps.Send == nil {
		return nil, ""
	}
	faults, err := r.deps.Host.ProbeExit(ctx, e, func(ctx context.Context, frames ...[]byte) error {
		var out []of.PacketOut
		for _, f := range frames {
			out = append(out, of.PacketOut{Packet: f, InPort: of.PortController, Actions: []of.Action{of.Output{Port: port}}})
		}
		return r.deps.Send(ctx, out...)
	})
	if ctx.Err() != nil {
		return nil, ""
	}
	why := intent.What(err)
	if err != nil && why != r.noProbe {
		r.log.Info("cannot probe the host uplink", "error", err)
	}
	r.noProbe = why
	if errors.Is(err, hostnet.ErrProbeLost) {
		if r.lost++; r.lost >= lostMany {
			return []hostnet.ExitFault{{
				What: fmt.Sprintf("nothing that leaves the switch by %s arrives at the host's routing", e.Link),
				Do:   fmt.Sprintf("see tc filter show dev %s ingress, and nft list ruleset for chains of the hooks ingress and prerouting", e.Link), ByHand: true,
			}}, probeDropped
		}
		return nil, ""
	}
	r.lost = 0
	switch {
	case err != nil:
		return nil, ""
	case len(faults) > 0:
		return faults, probeDropped
	}
	return nil, probePassed
}
