package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Objects are declared: a declaration says where an object of a class is kept, what it
// needs, which index keys it holds and what else must be true. Adding, setting, reading,
// listing, deleting, decoding and checking are written once, here, over declarations.

// declared is the declaration of one class. key, parse and missing are required; so are
// valid if users add objects, frozen if they change them, and root if they list them.
type declared[T intent.Object, R intent.Reference] struct {
	class intent.Class

	// key is where an object is kept; parse returns the object, with only its names set,
	// from the parts of its key: the parts behind the tenant's, or all.
	key   func(R) string
	parse func(tenant string, parts []string) (T, bool)
	root  func(within intent.Reference) string // where the objects within another are kept
	less  func(a, b T) int                     // the order of a list; nil: by key
	// all lists the objects in another way than below a root.
	all func(ctx context.Context, s *Store, within intent.Reference) ([]intent.Object, error)

	// in is where a snapshot of a tenant has its objects; nil: nowhere, or alone.
	in func(*intent.Snapshot) *[]T

	// missing is the error for an object that does not exist.
	missing func(R) *intent.Error
	// exists is the error for an object that exists; nil: "port acme/web/c1 exists".
	exists func(T) *intent.Error

	// normal fills in defaults. valid checks the given fields, before anything is read.
	normal func(T) T
	valid  func(T) error
	// fits checks a stored object among others; nil: valid does.
	fits func(o T, look lookup) error
	// early chooses values that do not depend on reads; fill chooses the rest.
	early, fill func(*change[T]) error
	// needs are the objects that must exist, unchanged, when this one is written.
	// Preventing their later deletion is the job of their users and unused.
	needs func(T) []intent.Reference

	// copied returns a copy that an edit may change; frozen refuses what may not change.
	copied func(T) T
	frozen func(old, edited T) error
	// kept restores fields that an edit left out.
	kept func(old, edited T) T

	// holds are the index keys of an object; given is the object as the user gave it.
	holds func(given, o T, look lookup) []hold
	// looks are the objects that holds needs when an object is deleted.
	looks func(R) []intent.Reference
	// rules check everything else about an object that is added or set, and demand that it
	// stays true until the change is committed.
	rules func(*change[T]) error

	// rank orders the deletion of objects of several classes. goesWith is another object
	// that is deleted instead of this one, even if only this one is left; nil: none.
	rank     rank
	goesWith func(R) intent.Reference

	// users are the objects that must be deleted before this one, in order. unused
	// demands, in the transaction that deletes the object, that there are none; leave adds
	// the other keys that are deleted with it.
	users  func(ctx context.Context, s *Store, o T) ([]intent.Reference, error)
	unused func(*change[T]) error
	leave  func(*change[T]) error
	// erase deletes the object in another way than delete does. remove does so within the
	// last transaction, and returns the names of all that it deletes. after deletes what
	// stays usable until the object is gone, even if only that is left, and returns the
	// revision of the change.
	erase  func(ctx context.Context, s *Store, ref R, cascade bool) (deleted []string, revision int64, err error)
	remove func(c *change[T], ref R, cascade bool) ([]string, error)
	after  func(ctx context.Context, s *Store, ref R) (int64, error)

	// failed is called with the error of an attempt to add an object.
	failed func(*change[T], error)
}

// rank is the order of deletion: referring objects first.
type rank int

const (
	rankFirst rank = iota // no other object refers to it, or it is deleted only by itself
	rankFloatings
	rankForwards
	rankPorts // each binding with its port
	rankPeers
	rankRoutes
	rankNetworks
	rankSNATs
)

// hold is an index key of an object. A transaction that finds it held fails.
type hold struct {
	key, value string
	// taken is the error if another object has the key; nil: the key contains the object's
	// own name, and is simply written.
	taken func(holder string) error
	// shared: several objects have the key, with one value. rules and leave decide what
	// the first and the last of them do.
	shared bool
}

// lookup returns an object that was read earlier, or its zero value.
type lookup func(intent.Reference) (intent.Object, bool)

