package store

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// BenchmarkAddPort: the time to add a port whose id, MAC and addresses the store chooses must
// not grow with the network.
func BenchmarkAddPort(b *testing.B) {
	for _, ports := range []int{10, 1000, 10000} {
		b.Run(strconv.Itoa(ports), func(b *testing.B) {
			s := open(b, cluster.Config{})
			must[intent.Tenant](b)(s.AddTenant(b.Context(), "acme"))
			must[intent.Network](b)(s.AddNetwork(b.Context(), network("acme/web", "10.0.0.0/8", "fd00::/64")))
			for i := range ports {
				must[intent.Port](b)(s.AddPort(b.Context(), port(fmt.Sprintf("acme/web/p%d", i))))
			}
			i := 0
			for b.Loop() {
				must[intent.Port](b)(s.AddPort(b.Context(), port(fmt.Sprintf("acme/web/n%d", i))))
				i++
			}
		})
	}
}

// A host that starts reads its tenants: measure a tenant of 10,000 ports.
func BenchmarkSnapshot(b *testing.B) {
	s := open(b, cluster.Config{})
	acme(b, s)
	fill(b, s, intent.NetworkRef{Tenant: "acme", Network: "web"}, 10000)
	far := client(b, s)
	for b.Loop() {
		if _, err := far.Snapshot(b.Context(), "acme"); err != nil {
			b.Fatal(err)
		}
	}
}

// The time to take an address must not grow with the number of addresses in use.
func BenchmarkClaimNATAddress(b *testing.B) {
	for _, used := range []int{10, 1000, 60000} {
		b.Run(strconv.Itoa(used), func(b *testing.B) {
			s := open(b, cluster.Config{})
			ctx := b.Context()
			outside(b, s)
			host(b, s, "host1", "192.0.2.1")
			e := campus()
			e.Name, e.Bridge, e.Subnet = "wide", "br-wide", prefix("198.18.0.0/16")
			e.Pool = intent.AddrRange{First: addr("198.18.0.2"), Last: addr("198.18.255.254")}
			must[intent.External](b)(s.AddExternal(ctx, e))
			must[intent.SNAT](b)(s.AddSNAT(ctx, snat("acme", "wide")))
			a := e.Pool.First
			for n := 0; n < used; {
				var tx kv.Txn
				for range min(used-n, kv.MaxOps-1) {
					tx.Put(outsideKey("wide", a), "tenant initech")
					a = a.Next()
					n++
				}
				tx.Put(lastOutsideKey("wide"), sortable(a.Prev()))
				if _, err := s.kv.Commit(ctx, &tx); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, err := s.ClaimNATAddress(ctx, "acme", "wide", "host1"); err != nil {
					b.Fatal(err)
				}
				if err := s.ReleaseNATAddress(ctx, "acme", "wide", "host1"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
