package world

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Conntrack zones for tenants. On Linux's own datapath other programs use zones, too,
// from the lowest number on.
const (
	zoneFirst = 0x4000
	zoneLast  = 0x7fff
)

// ZoneName names a tenant's zone. A tenant that was deleted and added again gets a new
// name.
func ZoneName(t intent.Tenant) string { return fmt.Sprintf("nat/%s/%d", t.Name, t.ID) }

// ZonePlan is the change from the existing zones to the needed ones.
type ZonePlan struct {
	Keep  map[string]uint16 // zones that stay as they are
	Next  map[string]uint16 // the zones after the change: Keep and new ones
	Empty []uint16          // zones to empty first, ascending: new ones and unneeded ones
}

// PlanZones assigns zones. An existing zone is kept. A tenant gets none if no zone is
// free.
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
