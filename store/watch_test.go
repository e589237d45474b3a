package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// until polls for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// mirror rebuilds a tenant from a watch's updates.
type mirror struct {
	mu        sync.Mutex
	objects   map[string]string
	revision  int64
	snapshots int
	gone      bool
	bad       []string
}

func textOf(o any) (name, text string) {
	switch o := o.(type) {
	case intent.Tenant:
		return "tenant", fmt.Sprint(o)
	case intent.Object:
		return intent.ObjectName(o), fmt.Sprint(o)
	}
	return fmt.Sprintf("%T", o), fmt.Sprint(o)
}

func snapshotText(s intent.Snapshot) map[string]string {
	m := map[string]string{}
	add := func(o any) {
		name, text := textOf(o)
		m[name] = text
	}
	add(s.Tenant)
	for _, o := range s.Networks {
		add(o)
	}
	for _, o := range s.Ports {
		add(o)
	}
	for _, o := range s.Bindings {
		add(o)
	}
	for _, o := range s.Peers {
		add(o)
	}
	for _, o := range s.Routes {
		add(o)
	}
	for _, o := range s.SNATs {
		add(o)
	}
	for _, o := range s.Floatings {
		add(o)
	}
	for _, o := range s.Forwards {
		add(o)
	}
	for _, o := range s.NATAddresses {
		add(o)
	}
	return m
}

func (m *mirror) deliver(u intent.SpanUpdate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u.Revision < m.revision || u.Revision == m.revision && u.Snapshot == nil && !u.Gone {
		m.bad = append(m.bad, fmt.Sprintf("revision %d after %d", u.Revision, m.revision))
	}
	m.revision = u.Revision
	if u.Snapshot != nil {
		m.snapshots++
		m.objects = snapshotText(*u.Snapshot)
		m.gone = false
		return
	}
	if u.Gone {
		m.gone = true
		m.objects = nil
		return
	}
	for _, c := range u.Changes {
		name, text := textOf(c.Object)
		if c.Deleted {
			if _, had := m.objects[name]; !had {
				m.bad = append(m.bad, "deleted, but was never told: "+name)
			}
			delete(m.objects, name)
		} else {
			m.objects[name] = text
		}
	}
}

// reaches waits until the mirror has a revision.
func (m *mirror) reaches(t testing.TB, revision int64) {
	t.Helper()
	until(t, fmt.Sprintf("the watch reaches revision %d", revision), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.revision >= revision
	})
}

// equals fails the test unless the mirror equals the store.
func (m *mirror) equals(t testing.TB, s *Store, tenant string) {
	t.Helper()
	snap, err := s.Snapshot(context.WithoutCancel(t.Context()), tenant)
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	want := snapshotText(snap)
	if !maps.Equal(m.objects, want) {
		t.Errorf("the watch has\n%s\nthe store has\n%s", lines(m.objects), lines(want))
	}
	if len(m.bad) > 0 {
		t.Errorf("the watch delivered:\n%s", strings.Join(m.bad, "\n"))
	}
}

func lines(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s: %s\n", k, m[k])
	}
	return b.String()
}

// watch runs a WatchTenant until stop is called.
func watch(t testing.TB, s *Store, tenant string) (m *mirror, stop func()) {
	t.Helper()
	m = &mirror{objects: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.WatchTenant(ctx, tenant, m.deliver) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !s.kv.Closed() {
			t.Errorf("watch: %v", err)
		}
	})
	t.Cleanup(stop)
	return m, stop
}

