package doctor

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

func TestNeighbours(t *testing.T) {
	vtep, router := netip.MustParseAddr("172.31.0.2"), netip.MustParseAddr("172.31.0.254")
	host2 := intent.Host{Name: "host2", VTEP: vtep}
	for name, c := range map[string]struct {
		hop  Hop
		want []string
	}{
		"as it should be": {Hop{Addr: vtep, MAC: "02:00:00:00:00:02"}, nil},
		"unresolved":      {Hop{Addr: vtep}, []string{"on host1: nothing answers ARP for 172.31.0.2 (host2) on eth1"}},
		"a router":        {Hop{Addr: router}, []string{"on host1: nothing answers ARP for 172.31.0.254 (the router to host2) on eth1"}},
		"moved": {Hop{Addr: vtep, MAC: "02:00:00:00:00:66", Was: "02:00:00:00:00:02"},
			[]string{"on host1: 172.31.0.2 (host2) was said to have MAC 02:00:00:00:00:66 in the last minute, and had 02:00:00:00:00:02 before"}},
	} {
		c.hop.Host, c.hop.Link = host2, "eth1"
		var got []string
		for _, f := range Neighbours("host1", []Hop{c.hop}) {
			got = append(got, f.What)
			if f.Do == "" || !slices.Equal(f.Hosts, []string{"host1", "host2"}) {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
