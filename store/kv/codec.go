package kv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// schema is the version of the values that this build writes, and the newest that it
// reads.
const schema = 1

var (
	// ErrUnreadable means that the store answers, but with a value that this build cannot
	// read.
	ErrUnreadable = errors.New("unreadable")
	// ErrNewer means that a newer build wrote a value that this one cannot read.
	ErrNewer = errors.New("written by a newer build")
)

var schemaStart = []byte(`{"v":1,`)

// Encode returns v, a struct, as a value of the store: its JSON with a schema version. It
// keeps fields of old, the value to be replaced, that v's type lacks: a newer build wrote
// them.
func Encode(v any, old []byte) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	var out bytes.Buffer
	out.Write(schemaStart)
	out.Write(b[1 : len(b)-1])
	extra := unknownFields(old, reflect.TypeOf(v))
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		fmt.Fprintf(&out, ",%q:%s", name, extra[name])
	}
	out.WriteByte('}')
	return out.String(), nil
}

// Decode reads a value of the store. It returns ErrNewer for a value of a newer schema,
// and ErrUnreadable for an invalid one.
func Decode[T any](b []byte) (T, error) {
	var v T
	if !bytes.HasPrefix(b, schemaStart) { // written by another program or a newer build
		var head struct{ V int }
		if err := json.Unmarshal(b, &head); err != nil {
			return v, fmt.Errorf("%w %T: %w", ErrUnreadable, v, err)
		}
		if head.V > schema {
			return v, fmt.Errorf("%w: schema version %d, this build reads %d", ErrNewer, head.V, schema)
		}
		if head.V != schema {
			return v, fmt.Errorf("%w %T: schema version %d, this build reads %d", ErrUnreadable, v, head.V, schema)
		}
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("%w %T: %w", ErrUnreadable, v, err)
	}
	return v, nil
}

// unknownFields returns the top-level fields of a value that t does not have. An
// unreadable value has none.
func unknownFields(value []byte, t reflect.Type) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return nil
	}
	delete(fields, "v")
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		delete(fields, name)
	}
	return fields
}
