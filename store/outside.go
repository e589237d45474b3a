package store

import (
	"context"
	"math/rand/v2"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Addresses of externals. An index key records the owner of an address, and decides: it is
// created in the transaction that writes the object. The start of the search for a free
// address is kept beside it, shared by all hosts, because all take addresses from the same
// pool.

// outsideSpread is the number of free addresses among which the next is chosen when others
// take addresses of the same external at the same time.
const outsideSpread = 64

// The values of the index: the owners of addresses.
func sharedHolder(tenant string) string           { return "tenant " + tenant }
func floatingHolder(r intent.PortRef) string      { return "port " + r.String() }
func natAddressHolder(a intent.NATAddress) string { return "tenant " + a.Tenant + " on " + a.Host }

// chooseOutside returns an address of the external: the given one, or if that is not valid
// a free one. tries is how often the transaction was stale before.
func (s *Store) chooseOutside(ctx context.Context, e intent.External, given netip.Addr, tries int) (netip.Addr, error) {
	if given.IsValid() {
		return given, e.Assignable(given)
	}
	return s.freeOutside(ctx, e, tries)
}

// addressHold is the hold of an external's address; given says that a user chose it.
func addressHold(external string, a netip.Addr, holder string, given bool) hold {
	return hold{key: outsideKey(external, a), value: holder, taken: func(other string) error {
		if !given {
			return kv.ErrStale
		}
		return intent.Conflictf("address %s of external %s is taken by %s", a, external, other).
			WithHint("choose another, or leave it out")
	}}
}

// sharedHold is the hold of the address that a tenant's forwards on an external share with
// the tenant's SNAT, if that has an address.
func sharedHold(external string, a netip.Addr, tenant string) hold {
	return hold{key: outsideKey(external, a), value: sharedHolder(tenant), shared: true}
}

// takeOutside takes an address of the external.
func (s *Store) takeOutside(ctx context.Context, tx *kv.Txn, e intent.External, given netip.Addr, holder string, tries int) (netip.Addr, error) {
	a, err := s.chooseOutside(ctx, e, given, tries)
	if err != nil {
		return netip.Addr{}, err
	}
	take(tx, addressHold(e.Name, a, holder, given.IsValid()))
	// Not compared with its previous value: two hosts may take two addresses at once.
	tx.Put(lastOutsideKey(e.Name), sortable(a))
	return a, nil
}

// freeOutside returns a free address of the external, starting after the address last
// assigned: an address that was just released is not reassigned at once, because its new
// tenant would get answers meant for the last owner.
func (s *Store) freeOutside(ctx context.Context, e intent.External, tries int) (netip.Addr, error) {
	all := e.Addresses()
	it, err := s.kv.Get(ctx, lastOutsideKey(e.Name))
	if err != nil {
		return netip.Addr{}, err
	}
	start := all.First
	if it.Value != nil {
		last, err := parseSortable(string(it.Value))
		if err != nil {
			return netip.Addr{}, err
		}
		if next := last.Next(); all.Contains(next) {
			start = next
		}
	}
	count := 1
	if tries > 0 {
		count = outsideSpread
	}
	free, err := s.searchAddrs(ctx, outsideOf(e.Name), e.Gateway, start, all.Last, count)
	if err == nil && len(free) == 0 {
		free, err = s.searchAddrs(ctx, outsideOf(e.Name), e.Gateway, all.First, start, count)
	}
	switch {
	case err != nil:
		return netip.Addr{}, err
	case len(free) == 0:
		return netip.Addr{}, exhausted(e)
	}
	return free[rand.IntN(len(free))], nil
}

func exhausted(e intent.External) error {
	err := intent.Conflictf("all %d addresses of external %s (%s) are in use", capacity(e), e.Name, e.Addresses())
	if e.Kind == intent.ExternalHost {
		return err.WithHint("delete unneeded SNATs or forwards, or add an external with a larger subnet")
	}
	return err.WithHint("delete floating addresses, forwards or SNATs that are not needed, or enlarge its pool: ovloom external set %s --pool FIRST-LAST", e.Name)
}

// capacity is how many addresses of an external NAT can use.
func capacity(e intent.External) int {
	r := e.Addresses()
	first, last := r.First.As4(), r.Last.As4()
	n := 1
	for i := range first {
		n += (int(last[i]) - int(first[i])) << (8 * (3 - i))
	}
	if r.Contains(e.Gateway) {
		n--
	}
	return n
}

// sharing is the address that a tenant's forwards on one external share with the tenant's
// SNAT, if that has an address.
type sharing struct {
	address netip.Addr // invalid: they have none
	count   int        // number of its users; 2 stands for more
	index   kv.Item    // its owner
}

// sharing reads the shared address, at one revision.
func (s *Store) sharing(ctx context.Context, ref intent.SNATRef) (sharing, error) {
	var sh sharing
	reads := []kv.Read{kv.Key(snatKey(ref)), kv.Below(forwardsOn(ref.Tenant, ref.External), kv.Limit(2))}
	for {
		v, err := s.kv.Read(ctx, reads...)
		if err != nil {
			return sharing{}, err
		}
		address, count, err := sharedBy(v)
		switch {
		case err != nil:
			return sharing{}, err
		case !address.IsValid():
			return sharing{}, nil
		case address == sh.address: // and so the third read is that of its index key
			sh.count, sh.index = count, v.One(2)
			return sh, nil
		}
		sh = sharing{address: address}
		reads = append(reads[:2], kv.Key(outsideKey(ref.External, address)))
	}
}

// sharedBy returns the address of a SNAT and of forwards, from the first two reads of v,
// and the number of its users.
func sharedBy(v kv.View) (address netip.Addr, count int, err error) {
	if it := v.One(0); it.Value != nil {
		o, err := objectOf[intent.SNAT](it)
		if err != nil {
			return address, 0, err
		}
		if o.Address.IsValid() {
			address, count = o.Address, 1
		}
	}
	for _, it := range v.Found[1] {
		f, err := objectOf[intent.Forward](it)
		if err != nil {
			return address, 0, err
		}
		address, count = f.Address, count+1
	}
	return address, count, nil
}

// join adds one more object to the users of the address, or takes the address for the
// first of them. Each join and part rewrites the index key, so that the store makes two at
// once conflict.
func (s *Store) join(ctx context.Context, tx *kv.Txn, e intent.External, ref intent.SNATRef, given netip.Addr, tries int) (netip.Addr, error) {
	sh, err := s.sharing(ctx, ref)
	if err != nil {
		return netip.Addr{}, err
	}
	if sh.address.IsValid() {
		if given.IsValid() && given != sh.address {
			return netip.Addr{}, intent.Conflictf("tenant %s has address %s on external %s", ref.Tenant, sh.address, e.Name).
				WithHint("a tenant has one there: leave the address out")
		}
		tx.Unchanged(sh.index.Key, sh.index.Revision)
		tx.Put(sh.index.Key, sharedHolder(ref.Tenant))
		return sh.address, nil
	}
	tx.EmptyBelow(forwardsOn(ref.Tenant, e.Name))
	if e.Kind == intent.ExternalHost {
		tx.Unchanged(snatKey(ref), 0)
	}
	return s.takeOutside(ctx, tx, e, given, sharedHolder(ref.Tenant), tries)
}

// part removes one of the users of the address, and releases the address with the last of
// them.
func (s *Store) part(ctx context.Context, tx *kv.Txn, ref intent.SNATRef, address netip.Addr) error {
	sh, err := s.sharing(ctx, ref)
	if err != nil {
		return err
	}
	if sh.address != address { // read at another revision
		return kv.ErrStale
	}
	tx.Unchanged(sh.index.Key, sh.index.Revision)
	if sh.count > 1 {
		tx.Put(sh.index.Key, sharedHolder(ref.Tenant))
	} else {
		tx.Delete(sh.index.Key)
	}
	return nil
}
