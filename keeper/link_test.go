package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/openflow"
)

// events lists events in order.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf(format, args...))
}

// took returns the events since the last call.
func (e *events) took() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.list
	e.list = nil
	return list
}

func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := e.took(); !slices.Equal(got, want) {
		t.Errorf("happened %q, want %q", got, want)
	}
}

func (e *events) SetMeters(_ context.Context, some bool) { e.add("meters %v", some) }
func (e *events) Connected(_ context.Context, _ controller.Switch, tunnel openflow.PortNo) {
	e.add("connected, tunnel %d", tunnel)
}
func (e *events) Disconnected(ctx context.Context, _ controller.Switch) {
	e.add("disconnected, %v", ctx.Err())
}
func (e *events) Disturbed(context.Context, controller.Switch) { e.add("disturbed") }
func (e *events) Put(what string, _ int, detail string)        { e.add("repaired %s: %s", what, detail) }
func (e *events) TakeFragments(context.Context) error          { e.add("take fragments"); return nil }
func (e *events) KeepFragments(ctx context.Context, repaired func(string), _ func(error)) {
	repaired("v4 min 1200")
	<-ctx.Done()
	e.add("fragments are not kept any more")
}

// fakeBridge is a connection to a switch with that many meters.
type fakeBridge struct {
	fakeConn
	meters uint32
}

func (f *fakeBridge) MaxMeters(context.Context) (uint32, error)        { return f.meters, nil }
func (f *fakeBridge) Err() error                                       { return errors.New("broken") }
func (f *fakeBridge) Apply(context.Context, []openflow.Mod) error      { return nil }
func (f *fakeBridge) Meters(context.Context) ([]openflow.Meter, error) { return nil, nil }
func (f *fakeBridge) Tables(context.Context) ([]openflow.Flow, []openflow.Group, error) {
	return nil, nil, nil
}

func newTestLink(e *events) *Link {
	return NewLink(LinkConfig{Bridge: "br-int", RunDir: "/run/ovs", Controller: e, Fragments: e, Repairs: e,
		Wanted: func(p openflow.Port) openflow.PortConfig { return p.PortConfig }, Log: slog.New(slog.DiscardHandler)})
}

// The controller gets a connection once a tunnel port exists, and loses it when that port has
// another number; all goroutines of the connection have ended by then.
func TestLinkLendsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e events
		l := newTestLink(&e)
		ended := make(chan error)
		serve := func(ctx context.Context, meters uint32) {
			go func() {
				ended <- l.serve(ctx, &fakeBridge{meters: meters}, func(up bool) { e.add("up %v", up) })
			}()
		}
		serve(t.Context(), metersLeast)
		e.want(t)
		if up, since, _ := l.State(); up || !since.IsZero() {
			t.Errorf("it is connected without a tunnel port: %v, %v", up, since)
		}
		l.SetTunnel(4)
		e.want(t, "take fragments", "meters true", "up true", "connected, tunnel 4", "repaired fragments of connections bounded otherwise by another program: v4 min 1200")
		if up, _, err := l.State(); !up || err != nil || l.Tunnel() != 4 {
			t.Errorf("connected: %v, %v, tunnel %d", up, err, l.Tunnel())
		}
		l.SetTunnel(4)
		e.want(t)

		l.SetTunnel(5)
		if err := <-ended; err != nil {
			t.Errorf("ended with %v for another tunnel port", err)
		}
		got := e.took()
		if slices.Sort(got[1:]); !slices.Equal(got, []string{"up false", "disconnected, <nil>", "fragments are not kept any more"}) {
			t.Errorf("happened %q", got)
		}
		if up, _, err := l.State(); up || err == nil {
			t.Errorf("afterwards: %v, %v", up, err)
		}

		ctx, stop := context.WithCancelCause(t.Context())
		serve(ctx, metersLeast-1)
		synctest.Wait()
		if got := e.took(); !slices.Contains(got, "meters false") || !slices.Contains(got, "connected, tunnel 5") {
			t.Errorf("with few meters: %q", got)
		}
		lost := errors.New("lost")
		stop(lost)
		if err := <-ended; err != lost {
			t.Errorf("ended with %v, want %v", err, lost)
		}
		if got := e.took(); !slices.Contains(got, "disconnected, <nil>") {
			t.Errorf("the controller is not disconnected: %q", got)
		}
	})
}

func TestLinkWithoutASwitch(t *testing.T) {
	var e events
	l := newTestLink(&e)
	if _, err := l.Conn(); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("Conn: %v, want Unavailable", err)
	}
	if err := l.Send(t.Context()); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("Send: %v, want Unavailable", err)
	}
	l.Disturbed(t.Context())
	if got := e.took(); len(got) != 0 {
		t.Errorf("happened %q", got)
	}
	if l.Addr() != "unix:/run/ovs/br-int.mgmt" {
		t.Errorf("address %s", l.Addr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}
