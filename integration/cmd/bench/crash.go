package main

// This file crashes a host of a large network.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// crash kills the controller and ovs-vswitchd of the host without the store, and waits until
// all flows are back. OVN is measured at the smaller size only.
func (b *bench) crash(ctx context.Context) (_ []figure, err error) {
	systems, err := b.compared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(systems)) }()
	for _, s := range systems {
		if _, _, err := s.pair(ctx); err != nil {
			return nil, err
		}
	}
	var figures []figure
	for _, at := range []struct {
		size   int
		rss    int64         // MB, of the restarted controller
		within time.Duration // 0: no target
		peer   bool
	}{{10_000, 100, 0, true}, {50_000, 200, 2 * time.Second, false}} {
		if !at.peer {
			systems = b.only(&err, systems)
		}
		crashes := make([]crashes, len(systems))
		for i, s := range systems {
			if err := grown(ctx, s, i, at.size); err != nil {
				return figures, err
			}
			if crashes[i].flows, err = flowsOf(ctx, s.host(1)); err != nil {
				return figures, err
			}
		}
		for range b.rounds {
			for i, s := range systems {
				if err := crashes[i].once(ctx, s); err != nil {
					return figures, fmt.Errorf("%s: %w", systemNames[i], err)
				}
			}
		}
		us := crashes[0]
		f := figure{
			what: fmt.Sprintf("kill -9 of controller and ovs-vswitchd, %d remote ports: all flows back", at.size),
			ours: fmt.Sprintf("%s, %s MB", ms(median(us.back)), megabytes(us.again.peak)), cpu: seconds(us.all.cpu), rss: megabytes(us.all.peak),
			target: fmt.Sprintf("≤ %d MB", at.rss), met: judge(us.again.peak <= at.rss<<20),
		}
		if len(systems) > 1 {
			them := crashes[1]
			f.peer, f.ratio = fmt.Sprintf("OVN: %s, %s MB", ms(median(them.back)), megabytes(them.again.peak)), times(median(us.back), median(them.back))
			f.cpu, f.rss = f.cpu+" vs "+seconds(them.all.cpu), f.rss+" vs "+megabytes(them.all.peak)
		}
		if at.within > 0 {
			f.target = fmt.Sprintf("≤ %s, %s", ms(at.within), f.target)
			f.met = judge(f.met == met && median(us.back) <= at.within)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// only closes all systems except ovloom, whose figures they would disturb.
func (b *bench) only(err *error, systems []system) []system {
	*err = errors.Join(*err, closeAll(systems[1:]))
	return systems[:1]
}

// crashes is the cost of several crashes of one system.
type crashes struct {
	flows int
	back  []time.Duration
	again usage // the most that the restarted controller used
	all   usage // the most that all daemons used since a crash
}

// most returns the larger of each of two figures.
func (u usage) most(o usage) usage {
	return usage{max(u.cpu, o.cpu), max(u.rss, o.rss), max(u.peak, o.peak)}
}

// once crashes a system, and records the cost.
func (c *crashes) once(ctx context.Context, s system) error {
	before, err := used(s.daemons())
	if err != nil {
		return err
	}
	victim, err := used(s.daemons()[len(s.daemons())-1:])
	if err != nil {
		return err
	}
	took, err := s.crashed(ctx, c.flows)
	if err != nil {
		return err
	}
	after, err := used(s.daemons())
	if err != nil {
		return err
	}
	again, err := used(s.daemons()[len(s.daemons())-1:])
	if err != nil {
		return err
	}
	// The CPU time of killed processes is gone with them.
	after.cpu -= before.cpu - victim.cpu
	c.back = append(c.back, took)
	c.again, c.all = c.again.most(again), c.all.most(after)
	// A row takes long, and a single round may be more telling than the median.
	fmt.Fprintf(os.Stderr, "crash: %d flows back after %s; the controller: %s s of CPU, %s MB at most; all daemons: %s s\n",
		c.flows, ms(took), seconds(again.cpu), megabytes(again.peak), seconds(after.cpu))
	return nil
}

// crashed implements system.
func (o *overlay) crashed(ctx context.Context, flows int) (time.Duration, error) {
	h := o.Hosts[1]
	start := time.Now()
	if err := errors.Join(h.Ovloomd.Kill(), h.Vswitchd.Kill()); err != nil {
		return 0, err
	}
	return allBack(ctx, o, start, flows, func(ctx context.Context) error {
		_, err := h.LaunchOvloomd(ctx)
		return err
	})
}

// crashed implements system.
func (o *ovn) crashed(ctx context.Context, flows int) (time.Duration, error) {
	start := time.Now()
	if err := errors.Join(o.controller(1).Kill(), o.Hosts[1].Vswitchd.Kill()); err != nil {
		return 0, err
	}
	return allBack(ctx, o, start, flows, func(ctx context.Context) error { return o.startController(ctx, 1) })
}

// allBack starts ovs-vswitchd of the second host and, concurrently, the controller, and returns
// the time until the switch had all flows.
func allBack(ctx context.Context, s system, start time.Time, flows int, controller func(context.Context) error) (time.Duration, error) {
	g, starting := errgroup.WithContext(ctx)
	g.Go(func() error { return s.host(1).StartVswitchd(starting) })
	g.Go(func() error { return controller(starting) })
	if err := g.Wait(); err != nil {
		return 0, err
	}
	err := settled(ctx, s.host(1), flows)
	return time.Since(start), err
}
