package store

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// ClaimNATAddress gives a registered host an address of an external of kind bridge, from
// which the host sends the tenant's packets under the tenant's SNAT, and returns it. A
// host that has an address already keeps it. It fails when the tenant has no SNAT there
// (kind NotFound) or the pool has no free address (kind Conflict).
func (s *Store) ClaimNATAddress(ctx context.Context, tenant, external, host string) (netip.Addr, error) {
	a := intent.NATAddress{Tenant: tenant, External: external, Host: host}
	ref := intent.SNATRef{Tenant: tenant, External: external}
	if err := validateClaim(ref, host); err != nil {
		return netip.Addr{}, err
	}
	tries := 0
	err := s.kv.Update(ctx, "claim the "+intent.ObjectName(a), func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(natAddressKey(ref, host)), kv.Key(snatKey(ref)), kv.Key(externalKey(external)), kv.Key(hostKey(host)))
		if err != nil {
			return err
		}
		if it := v.One(0); it.Value != nil {
			a, err = objectOf[intent.NATAddress](it)
			return err
		}
		_, err = existing(v.One(1), &snats, ref)
		if err != nil {
			return err
		}
		e, err := existing(v.One(2), &externals, intent.ExternalRef{External: external})
		if err != nil {
			return err
		}
		if e.Kind != intent.ExternalBridge {
			return intent.Invalidf("external %s is of kind %s", external, e.Kind).
				WithHint("there a tenant has one address on all hosts: that of its SNAT")
		}
		if _, err := hostOf(v.One(3), host); err != nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(snatKey(ref), v.One(1).Revision)
		tx.Unchanged(externalKey(external), v.One(2).Revision)
		tx.Unchanged(hostKey(host), v.One(3).Revision)
		if a.Address, err = s.takeOutside(ctx, &tx, e, netip.Addr{}, natAddressHolder(a), tries); err != nil {
			return err
		}
		tries++
		value, err := kv.Encode(a, nil)
		if err != nil {
			return err
		}
		tx.Unchanged(natAddressKey(ref, host), 0)
		tx.Put(natAddressKey(ref, host), value)
		tx.Put(userKey(external, natAddressKey(ref, host)), intent.ObjectName(a))
		tx.Put(natHostKey(host, ref), a.Address.String())
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
	if err != nil {
		return netip.Addr{}, err
	}
	return a.Address, nil
}

// ReleaseNATAddress releases the address of ClaimNATAddress. It is no error if there is
// none.
func (s *Store) ReleaseNATAddress(ctx context.Context, tenant, external, host string) error {
	ref := intent.SNATRef{Tenant: tenant, External: external}
	if err := validateClaim(ref, host); err != nil {
		return err
	}
	_, err := s.dropNATAddresses(ctx, []string{natAddressKey(ref, host)})
	return err
}

func validateClaim(ref intent.SNATRef, host string) error {
	if err := ref.Validate(); err != nil {
		return err
	}
	return intent.ValidateName("host", host)
}

// dropNATAddresses deletes the NAT addresses at the given keys, as many as fit in each
// transaction, and returns the revision of the last change. It skips addresses deleted
// meanwhile.
func (s *Store) dropNATAddresses(ctx context.Context, keys []string) (revision int64, err error) {
	for some := range slices.Chunk(keys, kv.MaxOps/4) {
		err := s.kv.Update(ctx, "give back NAT addresses", func(ctx context.Context) error {
			var reads []kv.Read
			for _, k := range some {
				reads = append(reads, kv.Key(k))
			}
			v, err := s.kv.Read(ctx, reads...)
			if err != nil {
				return err
			}
			var tx kv.Txn
			for i := range reads {
				it := v.One(i)
				if it.Value == nil {
					continue
				}
				a, err := objectOf[intent.NATAddress](it)
				if err != nil {
					return err
				}
				tx.Unchanged(it.Key, it.Revision)
				tx.Delete(it.Key)
				tx.Delete(outsideKey(a.External, a.Address))
				tx.Delete(userKey(a.External, it.Key))
				tx.Delete(natHostKey(a.Host, intent.SNATRef{Tenant: a.Tenant, External: a.External}))
			}
			if tx.Empty() {
				return nil
			}
			r, err := s.kv.Commit(ctx, &tx)
			revision = max(revision, r) // 0 if it failed
			return err
		})
		if err != nil {
			return revision, err
		}
	}
	return revision, nil
}

// dropNATAddressesBelow is dropNATAddresses for all addresses of a tenant on an external.
func (s *Store) dropNATAddressesBelow(ctx context.Context, ref intent.SNATRef) (revision int64, err error) {
	all, _, err := s.kv.List(ctx, "read the NAT addresses of "+ref.String(), natAddressesOn(ref), kv.KeysOnly())
	if err != nil {
		return 0, err
	}
	var keys []string
	for _, it := range all {
		keys = append(keys, it.Key)
	}
	return s.dropNATAddresses(ctx, keys)
}

// natAddressesIn returns the keys of the NAT addresses from their index keys below
// natOfHost.
func natAddressesIn(host string, index []kv.Item) []string {
	var keys []string
	for _, it := range index {
		tenant, external, _ := strings.Cut(it.Key[len(natOfHost(host)):], "/")
		keys = append(keys, natAddressKey(intent.SNATRef{Tenant: tenant, External: external}, host))
	}
	return keys
}
