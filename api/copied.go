// Answers that do not come from the store itself.

package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
)

// copyHeader is set on an answer that was read, at least in part, from the host's cached
// copy of the store. Its value is the revision of the copy; of several copies, the oldest.
const copyHeader = "Ovloom-Copy"

// copyNote collects the revisions of the copies that an answer was read from.
type copyNote struct {
	mu       sync.Mutex
	noted    bool
	revision int64
}

type copyNoteKey struct{}

func withCopyNote(ctx context.Context) (context.Context, *copyNote) {
	n := &copyNote{}
	return context.WithValue(ctx, copyNoteKey{}, n), n
}

// NoteCopy notes that the answer to a request, whose context a Store was given, is read
// from a copy of a revision. The client learns it from copyHeader.
func NoteCopy(ctx context.Context, revision int64) {
	n, ok := ctx.Value(copyNoteKey{}).(*copyNote)
	if !ok {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.noted || revision < n.revision {
		n.noted, n.revision = true, revision
	}
}

// set adds the header if the answer is from a copy.
func (n *copyNote) set(h http.Header) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.noted {
		h.Set(copyHeader, strconv.FormatInt(n.revision, 10))
	}
}

// heard calls the client's Copied if the answer is from a copy.
func (c *Client) heard(h http.Header) {
	if revision, err := strconv.ParseInt(h.Get(copyHeader), 10, 64); err == nil && c.Copied != nil {
		c.Copied(revision)
	}
}
