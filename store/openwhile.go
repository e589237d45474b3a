package store

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/store/cluster"
)

// OpenWhile is Open beside do: both take a while, and neither needs the other. do is always
// waited for, also when the store cannot be opened: what it has begun it ends. If do fails, the
// error is do's, and the store is not open.
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
