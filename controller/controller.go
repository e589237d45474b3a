package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"runtime/debug"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Deps are the parts of the world that a Controller acts on.
type Deps struct {
	Span       Span
	Claims     Claims
	Progress   Progress
	Interfaces Interfaces
	Log        *slog.Logger

	NAT *NAT // nil: no tenant leaves the overlay

	// KernelDatapath: the switch's packets are handled by Linux's own datapath.
	KernelDatapath bool

	Repairs Repairs // nil: what was put back is only logged as a change

}

// Controller brings the local switch to what the store and the local interfaces
// ask for, and keeps it there.
type Controller struct {
	host string
	deps Deps
	log  *slog.Logger

	in    chan func()   // closures that run in the loop
	ended chan struct{} // closed when Run returns

	// Everything below is owned by the loop.
	world  *world
	binder *binder

	sw          Switch // nil: not connected
	noMeters    bool   // the switch has none
	synced      bool   // the switch holds what the last flush wanted
	retrySync   time.Time
	syncBackoff time.Duration

	follows  map[string]context.CancelCauseFunc // watched tenants
	heard    map[string]bool                    // watched tenants of which the store has told
	resolves map[string]context.CancelFunc      // watched interface ids
	applied  map[string]int64                   // by tenant: what the store was told
	lanes    map[string]lane
	waiters  []waiter
	stats    Stats
	nat      natState

	// What must be known before anything is done: a switch that works must not be
	// emptied because the store has not told yet.
	hostsHeard, interfacesHeard, recalled bool
	answered                              map[string]bool // interface ids that were looked up
	waitsSince                            time.Time       // since when only tenants and ids are waited for
	started                               bool            // all of it was known once, or waited for long enough
	spared                                spare

	disturbed  disturbance
	disturbing bool // the comparison under way is one because others have changed the switch

	arrivals map[intent.PortRef]int // ports that came up: how often that is still to be told
}

// lane is where deeds for one thing are done, one at a time.
type lane struct {
	busy bool

	// After a failure: when to try again, and how long that was waited for.
	until time.Time
	wait  time.Duration

	// After a success: the deed's goal, and when it was reached.
	reached   string
	reachedAt time.Time
}

const (
	applyTimeout = 30 * time.Second // for reading the tables, or a change of a few messages
	applyPerSec  = 2000             // messages of a large change that a busy switch takes in each second more
	deedTimeout  = 10 * time.Second // for one call to the store or the database
	retryFirst   = 100 * time.Millisecond
	retryMost    = 5 * time.Second
	tick         = time.Second // how often unfinished work is looked at without input

	// How long what was done may take to show in a watch before it is done again;
	// doing it twice changes nothing, but costs a call.
	showPatience = time.Second
)

// errLeft ends the watch on a tenant of which this host has nothing any more.
var errLeft = errors.New("the tenant left this host")

// New returns a controller for the named host. Nothing happens before Run.
func New(host string, deps Deps) *Controller {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	c := &Controller{
		host: host, deps: deps, log: deps.Log,
		in:       make(chan func(), 1024),
		ended:    make(chan struct{}),
		world:    newWorld(host),
		follows:  map[string]context.CancelCauseFunc{},
		heard:    map[string]bool{},
		resolves: map[string]context.CancelFunc{},
		applied:  map[string]int64{},
		lanes:    map[string]lane{},
		answered: map[string]bool{},
		arrivals: map[intent.PortRef]int{},
		nat:      natState{limits: map[uint16]uint32{}, judged: map[string]natRules{}},
	}
	c.world.faults.log = c.log
	c.binder = newBinder(host, c.busy, c.told, c.named, c.arrive)
	c.binder.others = c.waitOthers
	return c
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
				c.sweepLanes()
				c.announceArrivals()
			})
		}
		c.guarded(func() { c.step(ctx) })
	}
}

// guarded runs f in the loop. Whatever the store told must not end the daemon, which
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
			c.log.Error("the controller's work failed; comparing everything later", "error", what, "stack", string(debug.Stack()))
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

