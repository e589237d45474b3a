package controller

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/ovloom/ovloom/controller/world"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/router"
)

// Controller brings the local switch to what the store and the local interfaces
// ask for, and keeps it there.
type Controller struct {
	host string
	deps Deps
	log  *slog.Logger

	table    *router.Table        // what the router must know
	announce func(router.Arrival) // of table; tests hear of it instead

	in    chan func()   // closures that run in the loop
	ended chan struct{} // closed when Run returns

	// Everything below is owned by the loop.
	world  *world.World
	binder *binder

	sw          Switch // nil: not connected
	noMeters    bool   // the switch has none
	synced      bool   // the switch holds what the last flush wanted
	retrySync   time.Time
	syncBackoff time.Duration

	follows  map[string]context.CancelCauseFunc // watched tenants
	received map[string]bool                    // watched tenants that the store, or a copy of it, has sent; if only that they are gone
	resolves map[string]context.CancelFunc      // watched interface ids
	resolved map[string]bool                    // interface ids that were looked up, if only to find that they mean nothing
	applied  map[string]int64                   // by tenant: what the store knows to be applied
	queues   map[string]queue
	waiters  []waiter
	stats    Stats
	nat      natState

	// What must be known before anything is done: a switch that works must not be
	// emptied because the store has not answered yet.
	hostsReceived, interfacesReceived, recalled bool
	waitsSince                                  time.Time // since when only tenants and ids are waited for
	started                                     bool      // all of it was known once, or waited for long enough
	partial                                     partialSync

	foreign   foreignChanges
	repairing bool // the comparison under way is one because others have changed the switch

	arrivals map[intent.PortRef]int // ports that came up: how often they are still to be announced
}

const tick = time.Second // how often unfinished work is looked at without input

// New returns a controller for the named host. Nothing happens before Run.
func New(host string, deps Deps) *Controller {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	table := router.NewTable()
	c := &Controller{
		host: host, deps: deps, log: deps.Log,
		table: table, announce: table.Announce,
		in:       make(chan func(), 1024),
		ended:    make(chan struct{}),
		world:    world.New(host, deps.Log, table),
		follows:  map[string]context.CancelCauseFunc{},
		received: map[string]bool{},
		resolves: map[string]context.CancelFunc{},
		resolved: map[string]bool{},
		applied:  map[string]int64{},
		queues:   map[string]queue{},
		arrivals: map[intent.PortRef]int{},
		nat:      natState{limits: map[uint16]uint32{}, checked: map[string]world.Rules{}},
	}
	c.binder = newBinder(host, knowledge{
		tenant: func(name string) bool { return c.received[name] },
		iface:  func(id string) bool { return c.resolved[id] },
		busy:   c.busy,
	}, c.arrive)
	c.binder.others = c.waitOthers
	return c
}

// Router is the part of a gateway that flows cannot be.
type Router = router.Router

// PacketsQueued is how many packets may wait to be taken in by the Router.
const PacketsQueued = 1024

// Router returns the router of the host, which works by what the controller knows. send
// puts packets into the switch.
func (c *Controller) Router(send func(context.Context, ...of.PacketOut) error) *Router {
	return router.New(c.table, c.log, send)
}

// Run works until ctx ends. Packets go on flowing afterwards: nothing is removed
// from the switch.
func (c *Controller) Run(ctx context.Context) error {
	defer close(c.ended)
	go c.watchHosts(ctx)
	if c.deps.NAT != nil {
		go c.watchExternals(ctx)
		go c.watchGuard(ctx)
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-c.in:
			c.guarded(f)
			c.drain()
		case <-ticker.C:
			c.guarded(func() {
				c.sweepQueues()
				c.announceArrivals()
			})
		}
		c.guarded(func() { c.step(ctx) })
	}
}

// guarded runs f in the loop. Nothing that the store sends may end the daemon, which
// serves all tenants: after a panic all is compared again, with pauses.
func (c *Controller) guarded(f func()) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		c.synced = false
		c.syncBackoff = retryMost
		c.retrySync = time.Now().Add(retryMost)
		what := fmt.Sprint(r)
		if c.stats.LastError != what {
			c.log.Error("controller panicked; comparing all flows later", "error", what, "stack", string(debug.Stack()))
		}
		c.stats.LastError = what
	}()
	f()
}

// drain takes in all that waits, so that a burst of changes makes one delta.
func (c *Controller) drain() {
	for range cap(c.in) {
		select {
		case f := <-c.in:
			c.guarded(f)
		default:
			return
		}
	}
}

// send runs f in the loop, unless that has ended or ctx does.
func (c *Controller) send(ctx context.Context, f func()) {
	select {
	case c.in <- f:
	case <-c.ended:
	case <-ctx.Done():
	}
}

// ask runs f in the loop and returns its answer.
func ask[T any](ctx context.Context, c *Controller, f func() T) (T, error) {
	answer := make(chan T, 1)
	c.send(ctx, func() { answer <- f() })
	select {
	case a := <-answer:
		return a, nil
	case <-c.ended:
		var zero T
		return zero, intent.Unavailablef("the controller has stopped")
	case <-ctx.Done():
		var zero T
		return zero, intent.Unavailablef("the controller does not answer: %w", ctx.Err())
	}
}

// step does what follows from all input so far.
func (c *Controller) step(ctx context.Context) {
	c.followTenants(ctx)
	c.bringSwitch(ctx)
	c.announceMoved()
	c.assignZones(ctx)
	c.sample(ctx)
	if !c.mayStart() {
		return // a claim whose interface is still to come would be given up
	}
	for _, t := range c.binder.tasks(c.world, c.synced, c.deps.Claims, c.deps.Interfaces) {
		c.do(ctx, t)
	}
	c.natTasks(ctx)
	c.reportForwards()
	if c.synced {
		c.reportApplied(ctx)
	}
	c.wakeWaiters()
}
