package keeper

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// Parts that need the bridge wait for it and for its users, but not longer than allowed.
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

// A bridge that cannot be created is reported, and a hanging creation ends with the daemon.
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

// fakeDatabase returns the next list of changes to the bridge in each call.
type fakeDatabase struct {
	connected bool
	changed   chan struct{}
	answers   []string // "": no change
	err       error
	kept      atomic.Int32
}

func (d *fakeDatabase) State() ovsdb.State     { return ovsdb.State{Connected: d.connected} }
func (d *fakeDatabase) Watch() <-chan struct{} { return d.changed }
func (d *fakeDatabase) KeepBridge(context.Context, ovsdb.Bridge) ([]string, error) {
	d.kept.Add(1)
	if len(d.answers) == 0 {
		return nil, d.err
	}
	a := d.answers[0]
	d.answers = d.answers[1:]
	return []string{a}, d.err
}

// fakeUnderlay has no NIC in a bridge.
type fakeUnderlay struct {
	mu  sync.Mutex
	err error
}

func (u *fakeUnderlay) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

func (u *fakeUnderlay) Keep(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}
func (u *fakeUnderlay) Taken() (string, error) { return "", nil }

// Changes of the bridges are put back and reported, and the flows are compared; what cannot be
// put back is retried, and logged once.
func TestBridgesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		var log strings.Builder
		db := &fakeDatabase{changed: make(chan struct{}, 1), answers: []string{"fail_mode"}}
		card := &fakeUnderlay{}
		b := &Bridges{Database: db, Underlay: card, Repairs: &e, Disturbed: func(context.Context) { e.add("disturbed") },
			Log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = b.Run(ctx) }()

		db.changed <- struct{}{} // the database disconnected
		if e.want(t); db.kept.Load() != 0 {
			t.Error("bridges are kept without a database")
		}
		db.connected = true
		db.changed <- struct{}{}
		e.want(t, "repaired bridge settings changed by another program: fail_mode", "disturbed")
		if b.Err() != nil {
			t.Error(b.Err())
		}

		card.fail(errors.New("no such device"))
		db.changed <- struct{}{}
		time.Sleep(time.Minute)
		if synctest.Wait(); b.Err() == nil || db.kept.Load() < 10 || strings.Count(log.String(), "cannot reconcile the bridges") != 1 {
			t.Errorf("%v after %d attempts; logged %q", b.Err(), db.kept.Load(), log.String())
		}
		card.fail(nil)
		time.Sleep(time.Minute)
		if synctest.Wait(); b.Err() != nil {
			t.Errorf("the bridge is back: %v", b.Err())
		}
		if err := b.RunUnderlay(ctx, "/run/ovs", "br-phy"); err != nil {
			t.Errorf("without a card: %v", err)
		}
		stop()
		<-done
	})
}
