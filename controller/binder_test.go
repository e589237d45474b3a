package controller

// The life of a binding: interfaces come, go and change, and claims, rows and flows follow.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// inBubble runs a test of a rig that works already.
func inBubble(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		test(t, r)
	})
}

// bound plugs c1 as if1, OpenFlow port 5, and waits until it is up with generation 1.
func (r *rig) bound() {
	r.t.Helper()
	r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
	r.did("watch acme", "claim c1, have 0", "row if1: generation 1", "row if1: installed: true", "c1, generation 1, up: true")
	r.speaks(11, 5)
}

func TestLifeOfABinding(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		// An interface that the switch has not opened yet claims nothing.
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11)})
		r.did("watch acme")
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		r.did("claim c1, have 0", "row if1: generation 1", "row if1: installed: true", "c1, generation 1, up: true")
		r.speaks(11, 5)
		r.right()
		if got := r.store.appliedOf("acme"); got != r.store.now() {
			t.Errorf("told to have applied revision %d of %d", got, r.store.now())
		}

		// Time alone changes nothing.
		time.Sleep(time.Minute)
		r.did()

		r.rows.unplug("if1")
		r.did("release c1, generation 1", "drop the copy of acme")
		if claims := r.store.claims(portRef("c1")); len(claims) != 0 {
			t.Errorf("claims left: %v", claims)
		}
		r.speaks(11, 0)
		r.right()
		if got := r.store.appliedOf("acme"); got != -1 {
			t.Error("the store still waits for this host when the tenant changes")
		}
		if n := r.store.watching("acme"); n != 0 {
			t.Errorf("%d watches on a tenant without a port here", n)
		}

		// It can come back.
		r.rows.plug(Interface{Name: "if9", IfaceID: uuidOf(11), OFPort: 9})
		r.did("watch acme", "claim c1, have 0", "row if9: generation 2", "row if9: installed: true", "c1, generation 2, up: true")
		r.speaks(11, 9)
		r.right()
	})
}

// A port is up only when its flows are in the switch, and no longer when the
// interface stops to work.
func TestUpMeansThatPacketsPass(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.Disconnected(r.ctx, r.sw)
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		r.did("watch acme", "claim c1, have 0", "row if1: generation 1")
		r.Connected(r.ctx, r.sw, 1)
		r.did("row if1: installed: true", "c1, generation 1, up: true")

		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), Generation: 1, Installed: true, Error: "could not open network device if1"})
		r.did("row if1: installed: false", "c1, generation 1, up: false")
		r.speaks(11, 0)
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 6, Generation: 1})
		r.did("row if1: installed: true", "c1, generation 1, up: true")
		r.speaks(11, 6)
		r.right()
	})
}

// An interface that went while no ovloomd ran has left its claim behind.
func TestClaimOfAnInterfaceThatWentUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.store.last[portRef("c1")] = 7
		r.store.put("acme", intent.Binding{Tenant: "acme", Network: "web", Port: "c1", Host: self, Generation: 7, Up: true})
		go r.Run(r.ctx)
		r.rows.say()
		r.Connected(r.ctx, r.sw, 1)
		r.Recall(r.ctx, []string{"acme"})
		r.did("watch acme", "release c1, generation 7", "drop the copy of acme")

		// Even if the daemon did not know of the tenant: the store tells of the claim.
		r.store.put("acme", intent.Binding{Tenant: "acme", Network: "web", Port: "c2", Host: self, Generation: 8})
		r.Claimed(r.ctx, []intent.PortRef{portRef("c2")})
		r.did("watch acme", "release c2, generation 8", "drop the copy of acme")
	})
}

// A claim may be known before the interface that it is made for: it is not released.
func TestClaimBeforeItsInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.run()
		r.bound()
		done := r.Expect(r.ctx, portRef("c2"))
		r.store.claimElsewhere(portRef("c2"), "host2")
		b, err := r.store.Claim(r.ctx, portRef("c2"), self, 0)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.did("claim c2, have 0")
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6, Generation: b.Generation, Plugged: true})
		r.did("row if2: installed: true", fmt.Sprintf("c2, generation %d, up: true", b.Generation))
		r.speaks(12, 6)
		done(nil)

		// Its interface has been there: the end of that is the end of the claim.
		r.store.last[portRef("c2")] = b.Generation
		r.rows.unplug("if2")
		r.did(fmt.Sprintf("release c2, generation %d", b.Generation))
	})
}

// The newest claim wins. The loser is silent, says so, and when it goes nothing
// changes for the winner.
func TestClaimThatIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.store.claimElsewhere(portRef("c1"), "host2")
		r.did("row if1: installed: false", "c1, generation 1, up: false")
		r.speaks(11, 0)
		if flow := r.entry(11); !strings.Contains(flow, "in_port=5") {
			t.Errorf("what the loser says is not counted: %q", flow)
		}
		s, err := r.Status(r.ctx)
		if err != nil || len(s.Conflicts) != 1 || s.Conflicts[0].Claims[0].Host != "host2" || s.Conflicts[0].Claims[1].Host != self {
			t.Errorf("conflicts: %+v, %v", s.Conflicts, err)
		}
		r.right()

		r.rows.unplug("if1")
		r.did("release c1, generation 1", "drop the copy of acme")
		if claims := r.store.claims(portRef("c1")); len(claims) != 1 || claims[0].Host != "host2" || !claims[0].Up {
			t.Errorf("claims: %+v", claims)
		}
	})
}

// The winner goes, and the loser has the port again without claiming anew.
func TestClaimThatIsInForceAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.store.claimElsewhere(portRef("c1"), "host2")
		r.did("row if1: installed: false", "c1, generation 1, up: false")
		if err := r.store.Release(r.ctx, portRef("c1"), "host2", 2); err != nil {
			t.Fatal(err)
		}
		r.did("release c1, generation 2", "row if1: installed: true", "c1, generation 1, up: true")
		r.speaks(11, 5)
	})
}

// A port unplugged and plugged again while the store is slow: the late release of
// the old binding does not touch the new one.
func TestLateRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.store.troubled(3*time.Second, nil)
		r.rows.unplug("if1")
		synctest.Wait()
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(11), OFPort: 6})
		time.Sleep(20 * time.Second)
		// As long as the old claim was there, the new interface's packets passed.
		r.calls.forget("row if2: installed: true", "row if2: installed: false")
		r.did("release c1, generation 1", "claim c1, have 0", "row if2: generation 2", "c1, generation 2, up: true")
		if !r.rows.row("if2").Installed {
			t.Error("the interface is not marked as installed")
		}
		r.speaks(11, 6)
		r.right()

		// One that was still on its way when another process took over.
		if err := r.store.Release(r.ctx, portRef("c1"), self, 1); err != nil {
			t.Fatal(err)
		}
		r.did("release c1, generation 1")
		if claims := r.store.claims(portRef("c1")); len(claims) != 1 || claims[0].Generation != 2 || !claims[0].Up {
			t.Errorf("claims: %+v", claims)
		}
		r.speaks(11, 6)
	})
}

// An interface that went while its claim was on its way: the claim is given up
// although the interface never carried its generation, and the watch tells of it
// late.
func TestInterfaceGoneBeforeItsClaimWasGranted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.store.lag = 500 * time.Millisecond
		r.run()
		r.store.troubled(2*time.Second, nil)
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5})
		time.Sleep(time.Second)
		r.rows.unplug("if1")
		time.Sleep(20 * time.Second)
		r.did("watch acme", "claim c1, have 0", "release c1, generation 1", "drop the copy of acme")
		if claims := r.store.claims(portRef("c1")); len(claims) != 0 {
			t.Errorf("claims: %+v", claims)
		}
	})
}

