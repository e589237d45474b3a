package controller

// The loop: starts, failures of the store and the switch, and status.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/controller/internal/switchtest"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// A new process that finds everything right claims nothing, writes nothing and sends nothing.
func TestRestartWithNothingChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newRig(t)
		old.run()
		old.bound()

		r := newRig(t)
		r.store, r.rows.rows = old.store, old.rows.rows
		r.deps.Span, r.deps.Claims, r.deps.Progress = old.store, old.store, old.store
		r.sw.Table, r.sw.meters = old.sw.Table, old.sw.meters
		go r.Run(r.ctx)
		r.Recall(r.ctx, []string{"acme"})
		r.Connected(r.ctx, r.sw, 1)
		r.rows.say()
		synctest.Wait()
		r.did()
		old.did("watch acme")
		if applies, dumps := r.sw.asked(); applies != 0 || dumps != 1 {
			t.Errorf("%d changes, %d dumps", applies, dumps)
		}
		r.right()
		if s, err := r.Status(r.ctx); err != nil || s.Resyncs != 1 || s.LastResyncMods != 0 || len(s.Ports) != 1 || !s.Ports[0].InForce {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// Nothing is done before all inputs have arrived, in whatever order: no claim is released whose
// interface is still to come, and the flows of a working switch stay.
func TestNothingIsDoneBeforeAllIsKnown(t *testing.T) {
	inputs := map[string]func(*rig){
		"interfaces": func(r *rig) { r.rows.say() },
		"tenants":    func(r *rig) { r.Recall(r.ctx, []string{"acme"}) },
		"switch":     func(r *rig) { r.Connected(r.ctx, r.sw, 1) },
		"store":      func(r *rig) { r.store.speak() },
	}
	for _, order := range permutations([]string{"interfaces", "tenants", "switch", "store"}) {
		t.Run(strings.Join(order, ", "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.store.last[portRef("c1")] = 7
				r.store.put("acme", intent.Binding{Tenant: "acme", Network: "web", Port: "c1", Host: self, Generation: 7, Up: true})
				r.rows.rows["row if1"] = Interface{UUID: "row if1", Name: "if1", IfaceID: uuidOf(11), OFPort: 5, Generation: 7, Installed: true}
				r.store.silent = true
				mine := of.Flow{Table: pipeline.EntryTable(), Priority: 1, Cookie: 1}
				r.sw.Flows[mine.Key()] = mine

				go r.Run(r.ctx)
				for i, input := range order {
					if i > 0 {
						time.Sleep(startPatience / 8)
						synctest.Wait()
						r.store.calls.forget("watch acme")
						r.didSoFar()
						if applies, dumps := r.sw.asked(); applies+dumps != 0 {
							t.Fatalf("the switch was asked %d times after %v alone", applies+dumps, order[:i])
						}
					}
					inputs[input](r)
					synctest.Wait()
				}
				r.store.calls.forget("watch acme")
				r.did()
				r.speaks(11, 5)
				r.right()
				if _, kept := r.sw.Flows[mine.Key()]; kept {
					t.Error("an unwanted flow is left")
				}
			})
		})
	}
}

func permutations(of []string) [][]string {
	if len(of) == 0 {
		return [][]string{nil}
	}
	var all [][]string
	for i := range of {
		for _, rest := range permutations(slices.Concat(of[:i], of[i+1:])) {
			all = append(all, append([]string{of[i]}, rest...))
		}
	}
	return all
}

// What the store refuses is retried, at growing intervals.
func TestStoreErrorsAreRetriedWithBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		down := intent.Unavailablef("the store does not answer")
		r.store.troubled(0, down)
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.calls.forget("watch acme")
		times := r.calls.takeTimes()
		var waits []time.Duration
		for i := 1; i < len(times); i++ {
			waits = append(waits, times[i]-times[i-1])
		}
		want := []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if len(waits) < 9 || !slices.Equal(waits, want[:min(len(waits), len(want))]) {
			t.Errorf("waited %v, want %v", waits, want)
		}
		r.store.troubled(0, nil)
		time.Sleep(retryMost)
		r.did("claim c1, have 0", "row if1: generation 1", "row if1: installed: true", "c1, generation 1, up: true")

		// The next failure begins with short intervals again.
		r.store.troubled(0, down)
		r.rows.unplug("if1")
		time.Sleep(350 * time.Millisecond)
		r.didSoFar("release c1, generation 1", "release c1, generation 1", "release c1, generation 1")
		r.store.troubled(0, nil)
		time.Sleep(retryMost)
		r.did("release c1, generation 1", "drop the copy of acme")
	})
}

