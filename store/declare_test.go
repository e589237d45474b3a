package store

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// Deleting a network requires that it has no parts of any class.
func TestEveryPartOfANetworkIsKeptAsOne(t *testing.T) {
	parts := 0
	for dir, c := range tenantDirs {
		for _, name := range []string{"c1", sortable(netip.MustParseAddr("10.0.0.2"))} {
			o, ok := c.named("acme", []string{"web", name})
			if !ok {
				continue
			}
			if _, ok := intent.Within(o.Reference()).(intent.NetworkRef); !ok {
				continue
			}
			parts++
			if !slices.Contains(networkDirs, dir) {
				t.Errorf("%s is part of a network, but registered by keptIn, not by keptInNetworks", o.Reference().Class())
			}
		}
	}
	if parts == 0 {
		t.Error("no class is part of a network")
	}
}
