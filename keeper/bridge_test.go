package keeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// What needs the bridge waits for it and for who uses it, and no longer than it may.
func TestMakingABridge(t *testing.T) {
	made := make(chan error)
	m := Make(t.Context(), time.Minute, func(ctx context.Context) error {
		select {
		case err := <-made:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := m.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a bridge that is not made: %v", err)
	}
	if err := m.Started(short); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("started without a bridge: %v, want Unavailable", err)
	}
	made <- nil
	if err := m.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := m.Started(short); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("started before the bridge is used: %v, want Unavailable", err)
	}
	m.Use()
	if err := m.Started(t.Context()); err != nil {
		t.Error(err)
	}
}

// A bridge that cannot be made is told of, and one that hangs ends with the daemon.
func TestBridgesThatCannotBeMade(t *testing.T) {
	refused := errors.New("refused")
	m := Make(t.Context(), time.Minute, func(context.Context) error { return refused })
	if err := m.Wait(t.Context()); err != refused {
		t.Errorf("wait: %v, want %v", err, refused)
	}
	ctx, stop := context.WithCancel(t.Context())
	m = Make(ctx, time.Minute, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	stop()
	select {
	case <-m.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("a bridge is still being made after the end of the daemon")
	}
}
