package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
)

// internet is an external of kind host, campus is behind a bridge and has 11 addresses.
func internet() intent.External {
	return intent.External{Name: "internet", Kind: intent.ExternalHost}
}

func campus() intent.External {
	return intent.External{Name: "campus", Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: prefix("203.0.113.0/24"),
		Pool: intent.AddrRange{First: addr("203.0.113.10"), Last: addr("203.0.113.20")}}
}

func TestExternals(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	must[intent.Peer](t)(s.AddPeer(ctx, peer("acme/web/tor1", "198.51.100.40")))
	one := must[intent.External](t)(s.AddExternal(ctx, internet()))
	two := must[intent.External](t)(s.AddExternal(ctx, campus()))
	if one.Subnet != intent.DefaultHostRange || one.Gateway != addr("100.64.0.1") || one.ID == 0 || one.Number == 0 {
		t.Errorf("added %+v", one)
	}
	if two.Gateway != addr("203.0.113.1") || two.MTU != 1500 || two.Number == one.Number {
		t.Errorf("added %+v", two)
	}
	// Another bridge is another segment, whatever its addresses.
	twin := campus()
	twin.Name, twin.Bridge = "lab", "br-lab"
	must[intent.External](t)(s.AddExternal(ctx, twin))

	with := func(e intent.External, edit func(*intent.External)) intent.External {
		edit(&e)
		return e
	}
	add := func(e intent.External, edit func(*intent.External)) error {
		e.Name = "new"
		return third(s.AddExternal(ctx, with(e, edit)))
	}
	set := func(name string, edit func(*intent.External)) error {
		return third(s.SetExternal(ctx, name, func(e *intent.External) error { edit(e); return nil }))
	}
	refusals(t, []refusal{
		{"twice", third(s.AddExternal(ctx, with(internet(), func(e *intent.External) { e.Subnet = prefix("100.65.0.0/16") }))), intent.Conflict, "external internet exists"},
		{"host ranges that overlap", add(internet(), func(e *intent.External) { e.Subnet = prefix("100.64.128.0/17") }), intent.Conflict,
			"subnet 100.64.128.0/17 overlaps 100.64.0.0/16 of external internet; hosts keep the subnet"},
		{"a segment in a host range", add(campus(), func(e *intent.External) {
			e.Subnet, e.Pool = prefix("100.64.3.0/24"), intent.AddrRange{First: addr("100.64.3.10"), Last: addr("100.64.3.20")}
		}), intent.Conflict, "overlaps 100.64.0.0/16 of external internet"},
		{"a segment twice", add(campus(), func(*intent.External) {}), intent.Conflict, "overlaps 203.0.113.0/24 of external campus, which is behind bridge br-ex too"},
		{"a host range with a VTEP", add(internet(), func(e *intent.External) { e.Subnet = prefix("192.0.2.0/24") }), intent.Conflict,
			"VTEP address 192.0.2.1 of host host1 is one of 192.0.2.0-192.0.2.255, which external new would use"},
		{"a pool with a peer's VTEP", add(campus(), func(e *intent.External) {
			e.Subnet, e.Pool = prefix("198.51.100.0/24"), intent.AddrRange{First: addr("198.51.100.30"), Last: addr("198.51.100.40")}
		}), intent.Conflict, "VTEP address 198.51.100.40 of peer acme/web/tor1 is one of 198.51.100.30-198.51.100.40"},
		{"a VTEP in a host range", second(s.Register(ctx, intent.Host{Name: "host2", VTEP: addr("100.64.200.1")})), intent.Conflict,
			"VTEP address 100.64.200.1 is one of 100.64.0.0-100.64.255.255, which external internet uses"},
		{"a VTEP in a pool", second(s.Register(ctx, intent.Host{Name: "host1", VTEP: addr("203.0.113.20")})), intent.Conflict, "one of 203.0.113.10-203.0.113.20"},
		{"a peer in a pool", third(s.AddPeer(ctx, peer("acme/web/tor2", "203.0.113.10"))), intent.Conflict, "which external campus uses"},
		{"IPv6", add(internet(), func(e *intent.External) { e.Subnet = prefix("fd00::/64") }), intent.Invalid, "is IPv6; NAT is for IPv4 only"},
		{"set to another kind", set("internet", func(e *intent.External) { e.Kind = intent.ExternalBridge }), intent.Invalid, "the kind, bridge and subnet of external internet cannot be changed"},
		{"set to another name", set("internet", func(e *intent.External) { e.Name = "x" }), intent.Invalid, "cannot be changed"},
		{"a pool with the gateway", set("campus", func(e *intent.External) { e.Pool.First = addr("203.0.113.1") }), intent.Invalid, "contains its gateway"},
		{"set none", set("no", func(*intent.External) {}), intent.NotFound, "external no does not exist; see: ovloom external list"},
		{"delete none", third(s.DeleteExternal(ctx, "no", false)), intent.NotFound, "external no does not exist"},
	})
	host(t, s, "host2", "203.0.113.21") // in the segment, and not in the pool
	refusals(t, []refusal{{"a pool that grows over a VTEP", set("campus", func(e *intent.External) { e.Pool.Last = addr("203.0.113.30") }), intent.Conflict,
		"VTEP address 203.0.113.21 of host host2"}})
	got := must[intent.External](t)(s.SetExternal(ctx, "campus", func(e *intent.External) error {
		e.MTU, e.Gateway, e.Allow = 9000, addr("203.0.113.254"), []netip.Prefix{prefix("192.0.2.1/32")}
		return nil
	}))
	if read, err := s.External(ctx, "campus"); err != nil || fmt.Sprint(read) != fmt.Sprint(got) || read.MTU != 9000 || len(read.Allow) != 1 {
		t.Errorf("reads %+v, %v, was set to %+v", read, err, got)
	}
	// An external without a choice of underlay access keeps its access until a choice is set;
	// resetting the choice means deny.
	for _, step := range []struct{ give, want intent.UnderlayAccess }{{"", ""}, {intent.UnderlayAllow, intent.UnderlayAllow}, {"", intent.UnderlayDeny}} {
		e := must[intent.External](t)(s.SetExternal(ctx, "internet", func(e *intent.External) error {
			e.Underlay = step.give
			return nil
		}))
		if e.Underlay != step.want {
			t.Errorf("underlay %q given: is %q, want %q", step.give, e.Underlay, step.want)
		}
	}
	if all, err := s.Externals(ctx); err != nil || len(all) != 3 || all[0].Name != "campus" || all[2].Name != "lab" {
		t.Errorf("externals %+v, %v", all, err)
	}
	checked(t, s)
}

