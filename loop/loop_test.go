package loop

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if !Pause(t.Context(), time.Minute) || time.Since(start) != time.Minute {
			t.Errorf("paused for %s, want a minute", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if Pause(ctx, time.Minute) || time.Since(start) != time.Second {
			t.Errorf("paused for %s, want a second", time.Since(start))
		}
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var at []time.Duration
		start := time.Now()
		Every(ctx, 2*time.Second, func(context.Context) { at = append(at, time.Since(start)) })
		if want := []time.Duration{0, 2 * time.Second, 4 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("called at %v, want %v", at, want)
		}
	})
}

// What failed is tried again although nothing changes, and only then.
func TestOnChangeTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		changed := make(chan struct{}, 1)
		calls, fails := 0, 2
		go OnChange(ctx, changed, func(context.Context) error {
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

// A watch that ends is started again, ever later while it ends at once, and soon again once
// it has run for long.
func TestWatchIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var pauses []time.Duration
		ended := time.Now()
		Watch(ctx, slog.New(slog.DiscardHandler), "things", func(context.Context) error {
			pauses = append(pauses, time.Since(ended))
			switch len(pauses) {
			case 9:
				time.Sleep(time.Minute)
			case 10:
				cancel()
				return nil
			}
			ended = time.Now()
			return errors.New("not authorised")
		})
		if pauses[1] != watchFirst || pauses[2] != 2*watchFirst || pauses[8] != watchMost || pauses[9] != watchFirst {
			t.Errorf("paused for %v", pauses)
		}
	})
}

func TestStateKnowsSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s State
		if works, since, err := s.Get(); works || !since.IsZero() || err != nil {
			t.Errorf("at first: %v, %v, %v", works, since, err)
		}
		gone := errors.New("connection refused")
		s.Set(false, nil)
		began := time.Now()
		time.Sleep(time.Minute)
		s.Set(false, gone)
		if works, since, err := s.Get(); works || !since.Equal(began) || err != gone {
			t.Errorf("a minute later: %v, %v, %v", works, since, err)
		}
		s.Set(true, nil)
		if works, since, err := s.Get(); !works || !since.Equal(time.Now()) || err != nil || s.Err() != nil {
			t.Errorf("when it works: %v, %v, %v", works, since, err)
		}
	})
}
