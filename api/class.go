// What the API says of each class of objects, once: the client and the server are
// written over it.

package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// declared is the declaration of one class: where its objects are in the API, and
// what a user may say of one.
type declared[T intent.Object, R intent.Reference] struct {
	class intent.Class

	// at is the path that objects are added at and listed by, and name what follows it in
	// the path of one object; values are those of the wildcards of both, in order.
	at, name string
	values   func(R) []string
	// within is where a list is, unless it is where objects are added; of its answer,
	// the field listed holds the objects.
	within, listed string

	// add are the JSON fields that are given with a new object, and set those that may be
	// changed later. The others are in the path, or the store's to choose.
	add, set []string
}

// class is a declaration, for whoever does not know its types.
type class interface {
	path(intent.Reference) string
	collection(intent.Reference) string
	list(within string) (path, field string)
	given(intent.Object) (map[string]json.RawMessage, error)
	decode([]byte) (intent.Object, error)
}

// classes are the declarations by class.
var classes = map[intent.Class]class{
	intent.ClassTenant:   &tenantClass,
	intent.ClassNetwork:  &networkClass,
	intent.ClassPort:     &portClass,
	intent.ClassPeer:     &peerClass,
	intent.ClassRoute:    &routeClass,
	intent.ClassExternal: &externalClass,
	intent.ClassSNAT:     &snatClass,
	intent.ClassFloating: &floatingClass,
	intent.ClassForward:  &forwardClass,
	intent.ClassHost:     &hostClass,
}

func classOf(c intent.Class) (class, error) {
	d, ok := classes[c]
	if !ok {
		return nil, &intent.Error{Kind: internal, What: fmt.Sprintf("the API has no objects of class %s", c)}
	}
	return d, nil
}

// fill puts values in the place of a path's wildcards.
func fill(pattern string, values []string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i], values = url.PathEscape(values[0]), values[1:]
		}
	}
	return strings.Join(parts, "/")
}

func (d *declared[T, R]) path(r intent.Reference) string {
	return fill(d.at+d.name, d.values(r.(R)))
}

func (d *declared[T, R]) collection(r intent.Reference) string {
	return fill(d.at, d.values(r.(R)))
}

// list returns the path of a list below that of an object; "": of all.
func (d *declared[T, R]) list(within string) (path, field string) {
	last := d.within
	if last == "" {
		last = d.at[strings.LastIndex(d.at, "/")+1:]
	}
	if within == "" {
		within = "/v1"
	}
	return within + "/" + last, d.listed
}

// given returns those fields of a new object that the user gives.
func (d *declared[T, R]) given(o intent.Object) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	given := map[string]json.RawMessage{}
	for _, name := range d.add {
		switch string(all[name]) {
		case "", `""`, "0", "false", "null": // left out
		default:
			given[name] = all[name]
		}
	}
	return given, nil
}

func (d *declared[T, R]) decode(b []byte) (intent.Object, error) {
	var o T
	err := json.Unmarshal(b, &o)
	return o, err
}

// Written is the answer to a change: the revision of the store that has it, and
// the object as it is now, or what was deleted. In JSON, the object is a field of the
// name of its class.
type Written struct {
	Revision int64         // 0: a dry run, nothing was written
	Object   intent.Object // nil: it was deleted
	Deleted  []string      // as "port acme/web/c1"

	// LeftToDo says, for people, what ovloom does not do: to configure machines behind taps
	// and other interfaces that it did not make.
	LeftToDo []string
}

// written is how a Written begins and ends in JSON, around the object.
type (
	writtenRevision struct {
		Revision int64 `json:"revision"`
	}
	writtenRest struct {
		Deleted  []string `json:"deleted,omitempty"`
		LeftToDo []string `json:"left_to_do,omitempty"`
	}
)

// MarshalJSON implements json.Marshaler.
func (w Written) MarshalJSON() ([]byte, error) {
	parts := []any{writtenRevision{w.Revision}}
	if w.Object != nil {
		parts = append(parts, map[intent.Class]intent.Object{w.Object.Reference().Class(): w.Object})
	}
	parts = append(parts, writtenRest{w.Deleted, w.LeftToDo})
	var b bytes.Buffer
	b.WriteByte('{')
	for _, p := range parts {
		var one bytes.Buffer
		e := json.NewEncoder(&one)
		e.SetEscapeHTML(false) // that is for who asked for the whole to say
		if err := e.Encode(p); err != nil {
			return nil, err
		}
		fields := bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(one.Bytes()), []byte("{")), []byte("}"))
		if len(fields) > 0 && b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(fields)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *Written) UnmarshalJSON(b []byte) error {
	var begin writtenRevision
	var rest writtenRest
	var all map[intent.Class]json.RawMessage
	for _, part := range []any{&begin, &rest, &all} {
		if err := json.Unmarshal(b, part); err != nil {
			return err
		}
	}
	*w = Written{Revision: begin.Revision, Deleted: rest.Deleted, LeftToDo: rest.LeftToDo}
	for name, value := range all {
		if d, ok := classes[name]; ok && string(value) != "null" {
			o, err := d.decode(value)
			if err != nil {
				return err
			}
			w.Object = o
		}
	}
	return nil
}
