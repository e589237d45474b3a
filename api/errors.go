// Kinds of failure and HTTP status codes, both ways.

package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/ovloom/ovloom/intent"
)

// internal is the kind, on the wire only, of a failure that users neither cause nor can
// cure: a bug, or an unexpected error.
const internal intent.Kind = "internal"

// statusOf is the only place where kinds become status codes. Conflict and in-use share a
// code: the kind in the body distinguishes them.
func statusOf(k intent.Kind) int {
	switch k {
	case intent.Invalid:
		return http.StatusBadRequest
	case intent.NotFound:
		return http.StatusNotFound
	case intent.Conflict, intent.InUse:
		return http.StatusConflict
	case intent.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// failure is the body of every answer that is not a success.
type failure struct {
	intent.Error
	Deleted []string `json:"deleted,omitempty"` // what a delete did before it failed
}

// asError returns err as the error shown to a user.
func asError(err error) *intent.Error {
	var e *intent.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return &intent.Error{Kind: intent.Unavailable, What: "ovloomd could not do it in time: " + err.Error(),
			Hint: "`ovloom status` shows what ovloomd waits for", Err: err}
	case errors.Is(err, context.Canceled):
		return &intent.Error{Kind: intent.Unavailable, What: "the request was given up: " + err.Error(), Err: err}
	}
	return &intent.Error{Kind: internal, What: err.Error(), Err: err}
}

// statusError is a failure with a more specific status code than its kind's.
type statusError struct {
	status int
	err    *intent.Error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }
