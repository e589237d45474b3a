package store

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// ClaimNATAddress gives a registered host an address of an external of kind bridge,
// for what the tenant's ports send from there by the tenant's SNAT, and returns it.
// A host that has one already is given the same. It fails when the tenant has no
// SNAT there (kind NotFound) or the pool has no free address (kind Conflict).
func (s *Store) ClaimNATAddress(ctx context.Context, tenant, external, host string) (netip.Addr, error) {
	a := intent.NATAddress{Tenant: tenant, External: external, Host: host}
	ref := intent.SNATRef{Tenant: tenant, External: external}
	if err := validateClaim(ref, host); err != nil {
		return netip.Addr{}, err
	}
	tries := 0
	err := s.update(ctx, "claim the "+intent.ObjectName(a), func(ctx context.Context) error {
		v, err := s.read(ctx, key(natAddressKey(ref, host)), key(snatKey(ref)), key(externalKey(external)), key(hostKey(host)))
		if err != nil {
			return err
		}
		if it := v.one(0); it.value != nil {
			a, err = objectOf[intent.NATAddress](it)
			return err
		}
		_, err = existing(v.one(1), &snats, ref)
		if err != nil {
			return err
		}
		e, err := existing(v.one(2), &externals, intent.ExternalRef{External: external})
		if err != nil {
			return err
		}
		if e.Kind != intent.ExternalBridge {
			return intent.Invalidf("external %s is of kind %s", external, e.Kind).
				WithHint("there a tenant has one address on all hosts: that of its SNAT")
		}
		if _, err := hostOf(v.one(3), host); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(snatKey(ref), v.one(1).revision)
		tx.unchanged(externalKey(external), v.one(2).revision)
		tx.unchanged(hostKey(host), v.one(3).revision)
		if a.Address, err = s.takeOutside(ctx, &tx, e, netip.Addr{}, natAddressHolder(a), tries); err != nil {
			return err
		}
		tries++
		value, err := encode(a, nil)
		if err != nil {
			return err
		}
		tx.unchanged(natAddressKey(ref, host), 0)
		tx.put(natAddressKey(ref, host), value)
		tx.put(userKey(external, natAddressKey(ref, host)), intent.ObjectName(a))
		tx.put(natHostKey(host, ref), a.Address.String())
		_, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return netip.Addr{}, err
	}
	return a.Address, nil
}

// ReleaseNATAddress gives back what ClaimNATAddress gave. That there is nothing to
// give back is no error.
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

// dropNATAddresses deletes the NAT addresses at the given keys, as many as fit in
// each transaction, and returns the revision of the last change. What somebody else
// has deleted is left out.
func (s *Store) dropNATAddresses(ctx context.Context, keys []string) (revision int64, err error) {
	for some := range slices.Chunk(keys, txnOps/4) {
		err := s.update(ctx, "give back NAT addresses", func(ctx context.Context) error {
			var reads []clientv3.Op
			for _, k := range some {
				reads = append(reads, key(k))
			}
			v, err := s.read(ctx, reads...)
			if err != nil {
				return err
			}
			var tx txn
			for i := range reads {
				it := v.one(i)
				if it.value == nil {
					continue
				}
				a, err := objectOf[intent.NATAddress](it)
				if err != nil {
					return err
				}
				tx.unchanged(it.key, it.revision)
				tx.delete(it.key)
				tx.delete(outsideKey(a.External, a.Address))
				tx.delete(userKey(a.External, it.key))
				tx.delete(natHostKey(a.Host, intent.SNATRef{Tenant: a.Tenant, External: a.External}))
			}
			if len(tx.then) == 0 {
				return nil
			}
			r, err := s.commit(ctx, &tx)
			revision = max(revision, r) // 0 if it failed
			return err
		})
		if err != nil {
			return revision, err
		}
	}
	return revision, nil
}

// dropNATAddressesBelow is dropNATAddresses for all of a tenant's on an external.
func (s *Store) dropNATAddressesBelow(ctx context.Context, ref intent.SNATRef) (revision int64, err error) {
	all, _, err := s.list(ctx, "read the NAT addresses of "+ref.String(), natAddressesOn(ref), clientv3.WithKeysOnly())
	if err != nil {
		return 0, err
	}
	var keys []string
	for _, it := range all {
		keys = append(keys, it.key)
	}
	return s.dropNATAddresses(ctx, keys)
}

// natAddressesIn returns the keys of the NAT addresses that index keys below
// natOfHost stand for.
func natAddressesIn(host string, index []item) []string {
	var keys []string
	for _, it := range index {
		tenant, external, _ := strings.Cut(it.key[len(natOfHost(host)):], "/")
		keys = append(keys, natAddressKey(intent.SNATRef{Tenant: tenant, External: external}, host))
	}
	return keys
}
