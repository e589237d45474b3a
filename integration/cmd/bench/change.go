package main

// This file adds one port to networks of different sizes.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// changes is the number of ports that are added one after the other, to measure microseconds of
// CPU time.
const changes = 100

// change measures the CPU time of this process for a port that appears on another host, from
// the change to the barrier.
func (b *bench) change(ctx context.Context) (_ []figure, err error) {
	d, err := drive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var figures []figure
	for _, size := range []int{1000, 10_000, 100_000} {
		if _, _, err := d.fill(ctx, size); err != nil {
			return figures, err
		}
		runtime.GC()
		var cpu, took []time.Duration
		before := d.applies.Load()
		for range b.rounds {
			used, start := ownCPU(), time.Now()
			for i := range changes {
				d.tell(d.change(size+1+i, false))
				if _, err := d.await(ctx); err != nil {
					return figures, err
				}
			}
			took = append(took, time.Since(start)/changes)
			cpu = append(cpu, (ownCPU()-used)/changes)
			for i := range changes {
				d.tell(d.change(size+1+i, true))
				if _, err := d.await(ctx); err != nil {
					return figures, err
				}
			}
		}
		bundles := float64(d.applies.Load()-before) / float64(2*b.rounds*changes)
		figures = append(figures, figure{
			what:   fmt.Sprintf("one port added to a network of %d: CPU of the controller", size),
			ours:   fmt.Sprintf("%s, %.0f bundle (%s to the barrier)", ms(median(cpu)), bundles, ms(median(took))),
			target: "≤ 1 ms, 1 bundle", met: judge(median(cpu) <= time.Millisecond && bundles == 1),
		})
	}
	return figures, nil
}
