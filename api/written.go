// The answer to a change.

package api

import (
	"bytes"
	"encoding/json"

	"github.com/ovloom/ovloom/intent"
)

// Written is the answer to a change: the store's revision with the change, and the object
// as it is now, or what was deleted. In JSON, the object is a field named after its class.
type Written struct {
	Revision int64         // 0: a dry run, nothing was written
	Object   intent.Object // nil: it was deleted
	Deleted  []string      // as "port acme/web/c1"

	// LeftToDo lists, for people, what ovloom leaves to do by hand: configuring machines
	// behind taps and other interfaces that ovloom did not make.
	LeftToDo []string
}

// written is the start and the end of a Written in JSON, around the object.
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
		e.SetEscapeHTML(false) // the outer encoder chooses whether to escape
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
