package store

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// A host that starts while the store is down has what it followed before.
func TestCopyServesWhileTheStoreIsDown(t *testing.T) {
	server := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, server)
	host(t, server, "host1", "192.0.2.1")
	must[intent.Tenant](t)(server.AddTenant(ctx, "globex"))

	dir := stateDir(t)
	far := open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs()})
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
	alone := open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs(), Timeout: 200 * time.Millisecond})
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
	s := open(t, cluster.Config{StateDir: dir})
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
	s := open(t, cluster.Config{})
	acme(t, s)
	watch(t, s, "acme")
	until(t, "the copy is there", func() bool { _, ok := s.Copy("acme"); return ok })
	if _, _, err := s.DeleteTenant(t.Context(), "acme", true); err != nil {
		t.Fatal(err)
	}
	until(t, "the copy is gone", func() bool { return len(s.CopiedTenants()) == 0 })
}
