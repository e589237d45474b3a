package controller

// What others change in the switch is seen and put back.

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/controller/internal/switchtest"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// fakeRepairs remembers what was put back.
type fakeRepairs struct{ lines []string }

func (r *fakeRepairs) Put(what string, count int, detail string) {
	r.lines = append(r.lines, fmt.Sprintf("%d %s: %s", count, what, detail))
}

func (r *fakeRepairs) take() string {
	s := strings.Join(r.lines, "\n")
	r.lines = nil
	return s
}

// touch changes the switch as another program would.
func (s *fakeSwitch) touch(do func(*switchtest.Table)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.Table)
}

func disturbedRig(t *testing.T) (*rig, *fakeRepairs) {
	r := newRig(t)
	repairs := &fakeRepairs{}
	r.deps.Repairs = repairs
	r.run()
	r.bound()
	return r, repairs
}

func TestFlowsThatOthersChangeArePutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, repairs := disturbedRig(t)
		foreign := of.Flow{Table: pipeline.EntryTable(), Priority: 9, Cookie: 7}
		disturb := map[string]func(*switchtest.Table){
			"all flows deleted": func(s *switchtest.Table) { clear(s.Flows) },
			"a flow added":      func(s *switchtest.Table) { s.Flows[foreign.Key()] = foreign },
		}
		for name, do := range disturb {
			time.Sleep(time.Minute)
			r.sw.touch(do)
			r.Disturbed(r.ctx, r.sw)
			synctest.Wait()
			r.right()
			if s := repairs.take(); strings.Count(s, "flows changed by another program") != 1 {
				t.Errorf("%s: it says %q", name, s)
			}
		}
		// What turns out to be right is not told.
		time.Sleep(time.Minute)
		r.Disturbed(r.ctx, r.sw)
		synctest.Wait()
		if s := repairs.take(); s != "" {
			t.Errorf("nothing was changed, and it says %q", s)
		}
	})
}

// However often others change the switch, it is compared only so often; and in the end it
// is right.
func TestManyDisturbancesAreComparedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := disturbedRig(t)
		r.sw.asked()
		const seconds = 10
		for i := range seconds * 100 {
			f := of.Flow{Table: pipeline.EntryTable(), Priority: 9, Cookie: uint64(i)}
			r.sw.touch(func(s *switchtest.Table) { s.Flows[f.Key()] = f })
			r.Disturbed(r.ctx, r.sw)
			time.Sleep(10 * time.Millisecond)
		}
		if _, dumps := r.sw.asked(); dumps < seconds || dumps > seconds*int(time.Second/compareGap)+1 {
			t.Errorf("%d comparisons in %d s", dumps, seconds)
		}
		time.Sleep(time.Second)
		r.right()
	})
}

// Of changes that no switch tells, and of those that the watch misses, one learns by
// looking again.
func TestWhatNobodyTellsOfIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, repairs := disturbedRig(t)
		r.sw.touch(func(s *switchtest.Table) { clear(s.Groups) })
		time.Sleep(groupsEvery + 2*tick)
		synctest.Wait()
		r.right()
		if s := repairs.take(); !strings.Contains(s, "groups changed") {
			t.Errorf("groups were deleted, and it says %q", s)
		}
		for cookie := range uint64(3) {
			f := of.Flow{Table: 251, Priority: 9, Cookie: cookie}
			r.sw.touch(func(s *switchtest.Table) { s.Flows[f.Key()] = f })
			time.Sleep((sliceCount + 1) * sliceEvery)
			synctest.Wait()
			r.right()
			if s := repairs.take(); !strings.Contains(s, "1 flows changed") {
				t.Errorf("a flow was added, and it says %q", s)
			}
		}
		r.sw.asked()
		time.Sleep(time.Hour)
		if applies, dumps := r.sw.asked(); applies+dumps != 0 {
			t.Errorf("in an hour without changes: %d changes, %d comparisons", applies, dumps)
		}
	})
}
