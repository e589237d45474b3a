package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// fakeRegistry is a store's list of hosts.
type fakeRegistry struct {
	mu sync.Mutex
	// Guarded by mu.
	err        error // returned by all calls
	registered []intent.Host
	end        chan error // the result of KeepAlive
}

func (r *fakeRegistry) Register(_ context.Context, h intent.Host) (intent.Host, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.registered = append(r.registered, h)
	}
	return h, r.err
}

func (r *fakeRegistry) KeepAlive(ctx context.Context, _ string) error {
	select {
	case err := <-r.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *fakeRegistry) Hosts(context.Context) ([]intent.HostState, error) {
	return []intent.HostState{{Host: intent.Host{Name: "host1"}}}, nil
}

func (r *fakeRegistry) Ping(context.Context) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 7, r.err
}

func (r *fakeRegistry) ClaimedBy(context.Context, string) ([]intent.PortRef, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []intent.PortRef{c1}, r.err
}

func (r *fakeRegistry) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *fakeRegistry) took() []intent.Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.registered
	r.registered = nil
	return list
}

// A host is registered once the store answers, and again after it was removed; the store's
// error is reported in the meantime.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := intent.Unavailablef("the store does not answer")
		r := &fakeRegistry{end: make(chan error), err: gone}
		claims := make(chan []intent.PortRef, 100)
		p := NewPresence(PresenceConfig{Host: intent.Host{Name: "host1", UnderlayMTU: 1500}, Store: r, Log: slog.New(slog.DiscardHandler),
			Underlay: func() Underlay { return Underlay{MTU: 1600, Fault: "no carrier"} },
			Claimed:  func(_ context.Context, refs []intent.PortRef) { claims <- refs }})
		if err := p.Down(); err != nil {
			t.Errorf("down before it is known: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		if list, err := p.Hosts(ctx); len(list) != 0 || err != gone {
			t.Errorf("hosts of a store that is down: %v, %v", list, err)
		}
		if connected, since, _ := p.State(); connected || since.IsZero() || p.Down() == nil {
			t.Errorf("without a store: connected %v since %v, down %v", connected, since, p.Down())
		}
		r.fail(nil)
		time.Sleep(pingEvery)
		synctest.Wait()
		if got := r.took(); len(got) != 1 || got[0].UnderlayMTU != 1600 || got[0].Fault != "no carrier" || p.Down() != nil {
			t.Errorf("registered %+v, down %v", got, p.Down())
		}
		if list, err := p.Hosts(ctx); len(list) != 1 || err != nil {
			t.Errorf("hosts: %v, %v", list, err)
		}
		if refs := <-claims; !slices.Equal(refs, []intent.PortRef{c1}) {
			t.Errorf("claims %v", refs)
		}
		time.Sleep(claimsEvery - pingEvery)
		if synctest.Wait(); len(claims) != 0 {
			t.Errorf("claims are read %d times in %s", len(claims), claimsEvery)
		}
		r.end <- intent.NotFoundf("host host1 does not exist")
		time.Sleep(registerRetry)
		if synctest.Wait(); len(r.took()) != 1 {
			t.Error("not registered again")
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// If another live host has the name, the daemon ends.
func TestPresenceOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{err: intent.Conflictf("host host1 is alive elsewhere")}
		p := NewPresence(PresenceConfig{Host: intent.Host{Name: "host1"}, Store: r, Underlay: func() Underlay { return Underlay{} }, Log: slog.New(slog.DiscardHandler)})
		if err := p.Run(t.Context()); intent.KindOf(err) != intent.Conflict {
			t.Errorf("ended with %v, want Conflict", err)
		}
	})
}

// A changed underlay is published to the store, with retries until that succeeds.
func TestPresenceTellsOfTheUnderlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeRegistry{}
		var mu sync.Mutex
		now := Underlay{MTU: 1500}
		set := func(u Underlay) { mu.Lock(); defer mu.Unlock(); now = u }
		changed := make(chan struct{})
		p := NewPresence(PresenceConfig{Host: intent.Host{Name: "host1", UnderlayMTU: 1500}, Store: r, UnderlayChanged: changed, Log: slog.New(slog.DiscardHandler),
			Underlay: func() Underlay { mu.Lock(); defer mu.Unlock(); return now }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.RunUnderlay(ctx) }()
		changed <- struct{}{}
		if synctest.Wait(); len(r.took()) != 0 {
			t.Error("published an unchanged underlay")
		}
		r.fail(errors.New("timeout"))
		set(Underlay{MTU: 9000})
		changed <- struct{}{}
		time.Sleep(3 * underlayRetry)
		r.fail(nil)
		time.Sleep(underlayRetry)
		synctest.Wait()
		if got := r.took(); len(got) != 1 || got[0].UnderlayMTU != 9000 {
			t.Errorf("published %+v", got)
		}
		time.Sleep(3 * underlayRetry)
		if synctest.Wait(); len(r.took()) != 0 {
			t.Error("published again after success")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTraces(t *testing.T) {
	all := []ovsdb.Interface{{Name: "vx0"}, {Name: "ovl1", Generation: 3}, {Name: "ovl2", Generation: 1}}
	if got := Traces("br-int", all); !slices.Equal(got, []string{"2 claimed ports on bridge br-int"}) {
		t.Errorf("traces %q", got)
	}
	if got := Traces("br-int", all[:1]); got != nil {
		t.Errorf("traces %q of a host that claimed nothing", got)
	}
}