// SetInterfaces takes in the interfaces of the integration bridge: all of them.
func (c *Controller) SetInterfaces(ctx context.Context, list []Interface) {
	c.send(ctx, func() {
		came, went := c.binder.setInterfaces(list, c.world)
		for _, id := range came {
			if ref, ok := c.binder.expects(id, c.world); ok {
				// Flows are made of what the world knows, which the store has told: that it is
				// asked what the id means, too, may come later.
				c.binder.resolve(id, ref, true, c.world)
			}
			c.resolve(ctx, id)
		}
		for _, id := range went {
			c.resolves[id]()
			delete(c.resolves, id)
			delete(c.answered, id)
		}
		c.interfacesHeard = true
	})
}

// Expect says that a port is about to be claimed for this host, and its interface made.
// The function that it returns says what came of it: after a success the interface is
// waited for, for a while.
func (c *Controller) Expect(ctx context.Context, ref intent.PortRef) (done func(error)) {
	c.send(ctx, func() { c.binder.expected[ref] = time.Time{} })
	return func(err error) {
		c.send(context.WithoutCancel(ctx), func() {
			_, expected := c.binder.expected[ref]
			switch {
			case err != nil || c.binder.byPort[ref] != nil:
				delete(c.binder.expected, ref)
			case expected: // the interface has not been seen yet
				c.binder.expected[ref] = time.Now().Add(expectFor)
			}
		})
	}
}

// Unexpect says that a port was unplugged. If its interface has not been seen yet it will
// never be, and the port's claim is given up.
func (c *Controller) Unexpect(ctx context.Context, ref intent.PortRef) {
	c.send(ctx, func() { delete(c.binder.expected, ref) })
}

// Connected takes in a switch that has just connected, and the number of its
// tunnel port.
func (c *Controller) Connected(ctx context.Context, sw Switch, vxlan of.PortNo) {
	c.send(ctx, func() {
		c.world.setSwitch(pipeline.Switch{VXLANPort: vxlan, KernelDatapath: c.deps.KernelDatapath, NoMeters: c.noMeters})
		c.sw, c.synced = sw, false
		clear(c.nat.limits) // it may have started anew
		c.world.suspectAll()
		c.disturbed, c.disturbing = disturbance{epoch: c.disturbed.epoch + 1}, false
		c.retrySync, c.syncBackoff = time.Time{}, 0
	})
}

// SetMeters takes in whether the switch that connects next has meters. Until it is
// called it is taken for having some.
func (c *Controller) SetMeters(ctx context.Context, some bool) {
	c.send(ctx, func() { c.noMeters = !some })
}

// SetPenalties takes in which ports of the switch make too many cached flows: all of
// them.
func (c *Controller) SetPenalties(ctx context.Context, ports map[of.PortNo]bool) {
	ports = maps.Clone(ports)
	c.send(ctx, func() { c.world.setPenalties(ports) })
}

// Disconnected takes in that the switch is gone; sw is the one that Connected was
// given.
func (c *Controller) Disconnected(ctx context.Context, sw Switch) {
	c.send(ctx, func() {
		if c.sw == sw {
			c.sw, c.synced = nil, false
		}
	})
}

// Recall follows the tenants that this host knew when it last ran: it may have
// left claims in them. Until it is called no switch is touched.
func (c *Controller) Recall(ctx context.Context, tenants []string) {
	c.send(ctx, func() {
		for _, t := range tenants {
			c.follow(ctx, t)
		}
		c.recalled = true
	})
}

// Claimed takes in which ports the store says that this host claims. What no
// interface is behind is given up: so a claim is not left for ever that was made
// while nobody heard the answer.
func (c *Controller) Claimed(ctx context.Context, refs []intent.PortRef) {
	c.send(ctx, func() {
		if !c.started {
			return
		}
		for _, ref := range refs {
			c.binder.suspect(ref, 0)
		}
	})
}

