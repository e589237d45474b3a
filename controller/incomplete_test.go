package controller

// A tenant of this host is in neither store nor cached copies: the store is down, and the
// cached copy is damaged.

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// addUmbrella adds tenant umbrella with one port, and returns the port's interface.
func (r *rig) addUmbrella() Interface {
	r.store.put("umbrella", intent.Tenant{Name: "umbrella", ID: 21, VRF: 2})
	r.store.put("umbrella", intent.Network{Tenant: "umbrella", Name: "lab", ID: 22, VNI: 5002, Unknown: intent.UnknownFlood})
	r.store.put("umbrella", intent.Port{Tenant: "umbrella", Network: "lab", Name: "u1", ID: 23, UUID: uuidOf(23), MAC: intent.MAC{2, 0, 0, 0, 0, 23}})
	return Interface{Name: "if9", IfaceID: uuidOf(23), OFPort: 9}
}

// held returns the flows and groups of a switch.
func (s *fakeSwitch) held() (map[of.FlowKey]of.Flow, map[uint32]of.Group) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.Flows), maps.Clone(s.Table.Groups)
}

// restarted returns a running rig of a new process on the same host, to which umbrella is not
// delivered.
func restarted(t *testing.T, old *rig, change func(*rig)) *rig {
	r := newRig(t)
	r.store, r.rows.rows = old.store, old.rows.rows
	r.deps.Span, r.deps.Claims, r.deps.Progress = old.store, old.store, old.store
	r.calls = old.calls
	r.rows.calls = old.calls
	r.sw.Table, r.sw.meters = old.sw.Table, old.sw.meters
	r.store.hidden = "umbrella"
	change(r)
	go r.Run(r.ctx)
	r.Recall(r.ctx, []string{"acme", "umbrella"})
	r.Connected(r.ctx, r.sw, 1)
	r.rows.say()
	return r
}

func TestTenantThatNobodyTellsOf(t *testing.T) {
	for _, lag := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprintf("interfaces are told of %s after the tenant", lag), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := newRig(t)
				umbrella := old.addUmbrella()
				old.run()
				old.bound()
				old.rows.plug(umbrella)
				old.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
				time.Sleep(time.Minute)
				synctest.Wait()
				old.calls.take()
				before, groups := old.sw.held()
				old.stop()

				r := restarted(t, old, func(r *rig) {
					delete(r.rows.rows, "row if2") // unplugged in the meantime
					r.store.lookupLag = lag
				})
				time.Sleep(startPatience - lag - time.Millisecond)
				r.calls.forget("watch acme", "watch umbrella")
				r.didSoFar()
				if applies, dumps := r.sw.asked(); applies+dumps > 0 {
					t.Fatalf("the switch was asked %d times before the store had its time", applies+dumps)
				}

				// It works for acme.
				time.Sleep(2 * tick)
				r.rows.plug(Interface{Name: "if3", IfaceID: uuidOf(12), OFPort: 7})
				time.Sleep(2 * tick)
				r.calls.forget("watch acme", "watch umbrella", "release c2, generation 1", "claim c2, have 0", "row if3: generation 2", "row if3: generation 1", "row if3: installed: true", "c2, generation 2, up: true", "c2, generation 1, up: true", "c2, generation 1, up: false")
				r.speaks(12, 7)
				s, err := r.Status(r.ctx)
				if err != nil || len(s.Missing) != 1 || s.Missing[0] != "umbrella" || !s.Synced {
					t.Errorf("%+v, %v", s, err)
				}
				for _, p := range s.Ports {
					if p.Pending != (p.Name == "if9") {
						t.Errorf("interface %s: pending %v", p.Name, p.Pending)
					}
				}
				r.didSoFar() // and nothing for umbrella

				// All that umbrella has stays through every comparison, and while umbrella is
				// delivered again.
				stays := func(when string) {
					t.Helper()
					now, nowGroups := r.sw.held()
					for k, f := range before {
						c := pipeline.Cookie(f.Cookie)
						if id := c.ID(); c.Kind() != pipeline.KindBase && c.Kind() != pipeline.KindReason && id >= 21 && id <= 23 && now[k].String() != f.String() {
							t.Errorf("%s: flow %s became %q", when, f.String(), now[k].String())
						}
					}
					for id, g := range groups {
						if id == 5002 && nowGroups[id].String() != g.String() {
							t.Errorf("%s: group %s became %s", when, g, nowGroups[id])
						}
					}
				}
				stays("after the start")
				r.Disconnected(r.ctx, r.sw)
				r.Connected(r.ctx, r.sw, 1)
				stays("after another comparison")
				r.right()
				r.store.speak()
				for at := time.Duration(0); at < 2*lag; at += lag / 4 {
					stays(fmt.Sprintf("%s after the store came back", at))
					time.Sleep(lag / 4)
				}
				time.Sleep(2 * tick)
				stays("after all was told")
				r.didSoFar()
				r.right()
				if s, err := r.Status(r.ctx); err != nil || len(s.Missing) != 0 || !s.Synced {
					t.Errorf("%+v, %v", s, err)
				}
			})
		})
	}
}

// What was deleted in the meantime is deleted when the store delivers the tenant.
func TestTenantThatWasGoneWhenTheStoreCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newRig(t)
		umbrella := old.addUmbrella()
		old.run()
		old.bound()
		old.rows.plug(umbrella)
		time.Sleep(time.Minute)
		synctest.Wait()
		old.stop()
		synctest.Wait()
		r := restarted(t, old, func(*rig) {})
		time.Sleep(2 * startPatience)
		r.store.deleteTenant("umbrella")
		r.store.speak()
		time.Sleep(2 * tick)
		r.right()
		now, _ := r.sw.held()
		for _, f := range now {
			if id := pipeline.Cookie(f.Cookie).ID(); pipeline.Cookie(f.Cookie).Kind() == pipeline.KindPort && id == 23 {
				t.Errorf("left of umbrella: %s", f.String())
			}
		}
	})
}
