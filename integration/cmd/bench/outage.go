package main

// This file kills daemons during traffic.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// Echo requests per second, and the length of each window.
const (
	echoRate   = 1000
	echoWindow = 4 * time.Second
)

// outagePorts is the number of ports of the network in which ovloomd is killed.
const outagePorts = 5000

// outage counts the packets lost when ovs-vswitchd or the controller is killed and restarted at
// once.
func (b *bench) outage(ctx context.Context) (_ []figure, err error) {
	systems, err := b.compared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(systems)) }()
	ends := make([][2]*station, len(systems))
	for i, s := range systems {
		if ends[i][0], ends[i][1], err = s.pair(ctx); err != nil {
			return nil, err
		}
	}
	// lost holds the medians of several rounds, by system.
	lost := func(do func(system) error) ([]int, error) {
		all := make([][]int, len(systems))
		for range b.rounds {
			for i, s := range systems {
				n, err := echo(ctx, ends[i][0], ends[i][1], func() error { return do(s) })
				if err != nil {
					return nil, fmt.Errorf("%s: %w", systemNames[i], err)
				}
				all[i] = append(all[i], n)
			}
		}
		var medians []int
		for _, list := range all {
			medians = append(medians, middle(list))
		}
		return medians, nil
	}
	const most = 1000
	n, err := lost(func(s system) error {
		if err := s.host(1).Vswitchd.Kill(); err != nil {
			return err
		}
		return s.host(1).StartVswitchd(ctx)
	})
	if err != nil {
		return nil, err
	}
	f := figure{
		what: "kill -9 of ovs-vswitchd, echo at 1,000 packets/s", ours: fmt.Sprintf("%d lost", n[0]),
		target: fmt.Sprintf("≤ %d", most), met: judge(n[0] <= most),
	}
	if len(n) > 1 {
		f.peer, f.ratio = fmt.Sprintf("OVN: %d lost", n[1]), fmt.Sprintf("%.2f ×", float64(n[1])/float64(max(n[0], 1)))
	}
	figures := []figure{f}

	for i, s := range systems {
		if err := grown(ctx, s, i, outagePorts); err != nil {
			return figures, err
		}
	}
	quiet, err := lost(func(system) error { return nil })
	if err != nil {
		return figures, err
	}
	killed, err := lost(func(s system) error { return s.restartController(ctx, 1) })
	if err != nil {
		return figures, err
	}
	f = figure{
		what:   "kill -9 of the controller and start, the same echo at 5,000 ports",
		ours:   fmt.Sprintf("%d lost (an equal window without: %d)", killed[0], quiet[0]),
		target: "no more than without", met: judge(killed[0] <= quiet[0]),
	}
	if len(killed) > 1 {
		f.peer = fmt.Sprintf("OVN: %d lost (%d)", killed[1], quiet[1])
	}
	return append(figures, f), nil
}

// echo counts the packets lost in a window during which f runs.
func echo(ctx context.Context, from, to *station, do func() error) (int, error) {
	e, err := lab.StartEcho(from.Workload, to.Workload, to.addr, echoRate)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = pass(ctx, echoWindow/4)
	if err == nil {
		err = do()
	}
	if err == nil {
		err = pass(ctx, max(echoWindow-time.Since(start), echoWindow/2))
	}
	return e.Stop().Lost(), err
}

// middle returns the median.
func middle(list []int) int {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}
