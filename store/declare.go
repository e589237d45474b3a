package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Objects are declared: a declaration says where an object of a class is kept, what it
// needs, which index keys it holds and what else must be true. Adding, setting, reading,
// listing and deleting are written once, here, over declarations; so are decoding and
// checking.

// declared is the declaration of one class. Key, parse and missing are required; so are
// valid where users add objects, frozen where they change them, and root where they list
// them.
type declared[T intent.Object, R intent.Reference] struct {
	class intent.Class

	// key is where an object is kept; parse returns the object, with only its names set,
	// that the parts of such a key name: those behind the tenant's, or all.
	key   func(R) string
	parse func(tenant string, parts []string) (T, bool)
	root  func(within intent.Reference) string // where those within another are kept; nil: they are not listed
	less  func(a, b T) int                     // the order of a list; nil: that of keys

	// missing is the error for an object that does not exist.
	missing func(R) *intent.Error
	// exists is the error for one that does; nil: "port acme/web/c1 exists".
	exists func(T) *intent.Error

	// normal fills in defaults. valid checks what was given, before anything is read.
	normal func(T) T
	valid  func(T) error
	// fits checks a stored object among others; nil: as valid does.
	fits func(o T, look lookup) error
	// early chooses what does not depend on anything that is read; fill chooses the rest.
	early, fill func(*change[T]) error
	// needs are the objects that must exist when this one is written, and stay as they
	// are meanwhile. That they are not deleted later is for their users and unused to say.
	needs func(T) []intent.Reference

	// copied returns a copy that an edit may change; frozen refuses what may not change.
	copied func(T) T
	frozen func(old, edited T) error
	// kept puts back what an edit left out.
	kept func(old, edited T) T

	// holds are the index keys of an object; given is what the user gave.
	holds func(given, o T, look lookup) []hold
	// looks are the objects that holds looks up when an object is deleted.
	looks func(R) []intent.Reference
	// rules check whatever else must be true of an object that is added or set, and
	// demand that it stays so until the change is committed.
	rules func(*change[T]) error

	// users are the objects that must be deleted before this one, in order. unused
	// demands, in the transaction that deletes it, that there are none; leave adds what else goes with it.
	users  func(ctx context.Context, s *Store, o T) ([]intent.Reference, error)
	unused func(*change[T]) error
	leave  func(*change[T]) error
	// remove deletes the object in another way than this file does, and returns the names of
	// all that it deletes. after deletes what stays usable until the object is gone, also if
	// only that is left, and returns the revision of the change.
	remove func(c *change[T], ref R, cascade bool) ([]string, error)
	after  func(ctx context.Context, s *Store, ref R) (int64, error)

	// failed is told why an attempt to add an object failed.
	failed func(*change[T], error)
}

// hold is an index key of an object. A transaction that finds it held fails.
type hold struct {
	key, value string
	// taken makes the error if another object has it; nil: the key is that object's
	// alone, by its name, and simply written.
	taken func(holder string) error
	// shared: several objects have it, with one value. Who comes first and who leaves last
	// is the rules' and leave's business.
	shared bool
}

// lookup returns an object that was read before, or its zero value.
type lookup func(intent.Reference) (intent.Object, bool)

// change is one attempt to write or delete an object.
type change[T intent.Object] struct {
	ctx   context.Context
	s     *Store
	tx    kv.Txn
	tries int // how often it failed as stale before

	given    T // as the user gave it
	old      T
	set      bool // old is what it is set from; otherwise it is added
	o        T    // as it will be
	revision int64
	read     map[intent.Reference]readObject
}

// readObject is an object as it was read.
type readObject struct {
	kv.Item
	object intent.Object
}

// need returns one of the objects that the declaration needs.
func need[N intent.Object, T intent.Object](c *change[T], ref intent.Reference) N {
	return c.read[ref].object.(N)
}

func (c *change[T]) look(ref intent.Reference) (intent.Object, bool) {
	f, ok := c.read[ref]
	return f.object, ok && f.object != nil
}

