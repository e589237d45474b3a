package store

import (
	"context"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// AddTenant adds a tenant and returns it with the revision of the change.
func (s *Store) AddTenant(ctx context.Context, name string) (intent.Tenant, int64, error) {
	if _, err := intent.ParseTenant(name); err != nil {
		return intent.Tenant{}, 0, err
	}
	var t intent.Tenant
	var revision int64
	op := "add tenant " + name
	err := s.update(ctx, op, func(ctx context.Context) error {
		id, err := s.newID(ctx)
		if err != nil {
			return err
		}
		n, err := s.vrfs.take(ctx)
		if err != nil {
			return err
		}
		t = intent.Tenant{Name: name, ID: id, VRF: intent.VRF(n)}
		var tx txn
		if err := tx.create(tenantKey(name), "tenant "+name, t); err != nil {
			return err
		}
		tx.take(vrfKey(t.VRF), name, func(string) error { return errStale })
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Tenant{}, 0, err
	}
	return t, revision, nil
}

// Tenant returns one tenant.
func (s *Store) Tenant(ctx context.Context, name string) (intent.Tenant, error) {
	var t intent.Tenant
	err := s.call(ctx, "read tenant "+name, func(ctx context.Context) (err error) {
		t, _, err = s.tenant(ctx, name)
		return err
	})
	return t, err
}

func (s *Store) tenant(ctx context.Context, name string) (intent.Tenant, item, error) {
	it, err := s.get(ctx, tenantKey(name))
	if err != nil {
		return intent.Tenant{}, item{}, err
	}
	return tenantOf(it, name)
}

func tenantOf(it item, name string) (intent.Tenant, item, error) {
	if it.value == nil {
		return intent.Tenant{}, item{}, intent.NotFoundf("tenant %s does not exist", name).WithHint("see: ovloom tenant list")
	}
	t, err := objectOf[intent.Tenant](it)
	return t, it, err
}

// Tenants returns all tenants, ordered by name.
func (s *Store) Tenants(ctx context.Context) ([]intent.Tenant, error) {
	// The index is what lists tenants without reading all that they have.
	index, revision, err := s.list(ctx, "list tenants", vrfRoot)
	if err != nil {
		return nil, err
	}
	var tenants []intent.Tenant
	for len(index) > 0 {
		n := min(len(index), txnOps)
		var reads []clientv3.Op
		for _, it := range index[:n] {
			reads = append(reads, clientv3.OpGet(tenantKey(string(it.value)), clientv3.WithRev(revision)))
		}
		index = index[n:]
		err := s.call(ctx, "list tenants", func(ctx context.Context) error {
			v, err := s.read(ctx, reads...)
			if err != nil {
				return err
			}
			for i := range reads {
				if it := v.one(i); it.value != nil {
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

// Snapshot returns everything of a tenant at one revision.
func (s *Store) Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error) {
	if _, err := intent.ParseTenant(tenant); err != nil {
		return intent.Snapshot{}, err
	}
	all, revision, err := s.list(ctx, "read tenant "+tenant, tenantRoot(tenant))
	if err != nil {
		return intent.Snapshot{}, err
	}
	snap, bad := snapshotOf(all, revision)
	s.complain(bad)
	if snap.Tenant.Name == "" {
		_, _, err := tenantOf(item{}, tenant)
		return intent.Snapshot{}, err
	}
	return snap, nil
}

// newID reserves an object id.
func (s *Store) newID(ctx context.Context) (intent.ID, error) {
	n, err := s.ids.take(ctx)
	if err != nil {
		return 0, err // and no id: what is tried again would take it for one that it has
	}
	return intent.ID(n + 1), nil
}
