package store

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/store/cluster"
)

// OpenWhile runs Open and do at the same time: both take a while, and neither needs the
// other. It always waits for do, even when the store cannot be opened, so that do finishes
// what it began. If do fails, OpenWhile returns do's error, and the store is not open.
func OpenWhile(ctx context.Context, cfg cluster.Config, do func(context.Context) error) (*Store, error) {
	opening, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	var s *Store
	g.Go(func() (err error) {
		s, err = Open(opening, cfg)
		return err
	})
	done := do(ctx)
	if done != nil {
		stop()
	}
	opened := g.Wait()
	switch {
	case done == nil && opened == nil:
		return s, nil
	case done == nil:
		return nil, opened
	case opened == nil:
		return nil, errors.Join(done, s.Close())
	}
	return nil, done
}
