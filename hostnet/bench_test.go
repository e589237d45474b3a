package hostnet

import (
	"context"
	"strconv"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
)

// BenchmarkPlug plugs and unplugs ports in one namespace, with addresses, routes and offloads.
func BenchmarkPlug(b *testing.B) {
	ns := ovstest.Netns(b, "bench")
	for i := range b.N {
		s := spec(ns)
		s.Port = strconv.Itoa(i)
		if _, err := Plug(context.Background(), s); err != nil {
			b.Fatal(err)
		}
		b.StopTimer() // deleting a veth waits for the kernel's grace periods
		if err := Unplug(context.Background(), s.Port); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
