package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// lostReader returns a reader of a store that no longer answers. The cached copies hold tenant
// acme, the hosts and the externals. The reader records the revisions that it reports.
func lostReader(t *testing.T) (r Reader, told *[]int64) {
	server := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, server)
	host(t, server, "host1", "192.0.2.1")
	added := func(_ intent.Object, _ int64, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	added(server.Add(ctx, intent.Tenant{Name: "globex"}))
	added(server.Add(ctx, intent.External{Name: "internet", Kind: intent.ExternalHost}))
	added(server.Add(ctx, port("acme/web/c1")))
	if _, err := server.Claim(ctx, ref("acme/web/c1"), "host1", 0); err != nil {
		t.Fatal(err)
	}

	dir := stateDir(t)
	far := open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs()})
	_, stop := watch(t, far, "acme")
	wctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- far.WatchHosts(wctx, func(intent.HostsUpdate) {}) }()
	go func() { ended <- far.WatchExternals(wctx, func(intent.ExternalsUpdate) {}) }()
	until(t, "the copies are there", func() bool {
		_, hosts := far.CopiedHosts()
		_, externals := far.CopiedExternals()
		c, _ := far.Copy("acme")
		return hosts && externals && len(c.Bindings) == 1
	})
	stop()
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for _, s := range []*Store{far, server} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	alone := open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs(), Timeout: 100 * time.Millisecond})
	told = &[]int64{}
	return Reader{Store: alone, Copied: func(_ context.Context, revision int64) { *told = append(*told, revision) }}, told
}

func TestReaderFallsBackToCopies(t *testing.T) {
	r, told := lostReader(t)
	down := intent.Unavailablef("the store is down")
	r.Down = func() error { return down }
	ctx := t.Context()

	inAcme, c1 := intent.TenantRef{Tenant: "acme"}, ref("acme/web/c1")
	for _, known := range []intent.Reference{inAcme, c1.NetworkRef(), c1, intent.BindingRef{PortRef: c1, Host: "host1"},
		intent.ExternalRef{External: "internet"}, intent.HostRef{Host: "host1"}} {
		*told = nil
		o, err := r.Get(ctx, known)
		if err != nil || o.Reference() != known || len(*told) != 1 || (*told)[0] == 0 {
			t.Errorf("%s: %v, %v; reported %v", intent.Title(known), o, err, *told)
		}
	}
	// What is in no copy may exist: the error is the store's failure.
	*told = nil
	for _, unknown := range []intent.Reference{intent.TenantRef{Tenant: "globex"}, ref("acme/web/c9"), ref("globex/web/c1"), intent.ExternalRef{External: "campus"}} {
		if o, err := r.Get(ctx, unknown); !errors.Is(err, down) {
			t.Errorf("%s: %v, %v", intent.Title(unknown), o, err)
		}
	}
	for _, l := range []struct {
		class  intent.Class
		within intent.Reference
	}{{intent.ClassNetwork, intent.TenantRef{Tenant: "globex"}}, {intent.ClassPort, intent.NetworkRef{Tenant: "acme", Network: "nope"}}} {
		if all, err := r.List(ctx, l.class, l.within); !errors.Is(err, down) {
			t.Errorf("every %s of %s: %v, %v", l.class, l.within, all, err)
		}
	}
	if _, err := r.Snapshot(ctx, "globex"); !errors.Is(err, down) {
		t.Errorf("snapshot of an unknown tenant: %v", err)
	}
	if len(*told) != 0 {
		t.Errorf("reported copies: %v", *told)
	}

	for _, l := range []struct {
		class  intent.Class
		within intent.Reference
		want   []string
	}{
		{intent.ClassTenant, nil, []string{"acme"}}, {intent.ClassHost, nil, []string{"host1"}}, {intent.ClassExternal, nil, []string{"internet"}},
		{intent.ClassPort, c1.NetworkRef(), []string{"acme/web/c1"}}, {intent.ClassPort, inAcme, []string{"acme/web/c1"}},
		{intent.ClassBinding, c1, []string{"acme/web/c1 on host1"}}, {intent.ClassRoute, inAcme, nil},
	} {
		all, err := r.List(ctx, l.class, l.within)
		var names []string
		for _, o := range all {
			names = append(names, o.Reference().String())
		}
		if err != nil || !slices.Equal(names, l.want) {
			t.Errorf("every %s of %v: %q, %v; want %q", l.class, l.within, names, err, l.want)
		}
	}
	hosts, err := r.List(ctx, intent.ClassHost, nil)
	if s, ok := hosts[0].(intent.HostState); err != nil || !ok || !s.Unknown || s.Alive {
		t.Errorf("a host of a copy: %+v, %v", hosts, err)
	}
	if snap, err := r.Snapshot(ctx, "acme"); err != nil || len(snap.Ports) != 1 {
		t.Errorf("snapshot: %+v, %v", snap, err)
	}
	if _, _, err := r.Add(ctx, intent.Tenant{Name: "initech"}); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("a change: %v", err)
	}
}

// A store that is not known to be down is asked first, and its answer decides.
func TestReaderAsksTheStore(t *testing.T) {
	lost, told := lostReader(t)
	if o, err := lost.Get(t.Context(), ref("acme/web/c1")); err != nil || o == nil || len(*told) != 1 {
		t.Errorf("a store that does not answer: %v, %v; reported %v", o, err, *told)
	}
	s := open(t, cluster.Config{})
	r := Reader{Store: s, Copied: lost.Copied, Down: func() error { return nil }}
	*told = nil
	if _, err := r.Get(t.Context(), intent.TenantRef{Tenant: "acme"}); intent.KindOf(err) != intent.NotFound {
		t.Errorf("a missing object: %v", err)
	}
	acme(t, s)
	if all, err := r.List(t.Context(), intent.ClassTenant, nil); err != nil || len(all) != 1 {
		t.Errorf("tenants: %v, %v", all, err)
	}
	if len(*told) != 0 {
		t.Errorf("reported copies: %v", *told)
	}
}

// A list of the hosts a moment after the start contains this one.
func TestReaderAwaitsItsHost(t *testing.T) {
	s := open(t, cluster.Config{})
	r := Reader{Store: s, Host: "host1", Since: time.Now()}
	listed := make(chan int, 1)
	go func() {
		all, _ := r.List(t.Context(), intent.ClassHost, nil)
		listed <- len(all)
	}()
	host(t, s, "host1", "192.0.2.1")
	ctx, cancel := context.WithCancel(t.Context())
	alive := make(chan error, 1)
	go func() { alive <- s.KeepAlive(ctx, "host1") }()
	if n := <-listed; n != 1 {
		t.Errorf("%d hosts are listed", n)
	}
	cancel()
	if err := <-alive; err != nil {
		t.Error(err)
	}
	r.Since = time.Now().Add(-time.Minute)
	if all, err := (Reader{Store: s, Host: "host9", Since: r.Since}).List(t.Context(), intent.ClassHost, nil); err != nil || len(all) != 1 {
		t.Errorf("long after the start: %v, %v", all, err)
	}
}
