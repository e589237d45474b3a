package store

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// The store chooses what a new port leaves out: its UUID, MAC, and without addresses the
// next free address of each subnet. Names, id and UUID cannot be changed. While a host
// claims the port, or a floating address or forwards lead to it, the port is in use.
var ports = declared[intent.Port, intent.PortRef]{
	class: intent.ClassPort,
	rank:  rankPorts,
	in:    func(s *intent.Snapshot) *[]intent.Port { return &s.Ports },
	key:   portKey,
	parse: func(tenant string, p []string) (intent.Port, bool) {
		if len(p) != 2 {
			return intent.Port{}, false
		}
		return intent.Port{Tenant: tenant, Network: p[0], Name: p[1]}, true
	},
	root:    func(within intent.Reference) string { return partsRoot("ports", within) },
	missing: noPort,
	valid:   func(p intent.Port) error { return p.Ref().Validate() },
	needs:   func(p intent.Port) []intent.Reference { return []intent.Reference{p.Ref().NetworkRef()} },
	fill: func(c *change[intent.Port]) (err error) {
		c.o, err = c.s.complete(c.ctx, c.given, need[intent.Network](c, c.given.Ref().NetworkRef()))
		return err
	},
	copied: func(p intent.Port) intent.Port {
		p.Addrs = slices.Clone(p.Addrs)
		return p
	},
	frozen: func(old, p intent.Port) error {
		if p.Ref() != old.Ref() || p.ID != old.ID || p.UUID != old.UUID {
			return intent.Invalidf("the name, id and UUID of port %s cannot be changed", old.Ref())
		}
		return nil
	},
	kept: func(old, p intent.Port) intent.Port {
		if p.MAC.IsZero() {
			p.MAC = old.MAC
		}
		return p
	},
	holds: portHolds,
	rules: func(c *change[intent.Port]) error {
		if err := c.o.Validate(need[intent.Network](c, c.o.Ref().NetworkRef())); err != nil {
			return err
		}
		if c.set && hasIPv4(c.old) && !hasIPv4(c.o) {
			return c.s.notReached(c.ctx, &c.tx, c.o.Ref())
		}
		return nil
	},
	users:  portUsers,
	remove: removePort,
	failed: func(c *change[intent.Port], err error) {
		if missed := (*missedError)(nil); errors.As(err, &missed) {
			c.s.addrs.missed(c.ctx, need[intent.Network](c, c.o.Ref().NetworkRef()), missed.address)
		}
	},
}

func init() { keptInNetworks("ports", &ports) }

// missedError means that an address thought to be free belongs to another port.
type missedError struct{ address netip.Addr }

func (e *missedError) Error() string { return "address " + e.address.String() + " is taken" }

// Is makes the change be tried again.
func (e *missedError) Is(target error) bool { return target == kv.ErrStale }

// portUsers are the objects that lead to a port from outside, and the claims on it.
func portUsers(ctx context.Context, s *Store, p intent.Port) (users []intent.Reference, err error) {
	ref := p.Ref()
	err = s.kv.Call(ctx, "read port "+ref.String(), func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Below(claimsRoot(ref), kv.KeysOnly()),
			kv.Below(floatingsOf(ref), kv.KeysOnly()), kv.Below(targetsOf(ref), kv.KeysOnly()))
		if err != nil {
			return err
		}
		users = slices.Concat(references(v.Found[1]), forwardsOf(v.Found[2]), references(v.Found[0]))
		return nil
	})
	return users, err
}

// removePort deletes a port with its claims.
func removePort(c *change[intent.Port], ref intent.PortRef, cascade bool) ([]string, error) {
	v, err := c.s.kv.Read(c.ctx, portReads(ref)...)
	if err != nil {
		return nil, err
	}
	if v.One(0).Value == nil {
		return nil, noPort(ref)
	}
	if users := found(v.Found[1]); len(users) > 0 && !cascade {
		return nil, intent.InUseBy("port "+ref.String(), users)
	}
	return deletePort(&c.tx, v)
}

func noPort(r intent.PortRef) *intent.Error {
	return intent.NotFoundf("port %s does not exist", r).WithHint("see: ovloom port list %s", r.NetworkRef())
}

// portHolds are the UUID, MAC and addresses of a port. A chosen value gives way to another
// port's.
func portHolds(given, p intent.Port, _ lookup) []hold {
	network, holder := p.Ref().NetworkRef(), p.Ref().String()
	holds := []hold{
		{key: uuidKey(p.UUID), value: holder, taken: func(other string) error {
			return intent.Conflictf("UUID %s is taken by port %s", p.UUID, other).WithHint("leave it out to have one made")
		}},
		{key: macKey(network, p.MAC), value: holder, taken: func(other string) error {
			if given.MAC.IsZero() {
				return kv.ErrStale
			}
			return intent.Conflictf("MAC %s is taken by %s", p.MAC, other).WithHint("choose another, or leave it out")
		}},
	}
	for _, a := range p.Addrs {
		holds = append(holds, hold{key: addrKey(network, a), value: holder, taken: func(other string) error {
			if len(given.Addrs) == 0 {
				return &missedError{a}
			}
			return intent.Conflictf("address %s is taken by %s", a, other).WithHint("choose another, or leave it out")
		}})
	}
	return holds
}

// complete returns p with the fields that it leaves out.
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

func hasIPv4(p intent.Port) bool { return slices.ContainsFunc(p.Addrs, netip.Addr.Is4) }

// notReached refuses to take away the IPv4 addresses of a port to which a floating address
// or forwards lead, and makes sure that none is added meanwhile.
func (s *Store) notReached(ctx context.Context, tx *kv.Txn, ref intent.PortRef) error {
	v, err := s.kv.Read(ctx, kv.Below(floatingsOf(ref), kv.KeysOnly()), kv.Below(targetsOf(ref), kv.KeysOnly()))
	if err != nil {
		return err
	}
	if users := reachedBy(v.Found[0], v.Found[1]); len(users) > 0 {
		return &intent.Error{Kind: intent.InUse, What: "NAT needs an IPv4 address of port " + ref.String(), Used: users,
			Hint: "leave it one, or delete those first"}
	}
	tx.EmptyBelow(floatingsOf(ref))
	tx.EmptyBelow(targetsOf(ref))
	return nil
}

// Port returns a port.
func (s *Store) Port(ctx context.Context, ref intent.PortRef) (intent.Port, error) {
	return intent.As[intent.Port](s.Get(ctx, ref))
}
