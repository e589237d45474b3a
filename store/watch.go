package store

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// The pause after a watch or its first read failed: doubled each time, up to the
// second.
const (
	watchPause    = 100 * time.Millisecond
	watchPauseMax = 2 * time.Second
)

// event is a key that was written or deleted.
type event struct {
	item
	deleted bool
}

// watcher is told of everything below a key, or of the key itself.
type watcher struct {
	key  string
	opts []clientv3.OpOption

	// load reads all of it and returns the revision of that. It is called at the
	// start, and again when changes were compacted away before they came.
	load func(ctx context.Context) (revision int64, err error)
	// changed is told the changes of one revision. If it asks to reload, load
	// comes next.
	changed func(revision int64, events []event) (reload bool)
}

// watch runs w until ctx ends; then it returns nil. While the store is away it
// waits, and goes on from its revision.
func (s *Store) watch(ctx context.Context, op string, w watcher) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	var revision int64 // 0: to be loaded
	pause := watchPause
	var trusted uint64 // etcd's id of the cluster that revision is of
	for {
		if revision != 0 {
			now, err := s.following(ctx, op)
			switch {
			case ctx.Err() != nil:
				return s.watchEnd(op)
			case err != nil:
				s.log.Debug("watch waits for the store", "watch", op, "error", err)
				if !s.pause(ctx, &pause) {
					return s.watchEnd(op)
				}
				continue
			case now != trusted:
				revision = 0 // it was restored
			}
		}
		if revision == 0 {
			r, err := w.load(ctx)
			switch {
			case ctx.Err() != nil:
				return s.watchEnd(op)
			case err == nil:
				revision, pause, trusted = r, watchPause, s.verified()
			case intent.KindOf(err) != intent.Unavailable:
				return err
			default:
				s.log.Info("watch waits for the store", "watch", op, "err", err)
			}
		}
		if revision != 0 {
			from := revision
			revision = s.watchFrom(ctx, op, w, revision)
			if revision == 0 {
				continue
			}
			if revision != from {
				pause = watchPause
			}
		}
		if !s.pause(ctx, &pause) {
			return s.watchEnd(op)
		}
	}
}

// pause waits, longer each time; false: ctx has ended.
func (s *Store) pause(ctx context.Context, pause *time.Duration) bool {
	select {
	case <-time.After(*pause):
		*pause = min(2**pause, watchPauseMax)
		return true
	case <-ctx.Done():
		return false
	}
}

// following returns etcd's id of the cluster that answers, if it is this host's.
func (s *Store) following(ctx context.Context, op string) (uint64, error) {
	limited, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.ensure(limited, op); err != nil {
		return 0, err
	}
	return s.verified(), nil
}

// verified returns etcd's id of the cluster that is known to be this host's store; 0:
// none is.
func (s *Store) verified() uint64 {
	s.trust.mu.Lock()
	defer s.trust.mu.Unlock()
	return s.trust.etcd
}

func (s *Store) watchEnd(op string) error {
	if s.closed.Err() != nil {
		return intent.Unavailablef("%s: %w", op, errClosed)
	}
	return nil
}

// watchFrom hands over changes after a revision until the watch breaks, and
// returns the last revision handed over, or 0 if all must be loaded again.
func (s *Store) watchFrom(ctx context.Context, op string, w watcher, revision int64) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.trust.mu.Lock()
	streams, etcd := s.trust.streams, s.trust.etcd
	s.trust.mu.Unlock()
	defer context.AfterFunc(streams, cancel)()
	opts := append([]clientv3.OpOption{clientv3.WithRev(revision + 1), clientv3.WithProgressNotify()}, w.opts...)
	for r := range s.client.Watch(clientv3.WithRequireLeader(ctx), w.key, opts...) {
		if r.Header.ClusterId != 0 && r.Header.ClusterId != etcd {
			s.unverify()
			return revision
		}
		if r.CompactRevision != 0 {
			s.log.Info("watch fell behind the store's compaction: reading all again", "watch", op, "revision", revision, "compacted", r.CompactRevision)
			return 0
		}
		if err := r.Err(); err != nil {
			s.log.Info("watch broke", "watch", op, "revision", revision, "err", err)
			return revision
		}
		for _, events := range byRevision(r.Events) {
			revision = events[0].revision
			if w.changed(revision, events) {
				return 0
			}
		}
		// Also when nothing happened here for long: else the revision to go on
		// from would be compacted away.
		if r.IsProgressNotify() {
			revision = max(revision, r.Header.Revision)
		}
	}
	return revision
}

// byRevision groups events, which come in order.
func byRevision(evs []*clientv3.Event) [][]event {
	var groups [][]event
	var last int64
	for _, e := range evs {
		if e.Kv.ModRevision != last {
			groups, last = append(groups, nil), e.Kv.ModRevision
		}
		g := &groups[len(groups)-1]
		*g = append(*g, event{item{string(e.Kv.Key), e.Kv.Value, e.Kv.ModRevision}, e.Type == clientv3.EventTypeDelete})
	}
	return groups
}
