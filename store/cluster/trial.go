package cluster

// A process that runs without its member checks now and then whether a member would start
// again. It cannot restart the member itself: the failed member may hold its files, locks
// and sockets for as long as the process lives. So the process has to be restarted, and
// only when that is worth it.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bbolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
)

const (
	trialFirst = time.Second      // until the first trial
	trialMost  = 30 * time.Second // between trials that fail
	startMost  = 10 * time.Minute // between starts after successful trials
	goodAfter  = 10 * time.Minute // a member that ran for so long did not fail at its start
)

// Trial is the time of the next trial of whether the member would start.
type Trial struct {
	Next time.Time
	Last string // why the last one failed; "": there was none yet
}

// NextTrial returns the next trial of whether the member would start; false if the member
// runs, or no trial is planned.
func (n *Node) NextTrial() (Trial, bool) {
	t := n.trial.Load()
	if t == nil {
		return Trial{}, false
	}
	return *t, true
}

// AwaitRepair waits until this process runs without its member, and a trial shows that a
// process that starts now would have it. It returns the number of that start in a row, for
// Config.Attempt of the new process; false if ctx ended.
func (n *Node) AwaitRepair(ctx context.Context) (attempt int, ok bool) {
	select {
	case <-n.faulted:
	case <-ctx.Done():
		return 0, false
	}
	if time.Since(n.opened) < goodAfter {
		attempt = n.cfg.Attempt
	}
	wait := n.firstTrial(attempt)
	defer n.trial.Store(nil)
	for last := ""; ; {
		n.trial.Store(&Trial{Next: time.Now().Add(wait), Last: last})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, false
		}
		err := n.try(ctx)
		switch {
		case ctx.Err() != nil:
			return 0, false
		case err == nil:
			n.log.Info("the store's member would come up again", "attempt", attempt+1)
			return attempt + 1, true
		}
		attempt = 0 // there is something yet to repair, after which the start is another one
		if what := intent.What(err); what != last {
			n.log.Info("the store's member would not come up yet", "reason", what)
			last = what
		}
		wait = min(2*wait, trialMost)
	}
}

// firstTrial returns how long to wait for the first trial, after a number of starts in a
// row that failed although a trial had succeeded. It is long after a crash of the whole
// process, because the next start could end alike, and after data that can be read but do
// not suffice for a start, because no trial detects that.
func (n *Node) firstTrial(attempt int) time.Duration {
	if f := n.fault.Load(); errors.Is(f, errCrashed) || errors.Is(f, errNotUp) {
		return startMost
	}
	wait := trialFirst
	for range attempt {
		wait = min(4*wait, startMost)
	}
	return wait
}

// try returns why the member would not start. It changes nothing.
func (n *Node) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := n.roomy(); err != nil {
		return err
	}
	if err := readableData(ctx, n.cfg.StateDir); err != nil && !errors.Is(err, bbolterrors.ErrTimeout) { // it is in use here, so it was intact
		return err
	}
	if err := readableLog(ctx, n.cfg.StateDir); err != nil {
		return err
	}
	_, err := findPlace(ctx, n.closed, n.cfg)
	return err
}

// roomy checks that the disk has room for what a member writes: its log grows by whole
// segments.
func (n *Node) roomy() (err error) {
	dir := filepath.Join(n.cfg.StateDir, "etcd")
	if err := durable.PrivateDir(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "trial-*")
	if err != nil {
		return fmt.Errorf("write to the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := fileutil.Preallocate(f, wal.SegmentSizeBytes, true); err != nil {
		return fmt.Errorf("reserve %d MB on the disk: %w", wal.SegmentSizeBytes/1e6, err)
	}
	if _, err := f.Write(make([]byte, os.Getpagesize())); err != nil {
		return fmt.Errorf("write to the disk: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write to the disk: %w", err)
	}
	return nil
}

// readableLog reads the member's log from end to end.
func readableLog(ctx context.Context, stateDir string) error {
	if !hasData(stateDir) {
		return nil
	}
	dir := filepath.Join(dataDir(stateDir), "member", "wal")
	f := newFaults()
	_, err := guarded(ctx, f, func() (any, error) {
		log := f.logger(zap.NewNop())
		snaps, err := wal.ValidSnapshotEntries(log, dir)
		switch {
		case err != nil:
			return nil, err
		case len(snaps) == 0:
			return nil, errors.New("it has no beginning")
		}
		return wal.Verify(log, dir, snaps[len(snaps)-1])
	})
	if err != nil {
		return fmt.Errorf("read the log in %s: %w", dir, err)
	}
	return nil
}