func TestWatchTellsSnapshotThenChanges(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	m, _ := watch(t, s, "acme")
	until(t, "the tenant's deletion is delivered", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.gone })
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	b, err := s.Claim(ctx, c1.Ref(), "host1", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.MarkUp(ctx, c1.Ref(), "host1", b.Generation, true, ""); err != nil {
		t.Fatal(err)
	}
	_, rev, err := s.AddPort(ctx, port("acme/web/c2"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, rev)
	m.equals(t, s, "acme")
	deleted, rev, err := s.DeleteTenant(ctx, "acme", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(deleted, ", "), "binding acme/web/c1 on host1, port acme/web/c1, port acme/web/c2, network acme/web, tenant acme"; got != want {
		t.Errorf("deleted %s, want %s", got, want)
	}
	m.reaches(t, rev)
	until(t, "the tenant's deletion is delivered", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.gone })
	acme(t, s)
	_, rev, err = s.AddPort(ctx, port("acme/web/c3"))
	if err != nil {
		t.Fatal(err)
	}
	m.reaches(t, rev)
	m.equals(t, s, "acme")
}

// A watch delivers only its tenant's changes, one update per transaction.
func TestWatchGroupsByRevision(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Tenant](t)(s.AddTenant(ctx, "acme2"))
	host(t, s, "host1", "192.0.2.1")
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	if _, err := s.Claim(ctx, c1.Ref(), "host1", 0); err != nil {
		t.Fatal(err)
	}
	updates := make(chan intent.SpanUpdate, 10)
	wctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.WatchTenant(wctx, "acme", func(u intent.SpanUpdate) { updates <- u }) }()
	if u := <-updates; u.Snapshot == nil || len(u.Snapshot.Bindings) != 1 {
		t.Errorf("first update: %+v", u)
	}
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme2/web", "10.0.0.0/24")))
	_, rev, err := s.DeletePort(ctx, c1.Ref(), true)
	if err != nil {
		t.Fatal(err)
	}
	u := <-updates
	if u.Revision != rev || len(u.Changes) != 2 || !u.Changes[0].Deleted || !u.Changes[1].Deleted {
		t.Errorf("update: %+v", u)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("watch ended with %v", err)
	}
}

func compact(t testing.TB, s *Store) {
	t.Helper()
	if _, err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A store stops and starts under a client's watch: the changes made in the meantime arrive one
// by one, or as a Snapshot if they were compacted away.
func TestWatchSurvivesTheStore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		compacted bool
		snapshots int
	}{{"changes are still there", false, 1}, {"changes were compacted away", true, 2}} {
		t.Run(c.name, func(t *testing.T) {
			dir := stateDir(t)
			ctx := t.Context()
			server := open(t, cluster.Config{StateDir: dir})
			acme(t, server)
			far := client(t, server)
			m, _ := watch(t, far, "acme")
			_, rev, err := server.AddPort(ctx, port("acme/web/c1"))
			if err != nil {
				t.Fatal(err)
			}
			m.reaches(t, rev)
			if err := server.Close(); err != nil {
				t.Fatal(err)
			}
			// No client can connect while the changes are made.
			if err := privately(t, dir, func(s *Store) {
				for i := range 20 {
					must[intent.Port](t)(s.AddPort(ctx, port(fmt.Sprintf("acme/web/m%d", i))))
				}
				if _, _, err := s.DeletePort(ctx, ref("acme/web/c1"), false); err != nil {
					t.Fatal(err)
				}
				if c.compacted {
					compact(t, s)
				}
			}); err != nil {
				t.Fatal(err)
			}
			server = open(t, cluster.Config{StateDir: dir})
			_, rev, err = server.AddPort(ctx, port("acme/web/c2"))
			if err != nil {
				t.Fatal(err)
			}
			m.reaches(t, rev)
			m.equals(t, server, "acme")
			if m.snapshots != c.snapshots {
				t.Errorf("%d snapshots were delivered, want %d", m.snapshots, c.snapshots)
			}
			checked(t, far)
		})
	}
}

// privately opens the store at dir at an address that its clients do not know.
func privately(t testing.TB, dir string, do func(*Store)) error {
	t.Helper()
	away := dir + "-away"
	if err := os.Rename(dir, away); err != nil {
		return err
	}
	s, err := Open(t.Context(), cluster.Config{StateDir: away})
	if err != nil {
		return err
	}
	do(s)
	if err := s.Close(); err != nil {
		return err
	}
	return os.Rename(away, dir)
}

// A large tenant is read in pages, all of one revision.
func TestSnapshotOfManyPages(t *testing.T) {
	t.Parallel()
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	fill(t, s, intent.NetworkRef{Tenant: "acme", Network: "web"}, 2*pageKeys+7)
	var snap *intent.Snapshot
	wctx, cancel := context.WithCancel(ctx)
	if err := s.WatchTenant(wctx, "acme", func(u intent.SpanUpdate) { snap = u.Snapshot; cancel() }); err != nil {
		t.Fatal(err)
	}
	if len(snap.Ports) != 2*pageKeys+7 {
		t.Errorf("%d ports", len(snap.Ports))
	}
	copied, ok := s.Copy("acme")
	if !ok || len(copied.Ports) != len(snap.Ports) || copied.Revision != snap.Revision {
		t.Errorf("copy: %v, %d ports at %d", ok, len(copied.Ports), copied.Revision)
	}
}

