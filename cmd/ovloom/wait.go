// Waiting for a change to reach the hosts, and showing progress.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

// patience is how long a command waits before it says what it waits for.
const patience = time.Second

// applied waits, unless the user chose not to, until every live host that has the tenant
// has applied the revision.
func (p *program) applied(c *cli.Context, tenant string, revision int64) error {
	if !p.wait || revision == 0 {
		return nil
	}
	show := newProgress(p.stderr, "waiting for the hosts")
	err := p.client.WaitApplied(c.Context, tenant, revision, p.remaining(), show.update)
	show.end()
	return stored(err, "the change is stored, and takes effect on a host as soon as its ovloomd can: see `ovloom host list`; --no-wait does not wait")
}

// remaining returns what is left of --timeout, but never nothing: the change is made, and
// the user should learn which hosts have not applied it. It is rounded, because it is
// shown.
func (p *program) remaining() time.Duration {
	return max(time.Until(p.deadline).Round(100*time.Millisecond), 100*time.Millisecond)
}

// stored adds to a failure to wait that the change has been made.
func stored(err error, hint string) error {
	var e *intent.Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e
	told.Hint = hint
	return &told
}

// progress shows the hosts that are waited for: after patience, and whenever they change.
// On a terminal it uses a single line, and erases it at the end.
type progress struct {
	w        io.Writer
	what     string // while no host is named
	terminal bool
	timer    *time.Timer

	mu      sync.Mutex
	pending []string // guarded by mu
	late    bool     // guarded by mu; patience is over
	over    bool     // guarded by mu
}

func newProgress(w io.Writer, what string) *progress {
	p := &progress{w: w, what: what, terminal: isTerminal(w)}
	p.timer = time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.late = true
		p.show()
	})
	return p
}

func (p *progress) update(pending []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = slices.Clone(pending)
	if p.late {
		p.show()
	}
}

// show is called with mu held.
func (p *progress) show() {
	if p.over {
		return
	}
	text := p.what
	if n := len(p.pending); n > 0 {
		shown := p.pending[:min(n, 5)]
		text = "waiting for " + strings.Join(shown, ", ")
		if n > len(shown) {
			text += fmt.Sprintf(" and %d more", n-len(shown))
		}
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

func (p *progress) end() {
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.late && !p.over {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.over = true
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}
