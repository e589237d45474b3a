package main

// This file starts an overlay from nothing.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// cold measures from the start of all control daemons on two hosts that run Open vSwitch to the
// first ping between two ports. In comparison with OVN, the underlay's NIC is in its bridge
// already; otherwise ovloomd moves it there.
func (b *bench) cold(ctx context.Context) ([]figure, error) {
	var alone []time.Duration
	ours, theirs := map[means][]time.Duration{}, map[means][]time.Duration{}
	for range b.rounds {
		took, err := coldOvloom(ctx, byAPI, false)
		if err != nil {
			return nil, fmt.Errorf("ovloom that takes the NIC: %w", err)
		}
		alone = append(alone, took)
		for _, by := range []means{byCommands, byAPI} {
			if took, err = coldOvloom(ctx, by, true); err != nil {
				return nil, fmt.Errorf("ovloom by %s: %w", by, err)
			}
			ours[by] = append(ours[by], took)
			if !b.ovn {
				continue
			}
			if took, err = coldOVN(ctx, by); err != nil {
				return nil, fmt.Errorf("OVN by %s: %w", by, err)
			}
			theirs[by] = append(theirs[by], took)
		}
	}
	const target = 700 * time.Millisecond
	figures := []figure{{
		what: "two hosts from nothing to the first ping, the NIC put into its bridge, API", ours: ms(median(alone)),
		target: "≤ " + ms(target), met: judge(median(alone) <= target),
	}}
	for _, by := range []means{byCommands, byAPI} {
		us := median(ours[by])
		f := figure{what: "two hosts from nothing to the first ping, " + string(by), ours: ms(us)}
		if b.ovn {
			them := median(theirs[by])
			f.peer, f.ratio = "OVN: "+ms(them), times(us, them)
			f.target, f.met = "≥ 2 ×", judge(2*us <= them)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// coldOvloom starts ovloom.
func coldOvloom(ctx context.Context, by means, bridged bool) (took time.Duration, err error) {
	l, err := lab.Start(ctx, lab.Config{Hosts: 2, NICInBridge: bridged})
	if err != nil {
		return 0, err
	}
	o := &overlay{Lab: l}
	defer func() { err = errors.Join(err, o.close()) }()
	return firstReply(ctx, o, by, func() error {
		for _, h := range o.Hosts {
			if _, err := h.LaunchOvloomd(ctx); err != nil {
				return err
			}
		}
		for _, h := range o.Hosts {
			if err := listens(ctx, h.Socket()); err != nil {
				return err
			}
			o.clients = append(o.clients, api.NewClient(h.Socket()))
		}
		if by == byAPI {
			return o.makeNetwork(ctx)
		}
		if err := o.ovloom(ctx, 0, "tenant", "add", web.Tenant); err != nil {
			return err
		}
		return o.ovloom(ctx, 0, "network", "add", intent.NetworkRef{Tenant: web.Tenant, Network: web.Name}.String(), "--subnet", prefix.String())
	})
}

// coldOVN starts OVN.
func coldOVN(ctx context.Context, by means) (took time.Duration, err error) {
	o, err := layOVN(ctx, 2)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	return firstReply(ctx, o, by, func() error {
		if err := o.found(ctx); err != nil {
			return err
		}
		if err := o.dial(ctx); err != nil {
			return err
		}
		var err error
		if by == byCommands {
			err = o.nbctl(ctx, "ls-add", ovnSwitch)
		} else {
			err = o.makeSwitch(ctx)
		}
		if err != nil {
			return err
		}
		return o.registered(ctx)
	})
}

// firstReply calls begin, adds and plugs a port on each of two hosts, and returns the time
// until one answers the other.
func firstReply(ctx context.Context, s system, by means, begin func() error) (time.Duration, error) {
	var ends [2]*station
	for i := range ends {
		var err error
		if ends[i], err = s.station(ctx, i); err != nil {
			return 0, err
		}
	}
	p, err := newPinger(ends[0], ends[1].addr)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := begin(); err != nil {
		return 0, errors.Join(err, p.close())
	}
	for i, e := range ends {
		err := s.add(ctx, by, i, e)
		if err == nil {
			err = s.plug(ctx, by, i, e)
		}
		if err != nil {
			return 0, errors.Join(err, p.close())
		}
	}
	for i, e := range ends {
		if err := e.KnowNeighbour("eth0", ends[1-i].addr, ends[1-i].mac.String()); err != nil {
			return 0, errors.Join(err, p.close())
		}
	}
	r := <-p.start(ctx)
	return r.at.Sub(start), errors.Join(r.err, p.close())
}
