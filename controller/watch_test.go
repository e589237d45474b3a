package controller

import (
	"context"
	"errors"
	"log/slog"
	"testing"
)

// A watch that ends with an error told nothing any more, and nobody saw it.
func TestWatchThatEndsIsStartedAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	KeepWatching(ctx, slog.New(slog.DiscardHandler), "things", func(context.Context) error {
		if runs++; runs == 3 {
			cancel()
			return nil
		}
		return errors.New("not authorised")
	})
	if runs != 3 {
		t.Errorf("%d runs", runs)
	}
}
