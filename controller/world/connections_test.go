package world

import (
	"fmt"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// Of several SNATs the one that allows most decides, always.
func TestConnectionsOfATenant(t *testing.T) {
	for _, c := range []struct {
		max  []uint32
		want uint32
	}{
		{nil, intent.DefaultConnections},
		{[]uint32{0}, intent.DefaultConnections},
		{[]uint32{500}, 500},
		{[]uint32{500, 900}, 900},
		{[]uint32{500, intent.UnlimitedConnections}, 0},
	} {
		tn := &tenant{}
		tn.nat.snats = map[string]intent.SNAT{}
		for i, m := range c.max {
			tn.nat.snats[fmt.Sprint(i)] = intent.SNAT{MaxConnections: m}
		}
		if got := tn.connections(); got != c.want {
			t.Errorf("%v: %d, want %d", c.max, got, c.want)
		}
	}
}
