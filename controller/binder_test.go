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

// inBubble runs a test with a rig that is already running.
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
			t.Errorf("applied revision %d, want %d", got, r.store.now())
		}

		// Time alone causes no call.
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

		// The interface comes back.
		r.rows.plug(Interface{Name: "if9", IfaceID: uuidOf(11), OFPort: 9})
		r.did("watch acme", "claim c1, have 0", "row if9: generation 2", "row if9: installed: true", "c1, generation 2, up: true")
		r.speaks(11, 9)
		r.right()
	})
}

// A port is up only while its flows are in the switch and its interface works.
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

// The claim of an interface that disappeared while ovloomd did not run is released.
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

		// Even if the daemon does not know the tenant: the store reports the claim.
		r.store.put("acme", intent.Binding{Tenant: "acme", Network: "web", Port: "c2", Host: self, Generation: 8})
		r.Claimed(r.ctx, []intent.PortRef{portRef("c2")})
		r.did("watch acme", "release c2, generation 8", "drop the copy of acme")
	})
}

// A claim that is known before its interface is not released.
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

		// Its interface has been seen, so the claim ends with it.
		r.store.last[portRef("c2")] = b.Generation
		r.rows.unplug("if2")
		r.did(fmt.Sprintf("release c2, generation %d", b.Generation))
	})
}

// The newest claim wins. The losing host drops the port's packets and reports the conflict;
// when it releases its claim, nothing changes for the winner.
func TestClaimThatIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.store.claimElsewhere(portRef("c1"), "host2")
		r.did("row if1: installed: false", "c1, generation 1, up: false")
		r.speaks(11, 0)
		if flow := r.entry(11); !strings.Contains(flow, "in_port=5") {
			t.Errorf("the loser's packets are not counted as drops: %q", flow)
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

// When the winner goes, the loser has the port again without a new claim.
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

// A port is unplugged and plugged again while the store is slow: the late release of the old
// binding does not affect the new one.
func TestLateRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.bound()
		r.store.troubled(3*time.Second, nil)
		r.rows.unplug("if1")
		synctest.Wait()
		r.rows.plug(Interface{Name: "if2", IfaceID: uuidOf(11), OFPort: 6})
		time.Sleep(20 * time.Second)
		// While the old claim existed, the new interface's packets passed.
		r.calls.forget("row if2: installed: true", "row if2: installed: false")
		r.did("release c1, generation 1", "claim c1, have 0", "row if2: generation 2", "c1, generation 2, up: true")
		if !r.rows.row("if2").Installed {
			t.Error("the interface is not marked as installed")
		}
		r.speaks(11, 6)
		r.right()

		// A release that was still under way when another process took over.
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

// The interface goes while its claim is under way, and the watch reports the claim late: the
// claim is released although the interface's row never had its generation.
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
		// The row keeps the old port's marks until the new port's are written.
		calls := r.calls.take()
		for _, want := range []string{"release c1, generation 1", "claim c2, have 1", "c2, generation 1, up: true"} {
			if !slices.Contains(calls, want) {
				t.Errorf("no %q: %q", want, calls)
			}
		}
		r.speaks(11, 0)
		r.speaks(12, 5)
		r.right()
		if c1, c2 := r.store.claims(portRef("c1")), r.store.claims(portRef("c2")); len(c1) != 0 || len(c2) != 1 || !c2[0].Up {
			t.Errorf("claims: %+v, %+v", c1, c2)
		}

		// To no port.
		r.rows.plug(Interface{Name: "if1", IfaceID: "acme/web/nope", OFPort: 5, Generation: 1, Installed: true})
		r.did("release c2, generation 1", "row if1: installed: false", "drop the copy of acme")
		r.speaks(12, 0)
		r.right()
		s, err := r.Status(r.ctx)
		if err != nil || len(s.Ports) != 1 || s.Ports[0].Known || s.Ports[0].IfaceID != "acme/web/nope" {
			t.Errorf("ports: %+v, %v", s.Ports, err)
		}

		// Without an id.
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
		r.speaks(11, 5) // the port stays with the first interface
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

// Of two interfaces, the one that works carries the port.
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
		r.calls.forget("drop the copy of acme", "watch acme", "release c1, generation 1") // for a moment there may be no port at all
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
				r.calls.forget("watch acme", "release c1, generation 1") // if that came first
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

// The claim of a port that is being plugged arrives before its interface exists. It is not
// released: if the port was taken from a host that still has it, a second claim would be
// refused.
func TestClaimThatComesBeforeItsInterface(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		// Because of another port, the tenant is watched already.
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

		// Once the interface has been seen, the claim ends with it at once.
		r.rows.unplug("if1")
		r.did("release c1, generation 1")

		// If no interface comes, the claim is released.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		r.did("claim c1, have 0")
		done(intent.Conflictf("no"))
		r.did("release c1, generation 2")

		// The same if the interface never comes.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		done(nil)
		r.did("claim c1, have 0")
		time.Sleep(time.Minute)
		r.did("release c1, generation 3")

		// An interface that is plugged and unplugged may never be seen: its claim is released
		// at once.
		done = r.Expect(r.ctx, portRef("c1"))
		if _, err := r.store.Claim(r.ctx, portRef("c1"), "host1", 0); err != nil {
			t.Fatal(err)
		}
		done(nil)
		r.did("claim c1, have 0")
		r.Unexpect(r.ctx, portRef("c1"))
		r.did("release c1, generation 4")

		// While it is being plugged, however long that takes, the claim stays.
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

// The flows of a port that is being plugged do not wait for the store to resolve its
// interface's id; but the store's answer decides.
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
		r.rows.plug(Interface{Name: "if3", IfaceID: uuidOf(13), OFPort: 7}) // without an announced plug
		done(nil)
		r.did("row if1: installed: true", "c1, generation 1, up: true")
		r.speaks(11, 5)
		time.Sleep(2 * time.Hour)
		r.speaks(11, 5)

		r.store.deletePort(portRef("c1"))
		time.Sleep(2 * time.Hour)
		if e := r.entry(11); e != "" {
			t.Errorf("the packets of a deleted port pass: %s", e)
		}
	})
}
