package store

import (
	"context"
	"net/netip"
	"slices"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// AddPort adds a port and returns it as stored with the revision of the change.
// What p leaves out is chosen: ID (always), UUID, MAC, and without Addrs the next
// free address of each subnet.
func (s *Store) AddPort(ctx context.Context, p intent.Port) (intent.Port, int64, error) {
	if err := p.Ref().Validate(); err != nil {
		return intent.Port{}, 0, err
	}
	given := p
	var revision int64
	err := s.update(ctx, "add port "+p.Ref().String(), func(ctx context.Context) error {
		n, network, err := s.network(ctx, p.Ref().NetworkRef())
		if err != nil {
			return err
		}
		if p, err = s.complete(ctx, given, n); err != nil {
			return err
		}
		if err := p.Validate(n); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(network.key, network.revision)
		if err := tx.create(portKey(p.Ref()), "port "+p.Ref().String(), p); err != nil {
			return err
		}
		tx.take(uuidKey(p.UUID), p.Ref().String(), func(holder string) error {
			return intent.Conflictf("UUID %s is taken by port %s", p.UUID, holder).WithHint("leave it out to have one made")
		})
		takeMAC(&tx, p, given.MAC.IsZero())
		for _, a := range p.Addrs {
			takeAddr(&tx, p, a, func() error {
				if len(given.Addrs) > 0 {
					return nil
				}
				s.addrs.missed(ctx, n, a)
				return errStale
			})
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Port{}, 0, err
	}
	return p, revision, nil
}

// complete returns p with what it leaves out.
func (s *Store) complete(ctx context.Context, p intent.Port, n intent.Network) (intent.Port, error) {
	var err error
	if p.ID, err = s.newID(ctx); err != nil {
		return p, err
	}
	if p.UUID == "" {
		p.UUID = uuid.NewString()
	}
	if p.MAC.IsZero() {
		p.MAC = intent.DerivedMAC(p.ID)
	}
	p.Addrs = slices.Clone(p.Addrs)
	if len(p.Addrs) > 0 {
		return p, nil
	}
	for _, sub := range n.Subnets {
		a, err := s.addrs.take(ctx, n, sub)
		if err != nil {
			return p, err
		}
		p.Addrs = append(p.Addrs, a)
	}
	return p, nil
}

// takeMAC takes p's MAC in its network. One that was derived gives way to that
// of another id.
func takeMAC(tx *txn, p intent.Port, derived bool) {
	ref := p.Ref().NetworkRef()
	tx.take(macKey(ref, p.MAC), p.Ref().String(), func(holder string) error {
		if derived {
			return errStale
		}
		return intent.Conflictf("MAC %s is taken by %s", p.MAC, holder).WithHint("choose another, or leave it out")
	})
}

// takeAddr takes one of p's addresses in its network. If it is taken, instead
// may return a better error than that.
func takeAddr(tx *txn, p intent.Port, a netip.Addr, instead func() error) {
	ref := p.Ref().NetworkRef()
	tx.take(addrKey(ref, a), p.Ref().String(), func(holder string) error {
		if err := instead(); err != nil {
			return err
		}
		return intent.Conflictf("address %s is taken by %s", a, holder).WithHint("choose another, or leave it out")
	})
}

// SetPort changes a port: edit is given the stored one, and is called again if
// another change came between. Names, id and UUID cannot be changed. Returns the
// port and the revision of the change; if edit changed nothing, nothing is
// written and the revision is that of the last change.
func (s *Store) SetPort(ctx context.Context, ref intent.PortRef, edit func(*intent.Port) error) (intent.Port, int64, error) {
	if err := ref.Validate(); err != nil {
		return intent.Port{}, 0, err
	}
	var p intent.Port
	var revision int64
	err := s.update(ctx, "set port "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(portKey(ref)), key(networkKey(ref.NetworkRef())))
		if err != nil {
			return err
		}
		old, it, err := portOf(v.one(0), ref)
		if err != nil {
			return err
		}
		n, network, err := networkOf(v.one(1), ref.NetworkRef())
		if err != nil {
			return err
		}
		p = old
		p.Addrs = slices.Clone(old.Addrs)
		if err := edit(&p); err != nil {
			return &editError{err}
		}
		if p.Ref() != ref || p.ID != old.ID || p.UUID != old.UUID {
			return intent.Invalidf("the name, id and UUID of port %s cannot be changed", ref)
		}
		if p.MAC.IsZero() {
			p.MAC = old.MAC
		}
		if err := p.Validate(n); err != nil {
			return err
		}
		var tx txn
		changed, err := tx.replace(it, p)
		if err != nil || !changed {
			revision = it.revision // hosts are told of this one, not of what came later
			return err
		}
		tx.unchanged(network.key, network.revision)
		if hasIPv4(old) && !hasIPv4(p) {
			if err := s.notReached(ctx, &tx, ref); err != nil {
				return err
			}
		}
		moveIndex(&tx, old, p)
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Port{}, 0, err
	}
	return p, revision, nil
}

func hasIPv4(p intent.Port) bool { return slices.ContainsFunc(p.Addrs, netip.Addr.Is4) }

// notReached refuses to take the IPv4 addresses from a port to which a floating
// address or forwards lead, and makes sure that none comes meanwhile.
func (s *Store) notReached(ctx context.Context, tx *txn, ref intent.PortRef) error {
	v, err := s.read(ctx, below(floatingsOf(ref), clientv3.WithKeysOnly()), below(targetsOf(ref), clientv3.WithKeysOnly()))
	if err != nil {
		return err
	}
	if users := reachedBy(v.found[0], v.found[1]).names(); len(users) > 0 {
		return &intent.Error{Kind: intent.InUse, What: "NAT needs an IPv4 address of port " + ref.String(), Used: users,
			Hint: "leave it one, or delete those first"}
	}
	tx.emptyBelow(floatingsOf(ref))
	tx.emptyBelow(targetsOf(ref))
	return nil
}

// moveIndex makes the index keys of a changed port follow it.
func moveIndex(tx *txn, old, p intent.Port) {
	ref := p.Ref().NetworkRef()
	if p.MAC != old.MAC {
		tx.delete(macKey(ref, old.MAC))
		takeMAC(tx, p, false)
	}
	for _, a := range old.Addrs {
		if !slices.Contains(p.Addrs, a) {
			tx.delete(addrKey(ref, a))
		}
	}
	for _, a := range p.Addrs {
		if !slices.Contains(old.Addrs, a) {
			takeAddr(tx, p, a, func() error { return nil })
		}
	}
}

// Port returns one port.
func (s *Store) Port(ctx context.Context, ref intent.PortRef) (intent.Port, error) {
	var p intent.Port
	err := s.call(ctx, "read port "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(portKey(ref)), key(networkKey(ref.NetworkRef())), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(2), ref.Tenant); err != nil {
			return err
		}
		if _, _, err := networkOf(v.one(1), ref.NetworkRef()); err != nil {
			return err
		}
		p, _, err = portOf(v.one(0), ref)
		return err
	})
	return p, err
}

// Ports returns the ports of a network, ordered by name.
func (s *Store) Ports(ctx context.Context, ref intent.NetworkRef) ([]intent.Port, error) {
	if _, err := s.Network(ctx, ref); err != nil {
		return nil, err
	}
	return listOf[intent.Port](ctx, s, "list ports of "+ref.String(), portsRoot(ref))
}

func portOf(it item, ref intent.PortRef) (intent.Port, item, error) {
	if it.value == nil {
		return intent.Port{}, item{}, intent.NotFoundf("port %s does not exist", ref).WithHint("see: ovloom port list %s", ref.NetworkRef())
	}
	p, err := objectOf[intent.Port](it)
	return p, it, err
}
