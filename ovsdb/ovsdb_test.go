package ovsdb

// Against a private ovsdb-server and ovs-vswitchd.

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

func TestMain(m *testing.M) { os.Exit(ovstest.Main(m)) }

var brInt = Bridge{Name: "br-int", Datapath: DatapathNetdev}

// connect returns a DB with a short time-out, and its log.
func connect(t *testing.T, s *ovstest.Switch) (*DB, *logBuffer) {
	t.Helper()
	log := &logBuffer{}
	db, err := Connect(ovstest.Context(t), Config{Socket: s.Socket, Owner: "host1", Version: "test", Timeout: 3 * time.Second, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db, log
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns what was logged since the last call.
func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks an error's kind and that its text has the words.
func wantError(t *testing.T, err error, kind intent.Kind, words ...string) {
	t.Helper()
	if intent.KindOf(err) != kind {
		t.Fatalf("got error %v of kind %q, want kind %q", err, intent.KindOf(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// writes runs f and returns the number of transactions that it sent.
func writes(db *DB, f func()) int {
	before := db.State().Writes
	f()
	return db.State().Writes - before
}

// drain empties a channel of Watch and fails the test if it never has an element.
func drain(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing woke the watcher within 20 s")
	}
}

// awaitWatch reads the channel until what it announces is true.
func awaitWatch(t *testing.T, c <-chan struct{}, what string, holds func() bool) {
	t.Helper()
	for end := time.After(20 * time.Second); !holds(); {
		select {
		case <-c:
		case <-end:
			t.Fatalf("no notification within 20 s: %s", what)
		}
	}
}