func (c *Controller) watchHosts(ctx context.Context) {
	loop.Watch(ctx, c.log, "hosts", func(ctx context.Context) error {
		return c.deps.Span.WatchHosts(ctx, func(u intent.HostsUpdate) {
			c.send(ctx, func() {
				c.hostsHeard = true
				c.world.setHosts(u.Hosts)
			})
		})
	})
}

// step does what follows from all input so far.
func (c *Controller) step(ctx context.Context) {
	c.followTenants(ctx)
	c.bringSwitch(ctx)
	c.announceMoved()
	c.lookAfterZones(ctx)
	c.lookAgain(ctx)
	if !c.mayStart() {
		return // a claim whose interface was not heard of yet would be given up
	}
	for _, d := range c.binder.deeds(c.world, c.synced, c.deps.Claims, c.deps.Interfaces) {
		c.do(ctx, d)
	}
	c.natDeeds(ctx)
	c.tellForwards()
	if c.synced {
		c.tellApplied(ctx)
	}
	c.tellWaiters()
}

// followTenants watches the tenants that concern this host, and no others.
func (c *Controller) followTenants(ctx context.Context) {
	span := c.binder.tenants()
	for t := range c.follows {
		if c.world.holdsAddress(t) {
			span[t] = true
		}
	}
	for t := range span {
		c.follow(ctx, t)
	}
	for t, stop := range c.follows {
		// One that nothing was heard of yet may hold a claim of ours.
		if span[t] || !c.heard[t] {
			continue
		}
		stop(errLeft)
		delete(c.follows, t)
		delete(c.heard, t)
		c.world.forget(t)
		c.log.Info("tenant left this host", "tenant", t)
	}
}

func (c *Controller) follow(ctx context.Context, tenant string) {
	if c.follows[tenant] != nil {
		return
	}
	ctx, stop := context.WithCancelCause(ctx)
	c.follows[tenant] = stop
	go func() {
		loop.Watch(ctx, c.log, "tenant "+tenant, func(ctx context.Context) error {
			return c.deps.Span.WatchTenant(ctx, tenant, func(u intent.SpanUpdate) {
				c.send(ctx, func() {
					if ctx.Err() == nil { // else it was unfollowed while this waited
						c.heard[tenant] = true
						c.world.span(u)
						c.binder.span(u)
					}
				})
			})
		})
		if errors.Is(context.Cause(ctx), errLeft) {
			if err := c.deps.Span.DropCopy(tenant); err != nil {
				c.log.Warn("cannot remove the copy of a tenant", "tenant", tenant, "error", err)
			}
		}
	}()
}

func (c *Controller) resolve(ctx context.Context, ifaceID string) {
	ctx, stop := context.WithCancel(ctx)
	c.resolves[ifaceID] = stop
	go func() {
		loop.Watch(ctx, c.log, "interface "+ifaceID, func(ctx context.Context) error {
			err := c.deps.Span.WatchResolve(ctx, ifaceID, func(ref intent.PortRef, ok bool) {
				c.send(ctx, func() {
					if ctx.Err() == nil {
						c.answered[ifaceID] = true
						c.binder.resolve(ifaceID, ref, ok, c.world)
					}
				})
			})
			if hopeless(err) {
				c.log.Warn("an interface names no port", "iface-id", ifaceID, "error", err)
				c.send(ctx, func() { c.answered[ifaceID] = true })
				<-ctx.Done() // until the interface goes or names another
			}
			return err
		})
	}()
}

// bringSwitch brings the switch to what is wanted: by the delta if it held what
// was wanted before, else by comparing everything.
func (c *Controller) bringSwitch(ctx context.Context) {
	if !c.lookAfterSpared() {
		return
	}
	if c.sw == nil || !c.synced || !c.mayStart() {
		c.world.settle()
		if c.sw != nil && c.mayStart() {
			c.resync(ctx)
		}
		return
	}
	if !c.calm(ctx) {
		c.putBack(ctx)
		return
	}
	mods, sure := c.world.flush()
	if !sure {
		c.synced = false
		c.resync(ctx)
		return
	}
	if len(mods) == 0 {
		return
	}
	if err := c.apply(ctx, mods); err != nil && ctx.Err() == nil { // else Run ends
		c.log.Log(ctx, levelOf(err), "changing the switch failed; comparing everything", "error", err)
		c.synced = false
		c.resync(ctx)
	}
}

