package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func TestExamination(t *testing.T) {
	s := open(t, cluster.Config{})
	other := client(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := s.AskExamination(ctx, "host1", 5); err != nil {
		t.Fatal(err)
	}
	runs := make(chan uint64, 10)
	ended := make(chan error, 1)
	go func() { ended <- other.WatchExaminations(ctx, func(run uint64) { runs <- run }) }()
	next := func() uint64 {
		t.Helper()
		select {
		case run := <-runs:
			return run
		case <-time.After(10 * time.Second):
			t.Fatal("no host was asked")
			return 0
		}
	}
	if run := next(); run != 5 {
		t.Errorf("asked for %d, which was under way: 5", run)
	}
	if err := s.AskExamination(ctx, "host1", 1<<63); err != nil {
		t.Fatal(err)
	}
	run := next()
	if run != 1<<63 {
		t.Errorf("asked for %x", run)
	}

	want := intent.HealthReport{Host: "host2", VXLANPort: 4789,
		Paths:    []intent.PathReport{{To: "host1", Wanted: 1500, Passes: 1404, RTT: time.Millisecond, Skew: -time.Second, HeardOf: true}},
		Findings: []intent.Finding{{Hosts: []string{"host2"}, What: "what", Do: "do"}}}
	if err := other.AnswerExamination(ctx, run, want); err != nil {
		t.Fatal(err)
	}
	if who, err := s.ExaminationAnswered(ctx, run); err != nil || !slices.Equal(who, []string{"host2"}) {
		t.Errorf("answered: %v, %v", who, err)
	}
	reports, err := s.ExaminationReports(ctx, run)
	if got := reports["host2"]; err != nil || len(reports) != 1 || got.Paths[0] != want.Paths[0] || got.Findings[0].What != "what" {
		t.Errorf("reports %+v, %v", reports, err)
	}
	if who, err := s.ExaminationAnswered(ctx, 5); err != nil || len(who) != 0 {
		t.Errorf("answers to another examination: %v, %v", who, err)
	}
	if err := other.AnswerExamination(ctx, 6, want); intent.KindOf(err) != intent.NotFound {
		t.Errorf("an answer to a question that has ended: %v", err)
	}
	_, lease, err := s.kv.GetLeased(ctx, reportsRoot(run)+"host2")
	if err != nil || lease == 0 {
		t.Errorf("a report that would stay for ever: %v, %v", lease, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
