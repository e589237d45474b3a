package store

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Hosts route the subnet of an external of kind host to themselves, so it may not overlap
// another external's subnet, nor contain a VTEP. Two bridges may lead to equal subnets,
// but one bridge leads to a subnet only once. The allowed prefixes, MTU, VLAN, pool and
// gateway can be changed, as long as every address in use stays usable.
var externals = declared[intent.External, intent.ExternalRef]{
	class: intent.ClassExternal,
	key:   func(r intent.ExternalRef) string { return externalKey(r.External) },
	parse: func(_ string, p []string) (intent.External, bool) {
		return intent.External{Name: p[0]}, true
	},
	root: func(intent.Reference) string { return externalsRoot },
	missing: func(r intent.ExternalRef) *intent.Error {
		return intent.NotFoundf("external %s does not exist", r).WithHint("see: ovloom external list")
	},
	normal: intent.External.WithDefaults,
	valid:  intent.External.Validate,
	early: func(c *change[intent.External]) (err error) {
		c.o.ID, err = c.s.newID(c.ctx)
		return err
	},
	fill: func(c *change[intent.External]) error { return c.s.number(c.ctx, &c.tx, &c.o) },
	copied: func(e intent.External) intent.External {
		e.Allow = slices.Clone(e.Allow)
		return e
	},
	frozen: func(old, e intent.External) error {
		switch {
		case e.Name != old.Name || e.ID != old.ID || e.Number != old.Number:
			return intent.Invalidf("the name, id and number of external %s cannot be changed", old.Name)
		case e.Kind != old.Kind || e.Bridge != old.Bridge || e.Subnet != old.Subnet:
			return intent.Invalidf("the kind, bridge and subnet of external %s cannot be changed", old.Name).
				WithHint("they are what it is: add another external, and delete this one when nothing uses it")
		}
		return nil
	},
	// An external whose underlay setting is absent is open; a user who clears the setting
	// wants the default of new externals.
	kept: func(old, e intent.External) intent.External {
		if old.Underlay != "" && e.Underlay == "" {
			e.Underlay = intent.UnderlayDeny
		}
		return e
	},
	holds: func(_, e intent.External, _ lookup) []hold {
		return []hold{{key: numberKey(e.Number), value: e.Name, taken: func(string) error { return kv.ErrStale }}}
	},
	rules: func(c *change[intent.External]) error {
		v, err := c.s.kv.Read(c.ctx, append([]kv.Read{kv.Below(externalsRoot)}, vtepsIn(c.o)...)...)
		if err != nil {
			return err
		}
		if !c.set {
			if err := alone(&c.tx, c.o, v.Found[0], v.Revision); err != nil {
				return err
			}
		}
		if c.o.Pool != c.old.Pool || !c.set {
			if err := noVTEP(&c.tx, c.o, v.One(1), v.One(2)); err != nil {
				return err
			}
		}
		if c.set && (c.o.Pool != c.old.Pool || c.o.Gateway != c.old.Gateway) {
			return c.s.addressesFit(c.ctx, c.o)
		}
		return nil
	},
	users: func(ctx context.Context, s *Store, e intent.External) ([]intent.Reference, error) {
		all, _, err := s.kv.List(ctx, "read external "+e.Name, usersOf(e.Name), kv.KeysOnly())
		for i := range all {
			all[i].Key = tenantsRoot + all[i].Key[len(usersOf(e.Name)):]
		}
		return inRank(usersAt(all)), err
	},
	unused: func(c *change[intent.External]) error {
		v, err := c.s.kv.Read(c.ctx, kv.Below(usersOf(c.old.Name), kv.Limit(10)))
		if err != nil {
			return err
		}
		var users []string
		for _, it := range v.Found[0] { // added since the user was asked
			users = append(users, string(it.Value))
		}
		if len(users) > 0 {
			return intent.InUseBy("external "+c.old.Name, users)
		}
		c.tx.EmptyBelow(usersOf(c.old.Name))
		return nil
	},
	leave: func(c *change[intent.External]) error {
		c.tx.Delete(lastOutsideKey(c.old.Name))
		return nil
	},
}

func init() { keptBelow(externalsRoot, &externals) }

// number gives e the next unused number of externals, cyclically: a deleted external's
// number is not reused at once, because some switch may still have its flows.
func (s *Store) number(ctx context.Context, tx *kv.Txn, e *intent.External) error {
	v, err := s.kv.Read(ctx, kv.Key(numberCounter), kv.Below(numbersRoot, kv.KeysOnly()))
	if err != nil {
		return err
	}
	last, taken := v.One(0), v.Found[1]
	if len(taken) >= intent.ExternalNumberMax {
		return intent.Conflictf("there are %d externals", len(taken)).WithHint("there can be no more: delete an unused one")
	}
	var at kv.CounterValue
	if last.Value != nil {
		if at, err = kv.Decode[kv.CounterValue](last.Value); err != nil {
			return err
		}
	}
	held := map[string]bool{}
	for _, it := range taken {
		held[it.Key] = true
	}
	for {
		e.Number = uint8(at.Next%intent.ExternalNumberMax + 1)
		at.Next++
		if !held[numberKey(e.Number)] {
			break
		}
	}
	value, err := kv.Encode(at, last.Value)
	if err != nil {
		return err
	}
	tx.Unchanged(numberCounter, last.Revision)
	tx.Put(numberCounter, value)
	return nil
}

