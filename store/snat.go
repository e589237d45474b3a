package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// AddSNAT gives a tenant a way out through an external and returns it as stored with
// the revision of the change. The address of one of kind host is chosen unless it is
// given, and is the one that the tenant's forwards have there. A tenant has one SNAT.
func (s *Store) AddSNAT(ctx context.Context, n intent.SNAT) (intent.SNAT, int64, error) {
	if err := n.Validate(); err != nil {
		return intent.SNAT{}, 0, err
	}
	var revision int64
	given := n.Address
	tries := 0
	ref := n.Ref()
	err := s.update(ctx, "add "+intent.ObjectName(n), func(ctx context.Context) error {
		sh, err := s.sharing(ctx, ref)
		if err != nil {
			return err
		}
		v, err := s.read(ctx, key(tenantKey(n.Tenant)), key(externalKey(n.External)), below(snatRoot(n.Tenant)))
		if err != nil {
			return err
		}
		_, tenant, err := tenantOf(v.one(0), n.Tenant)
		if err != nil {
			return err
		}
		e, it, err := externalOf(v.one(1), n.External)
		if err != nil {
			return err
		}
		if other := v.one(2); other.value != nil {
			o, err := objectOf[intent.SNAT](other)
			if err != nil {
				return err
			}
			if o.Ref() == ref {
				return intent.Conflictf("%s exists", intent.ObjectName(n))
			}
			return intent.Conflictf("tenant %s has SNAT through external %s", o.Tenant, o.External).
				WithHint("a tenant has one: delete that first: ovloom nat snat delete %s", o.Tenant)
		}
		if n.ID, err = s.newID(ctx); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(tenant.key, tenant.revision)
		tx.unchanged(it.key, it.revision)
		tx.emptyBelow(snatRoot(n.Tenant))
		if err := s.outerApart(ctx, &tx, e, n.Tenant); err != nil {
			return err
		}
		if e.Kind == intent.ExternalBridge {
			if given.IsValid() {
				return intent.Invalidf("address %s cannot be that of tenant %s on external %s", given, n.Tenant, e.Name).
					WithHint("leave it out: behind a bridge, each host takes one of the pool for the tenant")
			}
		} else if n.Address, err = s.join(ctx, &tx, e, sh, given, tries); err != nil {
			return err
		}
		tries++
		if err := tx.create(snatKey(ref), intent.ObjectName(n), n); err != nil {
			return err
		}
		tx.put(userKey(n.External, snatKey(ref)), intent.ObjectName(n))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.SNAT{}, 0, err
	}
	return n, revision, nil
}

// SetSNAT changes how many connections a tenant may have through its SNAT: edit is
// given the stored one, and is called again if another change came between. Nothing
// else can be changed. Returns the SNAT and the revision of the change; if edit
// changed nothing, that of the last change.
func (s *Store) SetSNAT(ctx context.Context, ref intent.SNATRef, edit func(*intent.SNAT) error) (intent.SNAT, int64, error) {
	if err := ref.Validate(); err != nil {
		return intent.SNAT{}, 0, err
	}
	var n intent.SNAT
	var revision int64
	err := s.update(ctx, "set snat "+ref.String(), func(ctx context.Context) error {
		it, err := s.get(ctx, snatKey(ref))
		if err != nil {
			return err
		}
		old, it, err := snatOf(it, ref)
		if err != nil {
			return err
		}
		n = old
		if err := edit(&n); err != nil {
			return &editError{err}
		}
		if n.Ref() != ref || n.ID != old.ID || n.Address != old.Address {
			return intent.Invalidf("the tenant, external, id and address of snat %s cannot be changed", ref).
				WithHint("delete it and add another")
		}
		var tx txn
		changed, err := tx.replace(it, n)
		if err != nil || !changed {
			revision = it.revision // hosts are told of this one, not of what came later
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.SNAT{}, 0, err
	}
	return n, revision, nil
}

// SNAT returns one SNAT.
func (s *Store) SNAT(ctx context.Context, ref intent.SNATRef) (intent.SNAT, error) {
	var n intent.SNAT
	err := s.call(ctx, "read snat "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(snatKey(ref)), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(1), ref.Tenant); err != nil {
			return err
		}
		n, _, err = snatOf(v.one(0), ref)
		return err
	})
	return n, err
}

func snatOf(it item, ref intent.SNATRef) (intent.SNAT, item, error) {
	if it.value == nil {
		return intent.SNAT{}, item{}, intent.NotFoundf("tenant %s has no SNAT through external %s", ref.Tenant, ref.External).
			WithHint("see: ovloom nat snat list %s", ref.Tenant)
	}
	n, err := objectOf[intent.SNAT](it)
	return n, it, err
}

// SNATs returns the SNATs of a tenant: one or none.
func (s *Store) SNATs(ctx context.Context, tenant string) ([]intent.SNAT, error) {
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	return listOf[intent.SNAT](ctx, s, "list SNATs of "+tenant, snatRoot(tenant))
}

// DeleteSNAT deletes a SNAT, and the addresses that hosts have taken for it, and
// returns its name, as "snat acme through internet", and the revision of the last
// change. Nothing uses a SNAT, so it is never refused. One that stopped half-way,
// with addresses left, is finished by asking again.
func (s *Store) DeleteSNAT(ctx context.Context, ref intent.SNATRef) (deleted []string, revision int64, err error) {
	if err := ref.Validate(); err != nil {
		return nil, 0, err
	}
	what := "snat " + ref.String()
	missing := s.update(ctx, "delete "+what, func(ctx context.Context) error {
		sh, err := s.sharing(ctx, ref)
		if err != nil {
			return err
		}
		v, err := s.read(ctx, key(snatKey(ref)), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(1), ref.Tenant); err != nil {
			return err
		}
		n, it, err := snatOf(v.one(0), ref)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.delete(it.key)
		tx.delete(userKey(ref.External, it.key))
		if n.Address.IsValid() {
			if n.Address != sh.address {
				return errStale
			}
			sh.leave(&tx)
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if missing != nil && intent.KindOf(missing) != intent.NotFound {
		return nil, 0, missing
	}
	if missing == nil {
		deleted = []string{what}
	}
	// Only now: as long as there is a SNAT, hosts take addresses for it.
	r, err := s.dropNATAddressesBelow(ctx, ref)
	switch {
	case err != nil:
		return deleted, max(revision, r), stopped(what, deleted, err)
	case missing != nil && r == 0:
		return nil, 0, missing
	}
	return []string{what}, max(revision, r), nil
}
