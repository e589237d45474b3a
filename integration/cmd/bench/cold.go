package main

// This file starts an overlay from nothing.

import (
	"context"
	"errors"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// cold measures from the start of ovloomd on two hosts that run Open vSwitch and
// nothing else to the first ping between two ports.
func (b *bench) cold(ctx context.Context) ([]figure, error) {
	var all []time.Duration
	for range b.rounds {
		took, err := coldStart(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, took)
	}
	const ovn, target = 743 * time.Millisecond, 700 * time.Millisecond
	return []figure{{
		what: "two hosts from nothing to the first ping", ours: ms(median(all)),
		peer: "OVN 23.03, another day: " + ms(ovn), ratio: times(median(all), ovn),
		target: "≤ " + ms(target), met: judge(median(all) <= target),
	}}, nil
}

func coldStart(ctx context.Context) (took time.Duration, err error) {
	l, err := lab.Start(ctx, lab.Config{Hosts: 2})
	if err != nil {
		return 0, err
	}
	o := &overlay{Lab: l}
	defer func() { err = errors.Join(err, o.close()) }()
	start := time.Now()
	if err := o.found(ctx); err != nil {
		return 0, err
	}
	_, _, err = o.pair(ctx)
	return time.Since(start), err
}
