package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// examineTTL is how long an examination stays in the store.
const examineTTL = time.Minute

// examineRequest is the value of an examination's key.
type examineRequest struct {
	Host string `json:"host"` // the host that asked
}

func examineKey(run uint64) string  { return fmt.Sprintf("%s%016x", examineAsked, run) }
func reportsRoot(run uint64) string { return fmt.Sprintf("%s%016x/", examineReports, run) }

// AskExamination asks every live host, including this one, to examine its paths to all
// others. run numbers the examination and must be unique.
func (s *Store) AskExamination(ctx context.Context, host string, run uint64) error {
	return s.kv.Call(ctx, "ask for an examination", func(ctx context.Context) error {
		value, err := kv.Encode(examineRequest{host}, nil)
		if err != nil {
			return err
		}
		lease, err := s.kv.Grant(ctx, examineTTL)
		if err != nil {
			return err
		}
		_, err = s.kv.Put(ctx, examineKey(run), value, kv.Leased(lease))
		return err
	})
}

// AnswerExamination answers an examination. It fails with NotFound if the examination is
// over.
func (s *Store) AnswerExamination(ctx context.Context, run uint64, report intent.HealthReport) error {
	return s.kv.Update(ctx, "report to an examination", func(ctx context.Context) error {
		it, lease, err := s.kv.GetLeased(ctx, examineKey(run))
		if err != nil {
			return err
		}
		if it.Value == nil {
			return intent.NotFoundf("examination %016x is over", run)
		}
		value, err := kv.Encode(report, nil)
		if err != nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(examineKey(run), it.Revision)
		tx.Put(reportsRoot(run)+report.Host, value, kv.Leased(lease))
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}

// ExaminationAnswered returns the hosts that have reported to an examination, by name.
func (s *Store) ExaminationAnswered(ctx context.Context, run uint64) ([]string, error) {
	all, _, err := s.kv.List(ctx, "see who has reported to an examination", reportsRoot(run), kv.KeysOnly())
	var hosts []string
	for _, it := range all {
		hosts = append(hosts, strings.TrimPrefix(it.Key, reportsRoot(run)))
	}
	return hosts, err
}

// ExaminationReports returns the reports to an examination so far, by host.
func (s *Store) ExaminationReports(ctx context.Context, run uint64) (map[string]intent.HealthReport, error) {
	all, _, err := s.kv.List(ctx, "read the reports of an examination", reportsRoot(run))
	if err != nil {
		return nil, err
	}
	reports := map[string]intent.HealthReport{}
	for _, it := range all {
		r, err := kv.Decode[intent.HealthReport](it.Value)
		if err != nil {
			return nil, err
		}
		reports[strings.TrimPrefix(it.Key, reportsRoot(run))] = r
	}
	return reports, nil
}

// WatchExaminations calls deliver once for every examination, including those in progress,
// until ctx ends; then it returns nil.
func (s *Store) WatchExaminations(ctx context.Context, deliver func(run uint64)) error {
	const op = "watch examinations"
	told := map[uint64]bool{}
	tell := func(key string) {
		run, err := strconv.ParseUint(strings.TrimPrefix(key, examineAsked), 16, 64)
		switch {
		case err != nil:
			s.complain([]error{fmt.Errorf("key %s is unknown", key)})
		case !told[run]:
			told[run] = true
			deliver(run)
		}
	}
	return s.kv.Watch(ctx, op, kv.Watcher{
		Key:  examineAsked,
		Opts: []kv.Option{kv.Prefix(), kv.PutsOnly()},
		Load: func(ctx context.Context) (int64, error) {
			all, revision, err := s.kv.List(ctx, op, examineAsked, kv.KeysOnly())
			if err != nil {
				return 0, err
			}
			for _, it := range all {
				tell(it.Key)
			}
			return revision, nil
		},
		Changed: func(_ int64, events []kv.Event) bool {
			for _, e := range events {
				tell(e.Key)
			}
			return false
		},
	})
}
