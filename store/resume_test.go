package store

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// manyPorts writes ports of acme/web without checks.
func manyPorts(t *testing.T, s *Store, n int, uuid string) {
	t.Helper()
	for from := 0; from < n; from += kv.MaxOps {
		var tx kv.Txn
		for i := from; i < min(n, from+kv.MaxOps); i++ {
			p := intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprintf("p%d", i), ID: intent.ID(1 + i),
				UUID: fmt.Sprintf("%s%012x", uuid, i), MAC: intent.MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}}
			value, err := kv.Encode(p, nil)
			if err != nil {
				t.Fatal(err)
			}
			tx.Put(portKey(p.Ref()), value)
		}
		if _, err := s.kv.Commit(t.Context(), &tx); err != nil {
			t.Fatal(err)
		}
	}
}

// A host that starts reads what has not changed from its cached copy.
func TestResumeFromACopy(t *testing.T) {
	t.Parallel()
	s := open(t, cluster.Config{})
	acme(t, s)
	manyPorts(t, s, resumeFrom, "00000000-0000-4000-8000-")
	other := open(t, cluster.Config{})
	acme(t, other)
	manyPorts(t, other, resumeFrom, "00000000-0000-4000-9000-")

	path := filepath.Join(t.TempDir(), "acme.copy")
	keep := func() {
		t.Helper()
		all, revision, err := s.kv.List(t.Context(), "test", tenantRoot("acme"))
		if err != nil {
			t.Fatal(err)
		}
		if err := kv.WriteCopy(path, all, revision); err != nil {
			t.Fatal(err)
		}
	}
	change := func() {
		t.Helper()
		if _, _, err := s.DeletePort(t.Context(), ref("acme/web/p7"), false); err != nil {
			t.Fatal(err)
		}
		must[intent.Port](t)(s.AddPort(t.Context(), port("acme/web/p7")))
		if _, _, err := s.DeletePort(t.Context(), ref("acme/web/p8"), false); err != nil {
			t.Fatal(err)
		}
		must[intent.Port](t)(s.AddPort(t.Context(), port("acme/web/zz")))
	}
	for _, c := range []struct {
		name    string
		do      func()
		of      *Store
		ok      bool
		changes int
	}{
		{"nothing changed", func() {}, s, true, 0},
		{"something else changed", func() { must[intent.Tenant](t)(s.AddTenant(t.Context(), "globex")) }, s, true, 0},
		{"ports came, went and changed", change, s, true, 3},
		{"a copy of another store", func() {}, other, false, 0},
		{"the changes were compacted away", func() {
			for _, name := range []string{"acme/web/y", "acme/web/z"} {
				must[intent.Port](t)(s.AddPort(t.Context(), port(name)))
			}
			if _, err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, s, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			keep()
			c.do()
			r, ok := c.of.resume(t.Context(), "test", path, tenantRoot("acme"))
			if ok != c.ok || len(r.changes) != c.changes {
				t.Fatalf("resumed: %v, with %d changes; want %v, %d", ok, len(r.changes), c.ok, c.changes)
			}
			if !ok {
				return
			}
			want, err := s.Snapshot(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			if r.revision < want.Revision || r.snap.Revision != r.revision || !maps.Equal(snapshotText(r.snap), snapshotText(want)) {
				t.Errorf("at revision %d:\n%s\nwant, at %d\n%s", r.revision, lines(snapshotText(r.snap)), want.Revision, lines(snapshotText(want)))
			}
		})
	}
}

// A watch that begins with a copy continues with later changes.
func TestWatchOverARestartOfTheHost(t *testing.T) {
	t.Parallel()
	s := open(t, cluster.Config{})
	acme(t, s)
	manyPorts(t, s, resumeFrom, "00000000-0000-4000-8000-")
	c := cluster.Config{StateDir: stateDir(t), Endpoints: s.URLs()}
	far := open(t, c)
	_, stop := watch(t, far, "acme")
	until(t, "the copy is there", func() bool { _, ok := far.Copy("acme"); return ok })
	stop()
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	_, missed, err := s.DeletePort(t.Context(), ref("acme/web/p7"), false)
	if err != nil {
		t.Fatal(err)
	}
	far = open(t, c)
	m, _ := watch(t, far, "acme")
	m.reaches(t, missed)
	m.equals(t, s, "acme")
	_, revision, err := s.AddPort(t.Context(), port("acme/web/zz"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, revision)
	m.equals(t, s, "acme")
	until(t, "the copy follows", func() bool { snap, _ := far.Copy("acme"); return snap.Revision == revision })
	m.mu.Lock()
	defer m.mu.Unlock()
	if snap, _ := far.Copy("acme"); !maps.Equal(snapshotText(snap), m.objects) {
		t.Errorf("the copy has\n%s\nwant\n%s", lines(snapshotText(snap)), lines(m.objects))
	}
}
