package controller

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/ovloom/ovloom/controller/world"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

const (
	applyTimeout = 30 * time.Second // for reading the tables, or a change of a few messages
	applyPerSec  = 2000             // messages of a large change that a busy switch handles per second
)

// bringSwitch reconciles the switch: by the delta if it held the previous wanted state,
// else by comparing everything.
func (c *Controller) bringSwitch(ctx context.Context) {
	if !c.partialMayChange() {
		return
	}
	if c.sw == nil || !c.synced || !c.mayStart() {
		c.world.Settle()
		if c.sw != nil && c.mayStart() {
			c.resync(ctx)
		}
		return
	}
	if c.mayRepair(ctx) {
		c.repair(ctx)
		return
	}
	mods, sure := c.world.Flush()
	if !sure {
		c.synced = false
		c.resync(ctx)
		return
	}
	if len(mods) == 0 {
		return
	}
	if err := c.apply(ctx, mods); err != nil && ctx.Err() == nil { // else Run ends
		c.log.Log(ctx, levelOf(err), "changing the switch failed; comparing all flows", "error", err)
		c.synced = false
		c.resync(ctx)
	}
}

// levelOf returns the level for logging a failure of the switch. A connection closed on
// this side is about to be replaced, which is no error.
func levelOf(err error) slog.Level {
	if errors.Is(err, net.ErrClosed) {
		return slog.LevelInfo
	}
	return slog.LevelError
}

// resync compares the whole switch with the wanted state, and sends the difference.
func (c *Controller) resync(ctx context.Context) {
	if time.Now().Before(c.retrySync) || c.world.Switch().VXLANPort == 0 {
		return
	}
	start := time.Now()
	partial := !c.complete()
	mods, err := c.compare(ctx)
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
		c.log.Log(ctx, levelOf(err), "comparing the switch with intent failed", "error", err, "retry-in", c.syncBackoff)
		return
	}
	c.synced, c.syncBackoff = true, 0
	c.world.Compared()
	tenants, _ := c.outstanding()
	c.partial = partialSync{on: partial, tenants: len(tenants)}
	c.stats.Resyncs++
	c.stats.LastResync, c.stats.LastResyncMods, c.stats.LastError = start, len(mods), ""
	if c.repairing && len(mods) > 0 {
		c.reportRepairs(mods)
	}
	c.repairing = false
	c.log.Info("switch compared with intent", "messages", len(mods), "took", time.Since(start).Round(time.Millisecond))
}

// compare returns the mods that lead from the switch's contents to the state that the
// last flush wants, which is compiled while the switch is read. Flows that may belong
// to tenants unknown so far are left alone.
func (c *Controller) compare(ctx context.Context) ([]of.Mod, error) {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	wanted := c.target(c.world)
	compiled := make(chan world.Target, 1)
	go func() { compiled <- wanted() }()
	held, err := readSwitch(ctx, c.sw, c.world.Switch())
	want := <-compiled // also after an error: the world must not change meanwhile
	if err != nil {
		return nil, err
	}
	c.stats.Clashes = c.world.Clashes(want)
	return want.Mods(held), nil
}

// target returns a function that compiles the wanted state, as far as it is known.
func (c *Controller) target(w *world.World) func() world.Target {
	if c.complete() {
		return w.Target
	}
	externalsKnown := c.externalsKnown()
	return func() world.Target { return w.PartialTarget(externalsKnown) }
}

// readSwitch reads the contents of a switch.
func readSwitch(ctx context.Context, sw Switch, as pipeline.Switch) (held world.Held, err error) {
	if !as.NoMeters {
		if held.Meters, err = sw.Meters(ctx); err != nil {
			return held, err
		}
	}
	held.Flows, held.Groups, err = sw.Tables(ctx)
	return held, err
}

// applyPatience is how long a change may take. A large one that is cut off keeps what
// was committed, but everything is compared again before the rest is sent.
func applyPatience(mods int) time.Duration {
	return applyTimeout + time.Duration(mods)*time.Second/applyPerSec
}

// apply sends changes to the switch.
func (c *Controller) apply(ctx context.Context, mods []of.Mod) error {
	if len(mods) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, applyPatience(len(mods)))
	defer cancel()
	start := time.Now()
	c.foreign.epoch++
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

// Compare returns the mods that would lead from the switch's contents to what a new
// process would want, and the flows that two objects want. Both are empty if all is
// right. It changes nothing, and the loop goes on while the switch is read.
func (c *Controller) Compare(ctx context.Context) (mods []of.Mod, clashes []string, err error) {
	type start struct {
		sw     Switch
		synced bool
		as     pipeline.Switch
		epoch  int
	}
	type answer struct {
		mods    []of.Mod
		clashes []string
		again   bool
	}
	for range compareTries {
		from, err := ask(ctx, c, func() start {
			if c.sw == nil || !c.synced {
				return start{sw: c.sw}
			}
			return start{c.sw, true, c.world.Switch(), c.foreign.epoch}
		})
		if err != nil {
			return nil, nil, err
		}
		switch {
		case from.sw == nil:
			return nil, nil, errNoSwitch
		case !from.synced:
			return nil, nil, errNotSynced
		}
		dump, cancel := context.WithTimeout(ctx, applyTimeout)
		held, err := readSwitch(dump, from.sw, from.as)
		cancel()
		if err != nil {
			return nil, nil, err
		}
		a, err := ask(ctx, c, func() answer {
			if c.sw != from.sw || !c.synced || c.foreign.epoch != from.epoch || c.world.Pending() {
				return answer{again: true} // the same drain may have brought new facts
			}
			w := c.world.Recomputed()
			want := c.target(w)()
			return answer{mods: want.Mods(held), clashes: w.Clashes(want)}
		})
		if err != nil {
			return nil, nil, err
		}
		if !a.again {
			return a.mods, a.clashes, nil
		}
	}
	return nil, nil, errChangesAllTheTime
}

// compareTries is how often Compare restarts because the switch changed meanwhile.
const compareTries = 10
