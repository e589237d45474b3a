package main

// This file lets a host of a large network crash.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// crash kills ovloomd and ovs-vswitchd of the host that is a client of the store,
// and waits until all flows are back.
func (b *bench) crash(ctx context.Context) (_ []figure, err error) {
	o, err := startOverlay(ctx, 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	if _, _, err := o.pair(ctx); err != nil {
		return nil, err
	}
	var figures []figure
	for _, at := range []struct {
		size   int
		rss    int64 // MB
		within time.Duration
	}{{10_000, 100, 0}, {50_000, 250, 2500 * time.Millisecond}} {
		if err := o.grow(ctx, at.size); err != nil {
			return figures, err
		}
		if err := o.settled(ctx, 1, flowsPerPort*at.size); err != nil {
			return figures, err
		}
		flows, err := o.flows(ctx, 1)
		if err != nil {
			return figures, err
		}
		var back []time.Duration
		var used usage
		for range b.rounds {
			took, err := o.crashed(ctx, flows)
			if err != nil {
				return figures, err
			}
			back = append(back, took)
			u, err := usageOf(o.Hosts[1].Ovloomd.Pid())
			if err != nil {
				return figures, err
			}
			used = usage{max(used.cpu, u.cpu), max(used.rss, u.rss)}
		}
		f := figure{
			what: fmt.Sprintf("kill -9 of ovloomd and ovs-vswitchd, %d remote ports: all flows back", at.size),
			ours: ms(median(back)), cpu: seconds(used.cpu), rss: megabytes(used.rss),
			target: fmt.Sprintf("≤ %d MB", at.rss), met: judge(used.rss <= at.rss<<20),
		}
		if at.within > 0 {
			f.peer, f.ratio = "OVN 23.03, another day: 25 s, 960 MB", times(median(back), 25*time.Second)
			f.target = fmt.Sprintf("≤ %s, %s", ms(at.within), f.target)
			f.met = judge(f.met == met && median(back) <= at.within)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// crashed kills both daemons, starts both, and returns how long it took from the
// kill until the switch had all flows.
func (o *overlay) crashed(ctx context.Context, flows int) (time.Duration, error) {
	h := o.Hosts[1]
	start := time.Now()
	if err := errors.Join(h.Ovloomd.Kill(), h.Vswitchd.Kill()); err != nil {
		return 0, err
	}
	g, starting := errgroup.WithContext(ctx)
	g.Go(func() error { return h.StartVswitchd(starting) })
	g.Go(func() error {
		_, err := h.StartOvloomd(starting)
		return err
	})
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if err := o.settled(ctx, 1, flows); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}