// change is one attempt to write or delete an object.
type change[T intent.Object] struct {
	ctx   context.Context
	s     *Store
	tx    kv.Txn
	tries int // how often it was stale before

	given    T // as the user gave it
	old      T
	set      bool // old is the object being set; otherwise it is added
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

// class is a declaration without its types.
type class interface {
	keyOf(intent.Reference) string
	named(tenant string, parts []string) (intent.Object, bool)
	decode([]byte) (intent.Object, error)
	absent(intent.Reference) error
	holdsOf(intent.Object, lookup) []hold
	needsOf(intent.Object) []intent.Reference
	check(intent.Object, lookup) error
	rankOf() rank
	deletedAs(intent.Reference) intent.Reference
	collect(to *intent.Snapshot, o intent.Object)
	concat(to, from *intent.Snapshot)
	of(*intent.Snapshot) []intent.Object
	deleteUnused(ctx context.Context, s *Store, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error)

	// What Store does with objects of any class.
	get(ctx context.Context, s *Store, ref intent.Reference) (intent.Object, error)
	list(ctx context.Context, s *Store, within intent.Reference) ([]intent.Object, error)
	add(ctx context.Context, s *Store, o intent.Object) (intent.Object, int64, error)
	edit(ctx context.Context, s *Store, ref intent.Reference, edit func(intent.Object) (intent.Object, error)) (intent.Object, int64, error)
	usersOf(ctx context.Context, s *Store, ref intent.Reference) ([]intent.Reference, error)
	delete(ctx context.Context, s *Store, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error)
}

// Declarations by class, and by where their objects are kept. Each is registered beside
// its declaration at package initialization: declarations refer to functions that refer to
// these.
var (
	classes    = map[intent.Class]class{}
	tenantDirs = map[string]class{} // by the part of the key behind the tenant's
	otherRoots = map[string]class{} // by the prefix of their keys

	networkDirs []string // of tenantDirs, those in which the next part is a network
)

// keptIn registers a class of objects that belong to a tenant, in one of the tenant's
// directories.
func keptIn[T intent.Object, R intent.Reference](dir string, d *declared[T, R]) {
	classes[d.class], tenantDirs[dir] = d, d
}

// keptInNetworks registers a class of objects that are parts of networks, in one of the
// tenant's directories, which has a directory for each network. No network with such
// objects is deleted.
func keptInNetworks[T intent.Object, R intent.Reference](dir string, d *declared[T, R]) {
	keptIn(dir, d)
	networkDirs = append(networkDirs, dir)
}

// keptBelow registers a class of objects that belong to no tenant, below their own root.
func keptBelow[T intent.Object, R intent.Reference](root string, d *declared[T, R]) {
	classes[d.class], otherRoots[root] = d, d
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

func rankOf(r intent.Reference) int { return int(classes[r.Class()].rankOf()) }

func (d *declared[T, R]) rankOf() rank { return d.rank }

// deletedAs returns the object that is deleted in the place of another.
func (d *declared[T, R]) deletedAs(r intent.Reference) intent.Reference {
	if d.goesWith == nil {
		return r
	}
	return d.goesWith(r.(R))
}

// collect adds an object to a snapshot of its tenant.
func (d *declared[T, R]) collect(to *intent.Snapshot, o intent.Object) {
	if d.in != nil {
		list := d.in(to)
		*list = append(*list, o.(T))
	}
}

// of returns the objects of the class in a snapshot.
func (d *declared[T, R]) of(s *intent.Snapshot) []intent.Object {
	if d.in == nil {
		return nil
	}
	return objects(*d.in(s))
}

// concat adds to a snapshot the objects of the class in another.
func (d *declared[T, R]) concat(to, from *intent.Snapshot) {
	if d.in != nil {
		list := d.in(to)
		*list = append(*list, *d.in(from)...)
	}
}

// check checks an object by itself, and against others by its declaration.
func (d *declared[T, R]) check(o intent.Object, look lookup) error {
	if d.fits != nil {
		return d.fits(o.(T), look)
	}
	if d.valid != nil {
		return d.valid(o.(T))
	}
	return nil
}