func TestInterfacePointedToAnotherPort(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.rows.plug(Interface{Name: "if1", IfaceID: "acme/web/c2", OFPort: 5, Generation: 1, Installed: true})
		synctest.Wait()
		// The row's marks are those of the old port until the new one's are written.
		calls := r.calls.take()
		for _, want := range []string{"release c1, generation 1", "claim c2, have 1", "c2, generation 1, up: true"} {
			if !slices.Contains(calls, want) {
				t.Errorf("it did not %q: %q", want, calls)
			}
		}
		r.speaks(11, 0)
		r.speaks(12, 5)
		r.right()
		if c1, c2 := r.store.claims(portRef("c1")), r.store.claims(portRef("c2")); len(c1) != 0 || len(c2) != 1 || !c2[0].Up {
			t.Errorf("claims: %+v, %+v", c1, c2)
		}

		// To no port at all.
		r.rows.plug(Interface{Name: "if1", IfaceID: "acme/web/nope", OFPort: 5, Generation: 1, Installed: true})
		r.did("release c2, generation 1", "row if1: installed: false", "drop the copy of acme")
		r.speaks(12, 0)
		r.right()
		s, err := r.Status(r.ctx)
		if err != nil || len(s.Ports) != 1 || s.Ports[0].Known || s.Ports[0].IfaceID != "acme/web/nope" {
			t.Errorf("ports: %+v, %v", s.Ports, err)
		}

		// And its id is taken away.
		r.rows.plug(Interface{Name: "if1", OFPort: 5, Generation: 1})
		r.did()
		if s, err := r.Status(r.ctx); err != nil || len(s.Ports) != 0 {
			t.Errorf("ports: %+v, %v", s.Ports, err)
		}
	})
}

func TestTwoInterfacesThatNameOnePort(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.rows.plug(Interface{Name: "if0", IfaceID: "acme/web/c1", OFPort: 4})
		r.did()
		r.speaks(11, 5) // the one that has it keeps it
		s, err := r.Status(r.ctx)
		if err != nil || len(s.Conflicts) != 1 || !slices.Equal(s.Conflicts[0].Interfaces, []string{"if0", "if1"}) {
			t.Errorf("conflicts: %+v, %v", s.Conflicts, err)
		}

		r.rows.unplug("if1")
		r.did("claim c1, have 0", "row if0: generation 2", "row if0: installed: true", "c1, generation 2, up: true")
		r.speaks(11, 4)
		r.right()
		if s, err := r.Status(r.ctx); err != nil || len(s.Conflicts) != 0 {
			t.Errorf("conflicts: %+v, %v", s.Conflicts, err)
		}
	})
}

// One of two that works is better than one that does not.
func TestInterfaceThatWorksIsPreferred(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(11), OFPort: 6})
		r.did()
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), Generation: 1, Installed: true, Error: "gone"})
		synctest.Wait()
		r.calls.take()
		r.speaks(11, 6)
		r.right()
		claims := r.store.claims(portRef("c1"))
		if i := r.rows.row("if2"); len(claims) != 1 || !claims[0].Up || !i.Installed || i.Generation != claims[0].Generation {
			t.Errorf("claims %+v, row %+v", claims, i)
		}
		if i := r.rows.row("if1"); i.Installed {
			t.Errorf("the row of the interface that does not work: %+v", i)
		}
	})
}

func TestPortDeletedAndAddedWhilePlugged(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.rows.plug(Interface{Name: "if1", IfaceID: "acme/web/c1", OFPort: 5})
		r.did("watch acme", "claim c1, have 0", "row if1: generation 1", "row if1: installed: true", "c1, generation 1, up: true")

		r.store.deletePort(portRef("c1"))
		time.Sleep(2 * tick)
		r.calls.forget("drop the copy of acme", "watch acme", "release c1, generation 1") // there may be a moment without any port
		r.did("row if1: installed: false")
		r.speaks(11, 0)
		r.right()

		r.addPort("c1", 21)
		time.Sleep(2 * tick)
		r.calls.forget("watch acme")
		r.did("claim c1, have 1", "row if1: generation 2", "row if1: installed: true", "c1, generation 2, up: true")
		r.speaks(11, 0)
		r.speaks(21, 5)
		r.right()
	})
}

