package store

// A question of one host to another, such as what its switch would do with a packet.
// Hosts have no channel between them but the store, and need none: it knows who may
// speak, and has TLS.

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// askTTL is how long a question stays in the store if he who asked does not take it
// away, in seconds.
const askTTL = 60

// Question is one that a host is asked.
type Question struct {
	ID    string
	Topic string          // what it is about: who is to answer
	Body  json.RawMessage // as the topic has it
}

// asked and answered are the values of a question's keys.
type asked struct {
	Topic string          `json:"topic"`
	Body  json.RawMessage `json:"body"`
}

type answered struct {
	Body json.RawMessage `json:"body"`
}

func askedRoot(host string) string    { return questionsRoot + host + "/" }
func askedKey(host, id string) string { return askedRoot(host) + id }
func answerKey(id string) string      { return answersRoot + id }

// Ask asks a host and returns its answer. It waits until ctx ends, which then is an
// error of kind Unavailable. Question and answer do not outlive the call.
func (s *Store) Ask(ctx context.Context, host, topic string, body json.RawMessage) (json.RawMessage, error) {
	id := uuid.NewString()
	op := fmt.Sprintf("ask %s for its %s", host, topic)
	var lease clientv3.LeaseID
	var revision int64
	err := s.call(ctx, op, func(ctx context.Context) error {
		value, err := encode(asked{topic, body}, nil)
		if err != nil {
			return err
		}
		grant, err := s.client.Grant(ctx, askTTL)
		if err != nil {
			return err
		}
		lease = grant.ID
		r, err := s.client.Put(ctx, askedKey(host, id), value, clientv3.WithLease(lease))
		if err == nil {
			revision = r.Header.Revision
		}
		return err
	})
	if lease != 0 {
		// If this fails the lease ends by itself.
		defer func() {
			_ = s.call(context.WithoutCancel(ctx), op, func(ctx context.Context) error {
				_, err := s.client.Revoke(ctx, lease)
				return err
			})
		}()
	}
	if err != nil {
		return nil, err
	}
	return s.awaitAnswer(ctx, host, op, id, revision)
}

// awaitAnswer waits for the answer to a question that was asked at a revision.
func (s *Store) awaitAnswer(ctx context.Context, host, op, id string, revision int64) (json.RawMessage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var value []byte
	take := func(it item) {
		value = it.value
		cancel()
	}
	err := s.watch(ctx, op, watcher{
		key:  answerKey(id),
		opts: []clientv3.OpOption{clientv3.WithFilterDelete()},
		load: func(ctx context.Context) (int64, error) {
			var it item
			err := s.call(ctx, op, func(ctx context.Context) (err error) {
				it, err = s.get(ctx, answerKey(id))
				return err
			})
			if err != nil {
				return 0, err
			}
			if it.value != nil {
				take(it)
			}
			return max(revision, it.revision), nil
		},
		changed: func(_ int64, events []event) bool {
			take(events[0].item)
			return false
		},
	})
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, intent.Unavailablef("host %s does not answer", host).WithHint("`ovloom status` on %s shows what its ovloomd waits for", host)
	}
	a, err := decode[answered](value)
	return a.Body, err
}

// Answer answers a question. It fails with NotFound if nobody waits for it any more.
func (s *Store) Answer(ctx context.Context, host string, q Question, body json.RawMessage) error {
	return s.update(ctx, "answer "+q.Topic, func(ctx context.Context) error {
		it, err := s.client.Get(ctx, askedKey(host, q.ID))
		if err != nil {
			return err
		}
		if len(it.Kvs) == 0 {
			return intent.NotFoundf("nobody waits for the answer to question %s", q.ID)
		}
		value, err := encode(answered{body}, nil)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(askedKey(host, q.ID), it.Kvs[0].ModRevision)
		tx.put(answerKey(q.ID), value, clientv3.WithLease(clientv3.LeaseID(it.Kvs[0].Lease)))
		_, err = s.commit(ctx, &tx)
		return err
	})
}

// WatchQuestions tells deliver of every question to a host once, those that wait
// included, until ctx ends; then it returns nil.
func (s *Store) WatchQuestions(ctx context.Context, host string, deliver func(Question)) error {
	const op = "watch questions"
	told := map[string]bool{} // those that still wait
	tell := func(it item) {
		id := strings.TrimPrefix(it.key, askedRoot(host))
		if told[id] {
			return
		}
		told[id] = true
		q, err := decode[asked](it.value)
		if err != nil {
			s.complain([]error{fmt.Errorf("key %s: %w", it.key, err)})
			return
		}
		deliver(Question{id, q.Topic, q.Body})
	}
	return s.watch(ctx, op, watcher{
		key:  askedRoot(host),
		opts: []clientv3.OpOption{clientv3.WithPrefix()},
		load: func(ctx context.Context) (int64, error) {
			all, revision, err := s.list(ctx, op, askedRoot(host))
			if err != nil {
				return 0, err
			}
			for _, it := range all {
				tell(it)
			}
			return revision, nil
		},
		changed: func(_ int64, events []event) bool {
			for _, e := range events {
				if e.deleted {
					delete(told, strings.TrimPrefix(e.key, askedRoot(host)))
					continue
				}
				tell(e.item)
			}
			return false
		},
	})
}
