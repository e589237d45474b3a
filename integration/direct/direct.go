// Package direct opens the store of an overlay in a lab, beside the daemons. It is apart
// from package overlay because it takes all of etcd into a test's binary.
package direct

import (
	"context"

	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// Sound compares every index key in the store with its object.
func Sound(o *overlay.Overlay) {
	o.T.Helper()
	for _, complaint := range Store(o, func(ctx context.Context, s *store.Store) ([]string, error) { return s.Check(ctx) }) {
		o.T.Error(complaint)
	}
}

// Store asks the overlay's store directly.
func Store[T any](o *overlay.Overlay, ask func(context.Context, *store.Store) (T, error)) (answer T) {
	o.T.Helper()
	ctx, cancel := context.WithTimeout(o.T.Context(), overlay.PollTime)
	defer cancel()
	s, err := store.Open(ctx, cluster.Config{StateDir: o.T.TempDir(), Endpoints: []string{"unix://" + o.StoreSocket()}})
	if err == nil {
		defer s.Close()
		answer, err = ask(ctx, s)
	}
	if err != nil {
		o.T.Fatal(err)
	}
	return answer
}
