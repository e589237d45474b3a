package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/ovloom/ovloom/intent"
)

// This file begins a watch with the copy on disk: a host that comes back, or all of
// them at once, asks the store only for what has changed meanwhile.

const (
	// resumeFrom is how many keys a copy must have to be worth the questions. Fewer
	// are as quickly read anew.
	resumeFrom = 1000
	// resumeChecks is how many keys of a copy are compared with the store, to find
	// out whether it is a copy of another one: values have random parts.
	resumeChecks = 16
	// resumeWait bounds the wait for changes, after which all is read anew.
	resumeWait = 2 * time.Second
	// resumeAsk is how often the store is asked whether it has told all changes.
	resumeAsk = 10 * time.Millisecond
)

var (
	errOtherStore = errors.New("it is not a copy of this store")
	errCompacted  = errors.New("the store has forgotten what changed since")
)

// resumed is what a copy and the changes since come to.
type resumed struct {
	snap     intent.Snapshot
	changes  map[string]event // by key, since the copy was written
	revision int64
}

// resume returns the snapshot at path, brought up to date; false if all must be read
// anew.
func (s *Store) resume(ctx context.Context, op, path, prefix string) (resumed, bool) {
	copied, since, ok := s.readCopy(path)
	if !ok || len(copied) < resumeFrom {
		return resumed{}, false
	}
	var r resumed
	caught := make(chan error, 1)
	go func() {
		caught <- s.call(ctx, op, func(ctx context.Context) (err error) {
			r.changes, r.revision, err = s.catchUp(ctx, prefix, copied, since)
			return err
		})
	}()
	// Decoding takes as long as the store takes to answer, and most often nothing has
	// changed.
	snap, bad := snapshotOf(copied, since)
	if err := <-caught; err != nil {
		s.log.Info("copy on disk not used: reading all from the store", "watch", op, "revision", since, "err", err)
		return resumed{}, false
	}
	if len(r.changes) > 0 {
		snap, bad = snapshotOf(merge(copied, r.changes), r.revision)
	}
	if len(bad) > 0 { // the last valid state of those is to be found
		return resumed{}, false
	}
	snap.Revision = r.revision
	r.snap = snap
	return r, true
}

// catchUp returns what has changed below prefix after a revision, of which copied is
// a copy, and the revision that it is then a copy of.
func (s *Store) catchUp(ctx context.Context, prefix string, copied []item, since int64) (map[string]event, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, resumeWait)
	defer cancel()
	count := clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	ops := []clientv3.Op{count}
	for i := range resumeChecks {
		ops = append(ops, key(copied[i*(len(copied)-1)/(resumeChecks-1)].key))
	}
	floor := s.seen()
	r, err := s.client.Txn(ctx).Then(ops...).Commit()
	if err == nil {
		err = s.answered(r.Header, floor)
	}
	if err != nil {
		return nil, 0, err
	}
	now := r.Header.Revision
	if now < since {
		return nil, 0, errOtherStore
	}
	changes := map[string]event{}
	if now > since {
		if changes, err = s.changesBetween(ctx, prefix, since, now); err != nil {
			return nil, 0, err
		}
	}
	all := merge(copied, changes)
	if r.Responses[0].GetResponseRange().Count != int64(len(all)) {
		return nil, 0, errOtherStore
	}
	for _, answer := range r.Responses[1:] {
		for _, kv := range answer.GetResponseRange().Kvs {
			i, ok := slices.BinarySearchFunc(all, string(kv.Key), func(it item, k string) int { return strings.Compare(it.key, k) })
			if !ok || !bytes.Equal(all[i].value, kv.Value) {
				return nil, 0, errOtherStore
			}
		}
	}
	return changes, now, nil
}

// changesBetween returns the last change of each key below prefix after revision
// since, up to revision now.
func (s *Store) changesBetween(ctx context.Context, prefix string, since, now int64) (map[string]event, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Metadata make a stream of its own: the store says that it has told all only when
	// that holds for all watches of a stream.
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "resume", prefix)
	told := s.client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(since+1))
	changes := map[string]event{}
	ask := time.NewTicker(resumeAsk)
	defer ask.Stop()
	for {
		select {
		case r, ok := <-told:
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case !ok:
				return nil, errors.New("the store ended the watch")
			case r.CompactRevision != 0:
				return nil, errCompacted
			case r.Err() != nil:
				return nil, r.Err()
			case r.IsProgressNotify() && r.Header.Revision >= now:
				return changes, nil
			}
			for _, events := range byRevision(r.Events) {
				if events[0].revision > now {
					return changes, nil
				}
				for _, e := range events {
					changes[e.key] = e
				}
			}
		case <-ask.C:
			if err := s.client.RequestProgress(ctx); err != nil {
				return nil, fmt.Errorf("ask for progress: %w", err)
			}
		}
	}
}
