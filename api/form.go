// The fields of an object that a request may have, and no others.

package api

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// form is a struct with some of an object's fields, into which a body is decoded:
// encoding/json refuses all other fields. v is a pointer to the struct.
type form struct {
	v   reflect.Value
	own []string // the object's fields that a change has, by their JSON names

	cleared []string // fields of own given as null
}

// additions returns the form of a new object.
func (d *declared[T, R]) additions() *form {
	var all []reflect.StructField
	for _, name := range d.add {
		f := fieldOf(reflect.TypeFor[T](), name)
		all = append(all, reflect.StructField{Name: f.Name, Type: f.Type, Tag: formTag(name)})
	}
	return &form{v: reflect.New(reflect.StructOf(all))}
}

// changes returns the form of a change. Its fields of the object are pointers: nil means
// not given.
func (d *declared[T, R]) changes() *form {
	var all []reflect.StructField
	if d.more != nil {
		all = reflect.VisibleFields(reflect.TypeOf(d.more))
	}
	for _, name := range d.set {
		f := fieldOf(reflect.TypeFor[T](), name)
		all = append(all, reflect.StructField{Name: f.Name, Type: reflect.PointerTo(f.Type), Tag: formTag(name)})
	}
	return &form{v: reflect.New(reflect.StructOf(all)), own: d.set}
}

func formTag(name string) reflect.StructTag {
	return reflect.StructTag(`json:"` + name + `,omitzero"`)
}

// fieldOf returns the field of a struct with a JSON name.
func fieldOf(t reflect.Type, name string) reflect.StructField {
	fields := reflect.VisibleFields(t)
	return fields[slices.IndexFunc(fields, func(f reflect.StructField) bool { return jsonName(f) == name })]
}

// jsonName returns the JSON name of a field; "": it has none.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" {
		return ""
	}
	return name
}

// pointer returns the value that a body is decoded into.
func (f *form) pointer() any { return f.v.Interface() }

// copyTo sets the fields of an object that the form has; o is a pointer to the object.
func (f *form) copyTo(o any) {
	for _, field := range reflect.VisibleFields(f.v.Elem().Type()) {
		reflect.ValueOf(o).Elem().FieldByName(field.Name).Set(f.v.Elem().FieldByIndex(field.Index))
	}
}

// copyFrom is the reverse of copyTo.
func (f *form) copyFrom(o intent.Object) {
	for _, field := range reflect.VisibleFields(f.v.Elem().Type()) {
		f.v.Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(o).FieldByName(field.Name))
	}
}

// give sets one field of a change.
func (f *form) give(name string, value any) {
	to := f.field(name)
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	to.Set(reflect.ValueOf(value).Convert(to.Type()))
}

func (f *form) field(name string) reflect.Value {
	return f.v.Elem().FieldByIndex(fieldOf(f.v.Elem().Type(), name).Index)
}

// change reads the body of a change.
func (c *call) change(f *form) error {
	var raw bytes.Buffer
	if err := decode(io.TeeReader(c.r.Body, &raw), f.pointer()); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw.Bytes(), &all); err != nil {
		return intent.Invalidf("the request's body is malformed: %w", err)
	}
	for _, own := range f.own {
		for name, value := range all {
			// Match names in any case, as encoding/json does.
			if strings.EqualFold(name, own) && string(value) == "null" {
				f.cleared = append(f.cleared, own)
			}
		}
	}
	return c.endReading()
}

// given returns the JSON names of the fields that the change has, including those given as
// null.
func (f *form) given() []string {
	names := slices.Clone(f.cleared)
	for _, field := range reflect.VisibleFields(f.v.Elem().Type()) {
		v := f.v.Elem().FieldByIndex(field.Index)
		if !v.IsZero() && (v.Kind() != reflect.Slice || v.Len() > 0) {
			names = append(names, jsonName(field))
		}
	}
	return names
}

// change sets the given fields of an object, and clears fields given as null; o is a
// pointer to the object.
func (f *form) change(o any) {
	for _, name := range f.own {
		to := reflect.ValueOf(o).Elem().FieldByIndex(fieldOf(reflect.TypeOf(o).Elem(), name).Index)
		switch v := f.field(name); {
		case !v.IsNil():
			to.Set(v.Elem())
		case slices.Contains(f.cleared, name):
			to.SetZero()
		}
	}
}

// more returns the fields of a change that the object does not have, in a struct of like's
// type.
func (f *form) more(like any) any {
	m := reflect.New(reflect.TypeOf(like)).Elem()
	for _, field := range reflect.VisibleFields(m.Type()) {
		m.FieldByIndex(field.Index).Set(f.v.Elem().FieldByName(field.Name))
	}
	return m.Interface()
}
