package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// open opens a node in a folder of its own.
func open(t testing.TB, c Config) *Node {
	t.Helper()
	if c.StateDir == "" {
		c.StateDir = stateDir(t)
	}
	if os.Getenv("OVLOOM_TEST_LOG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c.Unsynced = true
	n, err := Open(t.Context(), c)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { closed(t, n) })
	return n
}

func closed(t testing.TB, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Errorf("close the store: %v", err)
	}
}

// stateDir returns a folder with a path that is short enough for a socket.
func stateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ovst")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// add creates a key; if it exists, the error is of kind Conflict.
func add(ctx context.Context, n *Node, name string) error {
	return n.kv.Update(ctx, "add "+name, func(ctx context.Context) error {
		var tx kv.Txn
		tx.Take(kv.Root+"test/"+name, name, func(string) error { return intent.Conflictf("%s exists", name) })
		_, err := n.kv.Commit(ctx, &tx)
		return err
	})
}

// added is add that ends the test on failure.
func added(t testing.TB, n *Node, name string) {
	t.Helper()
	if err := add(t.Context(), n, name); err != nil {
		t.Fatal(err)
	}
}

// read reads a key; if it does not exist, the error is of kind NotFound.
func read(ctx context.Context, n *Node, name string) error {
	return n.kv.Call(ctx, "read "+name, func(ctx context.Context) error {
		it, err := n.kv.Get(ctx, kv.Root+"test/"+name)
		if err == nil && it.Value == nil {
			err = intent.NotFoundf("%s does not exist", name)
		}
		return err
	})
}

// refusedChange fails the test unless a change is refused for the given reason.
func refusedChange(t *testing.T, n *Node, why string) {
	t.Helper()
	err := add(context.WithoutCancel(t.Context()), n, "lost")
	if intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "may have been stored") {
		t.Errorf("a change: %v; want ...%s...", err, why)
	}
}

// until polls for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// backUp writes a backup of a store into a file.
func backUp(t *testing.T, n *Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := n.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// nowhere is the location of a host without a configured one.
func nowhere(context.Context) (netip.Addr, bool, error) { return netip.Addr{}, false, nil }

// freeURL returns a URL with an unused port. The port is below Linux's range for clients
// (net.ipv4.ip_local_port_range), so that connections of other tests do not take it, and each
// call of this process returns another one.
func freeURL(t *testing.T) url.URL {
	t.Helper()
	for range 1000 {
		port := 10000 + (os.Getpid()*101+int(nextPort.Add(1)))%20000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // in use by another process
		}
		defer l.Close()
		return url.URL{Scheme: "http", Host: l.Addr().String()}
	}
	t.Fatal("no port of 1,000 is free")
	return url.URL{}
}

// nextPort counts the ports that freeURL tried.
var nextPort atomic.Int32
