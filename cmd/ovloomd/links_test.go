package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What failed is tried again although nothing changes: the cause may be elsewhere.
func TestWhatFailedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		changed := make(chan struct{}, 1)
		calls, fails := 0, 2
		go onChange(ctx, changed, func(context.Context) error {
			if calls++; calls <= fails {
				return errors.New("too many open files")
			}
			return nil
		})
		time.Sleep(time.Minute)
		if synctest.Wait(); calls != 0 {
			t.Errorf("called %d times before anything changed", calls)
		}
		changed <- struct{}{}
		time.Sleep(time.Minute)
		if synctest.Wait(); calls != fails+1 {
			t.Errorf("called %d times after a change, want %d", calls, fails+1)
		}
		stop()
		synctest.Wait()
	})
}
