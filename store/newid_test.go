package store

import (
	"context"
	"testing"
)

// An id that could not be reserved is none: an attempt that is made again would keep it,
// and several hosts that register at once would get the same.
func TestNoIDWithAnError(t *testing.T) {
	s := open(t, Config{})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if id, err := s.newID(ctx); err == nil || id != 0 {
		t.Errorf("with an error comes id %d, %v", id, err)
	}
}
