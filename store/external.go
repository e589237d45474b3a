package store

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// AddExternal adds an external and returns it as stored with the revision of the
// change. What e leaves out is chosen: ID and Number (always), and the defaults of
// its kind. Hosts route the subnet of one of kind host to themselves, so that it may
// have no address in common with another external's, nor with any VTEP; two bridges
// may lead to subnets that look alike, but one bridge leads to a subnet once.
func (s *Store) AddExternal(ctx context.Context, e intent.External) (intent.External, int64, error) {
	e = e.WithDefaults()
	if err := e.Validate(); err != nil {
		return intent.External{}, 0, err
	}
	var revision int64
	err := s.update(ctx, "add external "+e.Name, func(ctx context.Context) (err error) {
		if e.ID, err = s.newID(ctx); err != nil {
			return err
		}
		v, err := s.read(ctx, append([]clientv3.Op{below(externalsRoot), key(numberCounter), below(numbersRoot, clientv3.WithKeysOnly())}, vtepsIn(e)...)...)
		if err != nil {
			return err
		}
		var tx txn
		if err := s.number(&tx, &e, v.found[2], v.one(1)); err != nil {
			return err
		}
		if err := tx.create(externalKey(e.Name), intent.ObjectName(e), e); err != nil {
			return err
		}
		if err := alone(&tx, e, v.found[0], v.revision); err != nil {
			return err
		}
		if err := noVTEP(&tx, e, v.one(3), v.one(4)); err != nil {
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.External{}, 0, err
	}
	return e, revision, nil
}

// number gives e a number that is not taken, by the index keys of those that are: the next one round, so that
// the number of an external that was deleted is not at once another's in a switch
// which is not yet told.
func (s *Store) number(tx *txn, e *intent.External, taken []item, last item) error {
	if len(taken) >= intent.ExternalNumberMax {
		return intent.Conflictf("there are %d externals", len(taken)).WithHint("there can be no more: delete one that nobody uses")
	}
	var at counterValue
	var err error
	if last.value != nil {
		if at, err = decode[counterValue](last.value); err != nil {
			return err
		}
	}
	held := map[string]bool{}
	for _, it := range taken {
		held[it.key] = true
	}
	for {
		e.Number = uint8(at.Next%intent.ExternalNumberMax + 1)
		at.Next++
		if !held[numberKey(e.Number)] {
			break
		}
	}
	value, err := encode(at, last.value)
	if err != nil {
		return err
	}
	tx.unchanged(numberCounter, last.revision)
	tx.put(numberCounter, value)
	tx.take(numberKey(e.Number), e.Name, func(string) error { return errStale })
	return nil
}

// alone refuses an external whose subnet is in the way of another's, as they were
// read at a revision, and makes sure that none is added or changed meanwhile.
func alone(tx *txn, e intent.External, others []item, revision int64) error {
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
	tx.quietBelow(externalsRoot, revision)
	return nil
}

// SetExternal changes an external: edit is given the stored one, and is called again
// if another change came between. What is allowed, the MTU, the VLAN, the pool and the gateway
// can be changed, as long as every address in use stays usable; the name, id, number,
// kind, bridge and subnet cannot. Returns the external and the revision of the
// change; if edit changed nothing, that of the last change.
func (s *Store) SetExternal(ctx context.Context, name string, edit func(*intent.External) error) (intent.External, int64, error) {
	if err := intent.ValidateName("external", name); err != nil {
		return intent.External{}, 0, err
	}
	var e intent.External
	var revision int64
	err := s.update(ctx, "set external "+name, func(ctx context.Context) error {
		it, err := s.get(ctx, externalKey(name))
		if err != nil {
			return err
		}
		old, it, err := externalOf(it, name)
		if err != nil {
			return err
		}
		e = old
		e.Allow = slices.Clone(old.Allow)
		if err := edit(&e); err != nil {
			return &editError{err}
		}
		switch {
		case e.Name != name || e.ID != old.ID || e.Number != old.Number:
			return intent.Invalidf("the name, id and number of external %s cannot be changed", name)
		case e.Kind != old.Kind || e.Bridge != old.Bridge || e.Subnet != old.Subnet:
			return intent.Invalidf("the kind, bridge and subnet of external %s cannot be changed", name).
				WithHint("they are what it is: add another external, and delete this one when nobody uses it")
		}
		e = e.WithDefaults()
		if err := e.Validate(); err != nil {
			return err
		}
		var tx txn
		changed, err := tx.replace(it, e)
		if err != nil || !changed {
			revision = it.revision // hosts are told of this one, not of what came later
			return err
		}
		if e.Pool != old.Pool {
			v, err := s.read(ctx, vtepsIn(e)...)
			if err != nil {
				return err
			}
			if err := noVTEP(&tx, e, v.one(0), v.one(1)); err != nil {
				return err
			}
		}
		if e.Pool != old.Pool || e.Gateway != old.Gateway {
			if err := s.addressesFit(ctx, e); err != nil {
				return err
			}
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.External{}, 0, err
	}
	return e, revision, nil
}

// addressesFit refuses a changed external that some of the addresses in use would
// not be of. None is taken meanwhile: that needs the external to be unchanged.
func (s *Store) addressesFit(ctx context.Context, e intent.External) error {
	all, _, err := s.list(ctx, "read the addresses of external "+e.Name, outsideOf(e.Name))
	if err != nil {
		return err
	}
	var users []string
	var first error
	for _, it := range all {
		a, err := parseSortable(it.key[len(outsideOf(e.Name)):])
		if err != nil {
			return err
		}
		if err := e.Assignable(a); err != nil {
			users = append(users, a.String()+" of "+string(it.value))
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

// natRange is what no VTEP may be in: there, its packets would not leave the host,
// or its address would be given to a tenant.
func natRange(e intent.External) (first, last netip.Addr) {
	if e.Kind == intent.ExternalHost {
		return e.Subnet.Addr(), intent.Subnet{Prefix: e.Subnet}.Last().Next()
	}
	return e.Pool.First, e.Pool.Last
}

// vtepsIn are two reads that find a host and a peer whose VTEP is in the range of e.
func vtepsIn(e intent.External) []clientv3.Op {
	var reads []clientv3.Op
	for _, r := range vtepRanges(e) {
		reads = append(reads, clientv3.OpGet(r[0], clientv3.WithRange(r[1]), clientv3.WithLimit(1)))
	}
	return reads
}

// vtepRanges are the keys, each from the first to before the second, that hosts and
// peers with a VTEP in the range of e would have.
func vtepRanges(e intent.External) [2][2]string {
	first, last := natRange(e)
	return [2][2]string{
		{vtepKey(first), vtepKey(last) + "\x00"},
		{peerVTEPRoot(first), clientv3.GetPrefixRangeEnd(peerVTEPRoot(last))},
	}
}

// noVTEP refuses an external in whose range a host or a peer has its VTEP, as
// vtepsIn found them, and makes sure that none gets one there meanwhile.
func noVTEP(tx *txn, e intent.External, host, peer item) error {
	for what, it := range map[string]item{"host": host, "peer": peer} {
		if it.value != nil {
			first, last := natRange(e)
			return intent.Conflictf("VTEP address %s of %s %s is one of %s-%s, which external %s would use",
				vtepIn(it.key), what, it.value, first, last, e.Name).WithHint("choose addresses that nobody has")
		}
	}
	for _, r := range vtepRanges(e) {
		tx.emptyBetween(r[0], r[1])
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

// noExternal refuses a VTEP address that an external uses, and makes sure that none
// is added or changed meanwhile.
func (s *Store) noExternal(ctx context.Context, tx *txn, vtep netip.Addr) error {
	v, err := s.read(ctx, below(externalsRoot))
	if err != nil {
		return err
	}
	var bad []error
	defer func() { s.reviewed(externalsRoot, bad) }()
	for _, it := range v.found[0] {
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
	tx.quietBelow(externalsRoot, v.revision)
	return nil
}

// External returns one external.
func (s *Store) External(ctx context.Context, name string) (intent.External, error) {
	var e intent.External
	err := s.call(ctx, "read external "+name, func(ctx context.Context) error {
		it, err := s.get(ctx, externalKey(name))
		if err != nil {
			return err
		}
		e, _, err = externalOf(it, name)
		return err
	})
	return e, err
}

func externalOf(it item, name string) (intent.External, item, error) {
	if it.value == nil {
		return intent.External{}, item{}, intent.NotFoundf("external %s does not exist", name).WithHint("see: ovloom external list")
	}
	e, err := objectOf[intent.External](it)
	return e, it, err
}

// Externals returns all externals, ordered by name.
func (s *Store) Externals(ctx context.Context) ([]intent.External, error) {
	return listOf[intent.External](ctx, s, "list externals", externalsRoot)
}

// ExternalUsers lists what DeleteExternal with cascade would delete besides the
// external, in order: "floating acme/web/c1 on campus", "forward acme campus tcp/8080",
// "snat acme through campus".
func (s *Store) ExternalUsers(ctx context.Context, name string) ([]string, error) {
	if _, err := s.External(ctx, name); err != nil {
		return nil, err
	}
	p, err := s.planExternal(ctx, name)
	return p.names(), err
}

// planExternal reads what is on an external.
func (s *Store) planExternal(ctx context.Context, name string) (plan, error) {
	var p plan
	all, _, err := s.list(ctx, "read external "+name, usersOf(name), clientv3.WithKeysOnly())
	for _, it := range all {
		p.add(named(tenantsRoot + it.key[len(usersOf(name)):]))
	}
	return p, err
}

// DeleteExternal deletes an external. With anything on it that is refused with the
// list of that (kind InUse), or with cascade deletes that first. Returns what was
// deleted and the revision of the last change, also when it fails half-way.
func (s *Store) DeleteExternal(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	if _, err := s.External(ctx, name); err != nil {
		return nil, 0, err
	}
	what := "external " + name
	p, err := s.planExternal(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	if users := p.names(); len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	if deleted, revision, err = s.deletePlanned(ctx, p); err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		v, err := s.read(ctx, key(externalKey(name)), below(usersOf(name), clientv3.WithLimit(10)))
		if err != nil {
			return err
		}
		e, it, err := externalOf(v.one(0), name)
		if err != nil {
			return err
		}
		if len(v.found[1]) > 0 { // added since the plan was made, so the user was not asked
			var users []string
			for _, it := range v.found[1] {
				users = append(users, string(it.value))
			}
			return intent.InUseBy(what, users)
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.emptyBelow(usersOf(name))
		tx.delete(it.key)
		tx.delete(numberKey(e.Number))
		tx.delete(lastOutsideKey(name))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, what), revision, nil
}
