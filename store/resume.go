package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Starting a watch from the copy on disk: a host that comes back, or all of them at once,
// asks the store only for the changes since.

const (
	// resumeFrom is how many keys a copy must have to be worth catching up. A smaller copy
	// is read again just as quickly.
	resumeFrom = 1000
)

// resumed is a copy with the changes since.
type resumed struct {
	snap     intent.Snapshot
	changes  map[string]kv.Event // by key, since the copy was written
	revision int64
}

// resume returns the snapshot at path, brought up to date; false if the store has to be
// read from the beginning.
func (s *Store) resume(ctx context.Context, op, path, prefix string) (resumed, bool) {
	copied, since, ok := s.kv.ReadCopy(path)
	if !ok || len(copied) < resumeFrom {
		return resumed{}, false
	}
	var r resumed
	caught := make(chan error, 1)
	go func() {
		caught <- s.kv.Call(ctx, op, func(ctx context.Context) (err error) {
			r.changes, r.revision, err = s.kv.CatchUp(ctx, prefix, copied, since)
			return err
		})
	}()
	// Decode meanwhile: it takes as long as the store's answer, and most often nothing has
	// changed.
	snap, bad := snapshotOf(copied, since)
	if err := <-caught; err != nil {
		s.log.Info("cached copy not used; reading all from the store", "watch", op, "revision", since, "error", err)
		return resumed{}, false
	}
	if len(r.changes) > 0 {
		snap, bad = snapshotOf(kv.Merge(copied, r.changes), r.revision)
	}
	if len(bad) > 0 { // their last valid state has to be found
		return resumed{}, false
	}
	snap.Revision = r.revision
	r.snap = snap
	return r, true
}
