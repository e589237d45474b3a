package ovsdb

// Against a private ovsdb-server and ovs-vswitchd.

import (
	"bytes"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb/ovstest"
)

func TestMain(m *testing.M) { os.Exit(ovstest.Main(m)) }

var brInt = Bridge{Name: "br-int", Datapath: DatapathNetdev}

// connect returns a DB with a short time-out, and what it logs.
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

// transactions returns a counter of the database that every write to it raises.
func transactions(t *testing.T, s *ovstest.Switch) string {
	t.Helper()
	b, err := os.ReadFile(s.Dir + "/conf.db")
	if err != nil {
		t.Fatal(err)
	}
	// The file has one record per transaction.
	return string(bytes.TrimSpace([]byte(slices.Concat(b)[max(0, len(b)-200):])))
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

func TestBridgeIsMadeOnce(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	t.Log(log.take())
	t.Log(s.VSCtl("show"))
	must(t, db.EnsureBridge(ctx, brInt))
	t.Log(log.take())
	t.Log(db.Interfaces("br-int"))
	t.Log(s.OFCtl("show", "br-int"))
}
