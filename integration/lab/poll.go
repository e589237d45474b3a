package lab

// This file waits for conditions by polling.

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// pollEvery is short compared with the times waited for, and long compared with the cost of a
// poll.
const pollEvery = 10 * time.Millisecond

// poll calls try until it returns nil or ctx ends; then it returns the last error, with the
// name of the condition.
func poll(ctx context.Context, what string, try func() error) error {
	return pollEach(ctx, pollEvery, what, try)
}

// pollOften is poll for conditions whose time is measured.
func pollOften(ctx context.Context, what string, try func() error) error {
	return pollEach(ctx, time.Millisecond, what, try)
}

func pollEach(ctx context.Context, every time.Duration, what string, try func() error) error {
	start := time.Now()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s: %w", time.Since(start).Round(time.Millisecond), what, err)
		case <-time.After(every):
		}
	}
}

// Eventually calls try until it returns nil, and fails the test with try's last error after
// timeout. What names the condition, as in "waited 5s for web/c1 to answer".
func Eventually(t testing.TB, timeout time.Duration, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patient(timeout))
	defer cancel()
	if err := poll(ctx, what, try); err != nil {
		t.Fatal(err)
	}
}
