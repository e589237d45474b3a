package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// repaired waits in the background for a trial that succeeds.
func repaired(t *testing.T, s *Node) <-chan int {
	t.Helper()
	done := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		if n, ok := s.AwaitRepair(ctx); ok {
			done <- n
		}
	}()
	return done
}

// A process that started with damaged data notices when it is repaired, and the next process
// has the store.
func TestRepairIsNoticed(t *testing.T) {
	t.Parallel() // it waits for trials
	c, _ := withData(t)
	log := only(t, dataDir(c.StateDir)+"/member/wal/*.wal")
	good, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, log, func(b []byte) []byte { b[200] ^= 1; return b })
	s := open(t, c)
	done := repaired(t, s)
	var trial Trial
	until(t, "a trial has failed", func() bool { trial, _ = s.NextTrial(); return trial.Last != "" })
	if !strings.Contains(trial.Last, "read the log") || !trial.Next.After(time.Now().Add(-time.Second)) {
		t.Errorf("%+v", trial)
	}
	select {
	case <-done:
		t.Fatal("a restart was requested with damaged data")
	default:
	}
	damage(t, log, func([]byte) []byte { return good })
	if n := <-done; n != 1 {
		t.Errorf("attempt %d", n)
	}
	if _, ok := s.NextTrial(); ok {
		t.Error("trials continue")
	}
	if left, err := filepath.Glob(c.StateDir + "/etcd/trial-*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	closed(t, s)
	s = open(t, c)
	if err := read(t.Context(), s, "acme"); err != nil {
		t.Error(err)
	}
	if _, ok := s.NextTrial(); ok {
		t.Error("a trial is made although the member runs")
	}
}

// A member that fails while it runs is tried again, too, although this process still holds its
// files.
func TestRunningMemberIsTriedAgain(t *testing.T) {
	t.Parallel() // it waits for trials
	s := open(t, Config{WithoutMember: true, Attempt: 0})
	added(t, s, "acme")
	done := repaired(t, s)
	if _, ok := s.NextTrial(); ok {
		t.Error("a trial is made although the member runs")
	}
	failWith(s, "failed to save")
	until(t, "the member is known to have failed", func() bool { return s.fault.Load() != nil })
	if n := <-done; n != 1 {
		t.Errorf("attempt %d", n)
	}
}

// Data that is missing stays missing: no restart is tried for it.
func TestLostDataIsNotTriedInVain(t *testing.T) {
	t.Parallel() // it waits for trials
	c, _ := withData(t)
	if err := os.RemoveAll(dataDir(c.StateDir)); err != nil {
		t.Fatal(err)
	}
	s := open(t, c)
	done := repaired(t, s)
	until(t, "a trial has failed", func() bool { trial, _ := s.NextTrial(); return strings.Contains(trial.Last, "has seen a store") })
	if _, err := os.Stat(dataDir(c.StateDir)); err == nil {
		t.Error("a trial made data")
	}
	select {
	case <-done:
		t.Error("a restart was requested without data")
	default:
	}
}

// Restarts that fail are made at growing intervals; after a crash, or if the data alone was not
// enough, at long ones from the beginning.
func TestTimesOfTrials(t *testing.T) {
	s := &Node{faulted: make(chan struct{}), log: Config{}.withDefaults().Logger}
	s.withoutStore(intent.Unavailablef("full"))
	var waits []time.Duration
	for n := range 7 {
		waits = append(waits, s.firstTrial(n))
	}
	for i, want := range []time.Duration{1, 4, 16, 64, 256, 600, 600} {
		if waits[i] != want*time.Second {
			t.Errorf("%v", waits)
			break
		}
	}
	for _, why := range []error{errCrashed, errNotUp} {
		late := &Node{faulted: make(chan struct{}), log: s.log}
		late.memberFailed(why)
		if w := late.firstTrial(0); w != startMost {
			t.Errorf("%v: %v", why, w)
		}
	}
}
