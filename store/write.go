package store

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// add adds an object and returns it as stored, with the revision of the change.
func (d *declared[T, R]) add(ctx context.Context, s *Store, o intent.Object) (intent.Object, int64, error) {
	if d.fill == nil && d.early == nil {
		return nil, 0, intent.Invalidf("no user adds a %s", d.class).WithHint("hosts do by themselves")
	}
	given := o.(T)
	if d.normal != nil {
		given = d.normal(given)
	}
	if err := d.valid(given); err != nil {
		return nil, 0, err
	}
	title := intent.Title(given.Reference())
	var c change[T]
	tries := 0
	err := s.kv.Update(ctx, "add "+title, func(ctx context.Context) (err error) {
		c = change[T]{ctx: ctx, s: s, given: given, o: given, tries: tries}
		tries++
		if d.early != nil {
			if err := d.early(&c); err != nil {
				return err
			}
		}
		if d.needs != nil {
			if c.read, err = s.lookAt(ctx, d.needs(c.o)...); err != nil {
				return err
			}
		}
		if d.fill != nil {
			if err := d.fill(&c); err != nil {
				return err
			}
		}
		d.needed(&c)
		value, err := kv.Encode(c.o, nil)
		if err != nil {
			return err
		}
		at := keyOf(c.o.Reference())
		c.tx.Vacant(at, func(string) error {
			if d.exists != nil {
				return d.exists(c.o)
			}
			return intent.Conflictf("%s exists", title)
		})
		c.tx.Put(at, value)
		if d.holds != nil {
			for _, h := range d.holds(given, c.o, c.look) {
				take(&c.tx, h)
			}
		}
		if d.rules != nil {
			if err := d.rules(&c); err != nil {
				return err
			}
		}
		c.revision, err = s.kv.Commit(ctx, &c.tx)
		if err != nil && d.failed != nil {
			d.failed(&c, err)
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return c.o, c.revision, nil
}

// needed demands that the objects that a change needs stay.
func (d *declared[T, R]) needed(c *change[T]) {
	if d.needs == nil {
		return
	}
	for _, r := range d.needs(c.o) {
		c.tx.Unchanged(c.read[r].Key, c.read[r].Item.Revision)
	}
}

// take adds to a transaction that an object acquires a hold.
func take(tx *kv.Txn, h hold) {
	switch {
	case h.shared:
	case h.taken == nil:
		tx.Put(h.key, h.value)
	default:
		tx.Take(h.key, h.value, h.taken)
	}
}

// edit changes an object: it calls change with the stored object, and again if another
// change came between. It returns the object and the revision of the change; if change
// changed nothing, edit writes nothing and returns the revision of the last change.
func (d *declared[T, R]) edit(ctx context.Context, s *Store, r intent.Reference, edit func(intent.Object) (intent.Object, error)) (intent.Object, int64, error) {
	ref := r.(R)
	if d.frozen == nil {
		return nil, 0, intent.Invalidf("nothing of %s can be changed", intent.Title(ref)).WithHint("delete it and add another")
	}
	if err := ref.Validate(); err != nil {
		return nil, 0, err
	}
	var c change[T]
	tries := 0
	err := s.kv.Update(ctx, "set "+intent.Title(ref), func(ctx context.Context) error {
		c = change[T]{ctx: ctx, s: s, set: true, tries: tries}
		tries++
		it, err := s.kv.Get(ctx, d.key(ref))
		if err != nil {
			return err
		}
		if it.Value == nil {
			return d.missing(ref)
		}
		if c.old, err = objectOf[T](it); err != nil {
			return err
		}
		before := c.old
		if d.copied != nil {
			before = d.copied(c.old)
		}
		o, err := edit(before)
		if err != nil {
			return kv.Refuse(err)
		}
		c.o = o.(T)
		if err := d.frozen(c.old, c.o); err != nil {
			return err
		}
		if d.normal != nil {
			c.o = d.normal(c.o)
		}
		if d.kept != nil {
			c.o = d.kept(c.old, c.o)
		}
		c.given = c.o
		if d.needs != nil {
			if c.read, err = s.lookAt(ctx, d.needs(c.o)...); err != nil {
				return err
			}
		}
		if err := d.valid(c.o); err != nil {
			return err
		}
		changed, err := c.tx.Replace(it, c.o)
		if err != nil || !changed {
			c.revision = it.Revision // hosts wait for this revision, not for later ones
			return err
		}
		d.needed(&c)
		d.move(&c)
		if d.rules != nil {
			if err := d.rules(&c); err != nil {
				return err
			}
		}
		c.revision, err = s.kv.Commit(ctx, &c.tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return c.o, c.revision, nil
}

// move updates the index keys of an object after its change.
func (d *declared[T, R]) move(c *change[T]) {
	if d.holds == nil {
		return
	}
	before, after := d.holds(c.old, c.old, c.look), d.holds(c.o, c.o, c.look)
	same := func(h hold) func(hold) bool {
		return func(o hold) bool { return o.key == h.key && o.value == h.value }
	}
	for _, h := range before {
		if !h.shared && !slices.ContainsFunc(after, same(h)) {
			c.tx.Delete(h.key)
		}
	}
	for _, h := range after {
		if !slices.ContainsFunc(before, same(h)) {
			take(&c.tx, h)
		}
	}
}
