package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// populated adds at least one object of each kind, and returns all keys.
func populated(t testing.TB, s *Store) []string {
	t.Helper()
	ctx := t.Context()
	acme(t, s)
	must[intent.Network](t)(s.AddNetwork(ctx, network("acme/db", "10.0.1.0/24")))
	host(t, s, "host1", "192.0.2.1")
	host(t, s, "host2", "192.0.2.2")
	c1 := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1", "10.0.0.5")))
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c2", "10.0.0.6", "fd00::6")))
	for _, h := range []string{"host1", "host2"} {
		if _, err := s.Claim(ctx, c1.Ref(), h, 0); err != nil {
			t.Fatal(err)
		}
	}
	must[intent.Peer](t)(s.AddPeer(ctx, intent.Peer{Tenant: "acme", Network: "web", Name: "tor1", VTEP: addr("192.0.2.9")}))
	must[intent.Route](t)(s.AddRoute(ctx, intent.Route{Tenant: "acme", Prefix: prefix("10.9.0.0/16"), Via: []netip.Addr{addr("10.0.0.5")}}))
	must[intent.External](t)(s.AddExternal(ctx, intent.External{Name: "internet", Kind: intent.ExternalHost}))
	must[intent.External](t)(s.AddExternal(ctx, intent.External{Name: "campus", Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: prefix("203.0.113.0/24"),
		Pool: intent.AddrRange{First: addr("203.0.113.10"), Last: addr("203.0.113.20")}}))
	must[intent.SNAT](t)(s.AddSNAT(ctx, intent.SNAT{Tenant: "acme", External: "campus"}))
	must[intent.Floating](t)(s.AddFloating(ctx, intent.Floating{Tenant: "acme", Network: "web", Port: "c1", External: "campus"}))
	must[intent.Forward](t)(s.AddForward(ctx, intent.Forward{Tenant: "acme", External: "campus", Protocol: intent.TCP, Port: 80, To: ref("acme/web/c2"), ToPort: 80}))
	if _, err := s.ClaimNATAddress(ctx, "acme", "campus", "host1"); err != nil {
		t.Fatal(err)
	}
	return keys(t, s)
}

