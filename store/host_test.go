package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// keepAlive runs a KeepAlive until stop, which returns its result.
func keepAlive(t testing.TB, s *Store, name string) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.KeepAlive(ctx, name) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

func alive(t testing.TB, s *Store, name string) func() bool {
	return func() bool {
		hosts, err := s.Hosts(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hosts {
			if h.Name == name {
				return h.Alive
			}
		}
		t.Fatalf("host %s is not registered", name)
		return false
	}
}

func TestHostLivesWhileItsLeaseDoes(t *testing.T) {
	s := open(t, cluster.Config{})
	host(t, s, "host1", "192.0.2.1")
	stop := keepAlive(t, s, "host1")
	until(t, "host1 is alive", alive(t, s, "host1"))
	_, _, err := s.RemoveHost(t.Context(), "host1", false)
	if intent.KindOf(err) != intent.InUse || !strings.Contains(err.Error(), "its running ovloomd") {
		t.Errorf("removing a live host: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("keep alive ended with %v", err)
	}
	if alive(t, s, "host1")() {
		t.Error("host1 is alive after its lease was revoked")
	}
	if _, _, err := s.RemoveHost(t.Context(), "host1", false); err != nil {
		t.Error(err)
	}
	checked(t, s)
}

func TestLostLeaseIsTakenAgain(t *testing.T) {
	t.Parallel() // it waits for a beat
	s := open(t, cluster.Config{})
	host(t, s, "host1", "192.0.2.1")
	keepAlive(t, s, "host1")
	until(t, "host1 is alive", alive(t, s, "host1"))
	_, lease, err := s.kv.GetLeased(t.Context(), aliveKey("host1"))
	if err != nil || lease == 0 {
		t.Fatalf("lease: %v, %v", lease, err)
	}
	if err := s.kv.Revoke(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if alive(t, s, "host1")() {
		t.Fatal("host1 is alive without lease")
	}
	until(t, "host1 is alive again", alive(t, s, "host1"))
}

func TestTwoProcessesWithOneName(t *testing.T) {
	s := open(t, cluster.Config{Instance: "one"})
	host(t, s, "host1", "192.0.2.1")
	stop := keepAlive(t, s, "host1")
	until(t, "host1 is alive", alive(t, s, "host1"))

	other := open(t, cluster.Config{Endpoints: s.URLs(), Instance: "two"})
	_, err := other.Register(t.Context(), intent.Host{Name: "host1", VTEP: addr("192.0.2.2")})
	if intent.KindOf(err) != intent.Conflict || !strings.Contains(err.Error(), "host name host1 is in use by another ovloomd") {
		t.Errorf("registering a name that is held: %v", err)
	}
	if err := other.KeepAlive(t.Context(), "host1"); intent.KindOf(err) != intent.Conflict {
		t.Errorf("keeping a name alive that is held: %v", err)
	}

	// When the same process starts again it takes over at once; the lease that the first
	// instance revokes later is no longer in use.
	lease := func() kv.Lease {
		_, lease, err := s.kv.GetLeased(t.Context(), aliveKey("host1"))
		if err != nil || lease == 0 {
			t.Fatal(lease, err)
		}
		return lease
	}
	first := lease()
	again := open(t, cluster.Config{Endpoints: s.URLs(), Instance: "one"})
	host(t, again, "host1", "192.0.2.1")
	keepAlive(t, again, "host1")
	until(t, "the new process holds the name", func() bool { return lease() != first })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !alive(t, s, "host1")() {
		t.Error("host1 is not alive after its old process ended")
	}
}

func TestKeepAliveOfAHostThatIsRemoved(t *testing.T) {
	t.Parallel() // it waits for a beat
	s := open(t, cluster.Config{})
	if err := s.KeepAlive(t.Context(), "host1"); intent.KindOf(err) != intent.NotFound {
		t.Errorf("keeping an unregistered host alive: %v", err)
	}
	host(t, s, "host1", "192.0.2.1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.KeepAlive(ctx, "host1") }()
	until(t, "host1 is alive", alive(t, s, "host1"))
	if _, _, err := s.RemoveHost(ctx, "host1", true); err != nil {
		t.Fatal(err)
	}
	if err := <-done; intent.KindOf(err) != intent.NotFound {
		t.Errorf("removed while alive: %v", err)
	}
}

func TestRemoveHostReleasesItsPorts(t *testing.T) {
	const ports = 70
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	host(t, s, "host10", "192.0.2.10") // the other's name is its prefix
	for i := range ports {
		p := must[intent.Port](t)(s.AddPort(ctx, port(fmt.Sprintf("acme/web/c%02d", i))))
		for _, h := range []string{"host1", "host10"} {
			if _, err := s.Claim(ctx, p.Ref(), h, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	users, err := s.HostUsers(ctx, "host1")
	if err != nil || len(users) != ports || users[0] != "binding acme/web/c00 on host1" {
		t.Errorf("users: %v, %v", users, err)
	}
	deleted, _, err := s.RemoveHost(ctx, "host1", true)
	if err != nil || len(deleted) != ports+1 || deleted[ports] != "host host1" {
		t.Errorf("deleted %d: %v, %v", len(deleted), deleted, err)
	}
	if users, err := s.HostUsers(ctx, "host10"); err != nil || len(users) != ports {
		t.Errorf("the other host has %d ports, %v", len(users), err)
	}
	checked(t, s)
}

func TestClaims(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	host(t, s, "host2", "192.0.2.2")
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1"))).Ref()
	claim := func(host string, have uint64) intent.Binding {
		t.Helper()
		b, err := s.Claim(ctx, c1, host, have)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	winner := func() string {
		t.Helper()
		all, err := s.Bindings(ctx, c1)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := intent.Winner(all)
		return fmt.Sprintf("%d claims, %s", len(all), w.Host)
	}
	first := claim("host1", 0)
	before, _ := s.Ping(ctx)
	if again := claim("host1", first.Generation); again != first {
		t.Errorf("a restarted host has %+v instead of %+v", again, first)
	}
	if after, _ := s.Ping(ctx); after != before {
		t.Error("a restarted host wrote something")
	}
	newer := claim("host2", 0)
	if newer.Generation != first.Generation+1 || winner() != "2 claims, host2" {
		t.Errorf("%d after %d; %s", newer.Generation, first.Generation, winner())
	}
	if b := claim("host1", newer.Generation); b.Generation != newer.Generation+1 {
		t.Errorf("another host's generation was accepted: %+v", b)
	}
	// Late reports of old bindings change nothing.
	if err := s.Release(ctx, c1, "host1", first.Generation); err != nil {
		t.Error(err)
	}
	if err := s.MarkUp(ctx, c1, "host1", first.Generation, true, ""); intent.KindOf(err) != intent.Conflict {
		t.Errorf("marking an old binding: %v", err)
	}
	if got := winner(); got != "2 claims, host1" {
		t.Error(got)
	}
	if err := s.MarkUp(ctx, c1, "host2", newer.Generation, true, ""); err != nil {
		t.Error(err)
	}
	if all, _ := s.Bindings(ctx, c1); all[0].Up || !all[1].Up {
		t.Errorf("up: %+v", all)
	}
	last := newer.Generation + 1
	for h, g := range map[string]uint64{"host1": last, "host2": newer.Generation} {
		if err := s.Release(ctx, c1, h, g); err != nil {
			t.Error(err)
		}
	}
	if got := winner(); got != "0 claims, " {
		t.Error(got)
	}
	if b := claim("host1", last); b.Generation != last+1 {
		t.Errorf("a released generation came again: %+v", b)
	}
	// A later port of the same name does not reuse this one's generations.
	if _, _, err := s.DeletePort(ctx, c1, true); err != nil {
		t.Fatal(err)
	}
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	if b := claim("host1", 0); b.Generation <= last+1 {
		t.Errorf("the new port starts at %d, the old one ended at %d", b.Generation, last+1)
	}
	checked(t, s)
}

func TestClaimsOfManyHostsHaveTheirOwnGenerations(t *testing.T) {
	t.Parallel()
	const hosts = 32
	s := open(t, cluster.Config{Timeout: patience})
	ctx := t.Context()
	acme(t, s)
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1"))).Ref()
	for i := range hosts {
		host(t, s, fmt.Sprintf("host%d", i), fmt.Sprintf("192.0.2.%d", i+1))
	}
	stores := []*Store{s, open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience}), open(t, cluster.Config{Endpoints: s.URLs(), Timeout: patience})}
	var mu sync.Mutex
	seen := map[uint64]string{}
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() {
			name := fmt.Sprintf("host%d", i)
			for range 3 {
				b, err := stores[i%len(stores)].Claim(ctx, c1, name, 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other := seen[b.Generation]; other != "" {
					t.Errorf("generation %d of %s and %s", b.Generation, other, name)
				}
				seen[b.Generation] = name
				mu.Unlock()
				if err := stores[i%len(stores)].Release(ctx, c1, name, b.Generation); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != 3*hosts {
		t.Errorf("%d generations", len(seen))
	}
	checked(t, s)
}

// A host that begins to follow a tenant knows it as of the store's revision, at which
// another tenant may have changed. The others have seen all when they have seen its claims.
func TestWaitOthers(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	for i, h := range []string{"host1", "host2"} {
		host(t, s, h, fmt.Sprintf("192.0.2.%d", i+1))
		keepAlive(t, s, h)
		until(t, h+" is alive", alive(t, s, h))
	}
	for name, h := range map[string]string{"acme/web/c1": "host1", "acme/web/c2": "host2"} {
		p := must[intent.Port](t)(s.AddPort(ctx, port(name)))
		if _, err := s.Claim(ctx, p.Ref(), h, 0); err != nil {
			t.Fatal(err)
		}
	}
	claimed, err := s.lastClaim(ctx, "host2", "acme")
	if err != nil || claimed == 0 {
		t.Fatal(claimed, err)
	}
	_, later, err := s.AddTenant(ctx, "globex")
	if err != nil {
		t.Fatal(err)
	}
	wait := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return s.WaitOthers(ctx, "host2", "acme", later)
	}
	for applied, want := range map[int64]bool{claimed - 1: false, claimed: true} {
		if err := s.SetAppliedSpan(ctx, "host1", map[string]int64{"acme": applied}); err != nil {
			t.Fatal(err)
		}
		limit := 50 * time.Millisecond
		if want {
			limit = patience
		}
		if err := wait(limit); (err == nil) != want {
			t.Errorf("host1 has applied %d, host2 has claimed at %d, the store is at %d: %v", applied, claimed, later, err)
		}
	}
}

func TestWaitApplied(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Tenant](t)(s.AddTenant(ctx, "globex"))
	must[intent.Network](t)(s.AddNetwork(ctx, network("globex/web", "10.0.0.0/24")))
	claim := func(name, host string) {
		t.Helper()
		p := must[intent.Port](t)(s.AddPort(ctx, port(name)))
		if _, err := s.Claim(ctx, p.Ref(), host, 0); err != nil {
			t.Fatal(err)
		}
	}
	for i, h := range []string{"host1", "host2", "host3", "dead"} {
		host(t, s, h, fmt.Sprintf("192.0.2.%d", i+1))
		if h != "dead" {
			keepAlive(t, s, h)
			until(t, h+" is alive", alive(t, s, h))
		}
	}
	claim("acme/web/c1", "host1")
	claim("acme/web/c2", "host2")
	claim("acme/web/c3", "dead")
	claim("globex/web/c1", "host3")
	_, rev, err := s.AddPort(ctx, port("acme/web/c4"))
	if err != nil {
		t.Fatal(err)
	}
	wait := func(timeout time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		var seen []string
		err := s.WaitApplied(ctx, "acme", rev, func(pending []string) { seen = append(seen, strings.Join(pending, "+")) })
		return strings.Join(seen, " "), err
	}
	apply := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Only live hosts with a port of the tenant are waited for.
	apply(s.SetAppliedSpan(ctx, "host1", map[string]int64{"acme": rev - 1}))
	seen, err := wait(50 * time.Millisecond)
	if intent.KindOf(err) != intent.Unavailable || seen != "host1+host2" ||
		!strings.Contains(err.Error(), fmt.Sprintf("host1, host2 have not applied revision %d in time", rev)) || !strings.Contains(err.Error(), "the change is stored") {
		t.Errorf("%s; %v", seen, err)
	}
	done := make(chan string, 1)
	go func() {
		seen, err := wait(20 * time.Second)
		done <- fmt.Sprint(seen, " ", err)
	}()
	apply(s.SetAppliedSpan(ctx, "host1", map[string]int64{"acme": rev}))
	apply(s.SetAppliedSpan(ctx, "host2", map[string]int64{"acme": rev + 5}))
	if got := <-done; !strings.HasSuffix(got, "<nil>") {
		t.Error(got)
	}
	// A host that has applied a newer revision of another tenant has not thereby applied this
	// one's.
	apply(s.SetAppliedSpan(ctx, "host2", map[string]int64{"acme": rev - 1, "globex": rev + 9}))
	if seen, err := wait(50 * time.Millisecond); intent.KindOf(err) != intent.Unavailable || seen != "host2" {
		t.Errorf("%s; %v", seen, err)
	}
	// A host that has flows of the tenant is waited for even without a port of the tenant,
	// until it reports that they are gone.
	apply(s.SetAppliedSpan(ctx, "host2", map[string]int64{"acme": rev}))
	if _, rev, err = s.DeleteTenant(ctx, "acme", true); err != nil {
		t.Fatal(err)
	}
	if seen, err := wait(50 * time.Millisecond); intent.KindOf(err) != intent.Unavailable || seen != "host1+host2" {
		t.Errorf("%s; %v", seen, err)
	}
	apply(s.SetAppliedSpan(ctx, "host1", map[string]int64{}))
	apply(s.SetAppliedSpan(ctx, "host2", map[string]int64{"globex": rev}))
	if seen, err := wait(20 * time.Second); err != nil || seen != "" {
		t.Errorf("%s; %v", seen, err)
	}
	hosts, err := s.Hosts(ctx)
	if err != nil || hosts[2].Name != "host2" || hosts[2].Applied != rev {
		t.Errorf("hosts: %+v, %v", hosts, err)
	}
	if err := s.SetAppliedSpan(ctx, "nobody", map[string]int64{"acme": 1}); intent.KindOf(err) != intent.NotFound {
		t.Errorf("applied by no host: %v", err)
	}
}
