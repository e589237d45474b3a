// Making the integration bridge beside the rest of a start.

package main

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// making is the integration bridge while it is made or put right, and the loops that
// need it are not running yet.
type making struct {
	done  chan struct{} // closed when it is made, or cannot be
	inUse chan struct{} // closed by use

	// Set before done is closed.
	err error
}

// makeBridge begins to make the integration bridge. It goes on for as long as a start may
// take, or until ctx ends.
func (d *daemon) makeBridge(ctx context.Context) *making {
	bridge := d.bridge()
	return newMaking(ctx, func(ctx context.Context) error { return d.db.EnsureBridge(ctx, bridge) })
}

// newMaking begins to make what ensure makes.
func newMaking(ctx context.Context, ensure func(context.Context) error) *making {
	m := &making{done: make(chan struct{}), inUse: make(chan struct{})}
	go func() {
		defer close(m.done)
		limited, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		m.err = ensure(limited)
	}()
	return m
}

// wait returns what became of the bridge.
func (m *making) wait(ctx context.Context) error {
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use says that the loops that need the bridge run.
func (m *making) use() { close(m.inUse) }

// started returns when the loops that need the bridge run.
func (m *making) started(ctx context.Context) error {
	select {
	case <-m.inUse:
		return nil
	case <-ctx.Done():
		return intent.Unavailablef("ovs-vswitchd has not made this host's bridge yet: %w", context.Cause(ctx)).
			WithHint("see whether ovs-vswitchd runs, and the log of ovloomd")
	}
}