// alone refuses an external whose subnet conflicts with another's, as read at a revision,
// and makes sure that none is added or changed meanwhile.
func alone(tx *kv.Txn, e intent.External, others []kv.Item, revision int64) error {
	for _, it := range others {
		o, err := objectOf[intent.External](it)
		if err != nil {
			return err
		}
		if o.Name == e.Name || !o.Subnet.Overlaps(e.Subnet) {
			continue
		}
		switch {
		case o.Kind == intent.ExternalHost || e.Kind == intent.ExternalHost:
			return intent.Conflictf("subnet %s overlaps %s of external %s", e.Subnet, o.Subnet, o.Name).
				WithHint("hosts keep the subnet of an external of kind host for themselves: choose one without a common address, such as a part of %s", intent.DefaultHostRange)
		case o.SharesSegment(e):
			return intent.Conflictf("subnet %s overlaps %s of external %s, which is behind bridge %s too", e.Subnet, o.Subnet, o.Name, e.Bridge).
				WithHint("one segment is one external: use %s, or give another bridge or subnet", o.Name)
		}
	}
	tx.QuietBelow(externalsRoot, revision)
	return nil
}

// addressesFit refuses a change of an external that would exclude an address in use. No
// address is taken meanwhile: that needs the external to be unchanged.
func (s *Store) addressesFit(ctx context.Context, e intent.External) error {
	all, _, err := s.kv.List(ctx, "read the addresses of external "+e.Name, outsideOf(e.Name))
	if err != nil {
		return err
	}
	var users []string
	var first error
	for _, it := range all {
		a, err := parseSortable(it.Key[len(outsideOf(e.Name)):])
		if err != nil {
			return err
		}
		if err := e.Assignable(a); err != nil {
			users = append(users, a.String()+" of "+string(it.Value))
			first = firstOf(first, err)
		}
	}
	if len(users) > 0 {
		return &intent.Error{
			Kind: intent.InUse, What: "the change of external " + e.Name + " takes away addresses that are in use: " + first.Error(),
			Used: users, Hint: "delete what uses them first", Err: first,
		}
	}
	return nil
}

// natRange is the range that no VTEP may be in: packets to it would not leave the host, or
// its address would be assigned to a tenant.
func natRange(e intent.External) (first, last netip.Addr) {
	if e.Kind == intent.ExternalHost {
		return e.Subnet.Addr(), intent.Subnet{Prefix: e.Subnet}.Last().Next()
	}
	return e.Pool.First, e.Pool.Last
}

// vtepsIn are two reads that find a host and a peer whose VTEP is in the range of e.
func vtepsIn(e intent.External) []kv.Read {
	var reads []kv.Read
	for _, r := range vtepRanges(e) {
		reads = append(reads, kv.Between(r[0], r[1], kv.Limit(1)))
	}
	return reads
}

// vtepRanges are the ranges of keys, end excluded, of hosts and peers with a VTEP in the
// range of e.
func vtepRanges(e intent.External) [2][2]string {
	first, last := natRange(e)
	return [2][2]string{
		{vtepKey(first), vtepKey(last) + "\x00"},
		{peerVTEPRoot(first), kv.EndOf(peerVTEPRoot(last))},
	}
}

// noVTEP refuses an external whose range contains a host's or a peer's VTEP, as vtepsIn
// found them, and makes sure that none is added meanwhile.
func noVTEP(tx *kv.Txn, e intent.External, host, peer kv.Item) error {
	for _, in := range []struct {
		what string
		kv.Item
	}{{"host", host}, {"peer", peer}} {
		if in.Value != nil {
			first, last := natRange(e)
			return intent.Conflictf("VTEP address %s of %s %s is one of %s-%s, which external %s would use",
				vtepIn(in.Key), in.what, in.Value, first, last, e.Name).WithHint("choose free addresses")
		}
	}
	for _, r := range vtepRanges(e) {
		tx.EmptyBetween(r[0], r[1])
	}
	return nil
}

// vtepIn returns the address in an index key of VTEPs.
func vtepIn(key string) string {
	rest, ok := strings.CutPrefix(key, vtepRoot)
	if !ok {
		rest, _, _ = strings.Cut(strings.TrimPrefix(key, peersVTEPs), "/")
	}
	a, err := parseSortable(rest)
	if err != nil {
		return rest
	}
	return a.String()
}

// noExternal refuses a VTEP address that an external uses, and makes sure that no external
// is added or changed meanwhile.
func (s *Store) noExternal(ctx context.Context, tx *kv.Txn, vtep netip.Addr) error {
	v, err := s.kv.Read(ctx, kv.Below(externalsRoot))
	if err != nil {
		return err
	}
	var bad []error
	defer func() { s.reviewed(externalsRoot, bad) }()
	for _, it := range v.Found[0] {
		e, err := objectOf[intent.External](it)
		if err != nil { // a host must be able to register
			bad = append(bad, err)
			continue
		}
		if first, last := natRange(e); (intent.AddrRange{First: first, Last: last}).Contains(vtep) {
			return intent.Conflictf("VTEP address %s is one of %s-%s, which external %s uses", vtep, first, last, e.Name).
				WithHint("give an address that tenants are not given, or change the external")
		}
	}
	tx.QuietBelow(externalsRoot, v.Revision)
	return nil
}
