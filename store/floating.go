package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// AddFloating gives a port an external address and returns it as stored with the
// revision of the change. Unless it is given, the address is the next free one of the
// external's pool. A port has at most one on each external.
func (s *Store) AddFloating(ctx context.Context, f intent.Floating) (intent.Floating, int64, error) {
	if err := f.Validate(); err != nil {
		return intent.Floating{}, 0, err
	}
	var revision int64
	given := f.Address
	tries := 0
	err := s.update(ctx, "add "+intent.ObjectName(f), func(ctx context.Context) error {
		e, external, port, err := s.natTarget(ctx, f.External, f.PortRef())
		if err != nil {
			return err
		}
		if e.Kind != intent.ExternalBridge {
			return intent.Invalidf("external %s is of kind %s: nobody beyond the hosts could reach a floating address of it", e.Name, e.Kind).
				WithHint("use one of kind %s, or forward single ports: ovloom nat forward add", intent.ExternalBridge)
		}
		if f.ID, err = s.newID(ctx); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(external.key, external.revision)
		tx.unchanged(port.key, port.revision)
		if err := s.outerApart(ctx, &tx, e, f.Tenant); err != nil {
			return err
		}
		tx.vacant(floatingKey(f.Ref()), func(string) error {
			return intent.Conflictf("%s exists", intent.ObjectName(f)).WithHint("a port has one address of an external")
		})
		if f.Address, err = s.takeOutside(ctx, &tx, e, given, floatingHolder(f.PortRef()), tries); err != nil {
			return err
		}
		tries++
		value, err := encode(f, nil)
		if err != nil {
			return err
		}
		tx.put(floatingKey(f.Ref()), value)
		tx.put(userKey(f.External, floatingKey(f.Ref())), intent.ObjectName(f))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Floating{}, 0, err
	}
	return f, revision, nil
}

// natTarget reads an external and a port that is to be reached from there.
func (s *Store) natTarget(ctx context.Context, name string, ref intent.PortRef) (e intent.External, external, port item, err error) {
	v, err := s.read(ctx, key(externalKey(name)), key(portKey(ref)), key(networkKey(ref.NetworkRef())), key(tenantKey(ref.Tenant)))
	if err != nil {
		return e, external, port, err
	}
	if _, _, err := tenantOf(v.one(3), ref.Tenant); err != nil {
		return e, external, port, err
	}
	if _, _, err := networkOf(v.one(2), ref.NetworkRef()); err != nil {
		return e, external, port, err
	}
	p, port, err := portOf(v.one(1), ref)
	if err != nil {
		return e, external, port, err
	}
	if e, external, err = externalOf(v.one(0), name); err != nil {
		return e, external, port, err
	}
	if !hasIPv4(p) {
		return e, external, port, intent.Invalidf("port %s has no IPv4 address", ref).
			WithHint("NAT is for IPv4 only: give it one: ovloom port set %s --ip ADDRESS", ref)
	}
	return e, external, port, nil
}

// Floating returns the floating address of a port.
func (s *Store) Floating(ctx context.Context, ref intent.FloatingRef) (intent.Floating, error) {
	var f intent.Floating
	err := s.call(ctx, "read floating "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(floatingKey(ref)), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(1), ref.Tenant); err != nil {
			return err
		}
		f, _, err = floatingOf(v.one(0), ref)
		return err
	})
	return f, err
}

func floatingOf(it item, ref intent.FloatingRef) (intent.Floating, item, error) {
	if it.value == nil {
		return intent.Floating{}, item{}, intent.NotFoundf("port %s has no floating address on external %s", ref.PortRef, ref.External).
			WithHint("see: ovloom nat floating list %s", ref.Tenant)
	}
	f, err := objectOf[intent.Floating](it)
	return f, it, err
}

// Floatings returns the floating addresses of a tenant, ordered by port and external.
func (s *Store) Floatings(ctx context.Context, tenant string) ([]intent.Floating, error) {
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	return listOf[intent.Floating](ctx, s, "list floating addresses of "+tenant, floatingsRoot(tenant))
}

// DeleteFloating takes a floating address from its port and returns its name, as
// "floating acme/web/c1 on campus", and the revision of the change. Nothing uses
// one, so it is never refused.
func (s *Store) DeleteFloating(ctx context.Context, ref intent.FloatingRef) (deleted []string, revision int64, err error) {
	if _, err := s.Floating(ctx, ref); err != nil {
		return nil, 0, err
	}
	what := "floating " + ref.String()
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		it, err := s.get(ctx, floatingKey(ref))
		if err != nil {
			return err
		}
		f, it, err := floatingOf(it, ref)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.delete(it.key)
		tx.delete(outsideKey(f.External, f.Address))
		tx.delete(userKey(f.External, it.key))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return []string{what}, revision, nil
}
