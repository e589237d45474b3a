package ovsdb

// A DB outlives its connections: one goroutine opens a session, waits until it is lost,
// and opens the next.

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Defaults of Config.
const (
	DefaultSocket  = "unix:/run/openvswitch/db.sock"
	DefaultTimeout = 5 * time.Second
	DefaultOwner   = "ovloom"
)

// Config says how to reach the database. Its zero value works.
type Config struct {
	Socket  string        // unix:PATH or PATH; "": DefaultSocket
	Timeout time.Duration // of one exchange with the server or with ovs-vswitchd; 0: DefaultTimeout
	Owner   string        // owner of bridges created here, such as the host's name; "": DefaultOwner
	Version string        // ovloom's version, written on bridges for people to see; may be ""
	Log     *slog.Logger  // nil: discards

	// Record is the file that remembers which bridge is ovloom's and its notes, in case
	// another program wipes them off the bridge. "": no file.
	Record string
}

// DB is the local Open_vSwitch database. Its methods are safe for concurrent use.
type DB struct {
	// Set by Connect.
	endpoint   string
	timeout    time.Duration
	owner      string
	version    string
	log        *slog.Logger
	stop       context.CancelFunc
	recordFile string
	stopped    chan struct{} // closed when the keeping goroutine has ended

	// Guarded by mu.
	mu       sync.Mutex
	session  *session      // the newest; may be lost already
	changed  chan struct{} // closed, and replaced, when a row or the state changes
	watchers []chan struct{}
	state    State

	recordMu sync.Mutex
	// Guarded by recordMu.
	bridges map[string]record
	dropped []time.Time       // when controllers were removed from the bridge
	noting  map[[2]string]int // number of writers of each note, by bridge and key
}

// State is the health of the connection.
type State struct {
	Connected bool
	Since     time.Time // when Connected last changed
	Sessions  int       // connections made so far; each reads every row again
	Writes    int       // transactions sent so far
	LastError error     // why the last connection ended or the last attempt failed; nil if neither happened
}

const (
	backoffFirst = 50 * time.Millisecond
	backoffLast  = 2 * time.Second
)

// Connect connects to the database and reads it, retrying until ctx ends; then it fails
// with an intent.Unavailable that wraps the last attempt's error. Afterwards the DB
// reconnects by itself until Close.
func Connect(ctx context.Context, cfg Config) (*DB, error) {
	db := &DB{
		endpoint:   orDefault(cfg.Socket, DefaultSocket),
		timeout:    cfg.Timeout,
		owner:      orDefault(cfg.Owner, DefaultOwner),
		version:    cfg.Version,
		log:        cfg.Log,
		stopped:    make(chan struct{}),
		recordFile: cfg.Record,
		changed:    make(chan struct{}),
		state:      State{Since: time.Now()},
	}
	if !strings.HasPrefix(db.endpoint, "unix:") {
		db.endpoint = "unix:" + db.endpoint
	}
	if db.timeout <= 0 {
		db.timeout = DefaultTimeout
	}
	if db.log == nil {
		db.log = slog.New(slog.DiscardHandler)
	}
	db.loadRecord()
	s, err := db.open(ctx)
	if err != nil {
		return nil, db.unreachable(err)
	}
	// The DB outlives the context of Connect.
	keepCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	db.stop = stop
	go db.keep(keepCtx, s)
	return db, nil
}

// Close ends the connection. Rows read so far can still be read.
func (db *DB) Close() {
	db.stop()
	<-db.stopped
}

// State returns the health of the connection.
func (db *DB) State() State {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.state
}

// Watch returns a new channel that receives a value after rows or the connection's state
// change; several changes may share one value. A value is waiting from the start, so that
// a loop over the channel reads the rows first. The channel is never closed.
func (db *DB) Watch() <-chan struct{} {
	c := make(chan struct{}, 1)
	c <- struct{}{}
	db.mu.Lock()
	db.watchers = append(db.watchers, c)
	db.mu.Unlock()
	return c
}

