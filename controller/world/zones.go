package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Zones of the connection tracker that tenants get. On Linux's own datapath others
// use it too, from the lowest number on.
const (
	zoneFirst = 0x4000
	zoneLast  = 0x7fff
)

// ZoneName says whose a zone is. A tenant that was deleted and added again is
// another one.
func ZoneName(t intent.Tenant) string { return fmt.Sprintf("nat/%s/%d", t.Name, t.ID) }

// ZonePlan is what leads from the zones that there are to those that are needed.
type ZonePlan struct {
	Keep  map[string]uint16 // that stay as they are
	Next  map[string]uint16 // what will be: Keep, and what is new
	Empty []uint16          // to be emptied first, ascending: those that are new, and those that are needed no more
}

// PlanZones shares out zones. Who has one keeps it. Without any that is free a tenant
// gets none.
func PlanZones(have map[string]uint16, needed map[string]bool) ZonePlan {
	p := ZonePlan{Keep: map[string]uint16{}}
	taken := map[uint16]bool{}
	for name, z := range have {
		taken[z] = true
		if needed[name] {
			p.Keep[name] = z
		} else {
			p.Empty = append(p.Empty, z)
		}
	}
	p.Next = maps.Clone(p.Keep)
	free := uint16(zoneFirst)
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if _, ok := p.Keep[name]; ok {
			continue
		}
		for taken[free] && free <= zoneLast {
			free++
		}
		if free > zoneLast {
			break
		}
		taken[free] = true
		p.Next[name] = free
		p.Empty = append(p.Empty, free)
	}
	slices.Sort(p.Empty)
	return p
}
