package main

// This file is a host without a switch: ovloomd's controller and client of the store, an Open
// vSwitch that accepts everything and does nothing, and rows of interfaces that do not exist.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// agent is a host without a switch. Its rows survive restarts, as in ovsdb-server; its switch
// is empty after each, as after a power failure.
type agent struct {
	// Set by newAgent.
	host    intent.Host
	tenants map[string]bool // followed by this host
	config  cluster.Config
	changed chan struct{} // has one element after a change of any agent's switch
	up      chan intent.PortRef

	// Set by start.
	store *store.Store
	ctl   *controller.Controller
	end   context.CancelFunc
	loops sync.WaitGroup
	full  chan struct{} // closed once the store knows that the switch has all tenants

	last    atomic.Int64 // time of the last change of the switch, in nanoseconds since 1970
	changes atomic.Int64 // the number of changes

	mu   sync.Mutex
	rows map[string]controller.Interface // guarded by mu; by UUID
	fill sync.Once                       // closes full
}

// start starts the agent as ovloomd does, without cached copies.
func (a *agent) start(ctx context.Context) (err error) {
	if a.store, err = store.Open(ctx, a.config); err != nil {
		return err
	}
	ctx, a.end = context.WithCancel(ctx)
	a.full, a.fill = make(chan struct{}), sync.Once{}
	a.ctl = controller.New(a.host.Name, controller.Deps{Span: a.store, Claims: claims{a}, Progress: progress{a}, Interfaces: localRows{a}})
	a.loops.Go(func() { _ = a.ctl.Run(ctx) }) // never fails
	a.loops.Go(func() { a.live(ctx) })
	a.ctl.Recall(ctx, nil)
	a.tell(ctx)
	a.ctl.Connected(ctx, a, tunnelPort)
	return nil
}

// live registers the host and keeps it alive.
func (a *agent) live(ctx context.Context) {
	for ctx.Err() == nil {
		h, err := a.store.Register(ctx, a.host)
		if err == nil {
			err = a.store.KeepAlive(ctx, h.Name)
		}
		if err != nil {
			_ = pass(ctx, 100*time.Millisecond)
		}
	}
}

// stop stops the agent, which keeps only its rows.
func (a *agent) stop() error {
	if a.end == nil {
		return nil
	}
	a.end()
	a.loops.Wait()
	a.end = nil
	return a.store.Close()
}

// tell gives the controller all rows.
func (a *agent) tell(ctx context.Context) {
	a.mu.Lock()
	list := slices.Collect(maps.Values(a.rows))
	a.mu.Unlock()
	a.ctl.SetInterfaces(ctx, list)
}

// plug adds a row.
func (a *agent) plug(i controller.Interface) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i.OFPort = of.PortNo(len(a.rows) + 10)
	a.rows[i.UUID] = i
}

// edit changes a row for the controller.
func (a *agent) edit(ctx context.Context, uuid string, change func(*controller.Interface)) error {
	a.mu.Lock()
	i, ok := a.rows[uuid]
	if ok {
		change(&i)
		a.rows[uuid] = i
	}
	a.mu.Unlock()
	if !ok {
		return fmt.Errorf("there is no row %s", uuid)
	}
	// In the background: the caller may block the controller's loop.
	go a.tell(ctx)
	return nil
}

// Apply implements controller.Switch.
func (a *agent) Apply(_ context.Context, mods []of.Mod) error {
	for _, m := range mods {
		if m == nil {
			return errors.New("a change that is none")
		}
	}
	a.last.Store(time.Now().UnixNano())
	a.changes.Add(1)
	select {
	case a.changed <- struct{}{}:
	default:
	}
	return nil
}

// Tables implements controller.Switch.
func (a *agent) Tables(context.Context) ([]of.Flow, []of.Group, error) { return nil, nil, nil }

// Meters implements controller.Switch.
func (a *agent) Meters(context.Context) ([]of.Meter, error) { return nil, nil }

// localRows implements controller.Interfaces.
type localRows struct{ *agent }

func (r localRows) SetGeneration(ctx context.Context, uuid string, generation uint64) error {
	return r.edit(ctx, uuid, func(i *controller.Interface) { i.Generation = generation })
}

func (r localRows) SetInstalled(ctx context.Context, uuid string, on bool) error {
	return r.edit(ctx, uuid, func(i *controller.Interface) { i.Installed = on })
}

// claims implements controller.Claims, and says which ports are up.
type claims struct{ *agent }

func (c claims) Claim(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	return c.store.Claim(ctx, ref, host, have)
}

func (c claims) Release(ctx context.Context, ref intent.PortRef, host string, generation uint64) error {
	return c.store.Release(ctx, ref, host, generation)
}

func (c claims) ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	return c.store.ClaimFree(ctx, ref, host, have)
}

func (c claims) MarkUp(ctx context.Context, ref intent.PortRef, host string, generation uint64, up bool, fault string) error {
	err := c.store.MarkUp(ctx, ref, host, generation, up, fault)
	if err == nil && up {
		select {
		case c.up <- ref:
		case <-ctx.Done():
		}
	}
	return err
}

// progress implements controller.Progress, and says when the switch has everything.
type progress struct{ *agent }

func (p progress) SetAppliedSpan(ctx context.Context, host string, tenants map[string]int64) error {
	err := p.store.SetAppliedSpan(ctx, host, tenants)
	if err == nil && len(tenants) == len(p.tenants) {
		p.fill.Do(func() { close(p.full) })
	}
	return err
}

func (p progress) WaitOthers(ctx context.Context, host, tenant string, revision int64) error {
	return p.store.WaitOthers(ctx, host, tenant, revision)
}
