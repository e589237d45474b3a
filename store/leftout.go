package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// Whoever can write into the store, a disk among them, can write anything there. An
// object that is not what it must be is left out: whoever follows it keeps the last
// state of it that was good, and its index keys and ids stay taken.

// errNewer says that a newer build wrote what this one cannot read.
var errNewer = errors.New("written by a newer build")

// LeftOut is an object of the store that this host cannot use.
type LeftOut struct {
	Key    string
	Object string // "port acme/web/c1"
	Why    string
	Newer  bool // a newer build wrote it: this host is to be upgraded
}

// Do says what there is to do about it.
func (l LeftOut) Do() string {
	if l.Newer {
		return "upgrade ovloom on this host"
	}
	return "write it anew, or restore a backup; what this host knew of it last stays in force"
}

// objectError says what is wrong with the object at a key.
type objectError struct {
	key string
	err error
}

func (e *objectError) Error() string { return fmt.Sprintf("key %s: %v", e.key, e.err) }

func (e *objectError) Unwrap() error { return e.err }

func (e *objectError) leftOut() LeftOut {
	l := LeftOut{Key: e.key, Object: "key " + e.key, Why: reasonOf(e.err), Newer: errors.Is(e.err, errNewer)}
	if o := named(e.key); o != nil {
		l.Object = intent.ObjectName(o)
	}
	return l
}

// reasonOf is an error without advice: it is advice to whoever writes objects.
func reasonOf(err error) string {
	var told *intent.Error
	if errors.As(err, &told) {
		return told.What
	}
	return err.Error()
}

// objectAt reads the object at a key, and checks that it is one which can be used. The
// error is an *objectError.
func objectAt(key string, value []byte) (any, error) {
	name := named(key)
	if name == nil {
		return nil, &objectError{key, fmt.Errorf("%w: this build knows no such key", errNewer)}
	}
	object, err := decodeAs(name, value)
	switch {
	case err != nil:
	case !sameName(name, object):
		err = fmt.Errorf("%w: it names %s", errUnreadable, intent.ObjectName(object))
	default:
		err = intent.Stored(object)
	}
	if err != nil {
		return nil, &objectError{key, err}
	}
	return object, nil
}

// decodeAs decodes a value as an object of the type of like.
func decodeAs(like any, value []byte) (any, error) {
	switch like.(type) {
	case intent.Tenant:
		return decode[intent.Tenant](value)
	case intent.Network:
		return decode[intent.Network](value)
	case intent.Port:
		return decode[intent.Port](value)
	case intent.Binding:
		return decode[intent.Binding](value)
	case intent.Peer:
		return decode[intent.Peer](value)
	case intent.Host:
		return decode[intent.Host](value)
	case intent.External:
		return decode[intent.External](value)
	case intent.Route:
		return decode[intent.Route](value)
	case intent.SNAT:
		return decode[intent.SNAT](value)
	case intent.Floating:
		return decode[intent.Floating](value)
	case intent.Forward:
		return decode[intent.Forward](value)
	case intent.NATAddress:
		return decode[intent.NATAddress](value)
	case intent.Guarded:
		return decode[intent.Guarded](value)
	}
	return nil, fmt.Errorf("%w: a %T is no object", errUnreadable, like)
}

// objectOf is objectAt for one type.
func objectOf[T any](it item) (T, error) {
	object, err := objectAt(it.key, it.value)
	if err != nil {
		var none T
		return none, err
	}
	v, ok := object.(T)
	if !ok {
		return v, &objectError{it.key, fmt.Errorf("%w: it is no %T", errUnreadable, v)}
	}
	return v, nil
}

// sameName says whether two objects of one type have the same name.
func sameName(a, b any) bool {
	switch a := a.(type) {
	case intent.Tenant:
		return a.Name == b.(intent.Tenant).Name
	case intent.Network:
		return a.Ref() == b.(intent.Network).Ref()
	case intent.Port:
		return a.Ref() == b.(intent.Port).Ref()
	case intent.Binding:
		b := b.(intent.Binding)
		return a.PortRef() == b.PortRef() && a.Host == b.Host
	case intent.Peer:
		return a.Ref() == b.(intent.Peer).Ref()
	case intent.Host:
		return a.Name == b.(intent.Host).Name
	case intent.External:
		return a.Name == b.(intent.External).Name
	case intent.Route:
		return a.Ref() == b.(intent.Route).Ref()
	case intent.SNAT:
		return a.Ref() == b.(intent.SNAT).Ref()
	case intent.Floating:
		return a.Ref() == b.(intent.Floating).Ref()
	case intent.Forward:
		return a.Ref() == b.(intent.Forward).Ref()
	case intent.NATAddress:
		b := b.(intent.NATAddress)
		return a.Tenant == b.Tenant && a.External == b.External && a.Host == b.Host
	case intent.Guarded:
		b := b.(intent.Guarded)
		return a.VTEP == b.VTEP && a.Host == b.Host
	}
	return false
}

// LeftOut returns what this host follows and cannot use, ordered by key.
func (s *Store) LeftOut() []LeftOut {
	s.leftOutMu.Lock()
	defer s.leftOutMu.Unlock()
	return slices.SortedFunc(maps.Values(s.leftOut), func(a, b LeftOut) int { return cmp.Compare(a.Key, b.Key) })
}

// complain notes and logs what had to be left out, once for each reason.
func (s *Store) complain(bad []error) {
	for _, err := range bad {
		var of *objectError
		if !errors.As(err, &of) {
			s.log.Warn("value left out: it cannot be read", "error", err)
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

// readable notes that the object at a key can be used (again), or is gone.
func (s *Store) readable(key string) {
	s.leftOutMu.Lock()
	defer s.leftOutMu.Unlock()
	delete(s.leftOut, key)
}

// reviewed notes that of all below a prefix only bad cannot be used.
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

// mend puts in the place of objects that are not valid their last valid state, from
// the copy on disk, so that both what is made of all and the next copy go on with
// that. What is not in the copy either is left out. It returns what is wrong.
func (s *Store) mend(all []item, path string) (usable []item, bad []error) {
	var last map[string]item
	for i, it := range all {
		if _, err := objectAt(it.key, it.value); err == nil {
			if bad != nil {
				usable = append(usable, it)
			}
			continue
		} else if bad = append(bad, err); len(bad) == 1 {
			usable = slices.Clone(all[:i])
			copied, _, _ := s.readCopy(path)
			last = make(map[string]item, len(copied))
			for _, c := range copied {
				last[c.key] = c
			}
		}
		if old, ok := last[it.key]; ok {
			if _, err := objectAt(old.key, old.value); err == nil {
				usable = append(usable, old)
				continue
			}
		}
		if errors.Is(bad[len(bad)-1], errNewer) { // to be read once this host is upgraded
			usable = append(usable, it)
		}
	}
	if bad == nil {
		return all, nil
	}
	return usable, bad
}
