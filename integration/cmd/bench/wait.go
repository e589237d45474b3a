package main

// This file waits.

import (
	"context"
	"fmt"
	"time"
)

// waitLimit is far above what anything takes that is waited for.
const waitLimit = time.Minute

// until calls try every few milliseconds until it returns nil.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if waited := pass(ctx, 5*time.Millisecond); waited != nil {
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
