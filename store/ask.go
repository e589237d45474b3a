package store

// A question of one host to another, such as what its switch would do with a packet. The
// store is the only channel between hosts, and suffices: it authenticates them, and uses
// TLS.

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// askTTL is how long a question stays in the store if the host that asked does not delete
// it.
const askTTL = time.Minute

// Question is a question to a host.
type Question struct {
	ID    string
	Topic string          // selects the function that answers
	Body  json.RawMessage // in the topic's own form
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

// Ask asks a host a question and returns the answer. It waits until ctx ends, and then
// fails with kind Unavailable. Question and answer are deleted when it returns.
func (s *Store) Ask(ctx context.Context, host, topic string, body json.RawMessage) (json.RawMessage, error) {
	id := uuid.NewString()
	op := fmt.Sprintf("ask %s for its %s", host, topic)
	var lease kv.Lease
	var revision int64
	err := s.kv.Call(ctx, op, func(ctx context.Context) error {
		value, err := kv.Encode(asked{topic, body}, nil)
		if err != nil {
			return err
		}
		if lease, err = s.kv.Grant(ctx, askTTL); err != nil {
			return err
		}
		revision, err = s.kv.Put(ctx, askedKey(host, id), value, kv.Leased(lease))
		return err
	})
	if lease != 0 {
		// If this fails the lease ends by itself.
		defer func() {
			_ = s.kv.Call(context.WithoutCancel(ctx), op, func(ctx context.Context) error {
				return s.kv.Revoke(ctx, lease)
			})
		}()
	}
	if err != nil {
		return nil, err
	}
	return s.awaitAnswer(ctx, host, op, id, revision)
}

// awaitAnswer waits for the answer to a question asked at a revision.
func (s *Store) awaitAnswer(ctx context.Context, host, op, id string, revision int64) (json.RawMessage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var value []byte
	take := func(it kv.Item) {
		value = it.Value
		cancel()
	}
	err := s.kv.Watch(ctx, op, kv.Watcher{
		Key:  answerKey(id),
		Opts: []kv.Option{kv.PutsOnly()},
		Load: func(ctx context.Context) (int64, error) {
			var it kv.Item
			err := s.kv.Call(ctx, op, func(ctx context.Context) (err error) {
				it, err = s.kv.Get(ctx, answerKey(id))
				return err
			})
			if err != nil {
				return 0, err
			}
			if it.Value != nil {
				take(it)
			}
			return max(revision, it.Revision), nil
		},
		Changed: func(_ int64, events []kv.Event) bool {
			take(events[0].Item)
			return false
		},
	})
	if err != nil {
		return nil, err
	}
	if value == nil {
		return nil, intent.Unavailablef("host %s does not answer", host).WithHint("`ovloom status` on %s shows what its ovloomd waits for", host)
	}
	a, err := kv.Decode[answered](value)
	return a.Body, err
}

// Answer answers a question. It fails with NotFound if no host waits for the answer any
// more.
func (s *Store) Answer(ctx context.Context, host string, q Question, body json.RawMessage) error {
	return s.kv.Update(ctx, "answer "+q.Topic, func(ctx context.Context) error {
		it, lease, err := s.kv.GetLeased(ctx, askedKey(host, q.ID))
		if err != nil {
			return err
		}
		if it.Value == nil {
			return intent.NotFoundf("no examination waits for the answer to question %s", q.ID)
		}
		value, err := kv.Encode(answered{body}, nil)
		if err != nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(askedKey(host, q.ID), it.Revision)
		tx.Put(answerKey(q.ID), value, kv.Leased(lease))
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}

// WatchQuestions delivers every question to a host once, including waiting ones, until ctx
// ends; then it returns nil.
func (s *Store) WatchQuestions(ctx context.Context, host string, deliver func(Question)) error {
	const op = "watch questions"
	told := map[string]bool{} // by id: delivered questions that wait for their answer
	tell := func(it kv.Item) {
		id := strings.TrimPrefix(it.Key, askedRoot(host))
		if told[id] {
			return
		}
		told[id] = true
		q, err := kv.Decode[asked](it.Value)
		if err != nil {
			s.complain([]error{fmt.Errorf("key %s: %w", it.Key, err)})
			return
		}
		deliver(Question{id, q.Topic, q.Body})
	}
	return s.kv.Watch(ctx, op, kv.Watcher{
		Key:  askedRoot(host),
		Opts: []kv.Option{kv.Prefix()},
		Load: func(ctx context.Context) (int64, error) {
			all, revision, err := s.kv.List(ctx, op, askedRoot(host))
			if err != nil {
				return 0, err
			}
			for _, it := range all {
				tell(it)
			}
			return revision, nil
		},
		Changed: func(_ int64, events []kv.Event) bool {
			for _, e := range events {
				if e.Deleted {
					delete(told, strings.TrimPrefix(e.Key, askedRoot(host)))
					continue
				}
				tell(e.Item)
			}
			return false
		},
	})
}
