package controller

import (
	"context"
	"log/slog"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// KeepWatching runs a watch until ctx ends. One that ends with an error is started
// again after a pause: whoever waits for what it tells would wait for ever. what names
// it in the log.
func KeepWatching(ctx context.Context, log *slog.Logger, what string, watch func(context.Context) error) {
	pause := retryFirst
	for {
		began := time.Now()
		err := watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > retryMost {
			pause = retryFirst
		}
		log.Warn("a watch ended; it is started again", "watch", what, "retry-in", pause, "error", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, retryMost)
		case <-ctx.Done():
			return
		}
	}
}

// hopeless says that no repetition helps: what was asked for cannot exist.
func hopeless(err error) bool { return intent.KindOf(err) == intent.Invalid }
