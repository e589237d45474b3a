package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

var tenants = declared[intent.Tenant, intent.TenantRef]{
	class: intent.ClassTenant,
	key:   func(r intent.TenantRef) string { return tenantKey(r.Tenant) },
	parse: func(tenant string, p []string) (intent.Tenant, bool) {
		return intent.Tenant{Name: tenant}, len(p) == 0
	},
	all: func(ctx context.Context, s *Store, _ intent.Reference) ([]intent.Object, error) {
		list, err := s.Tenants(ctx)
		return objects(list), err
	},
	missing: func(r intent.TenantRef) *intent.Error {
		return intent.NotFoundf("tenant %s does not exist", r).WithHint("see: ovloom tenant list")
	},
	valid: func(t intent.Tenant) error { return t.Ref().Validate() },
	early: func(c *change[intent.Tenant]) error {
		id, err := c.s.newID(c.ctx)
		if err != nil {
			return err
		}
		n, err := c.s.vrfs.Take(c.ctx)
		c.o.ID, c.o.VRF = id, intent.VRF(n)
		return err
	},
	holds: func(_, t intent.Tenant, _ lookup) []hold {
		return []hold{{key: vrfKey(t.VRF), value: t.Name, taken: func(string) error { return kv.ErrStale }}}
	},
	users: func(ctx context.Context, s *Store, t intent.Tenant) ([]intent.Reference, error) {
		all, err := s.within(ctx, t.Name)
		return inRank(all), err
	},
	unused: func(c *change[intent.Tenant]) error {
		var reads []kv.Read
		for _, dir := range slices.Sorted(maps.Keys(tenantDirs)) {
			if root := tenantRoot(c.old.Name) + dir; root != tenantKey(c.old.Name) {
				reads = append(reads, kv.Below(root+"/", kv.Limit(10), kv.KeysOnly()))
				c.tx.EmptyBelow(root + "/")
			}
		}
		v, err := c.s.kv.Read(c.ctx, reads...)
		if err != nil {
			return err
		}
		if users := found(slices.Concat(v.Found...)); len(users) > 0 { // added since the user was asked
			return intent.InUseBy("tenant "+c.old.Name, users)
		}
		return nil
	},
}

func init() { keptIn("tenant", &tenants) }

// Tenants returns all tenants, ordered by name.
func (s *Store) Tenants(ctx context.Context) ([]intent.Tenant, error) {
	// The index lists tenants without reading everything that they have.
	index, revision, err := s.kv.List(ctx, "list tenants", vrfRoot)
	if err != nil {
		return nil, err
	}
	var tenants []intent.Tenant
	for len(index) > 0 {
		n := min(len(index), kv.MaxOps)
		var reads []kv.Read
		for _, it := range index[:n] {
			reads = append(reads, kv.Key(tenantKey(string(it.Value)), kv.At(revision)))
		}
		index = index[n:]
		err := s.kv.Call(ctx, "list tenants", func(ctx context.Context) error {
			v, err := s.kv.Read(ctx, reads...)
			if err != nil {
				return err
			}
			for i := range reads {
				if it := v.One(i); it.Value != nil {
					t, err := objectOf[intent.Tenant](it)
					if err != nil {
						return err
					}
					tenants = append(tenants, t)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(tenants, func(a, b intent.Tenant) int { return strings.Compare(a.Name, b.Name) })
	return tenants, nil
}

// Snapshot returns all objects of a tenant at one revision.
func (s *Store) Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error) {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return intent.Snapshot{}, err
	}
	all, revision, err := s.kv.List(ctx, "read tenant "+tenant, tenantRoot(tenant))
	if err != nil {
		return intent.Snapshot{}, err
	}
	snap, bad := snapshotOf(all, revision)
	s.complain(bad)
	if snap.Tenant.Name == "" {
		return intent.Snapshot{}, tenants.missing(intent.TenantRef{Tenant: tenant})
	}
	return snap, nil
}

// newID reserves an object id.
func (s *Store) newID(ctx context.Context) (intent.ID, error) {
	n, err := s.ids.Take(ctx)
	if err != nil {
		return 0, err // without an id: a retry would take it for its own
	}
	return intent.ID(n + 1), nil
}
