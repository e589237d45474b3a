package controller

// What other programs and people change in the switch: it is seen by a watch on flows
// and by looking again now and then, and put back.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Repairs hears what was put back.
type Repairs interface {
	Put(what string, count int, detail string)
}

const (
	// How long it is until the switch is compared again after others changed it: at least
	// this, and so long that comparing takes no more than a fifth of the time.
	compareGap     = 500 * time.Millisecond
	compareShare   = 5
	compareGapMost = 30 * time.Second

	// How often groups, meters and limits of the connection tracker are looked at, of whose
	// changes no switch tells: at least this, and so long that looking takes no more than a
	// twentieth of the time.
	groupsEvery = 2 * time.Second
	groupsShare = 20

	// How often some of the flows are looked at. A watch tells of their changes, but not in
	// tables that ovloom does not use, and not on every switch.
	sliceEvery = 15 * time.Second
	sliceCount = 16 // parts into which the lowest bits of cookies cut the flows
)

// disturbance is what is known of changes by others.
type disturbance struct {
	pending bool      // something was changed: compare
	after   time.Time // when that may begin
	waking  bool      // the loop will be woken then

	epoch     int // counts changes and connections: what was read in another epoch says nothing
	lookedAt  time.Time
	lookGap   time.Duration
	slicedAt  time.Time
	nextSlice uint64
}

// Disturbed takes in that another program has changed something in the switch, or
// may have. All of it is compared with what is wanted, soon, and put back.
func (c *Controller) Disturbed(ctx context.Context, sw Switch) {
	c.send(ctx, func() {
		if c.sw == sw {
			c.disturbed.pending = true
		}
	})
}

// calm says whether nothing is known to be disturbed, or it is too early to compare again.
func (c *Controller) calm(ctx context.Context) bool {
	d := &c.disturbed
	if !d.pending {
		return true
	}
	wait := time.Until(d.after)
	if wait <= 0 {
		return false
	}
	if !d.waking {
		d.waking = true
		time.AfterFunc(wait, func() { c.send(ctx, func() { d.waking = false }) })
	}
	return true
}

// putBack compares the switch with what is wanted, because others have changed it.
func (c *Controller) putBack(ctx context.Context) {
	start := time.Now()
	c.disturbed.pending = false
	c.world.settle()
	c.synced = false
	c.disturbing = true
	c.resync(ctx)
	c.disturbed.after = time.Now().Add(min(max(compareGap, (compareShare-1)*time.Since(start)), compareGapMost))
}

// tellRepairs says what a comparison put back.
func (c *Controller) tellRepairs(mods []of.Mod) {
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

// places says what became of things that were changed.
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

// lookAgain compares a part of what the switch holds with what is wanted, now and then.
// What it finds is put back by comparing everything.
func (c *Controller) lookAgain(ctx context.Context) {
	if c.sw == nil || !c.synced || c.disturbed.pending || !c.allHeard() {
		return
	}
	sample, ok := c.sw.(Sampler)
	if !ok {
		return
	}
	d := &c.disturbed
	sw, epoch, now := c.sw, d.epoch, time.Now()
	if d.lookedAt.IsZero() {
		d.lookedAt, d.slicedAt = now, now // all was compared when it connected
	}
	withMeters := !c.world.sw.NoMeters
	same := func() bool { return c.sw == sw && d.epoch == epoch && c.synced }
	if now.Sub(d.lookedAt) >= max(groupsEvery, d.lookGap) {
		d.lookedAt = now
		c.lookAtLimits(ctx)
		var took time.Duration
		var groups []of.Group
		var meters []of.Meter
		var failed error
		c.do(ctx, deed{lane: "look at groups", what: "look at the switch's groups and meters",
			do: func(ctx context.Context) error {
				start := time.Now()
				defer func() { took = time.Since(start) }()
				if groups, failed = sample.Groups(ctx); failed == nil && withMeters {
					meters, failed = sw.Meters(ctx)
				}
				return nil // the connection tells by itself what is wrong with it
			},
			done: func() {
				start := time.Now()
				if failed == nil && same() && !c.world.hasGroups(groups, meters) {
					d.pending = true
				}
				d.lookGap = min((groupsShare-1)*(took+time.Since(start)), compareGapMost)
			},
		})
	}
	if now.Sub(d.slicedAt) >= sliceEvery {
		d.slicedAt = now
		slice := d.nextSlice
		d.nextSlice = (slice + 1) % sliceCount
		var flows []of.Flow
		var failed error
		c.do(ctx, deed{lane: "look at flows", what: "look at some of the switch's flows",
			do: func(ctx context.Context) error {
				flows, failed = sample.CookieFlows(ctx, slice, sliceCount-1)
				return nil
			},
			done: func() {
				if failed == nil && same() && !c.world.hasSlice(slice, flows) {
					d.pending = true
				}
			},
		})
	}
}

// hasGroups says whether a switch with these groups and meters has those that are wanted,
// and no other groups.
func (w *world) hasGroups(groups []of.Group, meters []of.Meter) bool {
	var want []of.Group
	w.each(func(o object) { want = append(want, o.groups()...) })
	var d delta
	d.groups(groups, want)
	stay := w.faults.stay()
	if stay != nil {
		d.groupsGone = nil // flows that stay may refer to them
	}
	return len(d.groupsPut)+len(d.groupsGone)+len(target{meters: w.meters(), stay: stay}.meterMods(meters)) == 0
}

// hasSlice says whether flows are exactly those that are wanted of the cookies with these
// lowest bits, besides learned ones.
func (w *world) hasSlice(slice uint64, flows []of.Flow) bool {
	var want []of.Flow
	pipeline.Base(w.sw, collect(&want))
	want = slices.DeleteFunc(want, func(f of.Flow) bool { return f.Cookie%sliceCount != slice })
	learned := map[pipeline.Cookie]of.PortNo{}
	w.each(func(o object) {
		if uint64(o.cookie())%sliceCount == slice {
			if n := len(want); !o.emit(collect(&want)) {
				want = want[:n]
			}
		}
		for _, l := range o.learned() {
			learned[l] = o.behind()
		}
	})
	have := withoutLearned(flows, learned)
	if stay := w.faults.stay(); stay != nil {
		left := func(f of.Flow) bool { return stay[pipeline.Cookie(f.Cookie)] }
		have, want = slices.DeleteFunc(have, left), slices.DeleteFunc(want, left)
	}
	return len(of.IndexFlows(want).Diff(have)) == 0
}

// withoutLearned leaves out the flows that the switch made itself for these objects, and
// that lead where they should. A flow with such a cookie in any other table was made by
// somebody else; one that leads to another port was learned when the object had that one.
func withoutLearned(flows []of.Flow, owners map[pipeline.Cookie]of.PortNo) []of.Flow {
	tables := pipeline.LearnedTables()
	return slices.DeleteFunc(flows, func(f of.Flow) bool {
		behind, ok := owners[pipeline.Cookie(f.Cookie)]
		if !ok || !slices.Contains(tables, f.Table) {
			return false
		}
		port := pipeline.LearnedPort(f)
		return behind == 0 || port == 0 || port == behind
	})
}
