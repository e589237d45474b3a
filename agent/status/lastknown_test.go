package status

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLastKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lastKnown[int]
		var asked atomic.Int32
		hangs := func(context.Context) (int, error) { asked.Add(1); time.Sleep(10 * time.Second); return 7, nil }

		if a := l.ask(t.Context(), hangs); !a.Stale || !a.At.IsZero() || a.Err != nil {
			t.Errorf("never answered: %+v", a)
		}
		if a := l.ask(t.Context(), hangs); asked.Load() != 1 || !a.Stale {
			t.Errorf("asked %d times: %+v", asked.Load(), a)
		}
		time.Sleep(10 * time.Second)
		before := time.Now()
		if a := l.ask(t.Context(), hangs); a.Value != 7 || !a.Stale || a.At.IsZero() || time.Since(before) != partPatience {
			t.Errorf("while it hangs again: %+v after %s", a, time.Since(before))
		}
		time.Sleep(10 * time.Second)
		if a := l.ask(t.Context(), func(context.Context) (int, error) { return 8, nil }); a.Value != 8 || a.Stale {
			t.Errorf("answered: %+v", a)
		}
		down := errors.New("down")
		if a := l.ask(t.Context(), func(context.Context) (int, error) { return 0, down }); a.Value != 8 || !a.Stale || a.Err != down {
			t.Errorf("failed: %+v", a)
		}
	})
}
