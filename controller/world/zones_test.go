package world

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every owner keeps the zone that it needs, no two have the same one, and a zone is emptied
// whenever it is given or taken back.
func TestZonesAreSharedOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	have := map[string]uint16{}
	for step := range 2000 {
		needed := map[string]bool{}
		for n := range 12 {
			if r.IntN(2) == 0 {
				needed[fmt.Sprintf("nat/t%d/%d", n, n)] = true
			}
		}
		p := PlanZones(have, needed)
		owners := map[uint16]string{}
		for name, z := range p.Next {
			if owners[z] != "" || !needed[name] || z < zoneFirst || z > zoneLast {
				t.Fatalf("step %d: %s gets zone %d, which %q has", step, name, z, owners[z])
			}
			owners[z] = name
			if old, ok := have[name]; ok && old != z {
				t.Fatalf("step %d: %s had zone %d and gets %d", step, name, old, z)
			}
			if _, ok := have[name]; !ok && !slices.Contains(p.Empty, z) {
				t.Fatalf("step %d: %s gets zone %d, which was not emptied", step, name, z)
			}
		}
		for name, z := range have {
			switch {
			case needed[name] && slices.Contains(p.Empty, z):
				t.Fatalf("step %d: zone %d of %s, which is in use, would be emptied", step, z, name)
			case !needed[name] && !slices.Contains(p.Empty, z):
				t.Fatalf("step %d: zone %d of %s is taken back and not emptied", step, z, name)
			case !needed[name] && owners[z] != "":
				t.Fatalf("step %d: zone %d goes from %s to %s while the one still has flows with it", step, z, name, owners[z])
			}
		}
		if len(p.Next) != len(needed) {
			t.Fatalf("step %d: %d need a zone, %d get one", step, len(needed), len(p.Next))
		}
		if again := PlanZones(p.Next, needed); len(again.Empty) != 0 || !maps.Equal(again.Next, p.Next) {
			t.Fatalf("step %d: a second run changes something", step)
		}
		have = p.Next
	}
}

func TestZonesRunOut(t *testing.T) {
	needed := map[string]bool{}
	for n := range zoneLast - zoneFirst + 3 {
		needed[fmt.Sprint(n)] = true
	}
	if p := PlanZones(nil, needed); len(p.Next) != zoneLast-zoneFirst+1 {
		t.Errorf("%d zones were given", len(p.Next))
	}
}
