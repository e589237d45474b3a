package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

func TestFieldsOfANewerBuildSurvive(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	it, err := s.kv.Get(ctx, portKey(p.Ref()))
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.TrimSuffix(string(it.Value), "}") + `,"groups":["web","ssh"],"zone":{"id":3}}`
	if _, err := s.kv.Put(ctx, it.Key, newer); err != nil {
		t.Fatal(err)
	}
	must[intent.Port](t)(s.SetPort(ctx, p.Ref(), func(p *intent.Port) error { p.MAC = intent.MAC{2, 0, 0, 0, 0, 1}; return nil }))
	if it, err = s.kv.Get(ctx, it.Key); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"v":1,`, `"mac":"02:00:00:00:00:01"`, `"groups":["web","ssh"]`, `"zone":{"id":3}`} {
		if !strings.Contains(string(it.Value), want) {
			t.Errorf("%s lacks %s", it.Value, want)
		}
	}
	checked(t, s)
}

func TestValuesOfANewerSchemaAreRefused(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1")))
	if _, err := s.kv.Put(ctx, portKey(ref("acme/web/c9")), `{"v":2,"name":"c9"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Port(ctx, ref("acme/web/c9")); err == nil || !strings.Contains(err.Error(), "schema version 2, this build reads 1") {
		t.Errorf("read: %v", err)
	}
	// It does not hide all other hosts.
	if snap, err := s.Snapshot(ctx, "acme"); err != nil || len(snap.Ports) != 1 {
		t.Errorf("snapshot: %+v, %v", snap, err)
	}
	if found, err := s.Check(ctx); err != nil || len(found) != 1 || !strings.Contains(found[0], "acme/ports/web/c9") {
		t.Errorf("check: %v, %v", found, err)
	}
}

// Check finds each kind of damage.
func TestCheckFindsDamage(t *testing.T) {
	s := open(t, cluster.Config{})
	ctx := t.Context()
	acme(t, s)
	host(t, s, "host1", "192.0.2.1")
	p := must[intent.Port](t)(s.AddPort(ctx, port("acme/web/c1", "10.0.0.5")))
	b, err := s.Claim(ctx, p.Ref(), "host1", 0)
	if err != nil {
		t.Fatal(err)
	}
	checked(t, s)
	web := p.Ref().NetworkRef()
	encoded := func(v any) string {
		value, err := kv.Encode(v, nil)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	lost := p
	lost.Network, lost.ID = "no", 77
	outside := p
	outside.Name, outside.ID, outside.UUID, outside.MAC = "c2", 999, "6ba7b810-9dad-41d1-80b4-00c04fd430c8", intent.MAC{2, 0, 0, 0, 0, 2}
	for _, c := range []struct {
		name, key, value string // no value: the key is deleted
		want             string
	}{
		{"an index key is missing", addrKey(web, addr("10.0.0.5")), "", "of acme/web/c1 is missing"},
		{"an index key names another", macKey(web, p.MAC), "acme/web/c7", "names acme/web/c7 instead of acme/web/c1"},
		{"an index key of nothing", uuidKey("x"), "acme/web/c7", "belongs to nothing"},
		{"a binding without index", boundKey("host1", p.Ref()), "", "of acme/web/c1 is missing"},
		{"a binding without port", bindingKey(ref("acme/web/c7"), "host1"), encoded(intent.Binding{Tenant: "acme", Network: "web", Port: "c7", Host: "host1", Generation: b.Generation}), "binding acme/web/c7 on host1 has no port"},
		{"a counter that is behind", claimKey(p.Ref()), encoded(claimValue{1}), "the port's last is 1"},
		{"a port without network", portKey(ref("acme/no/c1")), encoded(lost), "port acme/no/c1 has no network"},
		{"an address of two ports", portKey(outside.Ref()), encoded(outside), "belongs to both"},
		{"a host without VTEP index", vtepKey(addr("192.0.2.1")), "", "of host1 is missing"},
		{"a key of nobody", kv.Root + "t/acme/what", "x", "this build knows no such key"},
		{"an object without its fields", hostKey("host1"), `{"v":1}`, "key /ovloom/v1/hosts/host1: unreadable: it names host "},
	} {
		t.Run(c.name, func(t *testing.T) {
			it, err := s.kv.Get(ctx, c.key)
			if err != nil {
				t.Fatal(err)
			}
			if c.value == "" {
				_, err = remove(ctx, s, c.key)
			} else {
				_, err = s.kv.Put(ctx, c.key, c.value)
			}
			if err != nil {
				t.Fatal(err)
			}
			found, err := s.Check(ctx)
			if err != nil || !strings.Contains(strings.Join(found, "\n"), c.want) {
				t.Errorf("found %q, %v; want ...%s...", found, err, c.want)
			}
			if it.Value == nil {
				_, err = remove(ctx, s, c.key)
			} else {
				_, err = s.kv.Put(ctx, c.key, string(it.Value))
			}
			if err != nil {
				t.Fatal(err)
			}
			checked(t, s)
		})
	}
}

func TestSortableAddresses(t *testing.T) {
	last := ""
	for _, a := range []string{"9.0.0.0", "10.0.0.9", "10.0.0.10", "10.0.0.255", "10.0.1.0", "100.0.0.0"} {
		got := sortable(addr(a))
		if back, err := parseSortable(got); err != nil || back != addr(a) {
			t.Errorf("%s is written as %s and read as %v, %v", a, got, back, err)
		}
		if got <= last {
			t.Errorf("%s comes after %s", last, got)
		}
		last = got
	}
	last = ""
	for _, a := range []string{"fd00::1", "fd00::9", "fd00::a", "fd00::10", "fd00::1:0", "fd01::"} {
		got := sortable(addr(a))
		if back, err := parseSortable(got); err != nil || back != addr(a) {
			t.Errorf("%s is written as %s and read as %v, %v", a, got, back, err)
		}
		if got <= last {
			t.Errorf("%s comes after %s", last, got)
		}
		last = got
	}
}

// Keys come from cached copies and from a store that other programs may write to.
func FuzzKeys(f *testing.F) {
	for _, o := range []string{tenantKey("acme"), networkKey(intent.NetworkRef{Tenant: "a", Network: "b"}), portKey(ref("a/b/c")), bindingKey(ref("a/b/c"), "h"), hostKey("h"), kv.Root} {
		f.Add(o)
	}
	f.Fuzz(func(t *testing.T, key string) {
		var back string
		switch o := named(key).(type) {
		case nil:
			return
		case intent.Tenant:
			back = tenantKey(o.Name)
		case intent.Network:
			back = networkKey(o.Ref())
		case intent.Port:
			back = portKey(o.Ref())
		case intent.Binding:
			back = bindingKey(o.PortRef(), o.Host)
		case intent.Host:
			back = hostKey(o.Name)
		}
		if back != key {
			t.Errorf("%q names %v, whose key is %q", key, fmt.Sprint(named(key)), back)
		}
	})
}
