package store

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// patience limits a call that is one of many concurrent ones on a busy machine.
const patience = 30 * time.Second

// open opens an embedded store in a folder of its own.
func open(t testing.TB, c cluster.Config) *Store {
	t.Helper()
	if c.StateDir == "" {
		c.StateDir = stateDir(t)
	}
	if os.Getenv("OVLOOM_TEST_LOG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c.Unsynced = true
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
	return open(t, cluster.Config{Endpoints: s.URLs()})
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

// A member is ready within a second, with and without data. The best of several runs counts:
// the machine may be busy.
func TestOpenIsFast(t *testing.T) {
	best := map[string]time.Duration{"empty": time.Hour, "again": time.Hour}
	for range 3 {
		dir := stateDir(t)
		for _, what := range []string{"empty", "again"} {
			began := time.Now()
			s := open(t, cluster.Config{StateDir: dir})
			if _, err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			best[what] = min(best[what], time.Since(began))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, took := range best {
		t.Logf("%s: first answer after %v", what, took)
		if took > time.Second {
			t.Errorf("%s: first answer after %v", what, took)
		}
	}
}

// In normal operation etcd logs no warning.
func TestNothingToWarnOf(t *testing.T) {
	var warnings strings.Builder
	log := slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := open(t, cluster.Config{Logger: log})
	acme(t, s)
	far := client(t, s)
	m, _ := watch(t, far, "acme")
	_, rev, err := far.AddPort(t.Context(), port("acme/web/c1"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, rev)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if warnings.Len() > 0 {
		t.Errorf("logged:\n%s", warnings.String())
	}
}

func remove(ctx context.Context, s *Store, key string) (revision int64, err error) {
	var tx kv.Txn
	tx.Delete(key)
	return s.kv.Commit(ctx, &tx)
}