// levelOf returns the level at which a failure of the switch is logged. A connection that
// was closed on this side is about to be replaced: that is no error.
func levelOf(err error) slog.Level {
	if errors.Is(err, net.ErrClosed) {
		return slog.LevelInfo
	}
	return slog.LevelError
}

func (c *Controller) resync(ctx context.Context) {
	if time.Now().Before(c.retrySync) || c.world.sw.VXLANPort == 0 {
		return
	}
	start := time.Now()
	sparing := !c.allHeard()
	mods, err := c.compare(ctx, c.world)
	if err == nil {
		err = c.apply(ctx, mods)
	}
	if ctx.Err() != nil {
		return // Run ends
	}
	if err != nil {
		c.syncBackoff = min(max(2*c.syncBackoff, retryFirst), retryMost)
		c.retrySync = time.Now().Add(c.syncBackoff)
		time.AfterFunc(c.syncBackoff, func() { c.send(ctx, func() {}) })
		c.stats.LastError = err.Error()
		c.log.Log(ctx, levelOf(err), "comparing the switch with what is wanted failed", "error", err, "retry-in", c.syncBackoff)
		return
	}
	c.synced, c.syncBackoff = true, 0
	clear(c.world.forgotten)
	tenants, _ := c.unheard()
	c.spared = spare{on: sparing, tenants: len(tenants)}
	c.stats.Resyncs++
	c.stats.LastResync, c.stats.LastResyncMods, c.stats.LastError = start, len(mods), ""
	if c.disturbing && len(mods) > 0 {
		c.tellRepairs(mods)
	}
	c.disturbing = false
	c.log.Info("switch compared with what is wanted", "messages", len(mods), "took", time.Since(start).Round(time.Millisecond))
}

// compare returns the mods that lead from what the switch holds to what w's last flush
// wants. While the switch tells what it holds, all that is wanted is compiled. What
// may be that of a tenant which nobody has told of is left alone.
func (c *Controller) compare(ctx context.Context, w *world) ([]of.Mod, error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	sparing, externalsKnown := !c.allHeard(), c.externalsKnown()
	compiled := make(chan target, 1)
	go func() {
		t := w.target()
		if sparing {
			t.known = w.knownOwners(externalsKnown)
		}
		compiled <- t
	}()
	meters, flows, groups, err := held(ctx, c.sw, w.sw)
	want := <-compiled // also after an error: w must not change meanwhile
	if err != nil {
		return nil, err
	}
	c.stats.Clashes = w.clashes(want)
	return append(want.meterMods(meters), want.resync(flows, groups)...), nil
}

// held asks a switch what it holds.
func held(ctx context.Context, sw Switch, as pipeline.Switch) (meters []of.Meter, flows []of.Flow, groups []of.Group, err error) {
	if !as.NoMeters {
		if meters, err = sw.Meters(ctx); err != nil {
			return nil, nil, nil, err
		}
	}
	flows, groups, err = sw.Tables(ctx)
	return meters, flows, groups, err
}

// applyPatience is how long a change may take. A large one that is cut off is not lost,
// for what was committed stays; but all is compared anew before the rest is sent.
func applyPatience(mods int) time.Duration {
	return applyTimeout + time.Duration(mods)*time.Second/applyPerSec
}

func (c *Controller) apply(ctx context.Context, mods []of.Mod) error {
	if len(mods) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyPatience(len(mods)))
	defer cancel()
	start := time.Now()
	c.disturbed.epoch++
	if err := c.sw.Apply(ctx, mods); err != nil {
		return err
	}
	c.stats.Mods += len(mods)
	c.log.Info("switch changed", "messages", len(mods), "took", time.Since(start).Round(10*time.Microsecond))
	if c.log.Enabled(ctx, slog.LevelDebug) {
		for _, m := range mods {
			c.log.Debug("sent", "mod", m.String())
		}
	}
	return nil
}

