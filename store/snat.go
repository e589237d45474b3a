package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// A tenant has one SNAT. With an external of kind host, the address is chosen unless it is
// given, and equals the address of the tenant's forwards there. Only the limit of the
// tenant's connections can be changed. Nothing uses a SNAT; deleting it deletes the
// addresses that hosts have taken for it.
var snats = declared[intent.SNAT, intent.SNATRef]{
	class: intent.ClassSNAT,
	rank:  rankSNATs,
	in:    func(s *intent.Snapshot) *[]intent.SNAT { return &s.SNATs },
	key:   snatKey,
	parse: func(tenant string, p []string) (intent.SNAT, bool) {
		if len(p) != 1 {
			return intent.SNAT{}, false
		}
		return intent.SNAT{Tenant: tenant, External: p[0]}, true
	},
	root: func(within intent.Reference) string { return snatRoot(within.(intent.TenantRef).Tenant) },
	missing: func(r intent.SNATRef) *intent.Error {
		return intent.NotFoundf("tenant %s has no SNAT through external %s", r.Tenant, r.External).
			WithHint("see: ovloom nat snat list %s", r.Tenant)
	},
	valid: intent.SNAT.Validate,
	needs: func(n intent.SNAT) []intent.Reference {
		return []intent.Reference{intent.TenantRef{Tenant: n.Tenant}, intent.ExternalRef{External: n.External}}
	},
	fill: func(c *change[intent.SNAT]) error {
		v, err := c.s.kv.Read(c.ctx, kv.Below(snatRoot(c.o.Tenant)))
		if err != nil {
			return err
		}
		if other := v.One(0); other.Value != nil {
			o, err := objectOf[intent.SNAT](other)
			switch {
			case err != nil:
				return err
			case o.Ref() == c.o.Ref():
				return intent.Conflictf("%s exists", intent.Title(o.Ref()))
			}
			return intent.Conflictf("tenant %s has SNAT through external %s", o.Tenant, o.External).
				WithHint("a tenant has one: delete that first: ovloom nat snat delete %s", o.Tenant)
		}
		c.tx.EmptyBelow(snatRoot(c.o.Tenant))
		if c.o.ID, err = c.s.newID(c.ctx); err != nil {
			return err
		}
		e := need[intent.External](c, intent.ExternalRef{External: c.o.External})
		if err := c.s.outerApart(c.ctx, &c.tx, e, c.o.Tenant); err != nil {
			return err
		}
		if e.Kind == intent.ExternalBridge {
			if c.given.Address.IsValid() {
				return intent.Invalidf("address %s cannot be that of tenant %s on external %s", c.given.Address, c.o.Tenant, e.Name).
					WithHint("leave it out: behind a bridge, each host takes one of the pool for the tenant")
			}
			return nil
		}
		c.o.Address, err = c.s.join(c.ctx, &c.tx, e, c.o.Ref(), c.given.Address, c.tries)
		return err
	},
	frozen: func(old, n intent.SNAT) error {
		if n.Ref() != old.Ref() || n.ID != old.ID || n.Address != old.Address {
			return intent.Invalidf("the tenant, external, id and address of snat %s cannot be changed", old.Ref()).
				WithHint("delete it and add another")
		}
		return nil
	},
	holds: func(_, n intent.SNAT, _ lookup) []hold {
		holds := []hold{userHold(n.External, n)}
		if n.Address.IsValid() {
			holds = append(holds, sharedHold(n.External, n.Address, n.Tenant))
		}
		return holds
	},
	leave: func(c *change[intent.SNAT]) error {
		if !c.old.Address.IsValid() {
			return nil
		}
		return c.s.part(c.ctx, &c.tx, c.old.Ref(), c.old.Address)
	},
	// Only after the SNAT is gone: while it exists, hosts take addresses for it.
	after: func(ctx context.Context, s *Store, ref intent.SNATRef) (int64, error) {
		return s.dropNATAddressesBelow(ctx, ref)
	},
}

func init() { keptIn("nat/snat", &snats) }
