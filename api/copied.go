// Answers that do not come from the store itself.

package api

import (
	"context"
	"net/http"
	"strconv"
	"sync"
)

// copyHeader is set on an answer that was read, in part at least, from what the
// host keeps of the store on disk. Its value is the store's revision of that; of
// several, the oldest.
const copyHeader = "Ovloom-Copy"

// copyNote collects of which revisions an answer is.
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

// NoteCopy notes that the answer to a request, whose context a Store was given, is
// read from a copy as the store was at a revision. The client is told.
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

// set adds the header if there is something to tell.
func (n *copyNote) set(h http.Header) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.noted {
		h.Set(copyHeader, strconv.FormatInt(n.revision, 10))
	}
}

// heard calls the client's Copied if an answer is from a copy.
func (c *Client) heard(h http.Header) {
	if revision, err := strconv.ParseInt(h.Get(copyHeader), 10, 64); err == nil && c.Copied != nil {
		c.Copied(revision)
	}
}
