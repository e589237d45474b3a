// Package storetest opens stores for the tests of other packages: real ones, which are
// fast because they do not wait for the disk.
package storetest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// Open opens an embedded store in its own folder. At the end of the test it is closed, and
// must be consistent.
func Open(t testing.TB) *store.Store {
	t.Helper()
	// Not t.TempDir: its path may be too long for a socket.
	dir, err := os.MkdirTemp("", "ovst")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s, err := store.Open(t.Context(), cluster.Config{StateDir: dir, Unsynced: true, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		found, err := s.Check(context.Background())
		switch {
		case err != nil:
			t.Errorf("check the store: %v", err)
		case len(found) > 0:
			t.Errorf("the store is inconsistent:\n%s", strings.Join(found, "\n"))
		}
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}
