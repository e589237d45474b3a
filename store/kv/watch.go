package kv

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// FirstPause is the pause after a watch of the store has failed. It is doubled each time,
// up to lastPause.
const (
	FirstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Event is a key that was written or deleted.
type Event struct {
	Item
	Deleted bool
}

// Watcher receives a key, or the keys that Opts select.
type Watcher struct {
	Key  string
	Opts []Option // Prefix, KeysOnly, PutsOnly

	// Load reads all keys and returns their revision. It is called at the start, and again
	// when changes were compacted away before they arrived.
	Load func(ctx context.Context) (revision int64, err error)
	// Changed receives the changes of one revision. If it asks to reload, Load is called
	// next.
	Changed func(revision int64, events []Event) (reload bool)
}

// Watch runs w until ctx ends; then it returns nil. While the store is away Watch waits,
// and then continues from its revision. It fails when the client ends (kind Unavailable),
// and with an error of Load of another kind than Unavailable.
func (c *Client) Watch(ctx context.Context, op string, w Watcher) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closed, cancel)()
	var revision int64 // 0: load first
	pause := FirstPause
	var trusted uint64 // etcd's id of the cluster that revision belongs to
	for {
		if revision != 0 {
			now, err := c.following(ctx, op)
			switch {
			case ctx.Err() != nil:
				return c.watchEnd(op)
			case err != nil:
				c.log.Debug("watch waits for the store", "watch", op, "error", err)
				if !Pause(ctx, &pause) {
					return c.watchEnd(op)
				}
				continue
			case now != trusted:
				revision = 0 // it was restored
			}
		}
		if revision == 0 {
			r, err := w.Load(ctx)
			switch {
			case ctx.Err() != nil:
				return c.watchEnd(op)
			case err == nil:
				revision, pause, trusted = r, FirstPause, c.source.Following().Cluster
			case intent.KindOf(err) != intent.Unavailable:
				return err
			default:
				c.log.Info("watch waits for the store", "watch", op, "error", err)
			}
		}
		if revision != 0 {
			from := revision
			revision = c.watchFrom(ctx, op, w, revision)
			if revision == 0 {
				continue
			}
			if revision != from {
				pause = FirstPause
			}
		}
		if !Pause(ctx, &pause) {
			return c.watchEnd(op)
		}
	}
}

// Pause waits for pause, and doubles it; it starts as FirstPause. It returns false if ctx
// has ended.
func Pause(ctx context.Context, pause *time.Duration) bool {
	select {
	case <-time.After(*pause):
		*pause = min(2**pause, lastPause)
		return true
	case <-ctx.Done():
		return false
	}
}

// following returns etcd's id of the cluster that answers, if it is the store to follow.
func (c *Client) following(ctx context.Context, op string) (uint64, error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.source.Ensure(limited, op); err != nil {
		return 0, err
	}
	return c.source.Following().Cluster, nil
}

func (c *Client) watchEnd(op string) error {
	if c.Closed() {
		return intent.Unavailablef("%s: %w", op, ErrClosed)
	}
	return nil
}

// watchFrom delivers changes after a revision until the watch breaks, and returns the last
// revision delivered, or 0 if all keys must be loaded again.
func (c *Client) watchFrom(ctx context.Context, op string, w Watcher, revision int64) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	following := c.source.Following()
	defer context.AfterFunc(following.Streams, cancel)()
	opts := append([]Option{clientv3.WithRev(revision + 1), clientv3.WithProgressNotify()}, w.Opts...)
	for r := range c.etcd.Watch(clientv3.WithRequireLeader(ctx), w.Key, opts...) {
		if r.Header.ClusterId != 0 && r.Header.ClusterId != following.Cluster {
			c.source.Doubt()
			return revision
		}
		if r.CompactRevision != 0 {
			c.log.Info("watch fell behind the compaction of the store; reading all again", "watch", op, "revision", revision, "compacted", r.CompactRevision)
			return 0
		}
		if err := r.Err(); err != nil {
			c.log.Info("watch broke", "watch", op, "revision", revision, "error", err)
			return revision
		}
		for _, events := range byRevision(r.Events) {
			revision = events[0].Revision
			if w.Changed(revision, events) {
				return 0
			}
		}
		// Advance even when nothing has changed here for long: otherwise the revision to
		// continue from would be compacted away.
		if r.IsProgressNotify() {
			revision = max(revision, r.Header.Revision)
		}
	}
	return revision
}

// Moved waits until a key from first up to, but not including, end is written or deleted
// after a revision, and returns the revision of that change. It may return early, with the
// given revision: the caller then reads again, and gets an error if the store is gone.
func (c *Client) Moved(ctx context.Context, first, end string, revision int64) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closed, cancel)()
	changes := c.etcd.Watch(clientv3.WithRequireLeader(ctx), first, clientv3.WithRange(end), clientv3.WithRev(revision+1))
	for r := range changes {
		if r.Err() != nil {
			break
		}
		if len(r.Events) > 0 {
			return r.Events[len(r.Events)-1].Kv.ModRevision
		}
	}
	select {
	case <-time.After(FirstPause):
	case <-ctx.Done():
	}
	return revision
}

// byRevision groups events, which come in order.
func byRevision(evs []*clientv3.Event) [][]Event {
	var groups [][]Event
	var last int64
	for _, e := range evs {
		if e.Kv.ModRevision != last {
			groups, last = append(groups, nil), e.Kv.ModRevision
		}
		g := &groups[len(groups)-1]
		*g = append(*g, Event{Item{string(e.Kv.Key), e.Kv.Value, e.Kv.ModRevision}, e.Type == clientv3.EventTypeDelete})
	}
	return groups
}
