package agent

// This host in the store: registered, alive, and with its current underlay.

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	"github.com/ovloom/ovloom/ovsdb"
)

// Times of Presence.
const (
	registerRetry = time.Second
	pingEvery     = 2 * time.Second
	claimsEvery   = 15 * time.Second // how often the host's claims are read, to find stale ones
	underlayRetry = 2 * time.Second
)

// Registry is the store's list of hosts; *store.Store implements it.
type Registry interface {
	// Register adds or changes this host. It fails with Conflict if another live host has
	// its name or VTEP.
	Register(ctx context.Context, h intent.Host) (intent.Host, error)
	// KeepAlive keeps the host's lease alive until ctx ends, or until that fails.
	KeepAlive(ctx context.Context, host string) error
	Hosts(ctx context.Context) ([]intent.HostState, error)
	Ping(ctx context.Context) (revision int64, err error)
	ClaimedBy(ctx context.Context, host string) ([]intent.PortRef, error)
}

// PresenceConfig configures a Presence.
type PresenceConfig struct {
	Host  intent.Host // as it was when the daemon started; its ID is the store's
	Store Registry

	// Underlay returns the current underlay, and UnderlayChanged has an element whenever it
	// may have changed.
	Underlay        func() Underlay
	UnderlayChanged <-chan struct{}

	// Claimed receives the ports that this host claims in the store, every claimsEvery.
	Claimed func(ctx context.Context, refs []intent.PortRef)

	Log *slog.Logger
}

// Presence keeps this host registered and alive in the store.
type Presence struct {
	cfg   PresenceConfig
	state loop.State // whether the store answers
}

// NewPresence returns a Presence that registers the host when Run is called.
func NewPresence(cfg PresenceConfig) *Presence { return &Presence{cfg: cfg} }

// Name is the host's name.
func (p *Presence) Name() string { return p.cfg.Host.Name }

// Host returns the host to be registered, with its current underlay.
func (p *Presence) Host() intent.Host {
	h := p.cfg.Host
	u := p.cfg.Underlay()
	h.Fault = u.Fault
	if u.MTU != 0 {
		h.UnderlayMTU = u.MTU
	}
	return h
}

// State returns whether the store answers, since when, and if not, why.
func (p *Presence) State() (connected bool, since time.Time, err error) { return p.state.Get() }

// Down returns why the store does not answer; nil if it answers or has not been asked yet.
func (p *Presence) Down() error {
	connected, since, err := p.state.Get()
	if connected || since.IsZero() {
		return nil
	}
	return err
}

// Hosts returns all hosts. It fails at once while the store is known not to answer.
func (p *Presence) Hosts(ctx context.Context) ([]intent.HostState, error) {
	if err := p.Down(); err != nil {
		return nil, err
	}
	return p.cfg.Store.Hosts(ctx)
}

// Run registers the host and keeps it alive until ctx ends. It fails only if another live
// host has the host's name or VTEP, or if the host's values are invalid.
func (p *Presence) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var pinging sync.WaitGroup
	pinging.Go(func() { p.ping(ctx) })
	defer pinging.Wait()
	defer stop()
	logged := false
	for {
		h, err := p.cfg.Store.Register(ctx, p.Host())
		if err == nil {
			p.cfg.Log.Info("registered", "host", h.Name, "vtep", h.VTEP, "id", h.ID)
			err = p.cfg.Store.KeepAlive(ctx, h.Name)
		}
		if ctx.Err() != nil {
			return nil
		}
		switch intent.KindOf(err) {
		case intent.Conflict, intent.Invalid:
			return err
		case intent.NotFound:
			p.cfg.Log.Warn("this host was removed from the overlay; registering it again", "host", p.Name())
		default:
			if !logged { // only the first failure of a row
				p.cfg.Log.Warn("cannot register this host yet; continuing without", "host", p.Name(), "error", err)
			}
			logged = true
		}
		if !loop.Pause(ctx, registerRetry) {
			return nil
		}
	}
}

// ping checks whether the store answers, and every claimsEvery reads this host's claims.
func (p *Presence) ping(ctx context.Context) {
	var read time.Time
	loop.Every(ctx, pingEvery, func(ctx context.Context) {
		_, err := p.cfg.Store.Ping(ctx)
		p.state.Set(err == nil, err)
		if err != nil || time.Since(read) <= claimsEvery {
			return
		}
		if refs, err := p.cfg.Store.ClaimedBy(ctx, p.Name()); err == nil {
			p.cfg.Claimed(ctx, refs)
			read = time.Now()
		}
	})
}

// RunUnderlay registers the host anew whenever its underlay has changed, until ctx ends.
func (p *Presence) RunUnderlay(ctx context.Context) error {
	told := p.cfg.Host
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.cfg.UnderlayChanged:
		case <-retry:
		}
		retry = nil
		now := p.Host()
		if now.Fault == told.Fault && now.UnderlayMTU == told.UnderlayMTU {
			continue
		}
		p.cfg.Log.Info("underlay changed", "mtu", now.UnderlayMTU, "was", told.UnderlayMTU, "fault", now.Fault)
		if _, err := p.cfg.Store.Register(ctx, now); err != nil {
			p.cfg.Log.Info("cannot publish the underlay yet", "error", err, "retry-in", underlayRetry)
			retry = time.After(underlayRetry)
			continue
		}
		told = now
	}
}

// Traces returns signs on the integration bridge that this host has been part of an overlay,
// in words: the ports that it claimed.
func Traces(bridge string, all []ovsdb.Interface) []string {
	ports := 0
	for _, i := range all {
		if i.Generation != 0 {
			ports++
		}
	}
	if ports == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d claimed ports on bridge %s", ports, bridge)}
}
