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
	for {
		if revision == 0 {
			r, err := w.load(ctx)
			switch {
			case ctx.Err() != nil:
				return s.watchEnd(op)
			case err == nil:
				revision, pause = r, watchPause
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
		select {
		case <-time.After(pause):
			pause = min(2*pause, watchPauseMax)
		case <-ctx.Done():
			return s.watchEnd(op)
		}
	}
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
	opts := append([]clientv3.OpOption{clientv3.WithRev(revision + 1), clientv3.WithProgressNotify()}, w.opts...)
	for r := range s.client.Watch(clientv3.WithRequireLeader(ctx), w.key, opts...) {
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
