package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

func dataDir(stateDir string) string      { return filepath.Join(stateDir, "etcd", "data") }
func identityFile(stateDir string) string { return filepath.Join(stateDir, "identity") }

// closed closes a store.
func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// proxied opens another store at an address that can be redirected.
func proxied(t *testing.T) (c cluster.Config, at func(dir string)) {
	t.Helper()
	link := filepath.Join(stateDir(t), "s")
	return cluster.Config{StateDir: stateDir(t), Endpoints: []string{"unix://" + link}, Timeout: 10e9}, func(dir string) {
		t.Helper()
		if err := os.RemoveAll(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(dir, "etcd", "etcd.sock"), link); err != nil {
			t.Fatal(err)
		}
	}
}

// refused fails the test if a change reaches the store that answers.
func refusedChange(t *testing.T, s *Store, why string) {
	t.Helper()
	_, _, err := s.AddTenant(context.WithoutCancel(t.Context()), "lost")
	if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "may have been stored") {
		t.Errorf("a change: %v; want ...%s...", err, why)
	}
}

// If another store answers, or an older state of its own store, a host continues from its
// cached copies, and returns to its store when that is back; also over restarts.
func TestAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	c, at := proxied(t)
	dir := stateDir(t)
	s := open(t, cluster.Config{StateDir: dir})
	acme(t, s)
	at(dir)
	far := open(t, c)
	m, stop := watch(t, far, "acme")
	_, rev, err := s.AddPort(t.Context(), port("acme/web/c1"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, rev)
	closed(t, s)
	old := filepath.Join(stateDir(t), "old")
	if err := os.CopyFS(old, os.DirFS(dataDir(dir))); err != nil {
		t.Fatal(err)
	}
	s = open(t, cluster.Config{StateDir: dir})
	if _, rev, err = s.AddPort(t.Context(), port("acme/web/c2")); err != nil {
		t.Fatal(err)
	}
	m.reaches(t, rev)
	until(t, "the host has seen the change", func() bool { now, err := far.Ping(t.Context()); return err == nil && now >= rev })
	want := lines(m.objects)
	closed(t, s)

	check := func(why string) {
		t.Helper()
		until(t, "it is refused", func() bool {
			_, err := far.Ping(t.Context())
			return err != nil && strings.Contains(err.Error(), why)
		})
		refusedChange(t, far, why)
		if far.Refusal() == nil {
			t.Error("no refusal")
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if got := lines(m.objects); got != want || m.gone {
			t.Errorf("delivered:\n%s\nwant\n%s", got, want)
		}
	}
	another := stateDir(t)
	other := open(t, cluster.Config{StateDir: another})
	must[intent.Tenant](t)(other.AddTenant(t.Context(), "globex"))
	at(another)
	check("the store that answers is another")
	if found := keys(t, other); strings.Contains(strings.Join(found, " "), "lost") {
		t.Errorf("written to the other store: %v", found)
	}
	stop()
	closed(t, far)
	far = open(t, c)
	check("the store that answers is another")
	m, _ = watch(t, far, "acme")
	closed(t, other)

	// An older state of its own store, as from a snapshot of the disk.
	if err := os.Rename(dataDir(dir), dataDir(dir)+"-now"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, dataDir(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(identityFile(dir)); err != nil {
		t.Fatal(err)
	}
	s = open(t, cluster.Config{StateDir: dir})
	at(dir)
	want = ""
	check("older state")
	for range 20 { // also when the older state has grown
		_, _, err := s.AddTenant(t.Context(), "t"+strings.Repeat("x", len(keys(t, s))))
		if err != nil {
			t.Fatal(err)
		}
	}
	check("older state")
	closed(t, s)

	if err := os.RemoveAll(dataDir(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dataDir(dir)+"-now", dataDir(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(identityFile(dir)); err != nil {
		t.Fatal(err)
	}
}

// Hosts accept a restored store, whether they stayed up or start later.
func TestRestoreHandsOver(t *testing.T) {
	t.Parallel()
	c, at := proxied(t)
	down := cluster.Config{StateDir: stateDir(t), Endpoints: c.Endpoints}
	dir := stateDir(t)
	s := open(t, cluster.Config{StateDir: dir})
	acme(t, s)
	at(dir)
	file := backUp(t, s)
	far, away := open(t, c), open(t, down)
	m, _ := watch(t, far, "acme")
	for _, f := range []*Store{far, away} {
		if _, err := f.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, away)
	for _, where := range []string{dir, dir, stateDir(t)} { // the last one is a new machine
		_, rev, err := s.AddPort(t.Context(), port("acme/web/later"))
		if err != nil {
			t.Fatal(err)
		}
		m.reaches(t, rev)
		closed(t, s)
		if where == dir {
			if id, err := os.ReadFile(identityFile(dir)); err != nil || !strings.Contains(string(id), `"cluster":"`) || strings.Contains(string(id), `"cluster":""`) {
				t.Errorf("identity %s, %v", id, err)
			}
		}
		if _, err := Restore(t.Context(), cluster.Config{StateDir: where}, file); err != nil {
			t.Fatal(err)
		}
		s = open(t, cluster.Config{StateDir: where})
		at(where)
		now, err := s.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.reaches(t, now)
		m.equals(t, s, "acme")
		if _, _, err := far.AddPort(t.Context(), port("acme/web/far")); err != nil {
			t.Errorf("a change from elsewhere: %v", err)
		}
		if _, rev, err = s.DeletePort(t.Context(), ref("acme/web/far"), false); err != nil {
			t.Fatal(err)
		}
		m.reaches(t, rev)
	}
	away = open(t, down)
	if _, err := away.Ping(t.Context()); err != nil {
		t.Errorf("a host that was down: %v", err)
	}
	checked(t, s)
}

// A store is created only where no trace of an earlier store exists.
func TestNoStoreIsFoundedUnasked(t *testing.T) {
	ctx := t.Context()
	dir := stateDir(t)
	c := cluster.Config{StateDir: dir, WithoutMember: true}
	s := open(t, c)
	acme(t, s)
	_, stop := watch(t, s, "acme")
	until(t, "the copy is there", func() bool { _, ok := s.Copy("acme"); return ok })
	file := backUp(t, s)
	stop()
	closed(t, s)
	if err := os.RemoveAll(filepath.Join(dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = open(t, c)
		if _, ok := s.Copy("acme"); !ok {
			t.Error("no copy")
		}
		refusedChange(t, s, "this host has seen a store")
		if _, err := s.Tenants(ctx); !strings.Contains(err.Error(), "ovloom store restore FILE") || !strings.Contains(err.Error(), "ovloom store init") {
			t.Errorf("read: %v", err)
		}
		closed(t, s)
	}
	if _, err := Open(ctx, cluster.Config{StateDir: dir}); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("without leave: %v", err)
	}
	if _, err := Restore(ctx, cluster.Config{StateDir: dir}, file); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	if _, err := s.Tenant(ctx, "acme"); err != nil {
		t.Error(err)
	}
	closed(t, s)

	// A user may force it.
	kept, err := cluster.Init(cluster.Config{StateDir: dir})
	if err != nil || kept == "" {
		t.Fatalf("%q, %v", kept, err)
	}
	s = open(t, c)
	if list, err := s.Tenants(ctx); err != nil || len(list) != 0 {
		t.Errorf("a new store has %v, %v", list, err)
	}
	closed(t, s)
	s = open(t, c)
	if err := s.Refusal(); err != nil {
		t.Error(err)
	}
	closed(t, s)

	// Traces elsewhere than on disk.
	traced := open(t, cluster.Config{StateDir: stateDir(t), WithoutMember: true, Traces: func() []string { return []string{"ports on br-int"} }})
	refusedChange(t, traced, "ports on br-int")
}

// A host with a build that stored no identity has its cached copies.
func TestCopiesTellOfAnOlderState(t *testing.T) {
	dir := stateDir(t)
	s := open(t, cluster.Config{StateDir: dir})
	acme(t, s)
	c := cluster.Config{StateDir: stateDir(t), Endpoints: s.URLs()}
	far := open(t, c)
	_, stop := watch(t, far, "acme")
	until(t, "the copy is there", func() bool { _, ok := far.Copy("acme"); return ok })
	stop()
	closed(t, far)
	if err := os.Remove(identityFile(c.StateDir)); err != nil {
		t.Fatal(err)
	}
	again := open(t, c)
	if _, err := again.Ping(t.Context()); err != nil {
		t.Errorf("the store of the copies: %v", err)
	}
	closed(t, again)
	if err := os.Remove(identityFile(c.StateDir)); err != nil {
		t.Fatal(err)
	}
	empty := open(t, cluster.Config{})
	c.Endpoints = empty.URLs()
	refusedChange(t, open(t, c), "older state")
}
