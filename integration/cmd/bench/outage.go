package main

// This file kills daemons while packets go to and fro.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// Echo requests a second, and how long each window is.
const (
	echoRate   = 1000
	echoWindow = 4 * time.Second
)

// outagePorts is how many ports the network has when ovloomd is killed.
const outagePorts = 5000

// outage counts what is lost when ovs-vswitchd or ovloomd is killed and started
// again at once.
func (b *bench) outage(ctx context.Context) (_ []figure, err error) {
	o, err := startOverlay(ctx, 2)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	one, two, err := o.pair(ctx)
	if err != nil {
		return nil, err
	}
	h := o.Hosts[1]
	lost := func(do func() error) (int, error) { return echo(ctx, one, two, do) }

	var crashed, killed, quiet []int
	for range b.rounds {
		n, err := lost(func() error {
			if err := h.Vswitchd.Kill(); err != nil {
				return err
			}
			return h.StartVswitchd(ctx)
		})
		if err != nil {
			return nil, err
		}
		crashed = append(crashed, n)
	}
	const most, ovn = 1000, 3031
	us := middle(crashed)
	figures := []figure{{
		what: "kill -9 of ovs-vswitchd, echo at 1,000 packets/s", ours: fmt.Sprintf("%d lost", us),
		peer: fmt.Sprintf("OVN 23.03, another day: %d", ovn), ratio: fmt.Sprintf("%.2f ×", ovn/float64(max(us, 1))),
		target: fmt.Sprintf("≤ %d", most), met: judge(us <= most),
	}}

	if err := o.grow(ctx, outagePorts); err != nil {
		return figures, err
	}
	if err := o.settled(ctx, 1, flowsPerPort*outagePorts); err != nil {
		return figures, err
	}
	for range b.rounds {
		n, err := lost(func() error { return nil })
		if err != nil {
			return figures, err
		}
		quiet = append(quiet, n)
		n, err = lost(func() error {
			if err := h.Ovloomd.Kill(); err != nil {
				return err
			}
			_, err := h.StartOvloomd(ctx)
			return err
		})
		if err != nil {
			return figures, err
		}
		killed = append(killed, n)
	}
	return append(figures, figure{
		what: "kill -9 of ovloomd and start, the same echo at 5,000 ports", ours: fmt.Sprintf("%d lost", middle(killed)),
		peer:   fmt.Sprintf("an equal window without: %d", middle(quiet)),
		target: "no more", met: judge(middle(killed) <= middle(quiet)),
	}), nil
}

// echo counts the packets lost in a window in which something is done.
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
