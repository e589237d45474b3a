package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// backUp writes a backup of a store into a file.
func backUp(t *testing.T, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Numbers that were used after the backup are never reused.
func TestRestoreGivesNothingOutTwice(t *testing.T) {
	dir := stateDir(t)
	s := open(t, cluster.Config{StateDir: dir})
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	if _, _, err := s.AddPort(t.Context(), port("acme/web/c1")); err != nil {
		t.Fatal(err)
	}
	ref := port("acme/web/c1").Ref()
	if _, err := s.Claim(t.Context(), ref, "host1", 0); err != nil {
		t.Fatal(err)
	}
	file := backUp(t, s)

	late, _, err := s.AddPort(t.Context(), port("acme/web/late"))
	if err != nil {
		t.Fatal(err)
	}
	claim, err := s.Claim(t.Context(), ref, "host1", 0)
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), cluster.Config{StateDir: dir}, file); intent.KindOf(err) != intent.Conflict {
		t.Errorf("restoring a store that runs: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := Restore(t.Context(), cluster.Config{StateDir: dir}, file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(kept, "member")); err != nil {
		t.Errorf("the data that was set aside: %v", err)
	}

	s = open(t, cluster.Config{StateDir: dir})
	if after, err := s.Ping(t.Context()); err != nil || after <= before {
		t.Errorf("revision %d after %d: %v", after, before, err)
	}
	if _, err := s.Port(t.Context(), ref); err != nil {
		t.Errorf("a port of the backup: %v", err)
	}
	if _, err := s.Port(t.Context(), late.Ref()); intent.KindOf(err) != intent.NotFound {
		t.Errorf("a port added later: %v", err)
	}
	again, _, err := s.AddPort(t.Context(), port("acme/web/again"))
	if err != nil {
		t.Fatal(err)
	}
	if again.ID < late.ID+64 { // the block of ids that a client may have reserved
		t.Errorf("id %d after %d", again.ID, late.ID)
	}
	if next, err := s.Claim(t.Context(), ref, "host1", 0); err != nil || next.Generation <= claim.Generation {
		t.Errorf("generation %d after %d: %v", next.Generation, claim.Generation, err)
	}
}

// A watch that is ahead of the backup starts again with a whole snapshot.
func TestWatchOverARestore(t *testing.T) {
	dir := stateDir(t)
	c := cluster.Config{StateDir: dir}
	s := open(t, c)
	acme(t, s)
	file := backUp(t, s)
	var last int64
	for _, name := range []string{"acme/web/c1", "acme/web/c2"} {
		_, revision, err := s.AddPort(t.Context(), port(name))
		if err != nil {
			t.Fatal(err)
		}
		last = revision
	}
	far := open(t, cluster.Config{Endpoints: []string{"unix://" + filepath.Join(dir, "etcd", "etcd.sock")}})
	m, _ := watch(t, far, "acme")
	m.reaches(t, last)
	m.equals(t, s, "acme")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), c, file); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	revision, err := s.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, revision)
	m.equals(t, s, "acme")

	// The same backup once more, although the store has changed since.
	_, revision, err = s.AddPort(t.Context(), port("acme/web/c3"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, revision)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), c, file); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	if revision, err = s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.reaches(t, revision)
	m.equals(t, s, "acme")
}

func TestRestoreRefuses(t *testing.T) {
	dir := stateDir(t)
	s := open(t, cluster.Config{StateDir: dir})
	acme(t, s)
	file := backUp(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"an empty file", nil},
		{"something else", []byte("not a backup")},
		{"half of it", whole[:len(whole)/2]},
		{"a bit turned over", append(append(bytes.Clone(whole[:5000]), whole[5000]^1), whole[5001:]...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad")
			if err := os.WriteFile(bad, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Restore(t.Context(), cluster.Config{StateDir: dir}, bad); intent.KindOf(err) != intent.Invalid {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Restore(t.Context(), cluster.Config{StateDir: dir}, filepath.Join(dir, "none")); intent.KindOf(err) != intent.NotFound {
		t.Errorf("a file that does not exist: %v", err)
	}
	s = open(t, cluster.Config{StateDir: dir})
	if _, err := s.Tenant(t.Context(), "acme"); err != nil {
		t.Errorf("after the refused change: %v", err)
	}
}

func TestCompactAndHealth(t *testing.T) {
	s := open(t, cluster.Config{})
	acme(t, s)
	revision, err := s.Compact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.Revision != revision || len(h.Members) != 1 || !h.Members[0].Leader || h.Size == 0 || h.InUse == 0 || len(h.Faults) != 0 {
		t.Errorf("%+v, compacted at %d", h, revision)
	}
	far := open(t, cluster.Config{Endpoints: s.URLs()[:1], Timeout: 10 * time.Second})
	if there, err := far.Health(t.Context()); err != nil || there.Revision != revision {
		t.Errorf("from another client: %+v, %v", there, err)
	}
}

// The heartbeats in a backup are from processes that are gone: on a new host, another instance
// of the same name, the restored store can be used at once.
func TestRestoreDropsSignsOfLife(t *testing.T) {
	s := open(t, cluster.Config{Instance: "old"})
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.KeepAlive(ctx, "host1") }()
	until(t, "the host is alive", func() bool { l, err := s.Hosts(ctx); return err == nil && len(l) == 1 && l[0].Alive })
	if err := s.SetAppliedSpan(ctx, "host1", map[string]int64{"acme": 7}); err != nil {
		t.Fatal(err)
	}
	if err := s.AskExamination(ctx, "host1", 7); err != nil {
		t.Fatal(err)
	}
	file := backUp(t, s)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	dir := stateDir(t)
	if _, err := Restore(t.Context(), cluster.Config{StateDir: dir}, file); err != nil {
		t.Fatal(err)
	}
	s = open(t, cluster.Config{StateDir: dir, Instance: "new"})
	host(t, s, "host1", "192.0.2.1")
	for _, k := range keys(t, s) {
		for _, root := range []string{aliveRoot, appliedRoot, examineAsked} {
			if strings.HasPrefix(k, root) {
				t.Errorf("restored: %s", k)
			}
		}
	}
	checked(t, s)
}
