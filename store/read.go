package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// above are the objects that an object is part of, outermost first.
func above(r intent.Reference) []intent.Reference {
	within := intent.Within(r)
	if within == nil {
		return nil
	}
	return append(above(within), within)
}

// existing decodes an object as read; it is an error if the object does not exist.
func existing[T intent.Object, R intent.Reference](it kv.Item, d *declared[T, R], ref R) (T, error) {
	if it.Value == nil {
		var none T
		return none, d.missing(ref)
	}
	return objectOf[T](it)
}

// lookAt reads objects at one revision. It is an error if one of them does not exist, or
// the object that it is part of.
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
func (d *declared[T, R]) get(ctx context.Context, s *Store, ref intent.Reference) (o intent.Object, err error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	err = s.kv.Call(ctx, "read "+intent.Title(ref), func(ctx context.Context) error {
		read, err := s.lookAt(ctx, ref)
		o = read[ref].object
		return err
	})
	return o, err
}

// list reads all objects within another; nil: all.
func (d *declared[T, R]) list(ctx context.Context, s *Store, within intent.Reference) ([]intent.Object, error) {
	if d.all != nil {
		return d.all(ctx, s, within)
	}
	if d.root == nil {
		return nil, fmt.Errorf("objects of class %s are not listed", d.class)
	}
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
	return objects(all), err
}

func objects[T intent.Object](list []T) []intent.Object {
	all := make([]intent.Object, len(list))
	for i, o := range list {
		all[i] = o
	}
	return all
}
