package world

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// The store gives each id, VNI, VRF, MAC and address to one object only. But a writer
// that bypasses its transactions can give one twice, which would mix tenants' traffic.
// Of several objects with the same value, the oldest by id keeps it: all hosts that
// follow them agree. The others have no flows until the store is repaired.

// owners records which objects have a value that only one may have.
type owners[K, R comparable] struct {
	first map[K]R
	more  map[K][]R // all of them, where there are several
}

// add notes that r has k, and returns all objects that have it if there are several.
// The zero K means nothing and may be shared.
func (o *owners[K, R]) add(k K, r R) []R {
	if k == *new(K) {
		return nil
	}
	if o.first == nil {
		o.first = map[K]R{}
	}
	have, ok := o.first[k]
	switch {
	case !ok:
		o.first[k] = r
		return nil
	case have == r:
		return o.more[k]
	case len(o.more[k]) == 0:
		if o.more == nil {
			o.more = map[K][]R{}
		}
		o.more[k] = []R{have, r}
	case !slices.Contains(o.more[k], r):
		o.more[k] = append(slices.Clone(o.more[k]), r)
	}
	return o.more[k]
}

// remove notes that r no longer has k, and returns all objects that had it if there
// were several.
func (o *owners[K, R]) remove(k K, r R) []R {
	all := o.more[k]
	if len(all) == 0 {
		if have, ok := o.first[k]; ok && have == r {
			delete(o.first, k)
		}
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(all), func(x R) bool { return x == r })
	o.first[k] = left[0]
	if o.more[k] = left; len(left) == 1 {
		delete(o.more, k)
	}
	return all
}

// before returns an older object than r with k; false: none.
func (o *owners[K, R]) before(k K, r R, order func(a, b R) int) (R, bool) {
	if len(o.more) > 0 {
		if all := o.more[k]; len(all) > 1 {
			if first := slices.MinFunc(all, order); first != r {
				return first, true
			}
		}
	}
	var none R
	return none, false
}

// ownID notes that an object changed from old to now, and touches all objects that share
// its id, or did.
func ownID[O intent.Object, R comparable](ids *owners[intent.ID, R], old, now *O, touch func(R)) {
	var shared []R
	if old != nil {
		id, _ := intent.IDOf(*old)
		shared = ids.remove(id, (*old).Reference().(R))
	}
	if now != nil {
		id, _ := intent.IDOf(*now)
		shared = slices.Concat(shared, ids.add(id, (*now).Reference().(R)))
	}
	for _, ref := range shared {
		touch(ref)
	}
}

// idConflicts lists the objects of a kind that are left out because an older one has their
// id.
func idConflicts[R interface {
	comparable
	String() string
}](ids *owners[intent.ID, R], kind string, order func(a, b R) int, add func(object, why string)) {
	for id, refs := range ids.more {
		for _, ref := range refs {
			if other, ok := ids.before(id, ref, order); ok {
				add(kind+" "+ref.String(), fmt.Sprintf("it has id %d, which is that of %s %s", id, kind, other))
			}
		}
	}
}

// unique are the owners of values that must be unique among all tenants. Values unique
// within a network are in network.
type unique struct {
	tenantIDs  *owners[intent.ID, string]
	vrfs       *owners[uint32, string]
	networkIDs *owners[intent.ID, intent.NetworkRef]
	vnis       *owners[uint32, intent.NetworkRef]
	portIDs    *owners[intent.ID, intent.PortRef]
	peerIDs    *owners[intent.ID, intent.PeerRef]
	routeIDs   *owners[intent.ID, intent.RouteRef]

	outer map[outerKey]map[string]int // how often tenants use an address of an external
}

func newUnique() unique {
	return unique{
		tenantIDs: &owners[intent.ID, string]{}, vrfs: &owners[uint32, string]{},
		networkIDs: &owners[intent.ID, intent.NetworkRef]{}, vnis: &owners[uint32, intent.NetworkRef]{},
		portIDs: &owners[intent.ID, intent.PortRef]{}, peerIDs: &owners[intent.ID, intent.PeerRef]{}, routeIDs: &owners[intent.ID, intent.RouteRef]{},
		outer: map[outerKey]map[string]int{},
	}
}

// conflicting lists what is left out because an older object has the same unique value.
func (w *World) conflicting() []LeftOut {
	var list []LeftOut
	add := func(object, why string) {
		if why != "" {
			list = append(list, LeftOut{Object: object, Why: why, Do: "it has no flows; write it anew, or delete it; to see what else is wrong in the store: ovloom store check"})
		}
	}
	for _, visit := range []func(add func(object, why string)){
		w.externalConflicts, w.tenantConflicts, w.networkConflicts, w.portConflicts, w.peerConflicts, w.routeConflicts, w.addressConflicts,
	} {
		visit(add)
	}
	slices.SortFunc(list, func(a, b LeftOut) int { return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Why, b.Why)) })
	return list
}
