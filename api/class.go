// The declarations of classes of objects: the routes, their documentation, the handlers and
// the client are written once over them.

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// declared is the declaration of one class: where its objects are in the API, which fields
// a user may give, and what is special about the class. At, name, values, ref and docs are
// required.
type declared[T intent.Object, R intent.Reference] struct {
	class intent.Class

	// at is the path at which objects are added and listed; at and name together are the
	// path of one object. values returns the values of both paths' wildcards, in order,
	// for a reference; ref is the reverse.
	at, name string
	values   func(R) []string
	ref      func(v values) (R, error)
	// within is the last part of the path of a list that several classes share; the answer
	// has the objects of this class in the field listed.
	within, listed string

	// add are the JSON fields that a user may give of a new object; set are the JSON
	// fields that a user may change later. place sets the fields that the path gives. The
	// store chooses all other fields.
	add, set []string
	place    func(o *T, v values)
	complete func(o *T) // fills in what the user left out of a new object
	// more is a struct of lists that a change may have besides the object's own fields;
	// amend applies the lists.
	more  any
	amend func(o *T, more any) error
	// fits checks a change before the object is read; o has only the fields given.
	fits func(ref R, o T) error

	// show returns the form in which one object is shown; nil: the object. list returns
	// the objects within another as they are listed, in any order; nil: the objects.
	show func(ctx context.Context, s *Server, ref R) (any, error)
	list func(ctx context.Context, s *Server, within intent.Reference) ([]intent.Object, error)
	// order compares listed objects; nil: by name, numbers by their value.
	order func(a, b intent.Object) int
	// users returns the titles of what must be deleted before an object; nil: the store's
	// list.
	users func(ctx context.Context, s *Server, ref R, cascade bool) ([]string, error)
	// left returns what is left to do by hand after a change of one of the fields in
	// leftOf.
	left   func(ctx context.Context, s *Server, o T) []string
	leftOf []string

	docs documented[T]
}

// documented is what the documentation says of a class. All examples tell one story: two
// hosts, one tenant, one network, two ports.
type documented[T intent.Object] struct {
	one, several   string // "static route", "static routes"
	by             string // the order of lists; "": name
	add, show, set string // summaries
	remove         string // "": "Delete a port"
	gone           string // what a deletion ends

	example T
	given   T              // the fields of an addition
	changed map[string]any // the fields of a change
	shown   any            // the answer to show; nil: the object
	listed  any            // the element of a list; nil: the object
	deleted []string       // what a deletion deletes with it

	revisions [3]int64 // of the addition, change and deletion
}

// values returns the value of a wildcard in a request's path.
type values func(wildcard string) string

// class is a declaration without its types.
type class interface {
	of() intent.Class
	routes() []route
	path(intent.Reference) string
	collection(intent.Reference) string
	listPath(within string) (path, field string)
	given(intent.Object) (map[string]json.RawMessage, error)
	decode([]byte) (intent.Object, error)
}

// classes are the declarations by class; see objects.
var classes = map[intent.Class]class{}

func classOf(c intent.Class) (class, error) {
	d, ok := classes[c]
	if !ok {
		return nil, &intent.Error{Kind: internal, What: fmt.Sprintf("the API has no objects of class %s", c)}
	}
	return d, nil
}

// fill replaces the wildcards of a path by values.
func fill(pattern string, values []string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i], values = url.PathEscape(values[0]), values[1:]
		}
	}
	return strings.Join(parts, "/")
}

func (d *declared[T, R]) of() intent.Class { return d.class }

func (d *declared[T, R]) path(r intent.Reference) string {
	return fill(d.at+d.name, d.values(r.(R)))
}

func (d *declared[T, R]) collection(r intent.Reference) string {
	return fill(d.at, d.values(r.(R)))
}

// plural returns the last part of the path of a list.
func (d *declared[T, R]) plural() string { return d.at[strings.LastIndex(d.at, "/")+1:] }

// listPath returns the path of a list within the object at a path; with "", of the list of
// all.
func (d *declared[T, R]) listPath(within string) (path, field string) {
	last := d.within
	if last == "" {
		last = d.plural()
	}
	if within == "" {
		within = "/v1"
	}
	return within + "/" + last, d.listed
}

// given returns the fields that a user gives of a new object, without empty ones.
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
