package store

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// open opens an embedded store in a folder of its own.
func open(t testing.TB, c Config) *Store {
	t.Helper()
	if c.StateDir == "" {
		c.StateDir = stateDir(t)
	}
	if os.Getenv("OVLOOM_TEST_LOG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// stateDir returns a folder with a path that is short enough for a socket.
func stateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ovst")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// client opens another client of a store.
func client(t testing.TB, s *Store) *Store {
	t.Helper()
	return open(t, Config{Endpoints: s.URLs()})
}

func must[T any](t testing.TB) func(v T, _ int64, err error) T {
	return func(v T, _ int64, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ref(s string) intent.PortRef {
	r, err := intent.ParsePortRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

// checked fails the test if the store is not consistent.
func checked(t testing.TB, s *Store) {
	t.Helper()
	found, err := s.Check(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Errorf("the store is inconsistent:\n%s", strings.Join(found, "\n"))
	}
}

func TestOpenIsFast(t *testing.T) {
	dir := stateDir(t)
	for _, what := range []string{"first", "again"} {
		began := time.Now()
		s, err := Open(t.Context(), Config{StateDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ready := time.Since(began)
		if _, err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		answered := time.Since(began)
		began = time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: ready after %v, first answer after %v, closed in %v", what, ready, answered, time.Since(began))
	}
}
