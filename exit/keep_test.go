package exit

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

func TestWhatOthersChangeIsPutBack(t *testing.T) {
	b := newBed(t)
	b.Set(complete(internet()))
	eventually(t, "the way through the host", func() bool { return b.host.now() != nil && len(b.Status().Uplinks) == 1 })
	b.host.mu.Lock()
	b.host.exit = nil
	b.host.mu.Unlock()
	b.host.events <- hostnet.ExitEvent{Other: true} // not about our exit
	b.host.events <- hostnet.ExitEvent{Own: true}
	eventually(t, "it is put back", func() bool { return b.host.now() != nil && len(b.repairs.Entries()) == 1 })
	if e := b.repairs.Entries()[0]; e.Count != 1 || !strings.Contains(e.Detail, "the table was missing") {
		t.Errorf("reported as %+v", e)
	}
}

// The interface that faces the host's routing is created again if it was deleted, but not while
// ovs-vswitchd is down, which creates it when it starts.
func TestDeletedInterfaceIsMadeAgain(t *testing.T) {
	b := newBed(t)
	b.Set(complete(internet()))
	eventually(t, "the way through the host", func() bool { return b.host.now() != nil && len(b.Status().Uplinks) == 1 })
	set := func(gone bool) {
		b.host.mu.Lock()
		b.host.gone = gone
		b.host.mu.Unlock()
	}
	b.bridge.mu.Lock()
	b.bridge.remade = func() { set(false) }
	b.bridge.mu.Unlock()
	b.mu.Lock()
	b.away = errors.New("ovs-vswitchd is away")
	b.mu.Unlock()
	set(true)
	b.host.events <- hostnet.ExitEvent{Other: true}
	slowly := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not in time: %s", what)
			}
		}
	}
	slowly("looks while ovs-vswitchd is away", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.asked > 1 })
	if w := b.Status().Warnings; len(w) != 1 || !strings.Contains(w[0].What, "ovl0 does not exist") {
		t.Errorf("warnings %+v", w)
	}
	deleted := func() int { b.bridge.mu.Lock(); defer b.bridge.mu.Unlock(); return len(b.bridge.deleted) }
	if n := deleted(); n != 0 {
		t.Errorf("created again %d times while ovs-vswitchd is away", n)
	}
	b.mu.Lock()
	b.away = nil
	b.mu.Unlock()
	slowly("it is created again", func() bool { return deleted() == 1 && len(b.Status().Warnings) == 0 })
	if e := b.repairs.Entries(); len(e) != 1 || !strings.Contains(e[0].Detail, "interface ovl0 was missing") {
		t.Errorf("reported as %+v", e)
	}
}

func TestProbeTellsWhatNobodyListed(t *testing.T) {
	b := newBed(t)
	b.host.cut = []hostnet.ExitFault{{What: "rule reject", Do: "nft"}, {What: "rule drop", Do: "nft"}}
	b.Set(complete(internet()))
	eventually(t, "a warning", func() bool { return len(b.Status().Warnings) == 1 })
	if u := b.Status().Uplinks[0]; u.Probe != probeDropped || u.Fault != "rule reject" {
		t.Errorf("uplink %+v", u)
	}
	b.mu.Lock()
	out := b.sent[0]
	b.mu.Unlock()
	if a := out.Actions[0]; a != (of.Output{Port: 10}) {
		t.Errorf("sent by %v", a)
	}
	// A fault hidden by the first one is repaired too.
	done, err := b.Fix(t.Context())
	if err != nil || len(done) != 2 {
		t.Errorf("fixed %q: %v", done, err)
	}
	if s := b.Status(); len(s.Warnings) != 0 || s.Uplinks[0].Probe != probePassed {
		t.Errorf("status %+v", s)
	}

	b.host.mu.Lock()
	b.host.cut = slices.Repeat([]hostnet.ExitFault{{What: "it comes back", Do: "ask its owner", ByHand: true}}, 50)
	b.host.mu.Unlock()
	if done, err := b.Fix(t.Context()); intent.KindOf(err) != intent.Conflict || len(done) == 0 {
		t.Errorf("fixed %q: %v", done, err)
	}
	if w := b.Status().Warnings; len(w) == 0 || w[0].Do != "ask its owner" {
		t.Errorf("warnings %v", w)
	}
}

func TestProbesThatDoNotArrive(t *testing.T) {
	b := newBed(t)
	b.host.lost = hostnet.ErrProbeLost
	b.Set(complete(internet()))
	eventually(t, "a probe", func() bool { b.host.mu.Lock(); defer b.host.mu.Unlock(); return b.host.probes == 1 })
	if w := b.Status().Warnings; len(w) != 0 {
		t.Errorf("at the first: %v", w)
	}
	for range lostMany {
		b.Fix(t.Context())
	}
	if w := b.Status().Warnings; len(w) != 1 || !strings.Contains(w[0].What, "arrives at the host's routing") {
		t.Errorf("warnings %v", w)
	}
}
