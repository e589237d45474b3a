package store

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// BenchmarkReadCopy reads the cached copy of a tenant with 50,000 ports, as a host does when it
// starts.
func BenchmarkReadCopy(b *testing.B) {
	var all []kv.Item
	put := func(key string, v any) {
		text, err := kv.Encode(v, nil)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, kv.Item{Key: key, Value: []byte(text)})
	}
	put(tenantKey("acme"), intent.Tenant{Name: "acme", ID: 1, VRF: 1})
	web := network("acme/web", "10.0.0.0/8")
	web.ID, web.VNI, web.Subnets[0].Gateway = 2, 100, netip.MustParseAddr("10.0.0.1")
	web = web.WithDefaults()
	put(networkKey(intent.NetworkRef{Tenant: "acme", Network: "web"}), web)
	for i := range 50_000 {
		p := intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprint("p", i), ID: intent.ID(1000 + i), UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i),
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte((i + 10) >> 16), byte((i + 10) >> 8), byte(i + 10)})}}
		p.MAC = intent.DerivedMAC(p.ID)
		put(portKey(p.Ref()), p)
		put(bindingKey(p.Ref(), fmt.Sprint("host", i%20)), intent.Binding{Tenant: "acme", Network: "web", Port: p.Name, Host: fmt.Sprint("host", i%20), Generation: 1, Up: true})
	}
	slices.SortFunc(all, func(a, b kv.Item) int { return strings.Compare(a.Key, b.Key) })
	path := b.TempDir() + "/acme.copy"
	if err := kv.WriteCopy(path, all, 7); err != nil {
		b.Fatal(err)
	}
	file, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	c := kv.New(b.Context(), kv.Config{Logger: slog.New(slog.DiscardHandler)})
	b.SetBytes(file.Size())
	b.ReportAllocs()
	for b.Loop() {
		all, revision, ok := c.ReadCopy(path)
		if !ok {
			b.Fatal("there is no copy")
		}
		snap, bad := snapshotOf(all, revision)
		if len(snap.Ports) != 50_000 || len(bad) > 0 {
			b.Fatalf("%d ports, %v", len(snap.Ports), bad)
		}
	}
}
