// Package hosttest stands in for a host in tests of the API and its users: the store is a
// real one, and the test sets what ovloomd would do on the host.
package hosttest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/storetest"
)

// This is the name of the host on which ports are plugged.
const This = "host1"

// Host is a host with its own store, and with another live host, host2. Make it with New.
type Host struct {
	Store *store.Store

	t      testing.TB
	alive  map[string]func() // ends the life of each host
	change chan struct{}     // closed and replaced by every call of a test

	mu sync.Mutex
	// Guarded by mu, and set by tests.
	fail    func(op string) error
	halfway func() ([]string, error)
	pending []string
	plugged map[intent.PortRef]plugged
	left    bool
	lacks   []string

	// except for what the host itself knows
	State       api.Status // but for what the host knows itself
	Flows       []api.Flow
	Diff        []string // how the switch differs from what it should hold
	Connections []intent.Connection
	Learned     []intent.LearnedMAC
	Health      intent.Health
	Trace       intent.Trace // except for the query
}

// plugged is a port that is plugged on the host.
type plugged struct {
	request api.PlugRequest
	device  string // on the bridge
}

// New returns a host without tenants.
func New(t testing.TB) *Host {
	t.Helper()
	h := &Host{t: t, Store: storetest.Open(t), alive: map[string]func(){}, change: make(chan struct{}),
		plugged: map[intent.PortRef]plugged{}, fail: func(string) error { return nil }}
	for i, name := range []string{This, "host2"} {
		h.Register(name, i+1)
		h.live(name)
	}
	return h
}

// Register adds a host that is not alive, with the VTEP address 192.0.2.N.
func (h *Host) Register(name string, n int) {
	h.t.Helper()
	_, err := h.Store.Register(context.Background(), intent.Host{Name: name, VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}),
		UnderlayMTU: 1500, Datapath: intent.DatapathSystem, Version: "v0.1.0"})
	if err != nil {
		h.t.Fatal(err)
	}
}

// live keeps a host alive until Kill, or the end of the test.
func (h *Host) live(name string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Store.KeepAlive(ctx, name) }()
	h.alive[name] = sync.OnceFunc(func() {
		cancel()
		<-ended // ends without failing the test if the host was removed
	})
	h.t.Cleanup(h.alive[name])
	for {
		all, err := h.Store.Hosts(context.Background())
		if err != nil {
			h.t.Fatal(err)
		}
		for _, s := range all {
			if s.Name == name && s.Alive {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// Kill ends a host's life.
func (h *Host) Kill(name string) { h.alive[name]() }

// Claim makes a host claim a port, superseding all other claims.
func (h *Host) Claim(ref intent.PortRef, host string, up bool) {
	h.t.Helper()
	if err := h.claim(context.Background(), ref, host, up); err != nil {
		h.t.Fatal(err)
	}
}

func (h *Host) claim(ctx context.Context, ref intent.PortRef, host string, up bool) error {
	b, err := h.Store.Claim(ctx, ref, host, 0)
	if err == nil && up {
		err = h.Store.MarkUp(ctx, ref, host, b.Generation, true, "")
	}
	return err
}

// TakeNATAddress makes a host take an address for a tenant's SNAT.
func (h *Host) TakeNATAddress(ref intent.SNATRef, host string) {
	h.t.Helper()
	if _, err := h.Store.ClaimNATAddress(context.Background(), ref.Tenant, ref.External, host); err != nil {
		h.t.Fatal(err)
	}
}

// FailWith makes every later call of an operation fail with f's result, unless that is
// nil. Operations are the methods of the interfaces in api.Backend.
func (h *Host) FailWith(f func(op string) error) { h.locked(func() { h.fail = f }) }

// Halfway makes every later deletion fail after it has deleted one object; nil: none.
func (h *Host) Halfway(ref intent.Reference, err error) {
	h.locked(func() {
		h.halfway = nil
		if err != nil {
			h.halfway = func() ([]string, error) {
				deleted, _, _ := h.Store.Delete(context.Background(), ref, true)
				return deleted, err
			}
		}
	})
}

// SetPending makes hosts lag: waits end only after SetPending without hosts.
func (h *Host) SetPending(hosts ...string) { h.locked(func() { h.pending = hosts }) }

// SetLacks sets what the next Fix reports as corrected on this host.
func (h *Host) SetLacks(what ...string) { h.locked(func() { h.lacks = what }) }

// locked runs f and wakes all waits.
func (h *Host) locked(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.change)
	h.change = make(chan struct{})
}

// Plugged returns the request that plugged a port.
func (h *Host) Plugged(ref intent.PortRef) (api.PlugRequest, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.plugged[ref]
	return p.request, ok
}

// Left reports whether this host has left.
func (h *Host) Left() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.left
}

// Serve serves the host on its own socket until the test ends, and returns the socket's
// path.
func (h *Host) Serve() string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "run", "ovloomd.sock")
	ln, err := api.Listen(path, "")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	srv := api.NewServer(h.Backend(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	go func() { ended <- srv.Serve(ctx, ln) }()
	h.t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
	return path
}

// may returns an error if an operation may not begin.
func (h *Host) may(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	fail := h.fail
	h.mu.Unlock()
	return fail(op) // without the lock: it may block or panic
}

// wait returns when no host lags.
func (h *Host) wait(ctx context.Context, op string, progress func([]string)) error {
	if err := h.may(ctx, op); err != nil {
		return err
	}
	for {
		h.mu.Lock()
		pending, changed := h.pending, h.change
		h.mu.Unlock()
		if len(pending) == 0 {
			return nil
		}
		progress(pending)
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait: %w", ctx.Err())
		case <-changed:
		}
	}
}
