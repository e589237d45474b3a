package keeper

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
)

// Making is the creation or repair of the integration bridge at start, before the loops that
// need the bridge run.
type Making struct {
	done  chan struct{} // closed when it has succeeded or failed
	inUse chan struct{} // closed by Use

	// Set before done is closed.
	err error
}

// Make starts to create the bridge by calling ensure in the background, for at most limit, or
// until ctx ends.
func Make(ctx context.Context, limit time.Duration, ensure func(context.Context) error) *Making {
	m := &Making{done: make(chan struct{}), inUse: make(chan struct{})}
	go func() {
		defer close(m.done)
		limited, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		m.err = ensure(limited)
	}()
	return m
}

// Done returns a channel that is closed when the bridge has been created, or that has failed.
func (m *Making) Done() <-chan struct{} { return m.done }

// Wait waits for the bridge, and returns why it could not be created.
func (m *Making) Wait(ctx context.Context) error {
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Use marks that the loops that need the bridge run. It may be called once.
func (m *Making) Use() { close(m.inUse) }

// Started waits until the loops that need the bridge run. If ctx ends first, the error is
// Unavailable.
func (m *Making) Started(ctx context.Context) error {
	select {
	case <-m.inUse:
		return nil
	case <-ctx.Done():
		return intent.Unavailablef("ovs-vswitchd has not made this host's bridge yet: %w", context.Cause(ctx)).
			WithHint("see whether ovs-vswitchd runs, and the log of ovloomd")
	}
}

// Database is the local Open_vSwitch database; *ovsdb.DB is one.
type Database interface {
	State() ovsdb.State
	Watch() <-chan struct{}
	KeepBridge(ctx context.Context, b ovsdb.Bridge) (changed []string, err error)
}

// Underlay is the bridge that has the underlay's NIC; *underlay.Underlay is one.
type Underlay interface {
	Keep(ctx context.Context) error
	Taken() (nic string, err error)
}

// Bridges keeps the integration bridge and the underlay's bridge as wanted, whatever other
// programs do to them and however often ovs-vswitchd restarts.
type Bridges struct {
	// Set before use.
	Database Database
	Bridge   ovsdb.Bridge // the integration bridge
	Underlay Underlay

	// Disturbed is called when the bridge's settings had been changed: whoever changed them
	// may have changed flows.
	Disturbed func(ctx context.Context)

	Repairs Repairs
	Log     *slog.Logger

	state loop.State
}

// Err returns why the bridges are not as wanted; nil if they are.
func (b *Bridges) Err() error { return b.state.Err() }

// Run keeps both bridges until ctx ends.
func (b *Bridges) Run(ctx context.Context) error {
	logged := ""
	loop.OnChange(ctx, b.Database.Watch(), func(ctx context.Context) error {
		if !b.Database.State().Connected {
			return nil // and when it is, that is a change
		}
		changed, err := b.Database.KeepBridge(ctx, b.Bridge)
		if len(changed) > 0 {
			b.Repairs.Put("bridge settings changed by another program", len(changed), strings.Join(changed, "; "))
			b.Disturbed(ctx)
		}
		err = errors.Join(err, b.Underlay.Keep(ctx))
		why := ""
		if err != nil {
			why = err.Error()
		}
		if why != "" && why != logged && ctx.Err() == nil {
			b.Log.Warn("cannot reconcile the bridges", "error", err)
		}
		logged = why
		b.state.Set(err == nil, err)
		return err
	})
	return nil
}

// RunUnderlay keeps the named bridge, if the underlay's card is in it, from switching
// nothing, until ctx ends. runDir is that of ovs-vswitchd.
func (b *Bridges) RunUnderlay(ctx context.Context, runDir, bridge string) error {
	if nic, err := b.Underlay.Taken(); err != nil || nic == "" {
		return nil
	}
	// Without a log: the connection to the integration bridge tells how the same switch is.
	_ = ofconn.Keep(ctx, managementAddr(runDir, bridge), ofconn.Config{}, func(ctx context.Context, conn *ofconn.Conn) error {
		return KeepNormal(ctx, conn, func() {
			b.Repairs.Put("flows changed by another program", 1, "bridge "+bridge+" had none and switched nothing")
		})
	})
	return nil
}
