package main

// This file measures the time until a new port answers.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// plugSizes are the numbers of ports of the network.
var plugSizes = []int{10, 1000, 5000}

// plug adds and plugs ports on one host, one after the other, in networks of different sizes,
// and pings each from the other host.
func (b *bench) plug(ctx context.Context) (_ []figure, err error) {
	systems, err := b.compared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(systems)) }()
	from := make([]*station, len(systems))
	for i, s := range systems {
		if from[i], _, err = s.pair(ctx); err != nil {
			return nil, err
		}
	}
	var figures []figure
	for _, size := range plugSizes {
		for i, s := range systems {
			if err := grown(ctx, s, i, size); err != nil {
				return figures, err
			}
		}
		took := map[means][][]answered{}
		for range 4*b.rounds + 1 {
			for _, by := range []means{byCommands, byAPI} {
				took[by] = append(took[by], make([]answered, len(systems)))
				for i, s := range systems {
					t, err := answer(ctx, s, by, from[i])
					if err != nil {
						return figures, fmt.Errorf("%s by %s: %w", systemNames[i], by, err)
					}
					took[by][len(took[by])-1][i] = t
				}
			}
		}
		figures = append(figures, plugFigure(size, byCommands, took[byCommands], len(systems)), plugFigure(size, byAPI, took[byAPI], len(systems)))
	}
	return figures, nil
}

// plugFigure returns the line for a size and a means. The targets are for the smallest size.
func plugFigure(size int, by means, took [][]answered, systems int) figure {
	at := func(i int, part func(answered) time.Duration) time.Duration {
		var list []time.Duration
		for _, t := range took {
			list = append(list, part(t[i]))
		}
		return median(list)
	}
	all := func(t answered) time.Duration { return t.all }
	ours := at(0, all)
	f := figure{
		what: fmt.Sprintf("port added and plugged to the first reply to another host, %d ports, %s", size, by),
		ours: fmt.Sprintf("%s (stored after %s, plugged after %s)", ms(ours),
			ms(at(0, func(t answered) time.Duration { return t.added })), ms(at(0, func(t answered) time.Duration { return t.plugged }))),
	}
	if systems > 1 {
		theirs := at(1, all)
		f.peer, f.ratio = "OVN: "+ms(theirs), times(ours, theirs)
		if size == plugSizes[0] && by == byCommands {
			f.target, f.met = "≥ 2 ×", judge(2*ours <= theirs)
		}
	}
	if size == plugSizes[0] && by == byAPI {
		f.target, f.met = "≤ 12 ms", judge(ours <= 12*time.Millisecond)
	}
	return f
}

// grown grows a system to a number of ports, and waits until its switches have them.
func grown(ctx context.Context, s system, which, ports int) error {
	if err := s.grow(ctx, ports); err != nil {
		return fmt.Errorf("%s: %w", systemNames[which], err)
	}
	least := flowsPerPort * ports
	if which > 0 {
		least = ports
	}
	for i := range 2 {
		if _, err := calm(ctx, s.host(i), least); err != nil {
			return fmt.Errorf("%s: %w", systemNames[which], err)
		}
	}
	return nil
}

// answered holds times since the request for a port.
type answered struct{ added, plugged, all time.Duration }

// answer adds, plugs and pings a port on the second host, and removes it again.
func answer(ctx context.Context, on system, by means, from *station) (t answered, err error) {
	const host = 1
	s, err := on.station(ctx, host)
	if err != nil {
		return t, err
	}
	if err := from.KnowNeighbour("eth0", s.addr, s.mac.String()); err != nil {
		return t, err
	}
	p, err := newPinger(from, s.addr)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	start := time.Now()
	if err := on.add(ctx, by, host, s); err != nil {
		return t, err
	}
	t.added = time.Since(start)
	first := p.start(ctx)
	if err := on.plug(ctx, by, host, s); err != nil {
		return t, err
	}
	t.plugged = time.Since(start)
	r := <-first
	if r.err != nil {
		return t, r.err
	}
	t.all = r.at.Sub(start)
	return t, on.remove(ctx, host, s)
}

// systemNames returns the names of the systems that compared returns.
var systemNames = []string{"ovloom", "OVN"}

// compared starts two hosts with ovloom, and two with OVN if it is installed.
func (b *bench) compared(ctx context.Context) ([]system, error) {
	o, err := startOverlay(ctx, 2)
	if err != nil {
		return nil, err
	}
	if !b.ovn {
		return []system{o}, nil
	}
	peer, err := startOVN(ctx, 2)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("OVN: %w", err), o.close())
	}
	return []system{o, peer}, nil
}

func closeAll(systems []system) error {
	var errs []error
	for _, s := range systems {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// used adds up the CPU time and memory of daemons.
func used(daemons []*lab.Process) (sum usage, err error) {
	for _, d := range daemons {
		u, err := usageOf(d.Pid())
		if err != nil {
			return sum, err
		}
		sum.cpu, sum.rss, sum.peak = sum.cpu+u.cpu, sum.rss+u.rss, sum.peak+u.peak
	}
	return sum, nil
}
