package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// The users of an object, which a user sees before deleting them all with it.

// inRank sorts objects in order of deletion, each binding before its port, and removes
// duplicates.
func inRank(refs []intent.Reference) []intent.Reference {
	portOf := func(r intent.Reference) (string, int) {
		switch r := r.(type) {
		case intent.BindingRef:
			return portKey(r.PortRef), 0
		case intent.PortRef:
			return portKey(r), 1
		}
		return "", 0
	}
	slices.SortStableFunc(refs, func(a, b intent.Reference) int {
		pa, na := portOf(a)
		pb, nb := portOf(b)
		return cmp.Or(rankOf(a)-rankOf(b), cmp.Compare(pa, pb), na-nb)
	})
	return slices.Compact(refs)
}

// within lists the objects below a tenant, without the tenant, in the order of keys.
func (s *Store) within(ctx context.Context, tenant string) ([]intent.Reference, error) {
	all, _, err := s.kv.List(ctx, "read tenant "+tenant, tenantRoot(tenant), kv.KeysOnly())
	return usersAt(all), err
}

// usersAt returns what must be deleted, of the objects at keys; a tenant is not a user of
// itself.
func usersAt(its []kv.Item) []intent.Reference {
	var refs []intent.Reference
	for _, r := range references(its) {
		if r.Class() != intent.ClassTenant {
			refs = append(refs, classes[r.Class()].deletedAs(r))
		}
	}
	return refs
}

// reachedBy lists the floating addresses at keys, and the forwards with target keys.
func reachedBy(floatings, targets []kv.Item) []string {
	return intent.Titles(slices.Concat(references(floatings), forwardsOf(targets)))
}

// forwardsOf returns the forwards with target keys.
func forwardsOf(targets []kv.Item) []intent.Reference {
	var refs []intent.Reference
	for _, it := range targets {
		if ref, ok := forwardOfTarget(it.Key); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}
