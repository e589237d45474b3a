package store

import (
	"context"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// guardSink keeps the last update of a watch of the guard list.
type guardSink struct {
	mu   sync.Mutex
	last intent.GuardUpdate
}

func (g *guardSink) set(u intent.GuardUpdate) { g.mu.Lock(); g.last = u; g.mu.Unlock() }

func (g *guardSink) get() intent.GuardUpdate { g.mu.Lock(); defer g.mu.Unlock(); return g.last }

func (g *guardSink) eventually(t *testing.T, what string, want ...string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		var got []string
		for _, a := range append(g.get().VTEPs(), g.get().HostAddresses()...) {
			got = append(got, a.String())
		}
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: the guard knows %v, want %v", what, got, want)
		}
	}
}

func TestGuardKnowsThePeersOfAllTenants(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/db", "10.1.0.0/24")))
	host(t, s, "host1", "192.0.2.1")
	var seen guardSink
	go func() { _ = s.WatchGuard(ctx, seen.set) }()

	tor1 := must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor1", "192.0.2.40")))
	must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/db/tor1", "192.0.2.40")))
	must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor2", "192.0.2.41")))
	own := intent.Guarded{Host: "host1", Addresses: []netip.Addr{addr("192.0.2.1"), addr("198.51.100.7")}, Underlay: netip.MustParsePrefix("192.0.2.0/24")}
	for range 2 { // the second time writes nothing
		if err := s.SetGuardedHost(ctx, own); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetGuardedHost(ctx, intent.Guarded{Host: "host9"}); intent.KindOf(err) != intent.NotFound {
		t.Errorf("a host that is not registered: %v", err)
	}
	seen.eventually(t, "added", "192.0.2.40", "192.0.2.41", "192.0.2.1", "198.51.100.7")
	if got := seen.get().Underlays(); !slices.Equal(got, []netip.Prefix{own.Underlay}) {
		t.Errorf("underlays %v", got)
	}
	checked(t, s)
	keys, err := s.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if strings.HasPrefix(k, guardRoot) && strings.Contains(k, "acme") {
			t.Errorf("key %s names a tenant", k)
		}
	}

	// Of two peers with one VTEP, the other one stays.
	if _, _, err := s.DeletePeer(ctx, tor1.Ref()); err != nil {
		t.Fatal(err)
	}
	seen.eventually(t, "one of two deleted", "192.0.2.40", "192.0.2.41", "192.0.2.1", "198.51.100.7")
	if _, _, err := s.DeleteTenant(ctx, "acme", true); err != nil {
		t.Fatal(err)
	}
	seen.eventually(t, "cascade", "192.0.2.1", "198.51.100.7")
	if _, _, err := s.RemoveHost(ctx, "host1", true); err != nil {
		t.Fatal(err)
	}
	seen.eventually(t, "host removed")
	checked(t, s)
}

// A store written by an older build has no such keys, and hosts with an older build keep adding
// and deleting peers without them.
func TestGuardIsMadeUpForOlderBuilds(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	tor1 := must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor1", "192.0.2.40")))
	guard := guardVTEPKey(tor1.VTEP, tor1.ID)
	if _, err := remove(ctx, s, guard); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Check(ctx); err != nil || len(found) != 1 || !strings.Contains(found[0], "do not keep tenants from its VTEP") {
		t.Errorf("check: %q, %v", found, err)
	}
	for _, k := range []string{guardVTEPs + "192.000.002.099/000000000001", guardHostKey("gone")} {
		if _, err := s.kv.Put(ctx, k, `{"v":1,"vtep":"192.0.2.99"}`); err != nil {
			t.Fatal(err)
		}
	}
	var seen guardSink
	done := make(chan error, 1)
	go func() { done <- s.KeepGuard(ctx) }()
	go func() { _ = s.WatchGuard(t.Context(), seen.set) }()
	seen.eventually(t, "at the start", "192.0.2.40")
	checked(t, s)

	// As an older build does.
	it, err := s.kv.Get(ctx, peerKey(tor1.Ref()))
	if err != nil {
		t.Fatal(err)
	}
	var tx kv.Txn
	tx.Delete(it.Key)
	tx.Delete(peerVTEPKey(tor1.VTEP, tor1.Ref().NetworkRef()))
	if _, err := s.kv.Commit(ctx, &tx); err != nil {
		t.Fatal(err)
	}
	seen.eventually(t, "deleted by an older build")
	checked(t, s)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A peer that is damaged in the store stays in force with its last state, and so hosts still
// deny its VTEP.
func TestGuardKeepsTheVTEPOfASpoiltPeer(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	tor1 := must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor1", "192.0.2.40")))
	must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor2", "192.0.2.41")))
	for _, value := range []string{`{`, `{"v":99}`, `{"v":1,"tenant":"acme","network":"web","name":"tor1"}`} {
		put(t, s, peerKey(tor1.Ref()), value)
		put(t, s, guardVTEPs+"192.000.002.099/000000000001", `{"v":1,"vtep":"192.0.2.99"}`) // of a deleted peer
		if _, err := s.mendGuard(ctx); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range keys(t, s) {
			if strings.HasPrefix(k, guardVTEPs) {
				got = append(got, strings.TrimPrefix(k, guardVTEPs)[:len("192.000.002.040")])
			}
		}
		if want := []string{"192.000.002.040", "192.000.002.041"}; !slices.Equal(got, want) {
			t.Errorf("with the peer %s hosts deny %v, want %v", value, got, want)
		}
	}
}

func TestGuardIsCopied(t *testing.T) {
	dir := t.TempDir()
	s := open(t, cluster.Config{StateDir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	if _, ok := s.CopiedGuard(); ok {
		t.Error("a copy exists before the first watch")
	}
	hosts, done := make(chan error, 1), make(chan error, 1)
	go func() { hosts <- s.WatchHosts(ctx, func(intent.HostsUpdate) {}) }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if u, ok := s.CopiedGuard(); ok && len(u.Guarded) == 0 { // as an older build leaves it
			break
		}
		if time.Now().After(end) {
			t.Fatal("no empty copy beside the hosts' copy")
		}
	}
	must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor1", "192.0.2.40")))
	go func() { done <- s.WatchGuard(ctx, func(intent.GuardUpdate) {}) }()
	want := []intent.Guarded{{VTEP: addr("192.0.2.40")}}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if u, ok := s.CopiedGuard(); ok && reflect.DeepEqual(u.Guarded, want) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not copied")
		}
	}
	cancel()
	<-done
	<-hosts
	if err := os.WriteFile(guardCopy(s.stateDir), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.CopiedGuard(); ok {
		t.Error("a damaged copy counts as empty: tenants would reach what it held")
	}
}