// class is a declaration, for whoever does not know its types.
type class interface {
	keyOf(intent.Reference) string
	named(tenant string, parts []string) (intent.Object, bool)
	decode([]byte) (intent.Object, error)
	absent(intent.Reference) error
	holdsOf(intent.Object, lookup) []hold
	needsOf(intent.Object) []intent.Reference
	check(intent.Object, lookup) error
	deleteUnused(ctx context.Context, s *Store, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error)
}

// Declarations by class, and by where their objects are: below a tenant by the next part
// of the key, or below a prefix of their own.
var (
	classes    map[intent.Class]class
	tenantDirs map[string]class
	otherRoots map[string]class
)

func init() { // declarations refer to functions that refer to these
	classes = map[intent.Class]class{}
	declare := func(c intent.Class, d class) class {
		classes[c] = d
		return d
	}
	tenantDirs = map[string]class{
		"tenant":        declare(intent.ClassTenant, &tenants),
		"networks":      declare(intent.ClassNetwork, &networks),
		"ports":         declare(intent.ClassPort, &ports),
		"bindings":      declare(intent.ClassBinding, &bindings),
		"peers":         declare(intent.ClassPeer, &peers),
		"routes":        declare(intent.ClassRoute, &routes),
		"nat/snat":      declare(intent.ClassSNAT, &snats),
		"nat/floating":  declare(intent.ClassFloating, &floatings),
		"nat/forward":   declare(intent.ClassForward, &forwards),
		"nat/addresses": declare(intent.ClassNATAddress, &natAddresses),
	}
	otherRoots = map[string]class{
		externalsRoot: declare(intent.ClassExternal, &externals),
		hostsRoot:     declare(intent.ClassHost, &hosts),
		guardRoot:     declare(intent.ClassGuarded, &guards),
	}
}

func keyOf(r intent.Reference) string { return classes[r.Class()].keyOf(r) }

func (d *declared[T, R]) keyOf(r intent.Reference) string { return d.key(r.(R)) }

func (d *declared[T, R]) named(tenant string, parts []string) (intent.Object, bool) {
	o, ok := d.parse(tenant, parts)
	return o, ok
}

func (d *declared[T, R]) decode(value []byte) (intent.Object, error) { return kv.Decode[T](value) }

func (d *declared[T, R]) absent(r intent.Reference) error { return d.missing(r.(R)) }

func (d *declared[T, R]) holdsOf(o intent.Object, look lookup) []hold {
	if d.holds == nil {
		return nil
	}
	return d.holds(o.(T), o.(T), look)
}

func (d *declared[T, R]) needsOf(o intent.Object) []intent.Reference {
	if d.needs == nil {
		return nil
	}
	return d.needs(o.(T))
}

// check checks an object by itself, and what its declaration says of it among others.
func (d *declared[T, R]) check(o intent.Object, look lookup) error {
	if d.fits != nil {
		return d.fits(o.(T), look)
	}
	if d.valid != nil {
		return d.valid(o.(T))
	}
	return nil
}

// above are the objects that an object is part of, outermost first.
func above(r intent.Reference) []intent.Reference {
	switch r := r.(type) {
	case intent.NetworkRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}}
	case intent.PortRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}, r.NetworkRef()}
	case intent.PeerRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}, r.NetworkRef()}
	case intent.RouteRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}}
	case intent.SNATRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}}
	case intent.FloatingRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}}
	case intent.ForwardRef:
		return []intent.Reference{intent.TenantRef{Tenant: r.Tenant}}
	}
	return nil
}

// existing decodes an object as it was read; that it does not exist is an error.
func existing[T intent.Object, R intent.Reference](it kv.Item, d *declared[T, R], ref R) (T, error) {
	if it.Value == nil {
		var none T
		return none, d.missing(ref)
	}
	return objectOf[T](it)
}

