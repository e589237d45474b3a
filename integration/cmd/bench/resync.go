package main

// This file compares a switch that is right with its wanted state.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// resync compares a new connection to a switch that holds all flows with dumping them by
// ovs-ofctl.
func (b *bench) resync(ctx context.Context) (_ []figure, err error) {
	d, err := drive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if _, _, err := d.fill(ctx, remotes+manyPorts); err != nil {
		return nil, err
	}
	sent := d.applies.Load()
	var ours, theirs []time.Duration
	var cpu, ofctlCPU time.Duration
	var rss int64
	for range b.rounds {
		runtime.GC()
		before := ownCPU()
		start := time.Now()
		if err := d.reconnect(ctx); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(start))
		cpu += ownCPU() - before
		self, err := usageOf(os.Getpid())
		if err != nil {
			return nil, err
		}
		rss = max(rss, self.rss)
		took, used, err := d.ofctl(ctx, "dump-flows", bridge)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, took)
		ofctlCPU += used
	}
	us, them := median(ours), median(theirs)
	messages := d.applies.Load() - sent
	rounds := time.Duration(b.rounds)
	return []figure{{
		what: "resync of as many flows that are right", ours: fmt.Sprintf("%s, %d messages", ms(us), messages),
		peer: "ovs-ofctl dump-flows: " + ms(them), ratio: times(us, them),
		target: "≥ 1 ×, no message", met: judge(us <= them && messages == 0),
		cpu: seconds(cpu/rounds) + " vs " + seconds(ofctlCPU/rounds), rss: megabytes(rss),
	}}, nil
}
