package controller

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

// zoneName says whose a zone is. A tenant that was deleted and added again is
// another one.
func zoneName(t intent.Tenant) string { return fmt.Sprintf("nat/%s/%d", t.Name, t.ID) }

// ZoneName is the name under which the zone of a tenant is kept.
func ZoneName(t intent.Tenant) string { return zoneName(t) }

// zonePlan is what leads from the zones that there are to those that are needed.
type zonePlan struct {
	keep  map[string]uint16 // that stay as they are
	next  map[string]uint16 // what will be: keep, and what is new
	empty []uint16          // to be emptied first, ascending: those that are new, and those that nobody needs
}

// planZones shares out zones. Who has one keeps it. Without any that is free a tenant
// gets none.
func planZones(have map[string]uint16, needed map[string]bool) zonePlan {
	p := zonePlan{keep: map[string]uint16{}}
	taken := map[uint16]bool{}
	for name, z := range have {
		taken[z] = true
		if needed[name] {
			p.keep[name] = z
		} else {
			p.empty = append(p.empty, z)
		}
	}
	p.next = maps.Clone(p.keep)
	free := uint16(zoneFirst)
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if _, ok := p.keep[name]; ok {
			continue
		}
		for taken[free] && free <= zoneLast {
			free++
		}
		if free > zoneLast {
			break
		}
		taken[free] = true
		p.next[name] = free
		p.empty = append(p.empty, free)
	}
	slices.Sort(p.empty)
	return p
}
