package api_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"os/user"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

func TestListenMakesItsDirectoryAndSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "ovloomd.sock")
	ln, err := api.Listen(path, "no-such-group-here")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "mode", info.Mode(), fs.ModeSocket|0o660)
	want(t, "group", info.Sys().(*syscall.Stat_t).Gid, uint32(os.Getgid()))
	want(t, "address", ln.Addr().String(), path)
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "left after Close", len(entries), 0)
}

func TestListenGivesTheSocketToTheGroup(t *testing.T) {
	// Any group will do: the last one that this machine has.
	group, err := user.LookupGroup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ln, err := api.Listen(path, group.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "group", strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid)), group.Gid)
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := api.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestListenRefusesWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := api.Listen(file, "")
	wantError(t, err, intent.Conflict, "is not a socket")
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}

	path := filepath.Join(dir, "s")
	ln, err := api.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, err = api.Listen(path, "")
	wantError(t, err, intent.Conflict, "another ovloomd answers on "+path)

	_, err = api.Listen(filepath.Join(file, "s"), "")
	if !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("directory that is a file: %v", err)
	}
}

func TestCloseLeavesASuccessorsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := api.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	successor, err := api.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket: %v", err)
	}
}

func TestOfManyThatListenOneWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		wins []net.Listener
	)
	for range 20 {
		wg.Go(func() {
			ln, err := api.Listen(path, "")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				wins = append(wins, ln)
			} else if intent.KindOf(err) != intent.Conflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want(t, "listeners", len(wins), 1)
	for _, ln := range wins {
		ln.Close()
	}
}
