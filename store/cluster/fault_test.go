package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// withData returns the configuration of a host that runs the store, with data.
func withData(t *testing.T) (Config, func()) {
	t.Helper()
	c := Config{StateDir: stateDir(t), WithoutMember: true}
	n := open(t, c)
	added(t, n, "acme")
	closed(t, n)
	return c, func() {
		t.Helper()
		n := open(t, c)
		refusedChange(t, n, "member of the store has failed")
		if _, err := n.Members(t.Context()); intent.KindOf(err) != intent.Unavailable {
			t.Errorf("its members: %v", err)
		}
		if _, err := n.Health(t.Context()); intent.KindOf(err) != intent.Unavailable {
			t.Errorf("its health: %v", err)
		}
		if !n.Embedded() {
			t.Error("a failed member no longer counts as embedded")
		}
		closed(t, n)
	}
}

// only returns the single file that matches a pattern.
func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found[0]
}

// damage changes a file.
func damage(t *testing.T, file string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever is wrong with a member's data, the process continues without the member.
func TestDamagedDataEndsNoProcess(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, data string){
		"a bit of the log": func(t *testing.T, data string) {
			damage(t, only(t, data+"/member/wal/*.wal"), func(b []byte) []byte { b[200] ^= 1; return b })
		},
		"zeros in the log": func(t *testing.T, data string) {
			damage(t, only(t, data+"/member/wal/*.wal"), func(b []byte) []byte { clear(b[:512]); return b })
		},
		"no log": func(t *testing.T, data string) {
			damage(t, only(t, data+"/member/wal/*.wal"), func(b []byte) []byte { return nil })
		},
		"a database cut short": func(t *testing.T, data string) {
			damage(t, data+"/member/snap/db", func(b []byte) []byte { return b[:2*4096] })
		},
		"rubbish in the database": func(t *testing.T, data string) {
			damage(t, data+"/member/snap/db", func(b []byte) []byte {
				for i := 2 * 4096; i < len(b); i++ {
					b[i] = byte(i*7 + i>>8)
				}
				return b
			})
		},
		"no head of the database": func(t *testing.T, data string) {
			damage(t, data+"/member/snap/db", func(b []byte) []byte { clear(b[:2*4096]); return b })
		},
		"the database is a folder": func(t *testing.T, data string) {
			if err := errors.Join(os.Remove(data+"/member/snap/db"), os.Mkdir(data+"/member/snap/db", 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, goesOn := withData(t)
			spoil(t, dataDir(c.StateDir))
			goesOn()
			goesOn()
		})
	}
}

// failWith makes a member fail as etcd does when its log cannot be written.
func failWith(s *Node, message string) {
	done := make(chan bool)
	go func() {
		defer close(done)
		s.server.GetLogger().Fatal(message, zap.Error(unix.ENOSPC))
	}()
	<-done
}

// A member that can no longer write stops; the process goes on.
func TestMemberThatFailsEndsNoProcess(t *testing.T) {
	t.Parallel()
	s := open(t, Config{WithoutMember: true})
	added(t, s, "acme")
	far := open(t, Config{Endpoints: s.URLs()})
	if err := read(t.Context(), far, "acme"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		failWith(s, "failed to save Raft hard state and entries")
	}
	until(t, "the member is known to have failed", func() bool { return s.fault.Load() != nil })
	refusedChange(t, s, "no space left on device; free space")
	until(t, "other hosts see the failure", func() bool {
		err := read(t.Context(), far, "acme")
		return intent.KindOf(err) == intent.Unavailable
	})
	if found := s.removed.Load(); found {
		t.Error("the failed member counts as removed")
	}
}

// The next start reports, once, a failure that could not be caught.
func TestCrashOfTheMemberIsTold(t *testing.T) {
	c, goesOn := withData(t)
	if err := os.WriteFile(crashFile(c.StateDir), []byte("panic: page 7\n\ngoroutine 1\ngo.etcd.io/bbolt.(*Tx).page\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	goesOn()
	s := open(t, c)
	if err := read(t.Context(), s, "acme"); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(crashFile(c.StateDir)); err != nil || strings.Contains(string(b), "page") {
		t.Errorf("%q, %v", b, err)
	}
}

// Only a crash in the member itself keeps the next process from starting it: SIGQUIT, which
// prints a process's goroutines and ends it, does not.
func TestOnlyAMembersOwnCrashCounts(t *testing.T) {
	const member = "goroutine 45 [running]:\ngo.etcd.io/bbolt.(*page).meta(...)\n\t/go/bbolt/page.go:1\n"
	const other = "goroutine 7 [running]:\ngithub.com/ovloom/ovloom/controller.(*Controller).Run(...)\n\t/ovloom/controller.go:1\n"
	for trace, its := range map[string]bool{
		"unexpected fault address 0x7f\nfatal error: fault\n\n" + member + "\n" + other: true,
		"panic: page 7 already freed\n\n" + member:                                      true,
		"panic: boom\n\n" + other + "\n" + member:                                       false,
		"SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n" + member + "\n" + other:               false,
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(crashFile(dir)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashFile(dir), []byte(trace), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := crashed(dir); (err != nil) != its {
			t.Errorf("%q: %v", trace, err)
		}
	}
}
