package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// A host starts while the store is down, with what it followed before.
func TestCopyServesWhileTheStoreIsDown(t *testing.T) {
	server := open(t, Config{})
	ctx := t.Context()
	acme(t, server)
	host(t, server, "host1", "192.0.2.1")
	must[intent.Tenant](t)(server.AddTenant(ctx, "globex"))

	dir := stateDir(t)
	far := open(t, Config{StateDir: dir, Endpoints: server.URLs()})
	m, stop := watch(t, far, "acme")
	_, stopGlobex := watch(t, far, "globex")
	hctx, hstop := context.WithCancel(ctx)
	hdone := make(chan error, 1)
	go func() { hdone <- far.WatchHosts(hctx, func(intent.HostsUpdate) {}) }()
	until(t, "the copies are there", func() bool {
		_, hosts := far.CopiedHosts()
		return hosts && len(far.CopiedTenants()) == 2
	})
	c1 := must[intent.Port](t)(server.AddPort(ctx, port("acme/web/c1")))
	if _, err := server.Claim(ctx, c1.Ref(), "host1", 0); err != nil {
		t.Fatal(err)
	}
	must[intent.Port](t)(server.AddPort(ctx, port("acme/web/c2")))
	must[intent.Port](t)(server.AddPort(ctx, port("acme/web/a0")))
	_, rev, err := server.DeletePort(ctx, ref("acme/web/c2"), false)
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, rev)
	until(t, "the copy follows", func() bool { c, _ := far.Copy("acme"); return c.Revision == rev })
	want, err := server.Snapshot(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	stopGlobex()
	hstop()
	if err := <-hdone; err != nil {
		t.Error(err)
	}
	for _, s := range []*Store{far, server} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}

	began := time.Now()
	alone := open(t, Config{StateDir: dir, Endpoints: server.URLs(), Timeout: 200 * time.Millisecond})
	if took := time.Since(began); took > time.Second {
		t.Errorf("opening took %v with the store down", took)
	}
	got, ok := alone.Copy("acme")
	if !ok || !maps.Equal(snapshotText(got), snapshotText(want)) {
		t.Errorf("copy: %v\n%s\nwant\n%s", ok, lines(snapshotText(got)), lines(snapshotText(want)))
	}
	if names := alone.CopiedTenants(); !slices.Equal(names, []string{"acme", "globex"}) {
		t.Errorf("copied tenants: %v", names)
	}
	if hosts, ok := alone.CopiedHosts(); !ok || len(hosts.Hosts) != 1 {
		t.Errorf("copied hosts: %+v, %v", hosts, ok)
	}
	_, _, err = alone.AddTenant(ctx, "initech")
	if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "add tenant initech: the store does not answer: dial unix") {
		t.Errorf("a write while the store is down: %v", err)
	}
	if err := alone.DropCopy("globex"); err != nil {
		t.Error(err)
	}
	if names := alone.CopiedTenants(); !slices.Equal(names, []string{"acme"}) {
		t.Errorf("copied tenants after one was dropped: %v", names)
	}
}

// Whatever is wrong with a copy, it counts as absent, and the next change makes
// it whole again.
func TestDamagedCopyIsIgnoredAndMadeAnew(t *testing.T) {
	damage := map[string]func([]byte) []byte{
		"empty":            func([]byte) []byte { return nil },
		"cut short":        func(b []byte) []byte { return b[:len(b)-20] },
		"one bit turned":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"another revision": func(b []byte) []byte { return bytes.Replace(b, []byte("copy 1 "), []byte("copy 1 1"), 1) },
		"a newer format":   func(b []byte) []byte { return bytes.Replace(b, []byte("copy 1"), []byte("copy 2"), 1) },
		"not a copy":       func([]byte) []byte { return []byte("end 00000000\n") },
		"lines were dropped": func(b []byte) []byte {
			l := bytes.SplitAfter(b, []byte("\n"))
			return bytes.Join(slices.Delete(l, 1, 2), nil)
		},
	}
	s := open(t, Config{})
	s.delay = 10 * time.Millisecond
	acme(t, s)
	m, _ := watch(t, s, "acme")
	path := spanCopy(s.cfg.StateDir, "acme")
	until(t, "the copy is there", func() bool { _, ok := s.Copy("acme"); return ok })
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoil(bytes.Clone(b)), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, ok := s.Copy("acme"); ok {
				t.Fatalf("read as %+v", got)
			}
			_, rev, err := s.AddPort(t.Context(), port("acme/web/"+strings.ReplaceAll(name, " ", "-")))
			if err != nil {
				t.Fatal(err)
			}
			m.reaches(t, rev)
			until(t, "the copy is whole again", func() bool { c, ok := s.Copy("acme"); return ok && c.Revision >= rev })
			want, err := s.Snapshot(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := s.Copy("acme"); !maps.Equal(snapshotText(got), snapshotText(want)) {
				t.Errorf("copy:\n%s\nwant\n%s", lines(snapshotText(got)), lines(snapshotText(want)))
			}
		})
	}
}

