package faults_test

// Faults of a host's disk in TestRandomFaults.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/ovloom/ovloom/integration/lab"
)

// onSmallDisk moves a host's state directory to a small disk of its own.
func (r *faultRun) onSmallDisk(h *lab.Host) {
	r.t.Helper()
	size := smallDisk
	if h == r.Hosts[0] {
		size = smallDiskStore
	}
	err := h.Ovloomd.Stop()
	if err == nil {
		err = r.shell(fmt.Sprintf("cd %[1]s; mkdir disk; mount -t tmpfs -o size=%[2]s,mode=700 disk disk; cp -a state/. disk; mv state state.old; mkdir state; mount --move disk state", h.Dir, size))(h)
	}
	if err == nil {
		err = r.startOvloomd(h)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *faultRun) diskFaults() []fault {
	backup := filepath.Join(r.Dir, "backup")
	// The store's data on the first host is lost; only a backup restores it.
	loseStore := func(script string) fault {
		did := false
		return fault{first: true, do: func(*lab.Host) error {
			first := r.Hosts[0]
			if err := os.Remove(backup); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			if _, err := first.Ovloom(r.t.Context(), "store", "backup", backup); err != nil {
				return err
			}
			did = true
			if err := first.Ovloomd.Kill(); err != nil {
				return err
			}
			return errors.Join(r.shell("cd "+first.StateDir()+"/store/etcd; "+script)(first), r.startOvloomd(first))
		}, undo: func(*lab.Host) error {
			first := r.Hosts[0]
			if !did {
				return nil
			}
			if first.Ovloomd.Running() {
				if err := first.Ovloomd.Stop(); err != nil {
					return err
				}
			}
			if _, err := first.Ovloom(r.t.Context(), "store", "restore", backup, "--state-dir", first.StateDir()); err != nil {
				return err
			}
			did = false
			return errors.Join(r.startOvloomd(first), r.onState("rm -rf STATE/store/etcd/data-before-* STATE/store/etcd/data/member/wal/*.broken")(first))
		}}
	}
	lost := loseStore("rm -rf data")
	lost.name = "the store's data lost"
	damaged := loseStore("f=$(ls data/member/wal/*.wal | tail -n 1); dd if=/dev/urandom of=$f bs=1k seek=1 count=64 conv=notrunc status=none")
	damaged.name = "the store's log damaged"
	return []fault{
		lost, damaged,
		{name: "the disk full", do: r.onState("dd if=/dev/zero of=STATE/full bs=64k status=none 2>/dev/null || :"), undo: r.diskBack("rm -f STATE/full")},
		{name: "the disk read-only", do: r.onState("mount --bind STATE STATE; mount -o remount,ro,bind STATE"), undo: r.diskBack("! mountpoint -q STATE || touch STATE/.rw 2>/dev/null || umount -l STATE; rm -f STATE/.rw")},
		{name: "a file of ovloomd's damaged", do: func(h *lab.Host) error {
			if err := h.Ovloomd.Kill(); err != nil {
				return err
			}
			file, err := r.damageOne(h.StateDir())
			if err == nil {
				r.t.Logf("step %d: %s", r.step, file)
				_, err = h.LaunchOvloomd(r.t.Context())
			}
			return err
		}, undo: r.startOvloomd},
	}
}

// onState is shell with STATE replaced by the host's state directory.
func (r *faultRun) onState(script string) func(*lab.Host) error {
	return func(h *lab.Host) error { return r.shell(strings.ReplaceAll(script, "STATE", h.StateDir()))(h) }
}

// diskBack repairs the disk, and restarts an ovloomd whose store failed because of it.
func (r *faultRun) diskBack(script string) func(*lab.Host) error {
	return func(h *lab.Host) error {
		if err := r.onState(script)(h); err != nil {
			return err
		}
		if h != r.Hosts[0] {
			return nil
		}
		if h.Ovloomd.Running() {
			if err := h.Ovloomd.Stop(); err != nil {
				return err
			}
		}
		return r.startOvloomd(h)
	}
}

// damageOne damages one file of a state directory, but not the store's, and returns what it
// did.
func (r *faultRun) damageOne(dir string) (what string, err error) {
	var files []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "etcd":
			return filepath.SkipDir
		// Without the file instance, ovloomd exits and is started again until the lease of its
		// predecessor ends, after ten seconds at most. This is intended: two hosts could have
		// the same name.
		case d.Type().IsRegular() && d.Name() != "lock" && d.Name() != "instance":
			files = append(files, path)
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		return "", err
	}
	file := files[r.rand.IntN(len(files))]
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	return damage(r.rand, file, b)
}

// damage truncates a file, empties it or changes some of its bytes.
func damage(random *rand.Rand, file string, b []byte) (what string, err error) {
	switch random.IntN(3) {
	case 0:
		what, b = "emptied", nil
	case 1:
		what, b = "cut", b[:random.IntN(len(b)+1)]
	default:
		what = "spoilt"
		for n := random.IntN(len(b) + 1); n < len(b); n += 17 {
			b[n] = byte(random.Uint32())
		}
	}
	return filepath.Base(file) + " " + what, os.WriteFile(file, b, 0o600)
}
