package intent

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is the kind of failure of an Error. It alone determines the CLI's exit code and
// the API's status code.
type Kind string

// The kinds of failure a user can meet.
const (
	Invalid     Kind = "invalid"     // the request itself is wrong; nothing was written
	NotFound    Kind = "not-found"   // it names an object that does not exist
	Conflict    Kind = "conflict"    // it conflicts with an existing object
	InUse       Kind = "in-use"      // it would remove an object that others still use
	Unavailable Kind = "unavailable" // a process that it needs does not answer, or not in time
)

// Error is a failure reported to a user: what was wrong and, where possible, what would
// be right.
type Error struct {
	Kind Kind     `json:"kind"`
	What string   `json:"error"`           // what was wrong, with the offending value
	Hint string   `json:"hint,omitempty"`  // what would be right
	Used []string `json:"users,omitempty"` // InUse: the objects that use it, as "port acme/web/c1"

	Err error `json:"-"` // the cause, if there is one
}

// Error returns the failure, its users and its hint in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if len(e.Used) > 0 {
		fmt.Fprintf(&b, " (used by %s)", strings.Join(e.Used, ", "))
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Invalidf makes an error of kind Invalid.
func Invalidf(format string, args ...any) *Error { return errorf(Invalid, format, args) }

// NotFoundf makes an error of kind NotFound.
func NotFoundf(format string, args ...any) *Error { return errorf(NotFound, format, args) }

// Conflictf makes an error of kind Conflict.
func Conflictf(format string, args ...any) *Error { return errorf(Conflict, format, args) }

// Unavailablef makes an error of kind Unavailable.
func Unavailablef(format string, args ...any) *Error { return errorf(Unavailable, format, args) }

// InUseBy makes an error of kind InUse that lists the users of what.
func InUseBy(what string, users []string) *Error {
	return &Error{Kind: InUse, What: what + " is in use", Used: users, Hint: "delete those first, or give --cascade"}
}

// WithHint returns e with a hint on what would be right.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// What returns what went wrong, without the hint; "" for nil.
func What(err error) string {
	var told *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &told):
		return told.What
	}
	return err.Error()
}

// KindOf returns the kind of the first *Error in err's chain, or "".
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func errorf(k Kind, format string, args []any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, What: err.Error(), Err: errors.Unwrap(err)}
}
