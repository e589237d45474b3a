package lab

// This file removes what belongs to a mark. It searches the machine and not memory, so that it
// works for dead processes too.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is ip(8)'s directory of named network namespaces.
const netnsDir = "/run/netns"

// remove ends all processes that carry the mark and deletes its containers,
// namespaces, mounts, control groups and directories.
func remove(ctx context.Context, mark string) error {
	return errors.Join(
		removeContainers(ctx, mark),
		killMarked(ctx, mark),
		removeNamespaces(mark),
		removeMounts(mark),
		removeCgroups(mark),
		removeDirs(mark),
	)
}

// markedProcesses returns the processes whose environment carries the mark.
func markedProcesses(mark string) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue // it has ended, or it is a kernel thread
		}
		for kv := range bytes.SplitSeq(env, []byte{0}) {
			if v, ok := bytes.CutPrefix(kv, []byte(markEnv+"=")); ok && owns(mark, string(v)) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// killMarked repeats until no process is left: a process may fork while it is killed.
func killMarked(ctx context.Context, mark string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return poll(ctx, "processes of "+mark+" to end", func() error {
		pids := markedProcesses(mark)
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it may just have ended
		}
		if len(pids) > 0 {
			return fmt.Errorf("%d still run: %v", len(pids), pids)
		}
		return nil
	})
}

func removeNamespaces(mark string) error {
	var errs []error
	for _, name := range namesIn(netnsDir, mark) {
		if err := netns.DeleteNamed(name); err != nil {
			errs = append(errs, fmt.Errorf("delete namespace %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// removeMounts unmounts the container engine's mounts under the mark's directories, innermost
// first.
func removeMounts(mark string) error {
	var errs []error
	for _, path := range mountsOf(mark) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// mountsOf returns the mount points under the mark's directories, the newest
// first.
func mountsOf(mark string) []string {
	info, _ := os.ReadFile("/proc/self/mountinfo")
	var paths []string
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(fields[4], os.TempDir()+"/"), "/")
		if owns(mark, first) {
			paths = append([]string{fields[4]}, paths...)
		}
	}
	return paths
}

// removeCgroups deletes the control groups that our own container engine made; they have no
// processes any more.
func removeCgroups(mark string) error {
	var errs []error
	for _, top := range cgroupsOf(mark) {
		var dirs []string
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append([]string{path}, dirs...)
			}
			return nil
		})
		for _, dir := range dirs {
			if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("remove control group %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// cgroupsOf returns the mark's control groups, of all controllers.
func cgroupsOf(mark string) []string {
	tops, _ := filepath.Glob("/sys/fs/cgroup/" + mark + "*")
	nested, _ := filepath.Glob("/sys/fs/cgroup/*/" + mark + "*")
	return slices.DeleteFunc(append(tops, nested...), func(path string) bool { return !owns(mark, filepath.Base(path)) })
}

func removeDirs(mark string) error {
	var errs []error
	for _, name := range namesIn(os.TempDir(), mark) {
		errs = append(errs, os.RemoveAll(filepath.Join(os.TempDir(), name)))
	}
	return errors.Join(errs...)
}

// namesIn returns the entries of dir that belong to mark.
func namesIn(dir, mark string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if owns(mark, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// Sweep removes what dead processes left behind, except labs kept by LAB_KEEP, and returns the
// removed marks.
func Sweep(ctx context.Context) ([]string, error) {
	return sweep(ctx, func(mark string, alive bool) bool { return !alive && !kept(mark) })
}

// SweepKept is Sweep including kept labs.
func SweepKept(ctx context.Context) ([]string, error) {
	return sweep(ctx, func(_ string, alive bool) bool { return !alive })
}

func sweep(ctx context.Context, gone func(mark string, alive bool) bool) ([]string, error) {
	var removed []string
	var errs []error
	seen := map[string]bool{}
	for _, dir := range []string{netnsDir, os.TempDir()} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			mark, alive := ownerIn(e.Name())
			if mark == "" || seen[mark] {
				continue
			}
			seen[mark] = true
			if gone(mark, alive) {
				removed = append(removed, mark)
				errs = append(errs, remove(ctx, mark))
			}
		}
	}
	return removed, errors.Join(errs...)
}

// Leftovers lists what is left of the mark on the machine; empty if all is removed.
func Leftovers(mark string) []string {
	var left []string
	for _, pid := range markedProcesses(mark) {
		cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, fmt.Sprintf("process %d: %s", pid, bytes.ReplaceAll(cmd, []byte{0}, []byte{' '})))
	}
	for _, name := range namesIn(netnsDir, mark) {
		left = append(left, "namespace "+name)
	}
	for _, path := range mountsOf(mark) {
		left = append(left, "mount "+path)
	}
	for _, path := range cgroupsOf(mark) {
		left = append(left, "control group "+path)
	}
	for _, name := range namesIn(os.TempDir(), mark) {
		left = append(left, "directory "+dirOf(name))
	}
	return left
}
