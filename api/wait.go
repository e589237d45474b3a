// Streams that end when a change has reached the switches.

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// WaitLine is one line of a stream that waits.
type WaitLine struct {
	Pending []string      `json:"pending,omitempty"` // the hosts that are waited for
	Done    bool          `json:"done,omitempty"`    // on the last line: all have applied it
	Error   *intent.Error `json:"error,omitempty"`   // on the last line: the wait failed
}

func (s *Server) applied(c *call) (any, error) {
	ref, err := tenantClass.named(c)
	if err != nil {
		return nil, err
	}
	revision, err := queryRevision(c.query)
	if err != nil {
		return nil, err
	}
	return nil, s.wait(c, func(ctx context.Context, progress func([]string)) error {
		return s.backend.Store.WaitApplied(ctx, ref.Tenant, revision, progress)
	}, func(pending []string) string {
		what := fmt.Sprintf("revision %d of tenant %s is stored", revision, ref)
		if len(pending) == 0 {
			return what + ", but it is not known who has applied it"
		}
		return what + ", but not yet applied by " + strings.Join(pending, ", ")
	})
}

func (s *Server) up(c *call) (any, error) {
	ref, err := portClass.named(c)
	if err != nil {
		return nil, err
	}
	return nil, s.wait(c, func(ctx context.Context, _ func([]string)) error {
		return s.backend.Plug.WaitUp(ctx, ref)
	}, func([]string) string {
		return fmt.Sprintf("port %s is plugged, but its flows are not installed yet", ref)
	})
}

// wait runs f until the request's time-out and streams its progress. An error before the
// first line is returned; a later one is the last line.
func (s *Server) wait(c *call, f func(context.Context, func([]string)) error, late func(pending []string) string) error {
	timeout, err := queryTimeout(c.query)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), timeout)
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()

	out := http.NewResponseController(c.w)
	// After the wait, a client that does not read times out like any other.
	if err := out.SetWriteDeadline(time.Now().Add(timeout + s.timeouts.write)); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.WriteHeader(http.StatusOK)

	var (
		mu      sync.Mutex // progress may be called from another goroutine
		pending []string
		over    bool
	)
	line := func(l WaitLine) {
		// A client that disconnects ends the request's context: nothing to do here.
		_ = json.NewEncoder(c.w).Encode(l)
		_ = out.Flush()
	}
	if err := out.Flush(); err != nil {
		return nil
	}
	err = f(ctx, func(now []string) {
		mu.Lock()
		defer mu.Unlock()
		if over || slices.Equal(now, pending) {
			return
		}
		pending = slices.Clone(now)
		line(WaitLine{Pending: pending})
	})
	mu.Lock()
	defer mu.Unlock()
	over = true
	switch {
	case err == nil:
		line(WaitLine{Done: true})
	case s.stopping.Err() != nil:
		line(WaitLine{Error: intent.Unavailablef("%s: ovloomd is stopping", late(pending))})
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		line(WaitLine{Error: intent.Unavailablef("%s (waited %s)", late(pending), timeout)})
	default:
		line(WaitLine{Error: asError(err)})
	}
	return nil
}