func TestTenantDeletedWhilePlugged(t *testing.T) {
	for first, lags := range map[string][2]time.Duration{
		"the tenant's end is heard first":     {0, time.Second / 2},
		"the interface's id is unknown first": {time.Second / 2, 0},
	} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.store.lag, r.store.lookupLag = lags[0], lags[1]
				r.run()
				r.bound()
				r.store.deleteTenant("acme")
				time.Sleep(3 * tick)
				r.calls.forget("watch acme", "release c1, generation 1") // when that was heard first
				r.did("row if1: installed: false", "drop the copy of acme")
				r.speaks(11, 0)
				r.right()
				time.Sleep(time.Minute)
				r.did()
				if n := r.store.watching("acme"); n != 0 {
					t.Errorf("%d watches on a tenant that does not exist", n)
				}
			})
		})
	}
}

func TestTenantIsFollowedAsLongAsAnyPortIsHere(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
		r.did("claim c2, have 0", "row if2: generation 1", "row if2: installed: true", "c2, generation 1, up: true")
		r.rows.unplug("if1")
		r.did("release c1, generation 1")
		if n := r.store.watching("acme"); n != 1 {
			t.Errorf("%d watches on a tenant with a port here", n)
		}
		r.rows.unplug("if2")
		r.did("release c2, generation 1", "drop the copy of acme")
		if n := r.store.watching("acme"); n != 0 {
			t.Errorf("%d watches on a tenant without a port here", n)
		}
	})
}

// The claim of a port that is being plugged is heard of before its interface is there. It
// is not given up: another claim in its place would be refused where the port was taken
// from a host that still has it.
func TestClaimThatComesBeforeItsInterface(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		// The tenant is watched because of another port.
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
		r.did("watch acme", "claim c2, have 0", "row if2: generation 1", "row if2: installed: true", "c2, generation 1, up: true")

		done := r.Expect(r.ctx, portRef("c1"))
		got, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0)
		if err != nil {
			t.Fatal(err)
		}
		r.did("claim c1, have 0")
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5, Generation: got.Generation})
		done(nil)
		r.did("row if1: installed: true", "c1, generation 1, up: true")

		// Once it has been there, its end is the end of the claim at once.
		r.rows.unplug("if1")
		r.did("release c1, generation 1")

		// When nothing comes of it, the claim goes.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		r.did("claim c1, have 0")
		done(intent.Conflictf("no"))
		r.did("release c1, generation 2")

		// So it does when the interface never comes.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		done(nil)
		r.did("claim c1, have 0")
		time.Sleep(time.Minute)
		r.did("release c1, generation 3")

		// An interface that is plugged and unplugged may never be seen: its claim goes at
		// once.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		done(nil)
		r.did("claim c1, have 0")
		r.Unexpect(r.ctx, portRef("c1"))
		r.did("release c1, generation 4")

		// As long as it is being plugged, however long that takes, it stays.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		r.did("claim c1, have 0")
		time.Sleep(time.Minute)
		r.did()
		done(intent.Conflictf("no"))
		r.did("release c1, generation 5")
	})
}

// The flows of a port that is being plugged do not wait for the store to say what its
// interface's id means. What the store says counts nevertheless.
func TestPortThatIsExpectedDoesNotWaitForItsId(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(12), OFPort: 6})
		r.did("watch acme", "claim c2, have 0", "row if2: generation 1", "row if2: installed: true", "c2, generation 1, up: true")
		r.store.lookupLag = time.Hour

		done := r.Expect(r.ctx, portRef("c1"))
		got, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0)
		if err != nil {
			t.Fatal(err)
		}
		r.did("claim c1, have 0")
		r.rows.plug(Interface{Name: "if1", IfaceID: uuidOf(11), OFPort: 5, Generation: got.Generation})
		r.rows.plug(Interface{Name: "if3", IfaceID: uuidOf(13), OFPort: 7}) // nobody has said that it comes
		done(nil)
		r.did("row if1: installed: true", "c1, generation 1, up: true")
		r.speaks(11, 5)
		time.Sleep(2 * time.Hour)
		r.speaks(11, 5)

		r.store.deletePort(portRef("c1"))
		time.Sleep(2 * time.Hour)
		if e := r.entry(11); e != "" {
			t.Errorf("a port that the store has no more speaks: %s", e)
		}
	})
}
