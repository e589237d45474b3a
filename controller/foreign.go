package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Changes to the switch by other programs and people are noticed by a flow watch and by
// regular samples, and are put back.

// Repairs records what was put back.
type Repairs interface {
	Put(what string, count int, detail string)
}

const (
	// The pause before the switch is compared again after foreign changes: at least
	// this, and long enough that comparing takes at most a fifth of the time.
	compareGap     = 500 * time.Millisecond
	compareShare   = 5
	compareGapMost = 30 * time.Second

	// How often groups, meters and conntrack limits are read, because switches do not
	// report changes of them: at least this, and rarely enough that reading takes at
	// most a twentieth of the time.
	groupsEvery = 2 * time.Second
	groupsShare = 20

	// How often a slice of the flows is read. The watch reports their changes, but not
	// in tables that ovloom does not use, and not on every switch.
	sliceEvery = 15 * time.Second
	sliceCount = 16 // slices into which the lowest bits of cookies divide the flows
)

// foreignChanges is what is known of foreign changes.
type foreignChanges struct {
	pending bool      // something was changed: compare
	after   time.Time // when the comparison may begin
	waking  bool      // the loop will be woken then

	epoch     int // counts changes and connections: what was read in another epoch is outdated
	lookedAt  time.Time
	lookGap   time.Duration
	slicedAt  time.Time
	nextSlice uint64
}

// mayRepair reports whether the switch has foreign changes, and may be compared again
// by now.
func (c *Controller) mayRepair(ctx context.Context) bool {
	f := &c.foreign
	if !f.pending {
		return false
	}
	wait := time.Until(f.after)
	if wait <= 0 {
		return true
	}
	if !f.waking {
		f.waking = true
		time.AfterFunc(wait, func() { c.send(ctx, func() { f.waking = false }) })
	}
	return false
}

// repair compares the switch with the wanted state after foreign changes.
func (c *Controller) repair(ctx context.Context) {
	start := time.Now()
	c.foreign.pending = false
	c.world.Settle()
	c.synced = false
	c.repairing = true
	c.resync(ctx)
	c.foreign.after = time.Now().Add(min(max(compareGap, (compareShare-1)*time.Since(start)), compareGapMost))
}

// reportRepairs reports what a comparison put back.
func (c *Controller) reportRepairs(mods []of.Mod) {
	if c.deps.Repairs == nil {
		return
	}
	var adds, deletes, groupsPut, groupsGone, meters int
	var tables []uint8
	for _, m := range mods {
		switch m := m.(type) {
		case *of.FlowMod:
			tables = append(tables, m.Flow.Table)
			if m.Command == of.FlowAdd {
				adds++
			} else {
				deletes++
			}
		case *of.GroupMod:
			if m.Command == of.GroupDelete {
				groupsGone++
			} else {
				groupsPut++
			}
		case *of.MeterMod:
			meters++
		}
	}
	if adds+deletes > 0 {
		c.deps.Repairs.Put("flows changed by another program", adds+deletes, places(adds, deletes, tableNames(tables)))
	}
	if groupsPut+groupsGone > 0 {
		c.deps.Repairs.Put("groups changed by another program", groupsPut+groupsGone, places(groupsPut, groupsGone, ""))
	}
	if meters > 0 {
		c.deps.Repairs.Put("meters changed by another program", meters, "")
	}
}

// places says what happened to changed things.
func places(lacking, foreign int, where string) string {
	var parts []string
	if lacking > 0 {
		parts = append(parts, fmt.Sprintf("%d were missing or differed", lacking))
	}
	if foreign > 0 {
		parts = append(parts, fmt.Sprintf("%d were too many", foreign))
	}
	text := strings.Join(parts, ", ")
	if where != "" {
		text += "; " + where
	}
	return text
}

// tableNames names some of the tables.
func tableNames(ids []uint8) string {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	const few = 3
	var names []string
	for _, id := range ids[:min(few, len(ids))] {
		if t := pipeline.TableByID(id); t != nil {
			names = append(names, t.Name)
		} else {
			names = append(names, fmt.Sprint(id))
		}
	}
	if n := len(ids) - few; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	word := "tables "
	if len(ids) == 1 {
		word = "table "
	}
	return word + strings.Join(names, ", ")
}

// sample compares a part of the switch with the wanted state at intervals. A difference
// leads to a full comparison.
func (c *Controller) sample(ctx context.Context) {
	if c.sw == nil || !c.synced || c.foreign.pending || !c.complete() {
		return
	}
	sampler, ok := c.sw.(Sampler)
	if !ok {
		return
	}
	f := &c.foreign
	sw, epoch, now := c.sw, f.epoch, time.Now()
	if f.lookedAt.IsZero() {
		f.lookedAt, f.slicedAt = now, now // everything was compared on connecting
	}
	withMeters := !c.world.Switch().NoMeters
	same := func() bool { return c.sw == sw && f.epoch == epoch && c.synced }
	if now.Sub(f.lookedAt) >= max(groupsEvery, f.lookGap) {
		f.lookedAt = now
		c.checkLimits(ctx)
		var took time.Duration
		var groups []of.Group
		var meters []of.Meter
		var failed error
		c.do(ctx, task{queue: "sample groups", what: "look at the switch's groups and meters",
			do: func(ctx context.Context) error {
				start := time.Now()
				defer func() { took = time.Since(start) }()
				if groups, failed = sampler.Groups(ctx); failed == nil && withMeters {
					meters, failed = sw.Meters(ctx)
				}
				return nil // the connection reports its own errors
			},
			done: func() {
				start := time.Now()
				if failed == nil && same() && !c.world.HasGroups(groups, meters) {
					f.pending = true
				}
				f.lookGap = min((groupsShare-1)*(took+time.Since(start)), compareGapMost)
			},
		})
	}
	if now.Sub(f.slicedAt) >= sliceEvery {
		f.slicedAt = now
		slice := f.nextSlice
		f.nextSlice = (slice + 1) % sliceCount
		var flows []of.Flow
		var failed error
		c.do(ctx, task{queue: "sample flows", what: "look at some of the switch's flows",
			do: func(ctx context.Context) error {
				flows, failed = sampler.CookieFlows(ctx, slice, sliceCount-1)
				return nil
			},
			done: func() {
				if failed == nil && same() && !c.world.HasSlice(slice, sliceCount, flows) {
					f.pending = true
				}
			},
		})
	}
}