// Calls to a store that hangs are given up, one by one.
func TestStoreThatHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.troubled(time.Hour, nil)
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		time.Sleep(taskTimeout + retryFirst + time.Second)
		r.did("watch acme", "claim c1, have 0", "claim c1, have 0")
		r.store.troubled(0, nil)
		time.Sleep(taskTimeout + retryMost)
		r.did("claim c1, have 0", "row if1: generation 1", "row if1: installed: true", "c1, generation 1, up: true")
	})
}

func TestSwitchLostAndBack(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.sw.asked()
		r.Disconnected(r.ctx, r.sw)
		if _, _, err := r.Compare(r.ctx); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "ovs-vswitchd does not answer") {
			t.Errorf("comparing without a switch: %v", err)
		}
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
		r.did("claim c2, have 0", "row if2: generation 1")
		if applies, dumps := r.sw.asked(); applies+dumps != 0 {
			t.Errorf("a disconnected switch was asked %d times", applies+dumps)
		}

		// It comes back empty.
		again := &fakeSwitch{Table: switchtest.New()}
		r.Connected(r.ctx, again, 1)
		r.did("row if2: installed: true", "c2, generation 1, up: true")
		if applies, dumps := again.asked(); applies != 1 || dumps != 1 {
			t.Errorf("%d changes and %d dumps, want one of each", applies, dumps)
		}
		r.right()

		// A late report that the old connection ended does not affect the new one.
		r.Disconnected(r.ctx, r.sw)
		if s, err := r.Status(r.ctx); err != nil || !s.Connected || !s.Synced || s.Resyncs != 2 {
			t.Errorf("%+v, %v", s, err)
		}

		// The same with everything in place.
		r.Disconnected(r.ctx, again)
		again.asked()
		r.Connected(r.ctx, again, 1)
		r.did()
		if applies, dumps := again.asked(); applies != 0 || dumps != 1 {
			t.Errorf("%d changes and %d dumps, want a dump", applies, dumps)
		}
	})
}

// A connection that was closed on this side is replaced: its failures are no errors.
func TestClosedConnectionIsNoError(t *testing.T) {
	for err, want := range map[error]slog.Level{
		fmt.Errorf("openflow dump of meters: %w", net.ErrClosed): slog.LevelInfo,
		fmt.Errorf("openflow dump of meters: %w", io.EOF):        slog.LevelError,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			levels := &levels{}
			r.log = slog.New(levels)
			r.run()
			r.bound()
			r.sw.failing(err)
			r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
			time.Sleep(time.Second)
			synctest.Wait()
			if got := levels.highest(); got != want {
				t.Errorf("%v is logged at level %v, want %v", err, got, want)
			}
		})
	}
}

// levels is a log handler that keeps the highest level.
type levels struct {
	mu  sync.Mutex
	max slog.Level // guarded by mu
}

func (l *levels) Enabled(context.Context, slog.Level) bool { return true }
func (l *levels) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *levels) WithGroup(string) slog.Handler            { return l }
func (l *levels) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = max(l.max, r.Level)
	return nil
}

func (l *levels) highest() slog.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.max
}