// fill writes ports without index keys directly to etcd: only their number matters. pageKeys is
// the number of keys in one answer of the store.
const pageKeys = 2000

func fill(t testing.TB, s *Store, n intent.NetworkRef, ports int) {
	t.Helper()
	for first := 0; first < ports; first += kv.MaxOps {
		var tx kv.Txn
		for i := first; i < min(first+kv.MaxOps, ports); i++ {
			p := intent.Port{Tenant: n.Tenant, Network: n.Network, Name: fmt.Sprintf("f%06d", i), ID: intent.ID(1e6 + i),
				UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i), MAC: intent.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}}
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

func TestHostsWatch(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var last intent.HostsUpdate
	done := make(chan error, 1)
	go func() {
		done <- s.WatchHosts(ctx, func(u intent.HostsUpdate) { mu.Lock(); last = u; mu.Unlock() })
	}()
	names := func() string {
		mu.Lock()
		defer mu.Unlock()
		var n []string
		for _, h := range last.Hosts {
			n = append(n, fmt.Sprintf("%s=%s", h.Name, h.VTEP))
		}
		return strings.Join(n, " ")
	}
	host(t, s, "host2", "192.0.2.2")
	h := host(t, s, "host1", "192.0.2.1")
	until(t, "both hosts", func() bool { return names() == "host1=192.0.2.1 host2=192.0.2.2" })
	if again := host(t, s, "host1", "192.0.2.7"); again.ID != h.ID {
		t.Errorf("id changed from %d to %d", h.ID, again.ID)
	}
	host(t, s, "host3", "192.0.2.1") // the address that host1 released
	until(t, "the changed host", func() bool { return names() == "host1=192.0.2.7 host2=192.0.2.2 host3=192.0.2.1" })
	if _, _, err := s.RemoveHost(ctx, "host2", false); err != nil {
		t.Fatal(err)
	}
	until(t, "the removed host", func() bool { return names() == "host1=192.0.2.7 host3=192.0.2.1" })
	checked(t, s)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if u, ok := s.CopiedHosts(); !ok || len(u.Hosts) != 2 || u.Revision == 0 {
		t.Errorf("copy of the hosts: %+v, %v", u, ok)
	}
}

func TestResolve(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	const uuid = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	var mu sync.Mutex
	told := map[string][]string{}
	wctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, id := range []string{uuid, "acme/web/c1"} {
		wg.Go(func() {
			err := s.WatchResolve(wctx, id, func(r intent.PortRef, ok bool) {
				mu.Lock()
				defer mu.Unlock()
				told[id] = append(told[id], fmt.Sprint(r, " ", ok))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	count := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(told[uuid]) == n && len(told["acme/web/c1"]) == n
		}
	}
	until(t, "no port", count(1))
	p := port("acme/web/c1")
	p.UUID = uuid
	must[intent.Port](t)(s.AddPort(ctx, p))
	until(t, "the port", count(2))
	must[intent.Port](t)(s.SetPort(ctx, p.Ref(), func(p *intent.Port) error { p.MAC = intent.MAC{2, 0, 0, 0, 0, 5}; return nil }))
	for _, id := range []string{uuid, strings.ToUpper(uuid), "acme/web/c1"} {
		if r, err := s.Resolve(ctx, id); err != nil || r != p.Ref() {
			t.Errorf("resolve %s: %v, %v", id, r, err)
		}
	}
	if _, _, err := s.DeletePort(ctx, p.Ref(), false); err != nil {
		t.Fatal(err)
	}
	until(t, "no port again", count(3))
	cancel()
	wg.Wait()
	for id, got := range told {
		if want := []string{"// false", "acme/web/c1 true", "// false"}; !slices.Equal(got, want) {
			t.Errorf("%s: delivered %v, want %v", id, got, want)
		}
	}
}
