package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Anyone who can write into the store can write anything there, and a disk can damage it.
// Readers leave out an object that is invalid: they keep its last valid state, and its
// index keys and ids stay taken.

// LeftOut is an object of the store that this host cannot use.
type LeftOut struct {
	Key    string
	Object string // "port acme/web/c1"
	Why    string
	Newer  bool // a newer build wrote it: upgrade this host
}

// Do returns the remedy.
func (l LeftOut) Do() string {
	if l.Newer {
		return "upgrade ovloom on this host"
	}
	return "write it anew, or restore a backup; what this host knew of it last stays in force"
}

// objectError is the error of the object at a key.
type objectError struct {
	key string
	err error
}

func (e *objectError) Error() string { return fmt.Sprintf("key %s: %v", e.key, e.err) }

func (e *objectError) Unwrap() error { return e.err }

func (e *objectError) leftOut() LeftOut {
	l := LeftOut{Key: e.key, Object: "key " + e.key, Why: reasonOf(e.err), Newer: errors.Is(e.err, kv.ErrNewer)}
	if o := named(e.key); o != nil {
		l.Object = intent.ObjectName(o)
	}
	return l
}

// reasonOf returns an error without its advice, which is for the authors of objects.
func reasonOf(err error) string {
	var told *intent.Error
	if errors.As(err, &told) {
		return told.What
	}
	return err.Error()
}

// objectAt decodes and validates the object at a key. The error is an *objectError.
func objectAt(key string, value []byte) (intent.Object, error) {
	c, tenant, parts := classAt(key)
	var name intent.Object
	known := c != nil
	if known {
		name, known = c.named(tenant, parts)
	}
	if !known {
		return nil, &objectError{key, fmt.Errorf("%w: this build knows no such key", kv.ErrNewer)}
	}
	object, err := c.decode(value)
	switch {
	case err != nil:
	case object.Reference() != name.Reference():
		err = fmt.Errorf("%w: it names %s", kv.ErrUnreadable, intent.ObjectName(object))
	default:
		err = intent.Stored(object)
	}
	if err != nil {
		return nil, &objectError{key, err}
	}
	return object, nil
}

// objectOf is objectAt for one type.
func objectOf[T any](it kv.Item) (T, error) {
	object, err := objectAt(it.Key, it.Value)
	if err != nil {
		var none T
		return none, err
	}
	v, ok := object.(T)
	if !ok {
		return v, &objectError{it.Key, fmt.Errorf("%w: it is no %T", kv.ErrUnreadable, v)}
	}
	return v, nil
}

// LeftOut returns the objects that this host follows and cannot use, ordered by key.
func (s *Store) LeftOut() []LeftOut {
	s.leftOutMu.Lock()
	defer s.leftOutMu.Unlock()
	return slices.SortedFunc(maps.Values(s.leftOut), func(a, b LeftOut) int { return cmp.Compare(a.Key, b.Key) })
}

// complain records and logs objects that are left out, once for each reason.
func (s *Store) complain(bad []error) {
	for _, err := range bad {
		var of *objectError
		if !errors.As(err, &of) {
			s.log.Warn("cannot read a value; leaving it out", "error", err)
			continue
		}
		l := of.leftOut()
		s.leftOutMu.Lock()
		known := s.leftOut[l.Key] == l
		s.leftOut[l.Key] = l
		s.leftOutMu.Unlock()
		switch {
		case known:
		case l.Newer:
			s.log.Info("object left out: a newer build wrote it", "object", l.Object, "key", l.Key, "reason", l.Why)
		default:
			s.log.Warn("object left out: it is not valid; its last valid state stays in force", "object", l.Object, "key", l.Key, "reason", l.Why)
		}
	}
}

// readable records that the object at a key can be used (again), or is gone.
func (s *Store) readable(key string) {
	s.leftOutMu.Lock()
	defer s.leftOutMu.Unlock()
	delete(s.leftOut, key)
}

// reviewed records that all objects below a prefix can be used, except bad.
func (s *Store) reviewed(prefix string, bad []error) {
	still := map[string]bool{}
	for _, err := range bad {
		var of *objectError
		if errors.As(err, &of) {
			still[of.key] = true
		}
	}
	s.leftOutMu.Lock()
	maps.DeleteFunc(s.leftOut, func(key string, _ LeftOut) bool { return strings.HasPrefix(key, prefix) && !still[key] })
	s.leftOutMu.Unlock()
	s.complain(bad)
}

// mend replaces invalid objects by their last valid state from the copy on disk, so that
// both the result and the next copy keep it. It leaves out objects that are not in the
// copy either. It returns the errors of the invalid objects.
func (s *Store) mend(all []kv.Item, path string) (usable []kv.Item, bad []error) {
	var last map[string]kv.Item
	for i, it := range all {
		if _, err := objectAt(it.Key, it.Value); err == nil {
			if bad != nil {
				usable = append(usable, it)
			}
			continue
		} else if bad = append(bad, err); len(bad) == 1 {
			usable = slices.Clone(all[:i])
			copied, _, _ := s.kv.ReadCopy(path)
			last = make(map[string]kv.Item, len(copied))
			for _, c := range copied {
				last[c.Key] = c
			}
		}
		if old, ok := last[it.Key]; ok {
			if _, err := objectAt(old.Key, old.Value); err == nil {
				usable = append(usable, old)
				continue
			}
		}
		if errors.Is(bad[len(bad)-1], kv.ErrNewer) { // readable once this host is upgraded
			usable = append(usable, it)
		}
	}
	if bad == nil {
		return all, nil
	}
	return usable, bad
}
