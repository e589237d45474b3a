package store

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// The time to add a port with all of it chosen must not grow with the network.
func BenchmarkAddPort(b *testing.B) {
	for _, ports := range []int{10, 1000, 10000} {
		b.Run(strconv.Itoa(ports), func(b *testing.B) {
			s := open(b, Config{})
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

// A host that starts reads its tenants: the time for one of 10,000 ports.
func BenchmarkSnapshot(b *testing.B) {
	s := open(b, Config{})
	acme(b, s)
	fill(b, s, intent.NetworkRef{Tenant: "acme", Network: "web"}, 10000)
	far := client(b, s)
	for b.Loop() {
		if _, err := far.Snapshot(b.Context(), "acme"); err != nil {
			b.Fatal(err)
		}
	}
}
