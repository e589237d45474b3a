package main

// This file waits for conditions.

import (
	"context"
	"fmt"
	"net"
	"time"
)

// waitLimit is far longer than any of the conditions takes.
const waitLimit = time.Minute

// until calls try every few milliseconds, and often every millisecond, until it returns nil.
func until(ctx context.Context, try func() error) error {
	return each(ctx, waitLimit, 5*time.Millisecond, try)
}

func often(ctx context.Context, try func() error) error {
	return each(ctx, waitLimit, time.Millisecond, try)
}

// patiently is until with a long limit, for OVN.
func patiently(ctx context.Context, try func() error) error {
	return each(ctx, 5*waitLimit, 20*time.Millisecond, try)
}

func each(ctx context.Context, limit, pause time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if waited := pass(ctx, pause); waited != nil {
			return fmt.Errorf("%w: %w", waited, err)
		}
	}
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listens waits until a process listens on a unix socket.
func listens(ctx context.Context, socket string) error {
	return often(ctx, func() error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
