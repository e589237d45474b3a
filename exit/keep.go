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

// Keeping the host uplink: changes by other programs are put back, and probes find out
// whether the host drops tenants' packets.

// Values of api.Uplink.Probe.
const (
	probePassed  = "passed"
	probeDropped = "dropped"
)

// watch passes on events of the host's network until ctx ends.
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

// pause returns how long to wait before handling an event: longer while another program
// keeps undoing the repairs.
func (r *Reconciler) pause() time.Duration {
	r.putBack = slices.DeleteFunc(r.putBack, func(t time.Time) bool { return time.Since(t) > time.Minute })
	if len(r.putBack) >= tooOften {
		return fightPause
	}
	return keepPause
}

// make sets up the host uplink, and remembers it for keep.
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

// keep compares the host uplink with how it was made, and puts back what differs.
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

// probe sends packets as tenants would and finds out whether the host drops them.
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