// After a change that the switch refuses, its state is unknown: everything is compared.
func TestFailedChangeIsFollowedByComparing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.sw.asked()
		r.sw.failing(errors.New("table full"))
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
		r.did("claim c2, have 0", "row if2: generation 1") // and not: installed, up
		s, err := r.Status(r.ctx)
		if err != nil || s.Synced || !strings.Contains(s.LastError, "table full") {
			t.Errorf("%+v, %v", s, err)
		}
		if _, _, err := r.Compare(r.ctx); intent.KindOf(err) != intent.Unavailable {
			t.Errorf("comparing with a switch in an unknown state: %v", err)
		}
		time.Sleep(10 * time.Second)
		r.did()
		if applies, dumps := r.sw.asked(); applies != 1 || dumps < 5 || dumps > 9 {
			t.Errorf("%d changes and %d dumps in 10 s of trouble", applies, dumps)
		}
		// Another program changes the switch in the meantime.
		r.sw.mu.Lock()
		for k := range r.sw.Flows {
			delete(r.sw.Flows, k)
			break
		}
		r.sw.mu.Unlock()
		r.sw.failing(nil)
		time.Sleep(retryMost)
		r.did("row if2: installed: true", "c2, generation 1, up: true")
		r.right()
		if s, err := r.Status(r.ctx); err != nil || !s.Synced || s.LastError != "" {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// WaitUp returns when the port is up, and otherwise says what is missing.
func TestWaitUp(t *testing.T) {
	works := Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5}
	for _, c := range []struct {
		name  string
		state func(*rig)
		want  string // "": it is up
	}{
		{"all is well", func(r *rig) { r.rows.plug(works) }, ""},
		{"no interface", func(r *rig) {}, "no interface on the bridge names it"},
		{"another port's interface", func(r *rig) { r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6}) }, "no interface on the bridge names it"},
		{"not opened yet", func(r *rig) { r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11)}) }, "the switch has not opened its interface yet"},
		{"cannot be opened", func(r *rig) {
			r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), Error: "no such device"})
		}, "the switch cannot open its interface: no such device"},
		{"the store is down", func(r *rig) {
			r.store.troubled(0, intent.Unavailablef("down"))
			r.rows.plug(works)
		}, "the store has not confirmed that it is plugged here"},
		{"plugged elsewhere since", func(r *rig) {
			r.rows.plug(works)
			synctest.Wait()
			r.store.claimElsewhere(portRef("c1"), "host2")
		}, "another host claims it; see ovloom status"},
		{"no switch", func(r *rig) {
			r.Disconnected(r.ctx, r.sw)
			r.rows.plug(works)
		}, "ovs-vswitchd does not answer"},
		{"a switch that refuses", func(r *rig) {
			r.sw.failing(errors.New("table full"))
			r.rows.plug(works)
		}, "its flows are not in the switch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				c.state(r)
				synctest.Wait()
				ctx, cancel := withTimeout(r, 5*time.Second)
				defer cancel()
				began := time.Now()
				err := r.WaitUp(ctx, portRef("c1"))
				took := time.Since(began)
				switch {
				case c.want == "" && (err != nil || took != 0):
					t.Errorf("after %v: %v", took, err)
				case c.want != "" && (intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "port acme/web/c1 is not up: "+c.want) || took != 5*time.Second):
					t.Errorf("after %v: %v, want %s", took, err, c.want)
				}
			})
		})
	}

	t.Run("returns when it is up", func(t *testing.T) {
		inBubble(t, func(t *testing.T, r *rig) {
			done := make(chan error, 2)
			ctx, cancel := withTimeout(r, time.Minute)
			defer cancel()
			for range 2 {
				go func() { done <- r.WaitUp(ctx, portRef("c1")) }()
			}
			synctest.Wait()
			if len(done) != 0 {
				t.Fatalf("reported as up before it is: %v", <-done)
			}
			r.rows.plug(works)
			synctest.Wait()
			if len(done) != 2 || errors.Join(<-done, <-done) != nil {
				t.Error("the waiting call does not return")
			}
		})
	})
}

func TestStatusShowsWhatIsPlugged(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.rows.plug(Interface{Name: "if2", IfaceID: "acme/web/nope", OFPort: 6})
		s, err := r.Status(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.Ports {
			got = append(got, fmt.Sprintf("%s known=%v in-force=%v installed=%v", p.Name, p.Known, p.InForce, p.Installed))
		}
		want := []string{"if1 known=true in-force=true installed=true", "if2 known=false in-force=false installed=false"}
		if !slices.Equal(got, want) {
			t.Errorf("ports %q", got)
		}
		if len(s.Tenants) != 1 || s.Tenants[0].Name != "acme" || s.Tenants[0].Applied != s.Tenants[0].Revision {
			t.Errorf("tenants %+v", s.Tenants)
		}
		if flows, groups := r.sw.Dump(); s.Flows != len(flows) || s.Groups != len(groups) {
			t.Errorf("%d flows and %d groups, the switch has %d and %d", s.Flows, s.Groups, len(flows), len(groups))
		}
	})
}

// A fact that Compare already knows, and that the switch is about to get, is no difference.
func TestCompareWaitsForWhatHasJustCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		r.bound()
		dumps := 0
		r.sw.dumping = func() {
			if dumps++; dumps > 1 {
				return
			}
			gate := make(chan struct{})
			r.send(r.ctx, func() { <-gate })
			r.send(r.ctx, func() { r.world.SetPenalties(map[of.PortNo]bool{5: true}) })
			time.AfterFunc(time.Second, func() { close(gate) }) // by then, Compare is waiting for it
		}
		if mods, clashes, err := r.Compare(r.ctx); err != nil || len(mods)+len(clashes) > 0 || dumps != 2 {
			t.Errorf("%v, %v, %v after %d dumps", mods, clashes, err, dumps)
		}
		r.calls.take()
	})
}