func keys(t testing.TB, s *Store) []string {
	t.Helper()
	all, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// put writes any value, as another program might.
func put(t testing.TB, s *Store, key, value string) {
	t.Helper()
	if _, err := s.kv.Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// spoilt are values of a port that must not be used.
func spoilt(t *testing.T, p intent.Port) map[string]string {
	text := func(change func(*intent.Port)) string {
		q := p
		q.Addrs = slices.Clone(p.Addrs)
		change(&q)
		value, err := kv.Encode(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	whole := text(func(*intent.Port) {})
	return map[string]string{
		"nothing":          ``,
		"no JSON":          `{`,
		"null":             `null`,
		"no fields":        `{"v":1}`,
		"no version":       strings.Replace(whole, `"v":1,`, ``, 1),
		"a wrong type":     strings.Replace(whole, `"name":"c1"`, `"name":7`, 1),
		"another's name":   text(func(p *intent.Port) { p.Name = "c2" }),
		"no id":            text(func(p *intent.Port) { p.ID = 0 }),
		"an id too large":  text(func(p *intent.Port) { p.ID = intent.IDMax + 1 }),
		"no UUID":          text(func(p *intent.Port) { p.UUID = "" }),
		"no MAC":           text(func(p *intent.Port) { p.MAC = intent.MAC{} }),
		"a router's MAC":   text(func(p *intent.Port) { p.MAC = intent.GatewayMAC }),
		"an empty address": strings.Replace(whole, `"10.0.0.5"`, `""`, 1),
		"an address twice": text(func(p *intent.Port) { p.Addrs = append(p.Addrs, p.Addrs[0]) }),
		"learning below 0": text(func(p *intent.Port) { p.Learn = -1 }),
	}
}

// An invalid object is left out: its last valid state stays, also over a restart, its addresses
// stay taken, and other objects are unaffected.
func TestBadObjectIsLeftOut(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	populated(t, s)
	dir := stateDir(t)
	far := open(t, cluster.Config{StateDir: dir, Endpoints: s.URLs()})
	m, stop := watch(t, far, "acme")
	c1, err := s.Port(ctx, ref("acme/web/c1"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Snapshot(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	key := portKey(c1.Ref())
	good, err := s.kv.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(spoilt(t, c1))) {
		t.Run(name, func(t *testing.T) {
			put(t, s, key, spoilt(t, c1)[name])
			until(t, "it is left out", func() bool { l := far.LeftOut(); return len(l) == 1 && l[0].Object == "port acme/web/c1" })
			if l := far.LeftOut()[0]; l.Newer || l.Why == "" || l.Do() == "" {
				t.Errorf("%+v", l)
			}
			if _, err := s.Port(ctx, c1.Ref()); err == nil || intent.KindOf(err) == intent.NotFound {
				t.Errorf("read: %v", err)
			}
			if list, err := s.Ports(ctx, c1.Ref().NetworkRef()); err != nil || len(list) != 1 {
				t.Errorf("listed: %v, %v", list, err)
			}
			// Its address stays taken, by its index key.
			if _, _, err := s.AddPort(ctx, port("acme/web/thief", "10.0.0.5")); intent.KindOf(err) != intent.Conflict {
				t.Errorf("its address is given to another: %v", err)
			}
			if found, err := s.Check(ctx); err != nil || !strings.Contains(strings.Join(found, "\n"), key) {
				t.Errorf("checked: %q, %v", found, err)
			}
			put(t, s, key, string(good.Value))
			until(t, "it is back", func() bool { return len(far.LeftOut()) == 0 })
		})
	}
	m.mu.Lock()
	if !maps.Equal(m.objects, snapshotText(want)) || m.snapshots != 1 {
		t.Errorf("delivered:\n%s\nwant\n%s", lines(m.objects), lines(snapshotText(want)))
	}
	m.mu.Unlock()

	// Over a restart, with the cached copy.
	put(t, s, key, `{"v":1}`)
	until(t, "it is left out", func() bool { return len(far.LeftOut()) == 1 })
	stop()
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from what the first has copied
		far = open(t, cluster.Config{StateDir: dir, Endpoints: s.URLs()})
		m, stop = watch(t, far, "acme")
		until(t, "a snapshot is delivered", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.snapshots > 0 })
		m.mu.Lock()
		if !maps.Equal(m.objects, snapshotText(want)) {
			t.Errorf("after a restart:\n%s\nwant\n%s", lines(m.objects), lines(snapshotText(want)))
		}
		m.mu.Unlock()
		if l := far.LeftOut(); len(l) != 1 {
			t.Errorf("left out: %+v", l)
		}
		stop()
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a newer build wrote is not reported as damaged.
func TestNewerObjectsAreLeftOut(t *testing.T) {
	s := open(t, cluster.Config{})
	populated(t, s)
	_, _ = watch(t, s, "acme")
	put(t, s, portKey(ref("acme/web/c1")), `{"v":2,"what":"ever"}`)
	put(t, s, tenantRoot("acme")+"groups/web", `{"v":1}`)
	until(t, "both are left out", func() bool { return len(s.LeftOut()) == 2 })
	for _, l := range s.LeftOut() {
		if !l.Newer || !strings.Contains(l.Do(), "upgrade") {
			t.Errorf("%+v: %s", l, l.Do())
		}
	}
}

// A tenant whose own object is invalid does not count as deleted.
func TestBadTenantIsNotGone(t *testing.T) {
	s := open(t, cluster.Config{})
	populated(t, s)
	m, stop := watch(t, s, "acme")
	until(t, "the copy is there", func() bool { _, ok := s.Copy("acme"); return ok })
	put(t, s, tenantKey("acme"), `{"v":1,"name":"acme","id":1,"vrf":0}`)
	until(t, "it is left out", func() bool { return len(s.LeftOut()) == 1 })
	stop()
	m2, stop := watch(t, s, "acme")
	until(t, "the last valid state is delivered", func() bool { m2.mu.Lock(); defer m2.mu.Unlock(); return m2.snapshots > 0 })
	m.mu.Lock()
	m2.mu.Lock()
	if !maps.Equal(m.objects, m2.objects) || m.gone || m2.gone {
		t.Errorf("delivered:\n%s\nwant\n%s", lines(m2.objects), lines(m.objects))
	}
	m.mu.Unlock()
	m2.mu.Unlock()
	stop()

	// Without a copy nothing is delivered, so flows stay unchanged.
	far := open(t, cluster.Config{Endpoints: s.URLs()})
	m3, _ := watch(t, far, "acme")
	until(t, "it is left out", func() bool { return len(far.LeftOut()) == 1 })
	m3.mu.Lock()
	defer m3.mu.Unlock()
	if m3.gone || m3.snapshots > 0 {
		t.Errorf("delivered: gone %v, %d snapshots", m3.gone, m3.snapshots)
	}
}

// A host's daemon rewrites its own object, whatever happened to it.
func TestHostHealsItsOwnObject(t *testing.T) {
	s := open(t, cluster.Config{})
	old := host(t, s, "host2", "192.0.2.2")
	for _, value := range []string{`{"v":1}`, `x`, `{"v":1,"name":"host2","vtep":"192.0.2.2","id":0}`} {
		put(t, s, hostKey("host2"), value)
		put(t, s, aliveKey("host2"), `{"v":`)
		put(t, s, appliedKey("host2"), `{"v":1,"revision":"x"}`)
		if list, err := s.Hosts(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("hosts: %v, %v", list, err)
		}
		again := host(t, s, "host2", "192.0.2.2")
		if again.ID == 0 || again.ID == old.ID {
			t.Errorf("id %d, before %d", again.ID, old.ID)
		}
		if err := s.SetAppliedSpan(t.Context(), "host2", nil); err != nil {
			t.Error(err)
		}
		if list, err := s.Hosts(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("hosts: %v, %v", list, err)
		}
		checked(t, s)
	}
	put(t, s, hostKey("host2"), `{"v":1}`)
	if _, _, err := s.RemoveHost(t.Context(), "host2", true); err != nil {
		t.Error(err)
	}
	if found := keys(t, s); slices.Contains(found, vtepKey(addr("192.0.2.2"))) {
		t.Errorf("left: %v", found)
	}
}

// Two hosts with one id are reported, with the remedy.
func TestCheckNamesHostsWithOneID(t *testing.T) {
	s := open(t, cluster.Config{})
	host(t, s, "host1", "192.0.2.1")
	h := host(t, s, "host2", "192.0.2.2")
	list, err := s.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.ID = list[0].ID
	value, err := kv.Encode(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, hostKey("host2"), value)
	if found, err := s.Check(t.Context()); err != nil || !strings.Contains(strings.Join(found, "\n"), "ovloom host remove host2 --cascade") {
		t.Errorf("found %q, %v", found, err)
	}
}

// mutate changes a value a little or completely.
func mutate(rnd *rand.Rand, value string, others []string) string {
	b := []byte(value)
	switch rnd.IntN(8) {
	case 0:
		return others[rnd.IntN(len(others))]
	case 1:
		return `{"v":1}`
	case 2:
		return string(b[:rnd.IntN(len(b)+1)])
	case 3, 4: // one field of another type, or gone
		var fields map[string]any
		if json.Unmarshal(b, &fields) != nil || len(fields) == 0 {
			return "x"
		}
		names := slices.Sorted(maps.Keys(fields))
		name := names[rnd.IntN(len(names))]
		odd := []any{nil, "", 0, -1, 1 << 62, 1.5, "255.255.255.255", "::", "0.0.0.0/0", []any{}, []any{nil}, []any{""}, map[string]any{}, true, strings.Repeat("x", 300)}
		if i := rnd.IntN(len(odd) + 1); i < len(odd) {
			fields[name] = odd[i]
		} else {
			delete(fields, name)
		}
		out, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		return string(out)
	}
	for range 1 + rnd.IntN(4) {
		if len(b) > 0 {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
	}
	return string(b)
}

// Whatever is written at any key, watches deliver only valid objects, and the store can be used
// again after the repair.
func TestRandomValuesAtEveryKey(t *testing.T) {
	t.Parallel()
	s := open(t, cluster.Config{})
	ctx := t.Context()
	all := populated(t, s)
	var good []kv.Item
	var values []string
	for _, k := range all {
		it, err := s.kv.Get(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		good, values = append(good, it), append(values, string(it.Value))
	}
	var mu sync.Mutex
	var last int64
	wctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() {
		done <- s.WatchTenant(wctx, "acme", func(u intent.SpanUpdate) {
			mu.Lock()
			defer mu.Unlock()
			last = u.Revision
			for _, c := range u.Changes {
				if err := intent.Stored(c.Object); err != nil && !c.Deleted {
					t.Errorf("delivered %+v: %v", c.Object, err)
				}
			}
		})
	}()
	go func() {
		done <- s.WatchHosts(wctx, func(u intent.HostsUpdate) {
			for _, h := range u.Hosts {
				if err := intent.Stored(h); err != nil {
					t.Errorf("delivered %+v: %v", h, err)
				}
			}
		})
	}()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for i := range 300 {
		it := good[rnd.IntN(len(good))]
		put(t, s, it.Key, mutate(rnd, string(it.Value), values))
		if i%20 > 0 {
			continue
		}
		// Each of these may fail, but not panic.
		_, _ = s.Check(ctx)
		_, _ = s.Snapshot(ctx, "acme")
		_, _ = s.Hosts(ctx)
		_, _, _ = s.AddPort(ctx, port(fmt.Sprintf("acme/web/r%d", i)))
		_, _, _ = s.AddNetwork(ctx, network(fmt.Sprintf("acme/r%d", i)))
		_, _ = s.Claim(ctx, ref("acme/web/c1"), "host1", 0)
		_, _, _ = s.AddExternal(ctx, intent.External{Name: fmt.Sprintf("r%d", i), Kind: intent.ExternalHost})
		_, _ = s.Register(ctx, intent.Host{Name: "host1", VTEP: addr("192.0.2.1")})
	}
	for _, it := range good {
		put(t, s, it.Key, string(it.Value))
	}
	must[intent.Tenant](t)(s.AddTenant(ctx, "afterwards"))
	if _, err := s.Externals(ctx); err != nil { // which has no watch here
		t.Fatal(err)
	}
	began := time.Now()
	until(t, "nothing is left out", func() bool {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("left out: %+v", s.LeftOut())
		}
		mu.Lock()
		defer mu.Unlock()
		return len(s.LeftOut()) == 0 && last > 0
	})
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzObjectAt(f *testing.F) {
	for _, k := range []string{"hosts/host1", "externals/campus", "t/acme/tenant", "t/acme/networks/web", "t/acme/ports/web/c1", "t/acme/bindings/web/c1/host1",
		"t/acme/peers/web/tor1", "t/acme/routes/10.9.0.0_16", "t/acme/nat/snat/campus", "t/acme/nat/floating/web/c1/campus",
		"t/acme/nat/forward/campus/tcp/00080", "t/acme/nat/addresses/campus/host1", "t/acme/what"} {
		f.Add(kv.Root+k, []byte(`{"v":1,"name":"host1","id":7,"vtep":"192.0.2.1"}`))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		object, err := objectAt(key, value)
		if err == nil {
			if named(key) == nil || intent.Stored(object) != nil {
				t.Errorf("%s is %+v", key, object)
			}
			_ = intent.ObjectName(object)
		}
	})
}
