package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Deletion goes from referring objects to those they refer to: what leads to ports from
// outside, bindings with their port, ports, peers, routes, networks, SNAT, tenant. Each
// transaction leaves the store consistent, so that a deletion that stopped half-way can be
// finished by repeating it.

// portReads are the reads that deletePort needs.
func portReads(ref intent.PortRef) []kv.Read {
	return []kv.Read{kv.Key(portKey(ref)), kv.Below(claimsRoot(ref)),
		kv.Below(floatingsOf(ref), kv.Limit(10)), kv.Below(targetsOf(ref), kv.Limit(10))}
}

// deletePort adds to tx the deletion of a port, its claims and its index keys, as v found
// them with portReads, and returns their names. It refuses (kind InUse) if something was
// added meanwhile that leads to the port from outside.
func deletePort(tx *kv.Txn, v kv.View) ([]string, error) {
	it, claims := v.One(0), v.Found[1]
	p, err := objectOf[intent.Port](it)
	if err != nil {
		return nil, err
	}
	ref := p.Ref()
	if users := reachedBy(v.Found[2], v.Found[3]); len(users) > 0 {
		return nil, intent.InUseBy("port "+ref.String(), users)
	}
	tx.Unchanged(it.Key, it.Revision)
	tx.QuietBelow(claimsRoot(ref), v.Revision)
	tx.EmptyBelow(floatingsOf(ref))
	tx.EmptyBelow(targetsOf(ref))
	for _, c := range claims {
		b, ok := named(c.Key).(intent.Binding)
		if !ok {
			return nil, fmt.Errorf("%w key %s: no binding", kv.ErrUnreadable, c.Key)
		}
		tx.Delete(c.Key)
		tx.Delete(boundKey(b.Host, ref))
	}
	tx.Delete(claimKey(ref))
	tx.Delete(it.Key)
	for _, h := range portHolds(p, p, nil) {
		tx.Delete(h.key)
	}
	return append(found(claims), "port "+ref.String()), nil
}

// found returns objects' names for users.
func found(its []kv.Item) []string {
	var out []string
	for _, it := range its {
		out = append(out, intent.ObjectName(named(it.Key)))
	}
	return out
}

// deleteAll deletes objects in order. It skips objects deleted meanwhile.
func (s *Store) deleteAll(ctx context.Context, refs []intent.Reference) (deleted []string, revision int64, err error) {
	for len(refs) > 0 {
		var names []string
		var r int64
		var some []intent.PortRef
		n := 0
		for ; n < len(refs) && rankOf(refs[n]) == int(rankPorts); n++ {
			if ref, ok := refs[n].(intent.PortRef); ok { // bindings go with their port
				some = append(some, ref)
			}
		}
		if n > 0 {
			names, r, err = s.deletePorts(ctx, some)
		} else {
			n = 1
			names, r, err = classes[refs[0].Class()].deleteUnused(ctx, s, refs[0], true)
		}
		deleted, revision = append(deleted, names...), max(revision, r)
		if err != nil && intent.KindOf(err) != intent.NotFound {
			return deleted, revision, err
		}
		refs = refs[n:]
	}
	return deleted, revision, nil
}

// deletePorts deletes ports with their claims, as many as fit in each transaction.
func (s *Store) deletePorts(ctx context.Context, refs []intent.PortRef) (deleted []string, revision int64, err error) {
	for len(refs) > 0 {
		var done int
		var names []string
		err := s.kv.Update(ctx, "delete ports", func(ctx context.Context) error {
			var reads []kv.Read
			for _, ref := range refs[:min(len(refs), kv.MaxOps/8)] {
				reads = append(reads, portReads(ref)...)
			}
			v, err := s.kv.Read(ctx, reads...)
			if err != nil {
				return err
			}
			var tx kv.Txn
			names, done = nil, 0
			for found := range slices.Chunk(v.Found, len(portReads(intent.PortRef{}))) {
				port := kv.View{Revision: v.Revision, Found: found}
				if port.One(0).Value == nil { // another process was faster
					done++
					continue
				}
				var one kv.Txn
				n, err := deletePort(&one, port)
				if err != nil {
					return err
				}
				if done > 0 && tx.Size()+one.Size() > kv.MaxOps {
					break
				}
				tx.Add(one)
				names = append(names, n...)
				done++
			}
			if tx.Empty() {
				return nil
			}
			r, err := s.kv.Commit(ctx, &tx)
			revision = max(revision, r) // 0 if it failed
			return err
		})
		if err != nil {
			return deleted, revision, err
		}
		deleted = append(deleted, names...)
		refs = refs[done:]
	}
	return deleted, revision, nil
}

