package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// examineTTL is how long an examination stays in the store, in seconds.
const examineTTL = 60

// examineRequest is the value of an examination's key.
type examineRequest struct {
	Host string `json:"host"` // who asked
}

func examineKey(run uint64) string  { return fmt.Sprintf("%s%016x", examineAsked, run) }
func reportsRoot(run uint64) string { return fmt.Sprintf("%s%016x/", examineReports, run) }

// AskExamination asks every live host, this one included, to examine its paths to all
// others. The number of the examination, run, is one that no other has.
func (s *Store) AskExamination(ctx context.Context, host string, run uint64) error {
	return s.call(ctx, "ask for an examination", func(ctx context.Context) error {
		value, err := encode(examineRequest{host}, nil)
		if err != nil {
			return err
		}
		lease, err := s.client.Grant(ctx, examineTTL)
		if err != nil {
			return err
		}
		_, err = s.client.Put(ctx, examineKey(run), value, clientv3.WithLease(lease.ID))
		return err
	})
}

// AnswerExamination answers an examination. It fails with NotFound if that is over.
func (s *Store) AnswerExamination(ctx context.Context, run uint64, report intent.HealthReport) error {
	return s.update(ctx, "report to an examination", func(ctx context.Context) error {
		r, err := s.client.Get(ctx, examineKey(run))
		if err != nil {
			return err
		}
		if len(r.Kvs) == 0 {
			return intent.NotFoundf("examination %016x is over", run)
		}
		value, err := encode(report, nil)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(examineKey(run), r.Kvs[0].ModRevision)
		tx.put(reportsRoot(run)+report.Host, value, clientv3.WithLease(clientv3.LeaseID(r.Kvs[0].Lease)))
		_, err = s.commit(ctx, &tx)
		return err
	})
}

// ExaminationAnswered returns the hosts that have reported to an examination, by name.
func (s *Store) ExaminationAnswered(ctx context.Context, run uint64) ([]string, error) {
	all, _, err := s.list(ctx, "see who has reported to an examination", reportsRoot(run), clientv3.WithKeysOnly())
	var hosts []string
	for _, it := range all {
		hosts = append(hosts, strings.TrimPrefix(it.key, reportsRoot(run)))
	}
	return hosts, err
}

// ExaminationReports returns the reports to an examination so far, by host.
func (s *Store) ExaminationReports(ctx context.Context, run uint64) (map[string]intent.HealthReport, error) {
	all, _, err := s.list(ctx, "read the reports of an examination", reportsRoot(run))
	if err != nil {
		return nil, err
	}
	reports := map[string]intent.HealthReport{}
	for _, it := range all {
		r, err := decode[intent.HealthReport](it.value)
		if err != nil {
			return nil, err
		}
		reports[strings.TrimPrefix(it.key, reportsRoot(run))] = r
	}
	return reports, nil
}

// WatchExaminations tells deliver of every examination once, those under way included,
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
	return s.watch(ctx, op, watcher{
		key:  examineAsked,
		opts: []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithFilterDelete()},
		load: func(ctx context.Context) (int64, error) {
			all, revision, err := s.list(ctx, op, examineAsked, clientv3.WithKeysOnly())
			if err != nil {
				return 0, err
			}
			for _, it := range all {
				tell(it.key)
			}
			return revision, nil
		},
		changed: func(_ int64, events []event) bool {
			for _, e := range events {
				tell(e.key)
			}
			return false
		},
	})
}