func TestHalfWrittenCopiesAreSweptAway(t *testing.T) {
	dir := stateDir(t)
	left := []string{dir + "/.copy-1", dir + "/span/.copy-2"}
	if err := os.Mkdir(dir+"/span", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Config{StateDir: dir})
	if names := s.CopiedTenants(); len(names) != 0 {
		t.Errorf("copied tenants: %v", names)
	}
	for _, f := range left {
		if _, err := os.Stat(f); err == nil {
			t.Errorf("%s is left", f)
		}
	}
}

func TestCopyGoesWithItsTenant(t *testing.T) {
	s := open(t, Config{})
	acme(t, s)
	watch(t, s, "acme")
	until(t, "the copy is there", func() bool { _, ok := s.Copy("acme"); return ok })
	if _, _, err := s.DeleteTenant(t.Context(), "acme", true); err != nil {
		t.Fatal(err)
	}
	until(t, "the copy is gone", func() bool { return len(s.CopiedTenants()) == 0 })
}

// What parses is written back as it was.
func FuzzCopy(f *testing.F) {
	f.Add([]byte("ovloom copy 1 7\nend 00000000\n"))
	path := f.TempDir() + "/span/seed.copy"
	if err := writeAll(path, []item{{key: tenantKey("acme"), value: []byte(`{"v":1}`)}}, 7); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		all, revision, err := parseCopy(b)
		agreeOnLines(t, b, all, err)
		if err != nil {
			return
		}
		path := t.TempDir() + "/again.copy"
		if err := writeAll(path, all, revision); err != nil {
			t.Fatal(err)
		}
		again, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, rev, err := parseCopy(again)
		if err != nil || rev != revision || len(got) != len(all) {
			t.Errorf("%q was written as %q: %v", b, again, err)
		}
	})
}

// agreeOnLines fails the test if a copy that is read line by line is not what parseCopy
// makes of it.
func agreeOnLines(t *testing.T, b []byte, all []item, err error) {
	t.Helper()
	var got []item
	var failed error
	for it, err := range copyLines(bytes.NewReader(b)) {
		if failed = err; err == nil {
			got = append(got, item{key: it.key, value: bytes.Clone(it.value)})
		}
	}
	if (failed == nil) != (err == nil) {
		t.Fatalf("%q, line by line: %v, as a whole: %v", b, failed, err)
	}
	if err == nil && !slices.EqualFunc(got, all, func(a, b item) bool { return a.key == b.key && bytes.Equal(a.value, b.value) }) {
		t.Fatalf("%q is read as %v, want %v", b, got, all)
	}
}

// A copy that is changed is the same as one that is written anew, and one that is damaged
// anywhere is left as it is.
func TestChangedCopy(t *testing.T) {
	t.Parallel()
	s := &Store{log: slog.New(slog.DiscardHandler)}
	dir := t.TempDir()
	path, want := dir+"/span/a.copy", dir+"/span/b.copy"
	var all []item
	for i := range 500 {
		all = append(all, item{key: fmt.Sprintf("/k/%03d", i), value: bytes.Repeat([]byte{'v'}, 1+i*i)}) // longer than a buffer, too
	}
	changes := map[string]event{}
	for _, e := range []event{
		{item: item{key: "/a", value: []byte("first")}},
		{item: item{key: "/k/000", value: []byte("new")}},
		{item: item{key: "/k/007"}, deleted: true},
		{item: item{key: "/k/007x", value: []byte("between")}},
		{item: item{key: "/k/499"}, deleted: true},
		{item: item{key: "/none"}, deleted: true},
		{item: item{key: "/z", value: []byte("last")}},
	} {
		changes[e.key] = e
	}
	if ok, err := s.changeCopy(path, changes, 8); ok || err != nil {
		t.Fatalf("a copy that is not there: %v, %v", ok, err)
	}
	if err := errors.Join(writeAll(path, all, 7), writeAll(want, merge(all, changes), 8)); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.changeCopy(path, changes, 8); !ok || err != nil {
		t.Fatalf("changed: %v, %v", ok, err)
	}
	got, err1 := os.ReadFile(path)
	expect, err2 := os.ReadFile(want)
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(got, expect) {
		t.Fatalf("the copy has %d bytes, want %d (%v)", len(got), len(expect), err)
	}
	if _, _, err := parseCopy(got); err != nil || !bytes.Contains(got, []byte("/k/007x between\n")) || bytes.Contains(got, []byte("/k/007 ")) {
		t.Errorf("the changes are not in the copy (%v)", err)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { b[3] ^= 1; return b },
		func([]byte) []byte { return nil },
	} {
		bad := damage(bytes.Clone(got))
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.changeCopy(path, changes, 9); ok || err != nil {
			t.Errorf("a damaged copy is changed: %v, %v", ok, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("a damaged copy was replaced (%v)", err)
		}
	}
	if left, err := os.ReadDir(dir + "/span"); err != nil || len(left) != 2 {
		t.Errorf("%v was left (%v)", left, err)
	}
}