// keep replaces each lost session with a new one until ctx ends.
func (db *DB) keep(ctx context.Context, s *session) {
	defer close(db.stopped)
	for {
		select {
		case <-ctx.Done():
			s.lose(errors.New("closed"))
			db.setState(nil, nil)
			return
		case <-s.lost:
		}
		db.log.Warn("connection to the Open vSwitch database lost", "socket", db.endpoint, "error", s.cause)
		db.setState(nil, s.cause)
		next, err := db.open(ctx)
		if err != nil {
			return // only because ctx has ended
		}
		s = next
	}
}

// open retries until a session opens or ctx ends; then it returns the error of the last
// attempt.
func (db *DB) open(ctx context.Context) (*session, error) {
	var last error
	for wait := backoffFirst; ; wait = min(2*wait, backoffLast) {
		attempt, cancel := context.WithTimeout(ctx, db.timeout)
		s, err := openSession(attempt, db.endpoint, db.timeout, db.wake)
		cancel()
		if err == nil {
			db.setState(s, nil)
			db.log.Info("connected to the Open vSwitch database", "socket", db.endpoint, "schema", s.schema)
			return s, nil
		}
		// An attempt cut short by ctx says less than the failure before it.
		if timeout := net.Error(nil); last == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			last = err
		}
		if ctx.Err() != nil {
			return nil, last
		}
		db.log.Debug("no connection to the Open vSwitch database", "socket", db.endpoint, "error", err)
		db.setState(nil, err)
		select {
		case <-ctx.Done():
			return nil, last
		case <-time.After(wait):
		}
	}
}

// setState records a new session, or why there is none, and wakes all waiters.
func (db *DB) setState(s *session, cause error) {
	db.mu.Lock()
	if connected := s != nil; connected != db.state.Connected {
		db.state.Connected = connected
		db.state.Since = time.Now()
	}
	if s != nil {
		db.session = s
		db.state.Sessions++
	}
	if cause != nil {
		db.state.LastError = cause
	}
	db.mu.Unlock()
	db.wake()
}

// wake makes all waiters look at the rows again.
func (db *DB) wake() {
	db.mu.Lock()
	defer db.mu.Unlock()
	close(db.changed)
	db.changed = make(chan struct{})
	for _, c := range db.watchers {
		select {
		case c <- struct{}{}:
		default: // a value is waiting already
		}
	}
}

// next returns a channel that is closed at the next change.
func (db *DB) next() <-chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.changed
}

// await waits until done returns true or an error, and calls it again after every change.
// When ctx ends first, await fails with an intent.Unavailable that says what it waited
// for.
func (db *DB) await(ctx context.Context, what string, done func(view) (bool, error)) error {
	for {
		changed := db.next()
		if ok, err := done(db.view()); ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return intent.Unavailablef("waiting for %s: %w", what, ctx.Err()).
				WithHint("see whether ovs-vswitchd and ovsdb-server run and answer")
		}
	}
}

// live returns a session that is not lost, waiting for one until ctx ends.
func (db *DB) live(ctx context.Context) (*session, error) {
	for {
		changed := db.next()
		db.mu.Lock()
		s, state := db.session, db.state
		db.mu.Unlock()
		if state.Connected {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if state.LastError == nil {
				state.LastError = ctx.Err()
			}
			return nil, db.unreachable(state.LastError)
		}
	}
}

// unreachable is the error for a server that does not answer.
func (db *DB) unreachable(cause error) error {
	e := intent.Unavailablef("the Open vSwitch database at %s does not answer: %w", db.endpoint, cause)
	switch {
	case errors.Is(cause, fs.ErrPermission):
		return e.WithHint("run as root")
	case errors.Is(cause, fs.ErrNotExist):
		return e.WithHint("start ovsdb-server (on Debian: systemctl start openvswitch-switch), or name its socket")
	}
	return e.WithHint("see whether ovsdb-server runs")
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
