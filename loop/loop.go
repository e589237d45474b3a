// Package loop has the patterns that ovloomd's loops share: pause, repeat, act on a change,
// and restart a watch.
//
// All functions return soon after their context has ended, and start no goroutine.
package loop

import (
	"context"
	"log/slog"
	"time"
)

// Times between two runs of a watch.
const (
	watchFirst = 100 * time.Millisecond
	watchMost  = 5 * time.Second
)

// Retry is how long OnChange waits before it retries after a failure. The cause may lie
// elsewhere, such as a full disk, so that no change signals its end.
const Retry = 5 * time.Second

// Pause waits for d. It returns false if ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Every calls do at once, and again after each pause, until ctx ends.
func Every(ctx context.Context, pause time.Duration, do func(context.Context)) {
	for ctx.Err() == nil {
		do(ctx)
		if !Pause(ctx, pause) {
			return
		}
	}
}

// OnChange calls do whenever changed has an element, and again Retry after do has failed,
// until ctx ends. A change before the retry replaces it.
func OnChange(ctx context.Context, changed <-chan struct{}, do func(context.Context) error) {
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-retry:
		}
		retry = nil
		if do(ctx) != nil {
			retry = time.After(Retry)
		}
	}
}

// Watch runs watch until ctx ends. If watch returns, Watch logs that under the name what, and
// restarts it after a pause.
func Watch(ctx context.Context, log *slog.Logger, what string, watch func(context.Context) error) {
	pause := watchFirst
	for {
		began := time.Now()
		err := watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > watchMost {
			pause = watchFirst
		}
		log.Warn("watch ended; restarting it", "watch", what, "retry-in", pause, "error", err)
		if !Pause(ctx, pause) {
			return
		}
		pause = min(2*pause, watchMost)
	}
}