// stopped adds to the error of a deletion that failed half-way what it has done.
func stopped(what string, deleted []string, err error) error {
	if len(deleted) == 0 {
		return err
	}
	e := &intent.Error{Kind: intent.KindOf(err), What: fmt.Sprintf("deleting %s stopped half-way: %v", what, err), Err: err}
	return e.WithHint("%d objects are deleted, up to %s: ask again to delete the rest", len(deleted), deleted[len(deleted)-1])
}

// delete deletes an object. While the object has users, delete refuses with their list
// (kind InUse), or with cascade deletes the users first. It returns what it deleted and
// the revision of the last change, even when it fails half-way.
func (d *declared[T, R]) delete(ctx context.Context, s *Store, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error) {
	if d.erase != nil {
		return d.erase(ctx, s, ref.(R), cascade)
	}
	title := intent.Title(ref)
	var users []intent.Reference
	if d.after == nil {
		if users, err = d.usersOf(ctx, s, ref); err != nil {
			return nil, 0, err
		}
	} else if err := ref.Validate(); err != nil {
		return nil, 0, err
	}
	if len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(title, intent.Titles(users))
	}
	if deleted, revision, err = s.deleteAll(ctx, users); err != nil {
		return deleted, revision, stopped(title, deleted, err)
	}
	names, r, err := d.deleteUnused(ctx, s, ref, cascade)
	if deleted = append(deleted, names...); err != nil {
		return deleted, max(revision, r), stopped(title, deleted, err)
	}
	return deleted, max(revision, r), nil
}

// usersOf returns what must be deleted before an object, in order.
func (d *declared[T, R]) usersOf(ctx context.Context, s *Store, ref intent.Reference) ([]intent.Reference, error) {
	o, err := d.get(ctx, s, ref)
	if err != nil || d.users == nil {
		return nil, err
	}
	return d.users(ctx, s, o.(T))
}

// deleteUnused deletes an object without users.
func (d *declared[T, R]) deleteUnused(ctx context.Context, s *Store, r intent.Reference, cascade bool) (deleted []string, revision int64, err error) {
	ref := r.(R)
	title := intent.Title(ref)
	tries := 0
	missing := s.kv.Update(ctx, "delete "+title, func(ctx context.Context) error {
		c := change[T]{ctx: ctx, s: s, tries: tries}
		tries++
		deleted, err = []string{title}, nil
		if d.remove != nil {
			deleted, err = d.remove(&c, ref, cascade)
		} else {
			err = d.removal(&c, ref)
		}
		if err != nil {
			return err
		}
		revision, err = s.kv.Commit(ctx, &c.tx)
		return err
	})
	if missing != nil {
		deleted, revision = nil, 0
	}
	if d.after == nil || missing != nil && intent.KindOf(missing) != intent.NotFound {
		return deleted, revision, missing
	}
	last, err := d.after(ctx, s, ref)
	switch {
	case err != nil:
		return deleted, max(revision, last), stopped(title, deleted, err)
	case missing != nil && last == 0:
		return nil, 0, missing
	}
	return []string{title}, max(revision, last), nil
}

// removal returns the transaction that deletes an object.
func (d *declared[T, R]) removal(c *change[T], ref R) (err error) {
	looks := []intent.Reference{ref}
	if d.looks != nil {
		looks = append(looks, d.looks(ref)...)
	}
	if c.read, err = c.s.lookAt(c.ctx, looks...); err != nil {
		return err
	}
	at := c.read[ref]
	c.old = at.object.(T)
	if d.unused != nil {
		if err := d.unused(c); err != nil {
			return err
		}
	}
	c.tx.Unchanged(at.Key, at.Item.Revision)
	c.tx.Delete(at.Key)
	for _, h := range d.holdsOf(c.old, c.look) {
		if !h.shared {
			c.tx.Delete(h.key)
		}
	}
	if d.leave != nil {
		return d.leave(c)
	}
	return nil
}
