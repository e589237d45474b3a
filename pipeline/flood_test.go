package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	of "github.com/ovloom/ovloom/openflow"
)

// manyVTEPs returns n addresses of hosts.
func manyVTEPs(n int) []netip.Addr {
	var list []netip.Addr
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))
	}
	return list
}

// reach follows a group's buckets through other groups, and counts the copies per VTEP and
// port.
// VTEP and port.
func reach(t *testing.T, groups map[uint32]of.Group, id uint32, copies map[string]int) {
	t.Helper()
	g, ok := groups[id]
	if !ok {
		t.Fatalf("there is no group %#x", id)
	}
	if g.Type == of.GroupSelect && len(g.Buckets) != 1 {
		t.Errorf("group %#x selects one of %d buckets: the others get nothing", id, len(g.Buckets))
	}
	vteps := 0
	for _, b := range g.Buckets {
		if next, ok := b.Actions[0].(of.ToGroup); ok {
			reach(t, groups, next.ID, copies)
			continue
		}
		if len(b.Actions) == 2 {
			vteps++
		}
		copies[fmt.Sprint(b.Actions)]++
	}
	if vteps > vtepsPerPage {
		t.Errorf("group %#x has %d VTEPs", id, vteps)
	}
}

// Whatever the number of hosts and peers of a network, each gets one copy, and every group
// refers only to earlier ones.
func TestFloodReachesEveryHostOnce(t *testing.T) {
	for _, size := range []struct{ vteps, peers, groups int }{
		{0, 0, 2}, {500, 0, 2}, {501, 0, 4}, {499, 1, 3}, {500, 1, 5}, {3000, 0, 12}, {3000, 501, 19},
	} {
		t.Run(fmt.Sprintf("%d hosts and %d peers", size.vteps, size.peers), func(t *testing.T) {
			all := manyVTEPs(size.vteps + size.peers)
			n := NetworkView{Network: web(), VRF: 7, Local: []of.PortNo{3, 4}, VTEPs: all[:size.vteps], Peers: all[size.vteps:]}
			groups := map[uint32]of.Group{}
			list := Groups(sw, &n)
			if len(list) != size.groups {
				t.Errorf("%d groups, want %d", len(list), size.groups)
			}
			for _, g := range list {
				for _, b := range g.Buckets {
					if next, ok := b.Actions[0].(of.ToGroup); ok && groups[next.ID].ID == 0 {
						t.Errorf("group %#x refers to %#x, which does not come before it", g.ID, next.ID)
					}
				}
				if groups[g.ID].ID != 0 {
					t.Errorf("two groups %#x", g.ID)
				}
				groups[g.ID] = g
			}
			copies := map[string]int{}
			reach(t, groups, groupEveryone|n.Network.VNI, copies)
			if len(copies) != len(all)+2 {
				t.Errorf("%d destinations, want %d", len(copies), len(all)+2)
			}
			for to, times := range copies {
				if times != 1 {
					t.Errorf("%d copies for %s", times, to)
				}
			}
		})
	}
}

// The structure of the groups; all VTEPs of a page except the first are left out.
func TestGroupsOfManyHosts(t *testing.T) {
	n := NetworkView{Network: web(), VRF: 7, Local: []of.PortNo{3}, VTEPs: manyVTEPs(1001)}
	var b strings.Builder
	for _, g := range Groups(sw, &n) {
		kept := g.Buckets[:0:0]
		for _, bucket := range g.Buckets {
			if bucket.ID < 2 || bucket.ID > vtepsPerPage {
				kept = append(kept, bucket)
			}
		}
		g.Buckets = kept
		fmt.Fprintf(&b, "# group: %s\n", g)
	}
	golden(t, "groups-many-hosts", b.String())
}
