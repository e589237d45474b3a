package store

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// The fallback comes only if the store does not answer in time: not after an answer, and not
// after the end of the watch.
func TestFallback(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(f *first, stop func())
		want bool
	}{
		"no answer":       {func(*first, func()) {}, true},
		"answered":        {func(f *first, _ func()) { f.answered() }, false},
		"ended":           {func(_ *first, stop func()) { stop() }, false},
		"answered before": {func(f *first, _ func()) { time.Sleep(cachePatience - 1); f.answered() }, false},
		"answered after":  {func(f *first, _ func()) { time.Sleep(cachePatience + 1); f.answered() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				fell := 0
				f := newFirst(ctx, func() { fell++ })
				c.do(f, stop)
				time.Sleep(2 * cachePatience)
				synctest.Wait()
				if (fell == 1) != c.want || fell > 1 {
					t.Errorf("fell back %d times, want %v", fell, c.want)
				}
			})
		})
	}
}

// While the store does not answer, every watch begins with this host's cached copy. A port is
// found in the copies by its UUID or name; a port in no copy is not reported.
func TestCachedWatches(t *testing.T) {
	server := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, server)
	host(t, server, "host1", "192.0.2.1")
	if _, _, err := server.Add(ctx, port("acme/web/c1")); err != nil {
		t.Fatal(err)
	}
	dir := stateDir(t)
	far := open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs()})
	_, unwatch := watch(t, far, "acme")
	wctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 3)
	go func() { ended <- far.WatchHosts(wctx, func(intent.HostsUpdate) {}) }()
	go func() { ended <- far.WatchExternals(wctx, func(intent.ExternalsUpdate) {}) }()
	go func() { ended <- far.WatchGuard(wctx, func(intent.GuardUpdate) {}) }()
	until(t, "the copies are there", func() bool {
		_, hosts := far.CopiedHosts()
		_, externals := far.CopiedExternals()
		_, guard := far.CopiedGuard()
		c, _ := far.Copy("acme")
		return hosts && externals && guard && len(c.Ports) == 1
	})
	unwatch()
	cancel()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	for _, s := range []*Store{far, server} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}

	told := make(chan intent.SpanUpdate, 1)
	alone := Cached{Store: open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs(), Timeout: 100 * time.Millisecond}), Told: func(u intent.SpanUpdate) { told <- u }}
	wctx, cancel = context.WithCancel(ctx)
	got := make(chan string, 10)
	uuid := func() string { c, _ := alone.Copy("acme"); return c.Ports[0].UUID }()
	watches := []func() error{
		func() error { return alone.WatchTenant(wctx, "acme", func(intent.SpanUpdate) { got <- "tenant" }) },
		func() error {
			return alone.WatchHosts(wctx, func(u intent.HostsUpdate) { got <- "host " + u.Hosts[0].Name })
		},
		func() error { return alone.WatchExternals(wctx, func(intent.ExternalsUpdate) { got <- "externals" }) },
		func() error { return alone.WatchGuard(wctx, func(intent.GuardUpdate) { got <- "guard" }) },
		func() error {
			return alone.WatchResolve(wctx, uuid, func(ref intent.PortRef, _ bool) { got <- ref.String() })
		},
		func() error {
			return alone.WatchResolve(wctx, "acme/web/c9", func(intent.PortRef, bool) { got <- "c9" })
		},
	}
	ended = make(chan error, len(watches))
	for _, w := range watches {
		go func() { ended <- w() }()
	}
	seen := map[string]bool{}
	for range 5 {
		seen[<-got] = true
	}
	for _, want := range []string{"tenant", "host host1", "externals", "guard", "acme/web/c1"} {
		if !seen[want] {
			t.Errorf("nothing of %s among %v", want, seen)
		}
	}
	if u := <-told; u.Tenant != "acme" || u.Snapshot == nil {
		t.Errorf("delivered %+v", u)
	}
	cancel()
	for range watches {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if len(got) > 0 {
		t.Errorf("delivered %s, too", <-got)
	}
}