// lookAt reads objects at one revision. One that does not exist is an error, also if
// what it is part of does not.
func (s *Store) lookAt(ctx context.Context, refs ...intent.Reference) (map[intent.Reference]readObject, error) {
	var all []intent.Reference
	for _, r := range refs {
		for _, a := range append(above(r), r) {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	var reads []kv.Read
	for _, r := range all {
		reads = append(reads, kv.Key(keyOf(r)))
	}
	v, err := s.kv.Read(ctx, reads...)
	if err != nil {
		return nil, err
	}
	read := map[intent.Reference]readObject{}
	for i, r := range all {
		it := v.One(i)
		if it.Value == nil {
			return nil, classes[r.Class()].absent(r)
		}
		o, err := objectAt(it.Key, it.Value)
		if err != nil {
			return nil, err
		}
		read[r] = readObject{it, o}
	}
	return read, nil
}

// get reads one object.
func (d *declared[T, R]) get(ctx context.Context, s *Store, ref R) (T, error) {
	var o T
	if err := ref.Validate(); err != nil {
		return o, err
	}
	err := s.kv.Call(ctx, "read "+intent.Title(ref), func(ctx context.Context) error {
		read, err := s.lookAt(ctx, ref)
		if err == nil {
			o = read[ref].object.(T)
		}
		return err
	})
	return o, err
}

// list reads all within another object; nil: all.
func (d *declared[T, R]) list(ctx context.Context, s *Store, within intent.Reference) ([]T, error) {
	op := fmt.Sprintf("list every %s", d.class)
	if within != nil {
		op = fmt.Sprintf("list every %s of %s", d.class, within)
		err := s.kv.Call(ctx, op, func(ctx context.Context) error {
			_, err := s.lookAt(ctx, within)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	all, err := listOf[T](ctx, s, op, d.root(within))
	if d.less != nil {
		slices.SortStableFunc(all, d.less)
	}
	return all, err
}

// add adds an object and returns it as stored, with the revision of the change.
func (d *declared[T, R]) add(ctx context.Context, s *Store, given T) (T, int64, error) {
	var none T
	if d.normal != nil {
		given = d.normal(given)
	}
	if err := d.valid(given); err != nil {
		return none, 0, err
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
		return none, 0, err
	}
	return c.o, c.revision, nil
}

// needed demands that what the object needs stays.
func (d *declared[T, R]) needed(c *change[T]) {
	if d.needs == nil {
		return
	}
	for _, r := range d.needs(c.o) {
		c.tx.Unchanged(c.read[r].Key, c.read[r].Item.Revision)
	}
}

// take adds to a transaction that an object gets a hold.
func take(tx *kv.Txn, h hold) {
	switch {
	case h.shared:
	case h.taken == nil:
		tx.Put(h.key, h.value)
	default:
		tx.Take(h.key, h.value, h.taken)
	}
}

// edit changes an object: change is given the stored one, and is called again if another
// change came between. It returns the object and the revision of the change; if change
// changed nothing, nothing is written and the revision is that of the last change.
func (d *declared[T, R]) edit(ctx context.Context, s *Store, ref R, edit func(*T) error) (T, int64, error) {
	var none T
	if err := ref.Validate(); err != nil {
		return none, 0, err
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
		c.o = c.old
		if d.copied != nil {
			c.o = d.copied(c.old)
		}
		if err := edit(&c.o); err != nil {
			return kv.Refuse(err)
		}
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
			c.revision = it.Revision // hosts are told of this one, not of what came later
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
		return none, 0, err
	}
	return c.o, c.revision, nil
}

// move makes the index keys of an object follow its change.
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

// delete deletes an object. As long as it is used, that is refused with its users (kind
// InUse), or with cascade deletes those first. It returns what was deleted and the
// revision of the last change, also when it fails half-way.
func (d *declared[T, R]) delete(ctx context.Context, s *Store, ref R, cascade bool) (deleted []string, revision int64, err error) {
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

// usersOf lists what must be deleted before an object, in order.
func (d *declared[T, R]) usersOf(ctx context.Context, s *Store, ref R) ([]intent.Reference, error) {
	o, err := d.get(ctx, s, ref)
	if err != nil || d.users == nil {
		return nil, err
	}
	return d.users(ctx, s, o)
}

// deleteUnused deletes an object that nothing uses.
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

// removal makes the transaction that deletes an object.
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
