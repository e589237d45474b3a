package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

func TestStore(t *testing.T) {
	s := newSession(t)
	s.run("store status", "store check", "store check -o json", "store compact", "store backup", "store restore",
		"store member list", "store member add host2", "store member add", "store member remove host2", "store member remove host9", "store member")
	s.golden("store")
}

func TestBackupFile(t *testing.T) {
	s := newSession(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "backup")
	s.host.FailWith(func(op string) error { return intent.Unavailablef("%s failed", op) })
	if _, _, code := s.exec("store backup " + file); code != exitUnavailable {
		t.Errorf("a backup that is cut off: exit code %d", code)
	}
	s.host.FailWith(func(string) error { return nil })
	if out, errs, code := s.exec("store backup " + file); code != exitOK {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	b, err := os.ReadFile(file)
	if err != nil || string(b) != hosttest.BackupText {
		t.Errorf("the file holds %q: %v", b, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode: %v, %v", info, err)
	}
	if _, _, code := s.exec("store backup " + file); code != exitConflict {
		t.Errorf("overwriting a backup: exit code %d", code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