// The number of a deleted external is the last to be reused, and there are as many externals as
// numbers.
func TestNumbersOfExternals(t *testing.T) {
	t.Parallel()
	s := open(t, cluster.Config{})
	ctx := t.Context()
	add := func(name string, i int) (intent.External, error) {
		e, _, err := s.AddExternal(ctx, intent.External{Name: name, Kind: intent.ExternalHost, Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(i), 0}), 24)})
		return e, err
	}
	for i := range intent.ExternalNumberMax {
		e, err := add(fmt.Sprintf("e%d", i), i)
		if err != nil || int(e.Number) != i+1 {
			t.Fatalf("external %d: %+v, %v", i, e, err)
		}
		if i == 100 {
			if _, _, err := s.DeleteExternal(ctx, "e3", false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if e, err := add("again", 3); err != nil || e.Number != 4 {
		t.Errorf("after all others: %+v, %v", e, err)
	}
	_, err := add("more", 255)
	refusals(t, []refusal{{"one more", err, intent.Conflict, "there are 255 externals; there can be no more"}})
	checked(t, s)
}

// Externals are watched like hosts, and known to a host that starts while the store is down.
func TestWatchExternals(t *testing.T) {
	server := open(t, cluster.Config{})
	dir := stateDir(t)
	far := open(t, cluster.Config{StateDir: dir, Endpoints: server.URLs()})
	must[intent.External](t)(server.AddExternal(t.Context(), internet()))
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan intent.ExternalsUpdate, 10)
	done := make(chan error, 1)
	go func() { done <- far.WatchExternals(ctx, func(u intent.ExternalsUpdate) { told <- u }) }()
	names := func(u intent.ExternalsUpdate) []string {
		var all []string
		for _, e := range u.Externals {
			all = append(all, e.Name)
		}
		return all
	}
	if got := names(<-told); !slices.Equal(got, []string{"internet"}) {
		t.Errorf("delivered %v at first", got)
	}
	_, rev, err := server.AddExternal(t.Context(), campus())
	if u := <-told; err != nil || !slices.Equal(names(u), []string{"campus", "internet"}) || u.Revision != rev {
		t.Errorf("delivered %v at revision %d, want %d, %v", names(u), u.Revision, rev, err)
	}
	if _, _, err := server.DeleteExternal(t.Context(), "internet", false); err != nil {
		t.Fatal(err)
	}
	if got := names(<-told); !slices.Equal(got, []string{"campus"}) {
		t.Errorf("delivered %v after one was deleted", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	alone := open(t, cluster.Config{StateDir: dir, Endpoints: []string{"http://127.0.0.1:1"}})
	if u, ok := alone.CopiedExternals(); !ok || !slices.Equal(names(u), []string{"campus"}) || u.Externals[0].Pool != campus().Pool {
		t.Errorf("the copy has %+v, %v", u, ok)
	}
	if u, ok := server.CopiedExternals(); ok {
		t.Errorf("a copy without a watch: %+v", u)
	}
}
