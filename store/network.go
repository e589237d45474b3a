package store

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// AddNetwork adds a network and returns it as stored with the revision of the
// change. What n leaves out is chosen: ID (always), VNI, gateways, and drop as
// the policy for unknown unicast. Its subnets may not overlap those of the
// tenant's other networks, because all networks of a tenant route to each other, nor
// contain a prefix that the tenant has a route to.
func (s *Store) AddNetwork(ctx context.Context, n intent.Network) (intent.Network, int64, error) {
	n = n.WithDefaults()
	if err := n.Validate(); err != nil {
		return intent.Network{}, 0, err
	}
	var revision int64
	given := n.VNI
	err := s.update(ctx, "add network "+n.Ref().String(), func(ctx context.Context) (err error) {
		if n.ID, err = s.newID(ctx); err != nil {
			return err
		}
		if given == 0 {
			c, err := s.vnis.take(ctx)
			if err != nil {
				return err
			}
			n.VNI = intent.VNI(c)
		}
		v, err := s.read(ctx, key(tenantKey(n.Tenant)), below(networksRoot(n.Tenant)), below(routesRoot(n.Tenant)))
		if err != nil {
			return err
		}
		_, tenant, err := tenantOf(v.one(0), n.Tenant)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(tenant.key, tenant.revision)
		if err := apart(&tx, n, v); err != nil {
			return err
		}
		if err := routesStay(&tx, intent.Network{}, n, v.found[2], v.revision); err != nil {
			return err
		}
		if err := tx.create(networkKey(n.Ref()), "network "+n.Ref().String(), n); err != nil {
			return err
		}
		if err := s.innerApart(ctx, &tx, n); err != nil {
			return err
		}
		if err := s.carried(ctx, n); err != nil {
			return err
		}
		takeVNI(&tx, n, given == 0)
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Network{}, 0, err
	}
	return n, revision, nil
}

// takeVNI takes n's VNI. One that was chosen here gives way to another.
func takeVNI(tx *txn, n intent.Network, chosen bool) {
	tx.take(vniKey(n.VNI), n.Ref().String(), func(holder string) error {
		if chosen {
			return errStale
		}
		return intent.Conflictf("VNI %d is taken by network %s", n.VNI, holder).WithHint("choose another, or leave it out")
	})
}

// apart refuses a network whose subnets overlap those of another network of its
// tenant, as v's second read found them, and makes sure that none is added meanwhile.
func apart(tx *txn, n intent.Network, v view) error {
	for _, it := range v.found[1] {
		other, err := objectOf[intent.Network](it)
		if err != nil {
			return err
		}
		if other.Ref() == n.Ref() {
			continue
		}
		if a, b, found := intent.Overlap(n.Subnets, other.Subnets); found {
			return intent.Conflictf("subnet %s overlaps %s of network %s", a, b, other.Ref()).
				WithHint("networks of one tenant route to each other: choose a prefix without a common address")
		}
	}
	tx.quietBelow(networksRoot(n.Tenant), v.revision)
	return nil
}

// SetNetwork changes a network: edit is given the stored one, and is called
// again if another change came between. Names and the id cannot be changed, and
// nothing can that a port of the network still needs. Returns the network and
// the revision of the change; if edit changed nothing, nothing is written and the
// revision is that of the last change.
func (s *Store) SetNetwork(ctx context.Context, ref intent.NetworkRef, edit func(*intent.Network) error) (intent.Network, int64, error) {
	if err := ref.Validate(); err != nil {
		return intent.Network{}, 0, err
	}
	var n intent.Network
	var revision int64
	op := "set network " + ref.String()
	err := s.update(ctx, op, func(ctx context.Context) error {
		v, err := s.read(ctx, key(networkKey(ref)), below(networksRoot(ref.Tenant)), below(routesRoot(ref.Tenant)))
		if err != nil {
			return err
		}
		old, it, err := networkOf(v.one(0), ref)
		if err != nil {
			return err
		}
		n = old
		n.Subnets = slices.Clone(old.Subnets)
		if err := edit(&n); err != nil {
			return &editError{err}
		}
		if n.Ref() != ref || n.ID != old.ID {
			return intent.Invalidf("the name and id of network %s cannot be changed", ref)
		}
		n = n.WithDefaults()
		if n.VNI == 0 {
			n.VNI = old.VNI
		}
		if err := n.Validate(); err != nil {
			return err
		}
		var tx txn
		changed, err := tx.replace(it, n)
		if err != nil || !changed {
			revision = it.revision // hosts are told of this one, not of what came later
			return err
		}
		if n.VNI != old.VNI {
			tx.delete(vniKey(old.VNI))
			takeVNI(&tx, n, false)
		}
		if !slices.Equal(n.Subnets, old.Subnets) {
			if err := apart(&tx, n, v); err != nil {
				return err
			}
			if err := routesStay(&tx, old, n, v.found[2], v.revision); err != nil {
				return err
			}
			if err := s.innerApart(ctx, &tx, n); err != nil {
				return err
			}
		}
		if n.MTU != old.MTU {
			if err := s.carried(ctx, n); err != nil {
				return err
			}
		}
		if !slices.Equal(n.Subnets, old.Subnets) || n.Learning != old.Learning {
			if err := s.portsFit(ctx, &tx, n); err != nil {
				return err
			}
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Network{}, 0, err
	}
	return n, revision, nil
}

// portsFit refuses a changed network that some of its ports would not be valid
// in, and makes sure that no port is changed meanwhile. None can be added: that
// takes the network to be unchanged.
func (s *Store) portsFit(ctx context.Context, tx *txn, n intent.Network) error {
	all, revision, err := s.list(ctx, "read the ports of network "+n.Ref().String(), portsRoot(n.Ref()))
	if err != nil {
		return err
	}
	var users []string
	var first error
	for _, it := range all {
		p, err := objectOf[intent.Port](it)
		if err != nil {
			return err
		}
		if err := p.Validate(n); err != nil {
			users = append(users, "port "+p.Ref().String())
			if first == nil {
				first = err
			}
		}
	}
	if len(users) > 0 {
		return &intent.Error{
			Kind: intent.InUse,
			What: fmt.Sprintf("ports of network %s need what the change takes away: %v", n.Ref(), first),
			Used: users, Hint: "change or delete those first", Err: first,
		}
	}
	tx.quietBelow(portsRoot(n.Ref()), revision)
	return nil
}

// Network returns one network.
func (s *Store) Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error) {
	var n intent.Network
	err := s.call(ctx, "read network "+ref.String(), func(ctx context.Context) (err error) {
		n, _, err = s.network(ctx, ref)
		return err
	})
	return n, err
}

// network reads a network; that it or its tenant is not there is an error.
func (s *Store) network(ctx context.Context, ref intent.NetworkRef) (intent.Network, item, error) {
	v, err := s.read(ctx, key(networkKey(ref)), key(tenantKey(ref.Tenant)))
	if err != nil {
		return intent.Network{}, item{}, err
	}
	if _, _, err := tenantOf(v.one(1), ref.Tenant); err != nil {
		return intent.Network{}, item{}, err
	}
	return networkOf(v.one(0), ref)
}

func networkOf(it item, ref intent.NetworkRef) (intent.Network, item, error) {
	if it.value == nil {
		return intent.Network{}, item{}, intent.NotFoundf("network %s does not exist", ref).WithHint("see: ovloom network list %s", ref.Tenant)
	}
	n, err := objectOf[intent.Network](it)
	return n, it, err
}

// Networks returns the networks of a tenant, ordered by name.
func (s *Store) Networks(ctx context.Context, tenant string) ([]intent.Network, error) {
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	return listOf[intent.Network](ctx, s, "list networks of "+tenant, networksRoot(tenant))
}

// listOf reads and decodes everything below prefix that is valid.
func listOf[T any](ctx context.Context, s *Store, op, prefix string, opts ...clientv3.OpOption) ([]T, error) {
	all, _, err := s.list(ctx, op, prefix, opts...)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(all))
	var bad []error
	for _, it := range all {
		v, err := objectOf[T](it)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		out = append(out, v)
	}
	s.reviewed(prefix, bad)
	return out, nil
}
