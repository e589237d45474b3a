package kv

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
)

// A damaged copy counts as absent, and the next change makes it whole again.
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
	c, _ := client(t)
	put(t, c, "/a/1", "one")
	path := t.TempDir() + "/a.copy"
	keep := c.NewKeeper(path, "/a/")
	defer keep.Close()
	all, revision, err := c.List(t.Context(), "read", "/a/")
	if err != nil {
		t.Fatal(err)
	}
	keep.Replace(all, revision)
	eventually(t, "the copy is there", func() bool { _, at, ok := c.ReadCopy(path); return ok && at == revision })
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, spoil(bytes.Clone(b)), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, _, ok := c.ReadCopy(path); ok {
				t.Fatalf("read as %+v", got)
			}
			key := "/a/" + strings.ReplaceAll(name, " ", "-")
			revision := put(t, c, key, name)
			keep.Change([]Event{{Item: Item{Key: key, Value: []byte(name), Revision: revision}}}, revision)
			eventually(t, "the copy is whole again", func() bool { _, at, ok := c.ReadCopy(path); return ok && at >= revision })
			want, _, err := c.List(t.Context(), "read", "/a/")
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := c.ReadCopy(path); !slices.EqualFunc(got, want, func(a, b Item) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }) {
				t.Errorf("copy: %v\nwant %v", got, want)
			}
		})
	}
}

// A copy that can be parsed is written back unchanged.
func FuzzCopy(f *testing.F) {
	f.Add([]byte("ovloom copy 1 7\nend 00000000\n"))
	path := f.TempDir() + "/span/seed.copy"
	if err := WriteCopy(path, []Item{{Key: "/ovloom/v1/t/acme/tenant", Value: []byte(`{"v":1}`)}}, 7); err != nil {
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
		if err := WriteCopy(path, all, revision); err != nil {
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

// agreeOnLines fails the test unless reading a copy line by line gives the same as parseCopy.
func agreeOnLines(t *testing.T, b []byte, all []Item, err error) {
	t.Helper()
	var got []Item
	var failed error
	for it, err := range copyLines(bytes.NewReader(b)) {
		if failed = err; err == nil {
			got = append(got, Item{Key: it.Key, Value: bytes.Clone(it.Value)})
		}
	}
	if (failed == nil) != (err == nil) {
		t.Fatalf("%q, line by line: %v, as a whole: %v", b, failed, err)
	}
	if err == nil && !slices.EqualFunc(got, all, func(a, b Item) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }) {
		t.Fatalf("%q is read as %v, want %v", b, got, all)
	}
}

// Changing a copy gives the same as writing it anew, and a copy that is damaged anywhere is
// left unchanged.
func TestChangedCopy(t *testing.T) {
	t.Parallel()
	c := New(t.Context(), Config{Logger: slog.New(slog.DiscardHandler)})
	dir := t.TempDir()
	path, want := dir+"/span/a.copy", dir+"/span/b.copy"
	var all []Item
	for i := range 500 {
		all = append(all, Item{Key: fmt.Sprintf("/k/%03d", i), Value: bytes.Repeat([]byte{'v'}, 1+i*i)}) // some longer than a buffer
	}
	changes := map[string]Event{}
	for _, e := range []Event{
		{Item: Item{Key: "/a", Value: []byte("first")}},
		{Item: Item{Key: "/k/000", Value: []byte("new")}},
		{Item: Item{Key: "/k/007"}, Deleted: true},
		{Item: Item{Key: "/k/007x", Value: []byte("between")}},
		{Item: Item{Key: "/k/499"}, Deleted: true},
		{Item: Item{Key: "/none"}, Deleted: true},
		{Item: Item{Key: "/z", Value: []byte("last")}},
	} {
		changes[e.Key] = e
	}
	if ok, err := c.changeCopy(path, changes, 8); ok || err != nil {
		t.Fatalf("a missing copy: %v, %v", ok, err)
	}
	if err := errors.Join(WriteCopy(path, all, 7), WriteCopy(want, Merge(all, changes), 8)); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.changeCopy(path, changes, 8); !ok || err != nil {
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
		if ok, err := c.changeCopy(path, changes, 9); ok || err != nil {
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