// tellApplied tells the store how far the switch is, when something of the host's
// span changed.
func (c *Controller) tellApplied(ctx context.Context) {
	now := map[string]int64{}
	for t := range c.follows {
		if w := c.world.tenants[t]; w != nil {
			now[t] = w.revision
			if told, ok := c.applied[t]; ok && c.natUnderWay(w) {
				now[t] = told
			}
		}
	}
	if maps.Equal(now, c.applied) {
		return
	}
	c.do(ctx, deed{lane: "applied", what: "tell what is applied",
		do:   func(ctx context.Context) error { return c.deps.Progress.SetAppliedSpan(ctx, c.host, now) },
		done: func() { c.applied = now },
	})
}

// othersPatience is how long a port that comes up waits for other hosts to know of it: one
// that lives and hangs must not keep it down.
const othersPatience = 2 * time.Second

// waitOthers waits until all other hosts know a tenant as it was at a revision, or for as
// long as is right.
func (c *Controller) waitOthers(ctx context.Context, tenant string, revision int64) error {
	limited, cancel := context.WithTimeout(ctx, othersPatience)
	defer cancel()
	if err := c.deps.Progress.WaitOthers(limited, c.host, tenant, revision); err != nil && ctx.Err() == nil {
		c.log.Info("other hosts may not know yet of a port that is up now", "tenant", tenant, "error", err)
	}
	return nil
}

// sweepLanes drops the lanes that say nothing any more.
func (c *Controller) sweepLanes() {
	maps.DeleteFunc(c.lanes, func(_ string, l lane) bool {
		return !l.busy && time.Since(l.until) > 2*retryMost && time.Since(l.reachedAt) >= showPatience
	})
}

// busy says whether a lane's deed is under way.
func (c *Controller) busy(lane string) bool { return c.lanes[lane].busy }

// told says whether the store has told of a tenant, if only that it is gone.
func (c *Controller) told(tenant string) bool { return c.heard[tenant] }

// named says whether it is known what an interface id means, if only that it means
// nothing.
func (c *Controller) named(ifaceID string) bool { return c.answered[ifaceID] }

// do starts a deed, unless its lane is busy, waits after a failure, or has just
// reached the deed's goal. Either way the next step finds out anew what is still to
// be done.
func (c *Controller) do(ctx context.Context, d deed) {
	l := c.lanes[d.lane]
	if l.busy || time.Now().Before(l.until) {
		return
	}
	if d.goal != "" && d.goal == l.reached && time.Since(l.reachedAt) < showPatience {
		return
	}
	l.busy = true
	c.lanes[d.lane] = l
	go func() {
		call, cancel := context.WithTimeout(ctx, deedTimeout)
		defer cancel()
		err := d.do(call)
		c.send(ctx, func() { c.did(ctx, d, err) })
	}()
}

func (c *Controller) did(ctx context.Context, d deed, err error) {
	if err == nil {
		c.lanes[d.lane] = lane{reached: d.goal, reachedAt: time.Now()}
		if d.done != nil {
			d.done()
		}
		return
	}
	if d.failed != nil {
		d.failed(err)
	}
	l := c.lanes[d.lane]
	l.busy = false
	l.wait = min(max(2*l.wait, retryFirst), retryMost)
	l.until = time.Now().Add(l.wait)
	c.lanes[d.lane] = l
	time.AfterFunc(l.wait, func() { c.send(ctx, func() {}) })
	level := slog.LevelWarn
	if k := intent.KindOf(err); k == intent.NotFound || k == intent.Conflict || errors.Is(err, context.Canceled) {
		level = slog.LevelDebug // the object went or changed while we worked; the watch will tell
	}
	c.log.Log(ctx, level, "cannot "+d.what, "what", d.lane, "error", err, "retry-in", l.wait)
}

// hopeless says that no repetition helps: what was asked for cannot exist.
func hopeless(err error) bool { return intent.KindOf(err) == intent.Invalid }
