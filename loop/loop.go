// Package loop has the shapes that the loops of ovloomd share: waiting, doing something
// whenever it may have changed, and starting a watch again when it ended.
//
// Everything here returns soon after its context has ended, and starts no goroutine.
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

// Retry is after how long OnChange tries again what failed. The cause may be elsewhere, such
// as a disk or the number of open files, and no change tells that it is gone.
const Retry = 5 * time.Second

// Pause waits, and says whether it waited to the end: false if ctx ended before.
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

// OnChange calls do whenever changed has an element, and Retry after do failed, until ctx
// ends. A change in between is not waited for twice: the retry is then given up.
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

// Watch runs a watch until ctx ends. One that returns is started again after a pause, and
// the log says so: whatever depends on what it tells would wait for ever. what names the
// watch in the log.
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
