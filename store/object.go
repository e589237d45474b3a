package store

import (
	"context"
	"fmt"

	"github.com/ovloom/ovloom/intent"
)

// Operations on objects of all classes, over their declarations.

// Get returns an object.
func (s *Store) Get(ctx context.Context, ref intent.Reference) (intent.Object, error) {
	return classes[ref.Class()].get(ctx, s, ref)
}

// List returns the objects of a class that are part of another object: of a tenant, a
// network or a port. Tenants, externals and hosts are part of none (nil); hosts are listed
// as intent.HostState. The objects are ordered by key.
func (s *Store) List(ctx context.Context, class intent.Class, within intent.Reference) ([]intent.Object, error) {
	d, ok := classes[class]
	if !ok {
		return nil, fmt.Errorf("list objects of class %q: there is no such class", class)
	}
	return d.list(ctx, s, within)
}

// Add adds an object, and returns it as stored and the revision of the change. It chooses
// the fields that the object leaves out: its id, and others by class.
func (s *Store) Add(ctx context.Context, o intent.Object) (intent.Object, int64, error) {
	return classes[o.Reference().Class()].add(ctx, s, o)
}

// Set changes an object: it calls edit with the stored object, and again if another change
// came between; edit returns the new object. Set returns the object and the revision of
// the change; if edit changed nothing, Set writes nothing and returns the revision of the
// last change.
func (s *Store) Set(ctx context.Context, ref intent.Reference, edit func(intent.Object) (intent.Object, error)) (intent.Object, int64, error) {
	return classes[ref.Class()].edit(ctx, s, ref, edit)
}

// Users returns what Delete with cascade would delete besides the object, in order.
func (s *Store) Users(ctx context.Context, ref intent.Reference) ([]intent.Reference, error) {
	return classes[ref.Class()].usersOf(ctx, s, ref)
}

// Delete deletes an object. While the object has users, Delete refuses with their list
// (kind InUse), or with cascade deletes the users first. It returns what it deleted, as
// "port acme/web/c1", and the revision of the last change, even when it fails half-way.
func (s *Store) Delete(ctx context.Context, ref intent.Reference, cascade bool) (deleted []string, revision int64, err error) {
	return classes[ref.Class()].delete(ctx, s, ref, cascade)
}
