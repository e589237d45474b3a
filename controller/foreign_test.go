package controller

// Changes of the switch by other programs are detected and put back.

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

// fakeRepairs records repairs.
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
				t.Errorf("%s: reported %q", name, s)
			}
		}
		// An unchanged switch is not reported.
		time.Sleep(time.Minute)
		r.Disturbed(r.ctx, r.sw)
		synctest.Wait()
		if s := repairs.take(); s != "" {
			t.Errorf("nothing was changed, but reported: %q", s)
		}
	})
}

// However often other programs change the switch, the rate of comparisons is bounded, and in
// the end the switch is right.
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

// Changes that a switch does not report, or that the monitor misses, are found by periodic
// comparison.
func TestWhatNobodyTellsOfIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, repairs := disturbedRig(t)
		r.sw.touch(func(s *switchtest.Table) { clear(s.Groups) })
		time.Sleep(groupsEvery + 2*tick)
		synctest.Wait()
		r.right()
		if s := repairs.take(); !strings.Contains(s, "groups changed") {
			t.Errorf("groups were deleted, reported %q", s)
		}
		for cookie := range uint64(3) {
			f := of.Flow{Table: 251, Priority: 9, Cookie: cookie}
			r.sw.touch(func(s *switchtest.Table) { s.Flows[f.Key()] = f })
			time.Sleep((sliceCount + 1) * sliceEvery)
			synctest.Wait()
			r.right()
			if s := repairs.take(); !strings.Contains(s, "1 flows changed") {
				t.Errorf("a flow was added, reported %q", s)
			}
		}
		r.sw.asked()
		time.Sleep(time.Hour)
		if applies, dumps := r.sw.asked(); applies+dumps != 0 {
			t.Errorf("in an hour without changes: %d changes, %d comparisons", applies, dumps)
		}
	})
}
