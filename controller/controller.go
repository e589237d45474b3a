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

// Controller makes and keeps the local switch as the store and the local interfaces
// require.
type Controller struct {
	host string
	deps Deps
	log  *slog.Logger

	table    *router.Table        // what the router needs to know
	announce func(router.Arrival) // Announce of table; replaced by tests

	in    chan func()   // closures that run in the loop
	ended chan struct{} // closed when Run returns

	// Everything below is owned by the loop.
	world  *world.World
	binder *binder

	sw          Switch // nil: not connected
	noMeters    bool   // the switch has no meters
	synced      bool   // the switch holds what the last flush wanted
	retrySync   time.Time
	syncBackoff time.Duration

	follows  map[string]context.CancelCauseFunc // watched tenants
	received map[string]bool                    // watched tenants that the store, or a cached copy, has sent, or has said to be gone
	resolves map[string]context.CancelFunc      // watched interface ids
	resolved map[string]bool                    // interface ids that were looked up, including those without a port
	applied  map[string]int64                   // by tenant: the applied revision known to the store
	queues   map[string]queue
	waiters  []waiter
	stats    Stats
	nat      natState

	// What must be known before the switch is touched: a working switch must not be
	// emptied because the store has not answered yet.
	hostsReceived, interfacesReceived, recalled bool
	waitsSince                                  time.Time // since when only tenants and ids are outstanding
	started                                     bool      // everything was known once, or waited for long enough
	partial                                     partialSync

	foreign   foreignChanges
	repairing bool // the comparison under way is a repair

	arrivals map[intent.PortRef]int // ports that came up, and how many announcements are left
}

const tick = time.Second // how often unfinished work is retried without input

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

// Router is the part of a gateway that flows cannot do.
type Router = router.Router

// PacketsQueued is how many packets may wait for the Router.
const PacketsQueued = 1024

// Router returns the host's router, which works from the controller's data. send puts
// packets into the switch.
func (c *Controller) Router(send func(context.Context, ...of.PacketOut) error) *Router {
	return router.New(c.table, c.log, send)
}

// Run works until ctx ends. Packets go on flowing afterwards: the switch keeps its
// flows.
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

// guarded runs f in the loop. Data from the store must not end the daemon, which serves
// all tenants: after a panic everything is compared again, with pauses.
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

// drain handles all waiting inputs, so that a burst of changes makes one delta.
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

// send runs f in the loop, unless the loop or ctx has ended.
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

// step acts on all input so far.
func (c *Controller) step(ctx context.Context) {
	c.followTenants(ctx)
	c.bringSwitch(ctx)
	c.announceMoved()
	c.assignZones(ctx)
	c.sample(ctx)
	if !c.mayStart() {
		return // the claim of a port whose interface is still to come would be given up
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
