package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// AddForward leads a port of an external address to a port of the tenant and returns
// the forward as stored with the revision of the change. All of a tenant's forwards
// of an external have one address, and with kind host its SNAT has the same; if there
// is none yet, it is chosen unless it is given. On externals of kind host, forwards
// also lead there from the hosts' own addresses, so that a protocol's port is one
// tenant's.
func (s *Store) AddForward(ctx context.Context, f intent.Forward) (intent.Forward, int64, error) {
	if err := f.Validate(); err != nil {
		return intent.Forward{}, 0, err
	}
	var revision int64
	given := f.Address
	tries := 0
	err := s.update(ctx, "add "+intent.ObjectName(f), func(ctx context.Context) error {
		sh, err := s.sharing(ctx, intent.SNATRef{Tenant: f.Tenant, External: f.External})
		if err != nil {
			return err
		}
		e, external, port, err := s.natTarget(ctx, f.External, f.To)
		if err != nil {
			return err
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
		tx.vacant(forwardKey(f.Ref()), func(string) error {
			return intent.Conflictf("%s exists", intent.ObjectName(f)).WithHint("choose another port, or delete that first")
		})
		if e.Kind == intent.ExternalHost {
			tx.take(hostForwardKey(f.Protocol, f.Port), intent.ObjectName(f), func(holder string) error {
				return intent.Conflictf("%s port %d of the hosts is taken by %s", f.Protocol, f.Port, holder).WithHint("choose another port")
			})
		}
		if f.Address, err = s.join(ctx, &tx, e, sh, given, tries); err != nil {
			return err
		}
		tries++
		value, err := encode(f, nil)
		if err != nil {
			return err
		}
		tx.put(forwardKey(f.Ref()), value)
		tx.put(userKey(f.External, forwardKey(f.Ref())), intent.ObjectName(f))
		tx.put(targetKey(f), intent.ObjectName(f))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Forward{}, 0, err
	}
	return f, revision, nil
}

// Forward returns one forward.
func (s *Store) Forward(ctx context.Context, ref intent.ForwardRef) (intent.Forward, error) {
	var f intent.Forward
	err := s.call(ctx, "read forward "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(forwardKey(ref)), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(1), ref.Tenant); err != nil {
			return err
		}
		f, _, err = forwardOf(v.one(0), ref)
		return err
	})
	return f, err
}

func forwardOf(it item, ref intent.ForwardRef) (intent.Forward, item, error) {
	if it.value == nil {
		return intent.Forward{}, item{}, intent.NotFoundf("forward %s does not exist", ref).WithHint("see: ovloom nat forward list %s", ref.Tenant)
	}
	f, err := objectOf[intent.Forward](it)
	return f, it, err
}

// Forwards returns the forwards of a tenant, ordered by external, protocol and port.
func (s *Store) Forwards(ctx context.Context, tenant string) ([]intent.Forward, error) {
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	return listOf[intent.Forward](ctx, s, "list forwards of "+tenant, forwardsRoot(tenant))
}

// DeleteForward deletes a forward and returns its name, as "forward acme internet
// tcp/8080", and the revision of the change. Nothing uses a forward, so it is never
// refused. With the last one, the tenant gives their address back.
func (s *Store) DeleteForward(ctx context.Context, ref intent.ForwardRef) (deleted []string, revision int64, err error) {
	if _, err := s.Forward(ctx, ref); err != nil {
		return nil, 0, err
	}
	what := "forward " + ref.String()
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		sh, err := s.sharing(ctx, intent.SNATRef{Tenant: ref.Tenant, External: ref.External})
		if err != nil {
			return err
		}
		v, err := s.read(ctx, key(forwardKey(ref)), key(externalKey(ref.External)))
		if err != nil {
			return err
		}
		f, it, err := forwardOf(v.one(0), ref)
		if err != nil {
			return err
		}
		e, _, err := externalOf(v.one(1), ref.External)
		if err != nil {
			return err
		}
		if f.Address != sh.address { // read at another revision
			return errStale
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.delete(it.key)
		tx.delete(userKey(f.External, it.key))
		tx.delete(targetKey(f))
		if e.Kind == intent.ExternalHost {
			tx.delete(hostForwardKey(f.Protocol, f.Port))
		}
		sh.leave(&tx)
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return []string{what}, revision, nil
}
