package main

// This file measures how long packets wait while many flows are installed.

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// stall sends packets that all miss the switch's cache: without other work, while the
// controller installs all flows, and while ovs-ofctl installs them in one bundle.
func (b *bench) stall(ctx context.Context) (_ []figure, err error) {
	d, err := drive(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	p, err := newProbe(ctx, d.host)
	if err != nil {
		return nil, err
	}
	defer p.close()

	_, mods, err := d.fill(ctx, remotes+manyPorts)
	if err != nil {
		return nil, err
	}
	file, err := d.writeFlows(mods)
	if err != nil {
		return nil, err
	}
	if _, _, err := d.fill(ctx, remotes); err != nil {
		return nil, err
	}
	var quiet, ours, theirs []time.Duration
	for range b.rounds {
		runtime.GC()
		var took time.Duration
		wait, err := p.longest(ctx, func() (err error) {
			took, _, err = d.fill(ctx, remotes+manyPorts)
			return err
		})
		if err != nil {
			return nil, err
		}
		ours = append(ours, wait)
		if _, _, err := d.fill(ctx, remotes); err != nil {
			return nil, err
		}
		wait, err = p.longest(ctx, func() error {
			_, _, err := d.ofctl(ctx, "--bundle", "add-flows", bridge, file)
			return err
		})
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, wait)
		if err := d.reconnect(ctx); err != nil {
			return nil, err
		}
		if _, err := d.await(ctx); err != nil {
			return nil, err
		}
		wait, err = p.longest(ctx, func() error {
			select {
			case <-time.After(took): // a window of equal length
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			return nil, err
		}
		quiet = append(quiet, wait)
	}
	extra, theirExtra := median(ours)-median(quiet), median(theirs)-median(quiet)
	return []figure{{
		what: "meanwhile, longest extra wait of a packet that misses the cache",
		ours: fmt.Sprintf("%s (%s without)", ms(extra), ms(median(quiet))),
		peer: "ovs-ofctl, one bundle: " + ms(theirExtra), ratio: times(extra, theirExtra),
		target: "≤ 50 ms", met: judge(extra <= 50*time.Millisecond),
	}}, nil
}
