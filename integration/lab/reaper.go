package lab

// This file starts the reaper: a copy of this program that does nothing but
// wait for its parent to be gone, and then removes what the parent left. It is
// what makes a panic, a test time-out, Ctrl-C and kill -9 leave nothing behind.

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// reaperEnv tells a copy of this program that it is the reaper, and of whom.
const reaperEnv = "OVLOOM_LAB_REAPER"

// init turns the process into a reaper if it was started as one. This has to
// happen before the program's own main, which is not ours.
func init() {
	if mark := os.Getenv(reaperEnv); mark != "" {
		reap(mark)
		os.Exit(0)
	}
}

// reap returns when the parent is gone and its leftovers are removed.
func reap(mark string) {
	// The parent never writes: the read ends when its end of the pipe does.
	_, _ = io.Copy(io.Discard, os.Stdin)
	if kept(mark) {
		return
	}
	if os.Getenv(keepEnv) == "1" && len(namesIn(netnsDir, mark)) > 0 {
		_ = keepOwner(mark) // the directory is there, or nothing is
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// A reaper's output is not read. What it could not remove, the next
	// process's Sweep will.
	_ = remove(ctx, mark)
}

// keepOwner notes that a sweep must leave what belongs to the mark.
func keepOwner(mark string) error {
	if err := os.MkdirAll(dirOf(mark), 0o755); err != nil {
		return err
	}
	return os.WriteFile(dirOf(mark)+"/"+keptFile, nil, 0o644)
}

// startReaper starts the reaper of this process, once. The file that it returns
// stays open for as long as this process lives: its end is the reaper's sign.
var startReaper = sync.OnceValues(func() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), reaperEnv+"="+Mark())
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of the reach of Ctrl-C
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	return w, nil
})
