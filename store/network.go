package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// The store chooses what a new network leaves out: its VNI, gateways, and drop as the
// policy for unknown unicast. Its subnets may not overlap those of the tenant's other
// networks, because all networks of a tenant route to each other, nor contain a prefix
// that the tenant has a route to. What a port of the network still needs cannot be
// changed.
var networks = declared[intent.Network, intent.NetworkRef]{
	class: intent.ClassNetwork,
	rank:  rankNetworks,
	in:    func(s *intent.Snapshot) *[]intent.Network { return &s.Networks },
	key:   networkKey,
	parse: func(tenant string, p []string) (intent.Network, bool) {
		if len(p) != 1 {
			return intent.Network{}, false
		}
		return intent.Network{Tenant: tenant, Name: p[0]}, true
	},
	root: func(within intent.Reference) string { return networksRoot(within.(intent.TenantRef).Tenant) },
	missing: func(r intent.NetworkRef) *intent.Error {
		return intent.NotFoundf("network %s does not exist", r).WithHint("see: ovloom network list %s", r.Tenant)
	},
	normal: intent.Network.WithDefaults,
	valid:  intent.Network.Validate,
	early: func(c *change[intent.Network]) error {
		var err error
		if c.o.ID, err = c.s.newID(c.ctx); err != nil || c.given.VNI != 0 {
			return err
		}
		n, err := c.s.vnis.Take(c.ctx)
		c.o.VNI = intent.VNI(n)
		return err
	},
	needs: func(n intent.Network) []intent.Reference {
		return []intent.Reference{intent.TenantRef{Tenant: n.Tenant}}
	},
	copied: func(n intent.Network) intent.Network {
		n.Subnets = slices.Clone(n.Subnets)
		return n
	},
	frozen: func(old, n intent.Network) error {
		if n.Ref() != old.Ref() || n.ID != old.ID {
			return intent.Invalidf("the name and id of network %s cannot be changed", old.Ref())
		}
		return nil
	},
	kept: func(old, n intent.Network) intent.Network {
		if n.VNI == 0 {
			n.VNI = old.VNI
		}
		return n
	},
	holds: func(given, n intent.Network, _ lookup) []hold {
		return []hold{{key: vniKey(n.VNI), value: n.Ref().String(), taken: func(holder string) error {
			if given.VNI == 0 {
				return kv.ErrStale // the VNI was chosen here, so choose another
			}
			return intent.Conflictf("VNI %d is taken by network %s", n.VNI, holder).WithHint("choose another, or leave it out")
		}}}
	},
	rules:  networkRules,
	users:  networkUsers,
	unused: networkUnused,
}

func init() { keptIn("networks", &networks) }

func networkRules(c *change[intent.Network]) error {
	n := c.o
	moved := !slices.Equal(n.Subnets, c.old.Subnets)
	if !c.set || moved {
		v, err := c.s.kv.Read(c.ctx, kv.Below(networksRoot(n.Tenant)), kv.Below(routesRoot(n.Tenant)))
		if err != nil {
			return err
		}
		if err := apart(&c.tx, n, v.Found[0], v.Revision); err != nil {
			return err
		}
		if err := routesStay(&c.tx, c.old, n, v.Found[1], v.Revision); err != nil {
			return err
		}
		if err := c.s.innerApart(c.ctx, &c.tx, n); err != nil {
			return err
		}
	}
	if n.MTU != c.old.MTU {
		if err := c.s.carried(c.ctx, n); err != nil {
			return err
		}
	}
	if c.set && (moved || n.Learning != c.old.Learning) {
		return c.s.portsFit(c.ctx, &c.tx, n)
	}
	return nil
}

// networkUsers are a network's parts, and the objects that lead to or through it.
func networkUsers(ctx context.Context, s *Store, n intent.Network) ([]intent.Reference, error) {
	whole, err := s.within(ctx, n.Tenant)
	if err != nil {
		return nil, err
	}
	var users []intent.Reference
	forwards, routed := false, false
	for _, r := range whole {
		if in, ok := r.(interface{ NetworkRef() intent.NetworkRef }); ok && in.NetworkRef() == n.Ref() {
			users = append(users, r)
		}
		forwards = forwards || r.Class() == intent.ClassForward
		routed = routed || r.Class() == intent.ClassRoute
	}
	if forwards {
		targets, _, err := s.kv.List(ctx, "read the forwards of "+n.Tenant, targetsIn(n.Ref()), kv.KeysOnly())
		if err != nil {
			return nil, err
		}
		users = append(users, forwardsOf(targets)...)
	}
	if routed {
		all, _, err := s.kv.List(ctx, "read the routes of "+n.Tenant, routesRoot(n.Tenant))
		if err != nil {
			return nil, err
		}
		via, err := routesVia(n, all)
		if err != nil {
			return nil, err
		}
		users = append(users, via...)
	}
	return inRank(users), nil
}

func networkUnused(c *change[intent.Network]) error {
	ref := c.old.Ref()
	reads := []kv.Read{kv.Below(routesRoot(ref.Tenant))}
	for _, dir := range slices.Sorted(slices.Values(networkDirs)) {
		reads = append(reads, kv.Below(partsRoot(dir, ref), kv.Limit(10), kv.KeysOnly()))
		c.tx.EmptyBelow(partsRoot(dir, ref))
	}
	v, err := c.s.kv.Read(c.ctx, reads...)
	if err != nil {
		return err
	}
	via, err := routesVia(c.old, v.Found[0])
	if err != nil {
		return err
	}
	if users := append(found(slices.Concat(v.Found[1:]...)), intent.Titles(via)...); len(users) > 0 { // added since the user was asked
		return intent.InUseBy("network "+ref.String(), users)
	}
	c.tx.QuietBelow(routesRoot(ref.Tenant), v.Revision)
	return nil
}

// apart refuses a network whose subnets overlap another network's of its tenant, as read
// at a revision, and makes sure that no network is added meanwhile.
func apart(tx *kv.Txn, n intent.Network, others []kv.Item, revision int64) error {
	for _, it := range others {
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
	tx.QuietBelow(networksRoot(n.Tenant), revision)
	return nil
}

// portsFit refuses a change of a network that would make some of its ports invalid, and
// makes sure that no port is changed meanwhile. No port can be added: that takes the
// network to be unchanged.
func (s *Store) portsFit(ctx context.Context, tx *kv.Txn, n intent.Network) error {
	all, revision, err := s.kv.List(ctx, "read the ports of network "+n.Ref().String(), portsRoot(n.Ref()))
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
	tx.QuietBelow(portsRoot(n.Ref()), revision)
	return nil
}

// listOf reads and decodes all valid objects below prefix.
func listOf[T any](ctx context.Context, s *Store, op, prefix string, opts ...kv.Option) ([]T, error) {
	all, _, err := s.kv.List(ctx, op, prefix, opts...)
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

// Network returns a network.
func (s *Store) Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error) {
	return intent.As[intent.Network](s.Get(ctx, ref))
}

// Networks lists the networks of a tenant.
func (s *Store) Networks(ctx context.Context, tenant string) ([]intent.Network, error) {
	return intent.AllAs[intent.Network](s.List(ctx, intent.ClassNetwork, intent.TenantRef{Tenant: tenant}))
}
