package lab

// This file starts the reaper: a copy of this program that waits until its parent is gone, and
// then removes what the parent left behind. So nothing stays after a panic, a test time-out,
// Ctrl-C or kill -9.

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

// reaperEnv marks a copy of this program as the reaper, and holds its parent's mark.
const reaperEnv = "OVLOOM_LAB_REAPER"

// init turns the process into a reaper if it was started as one. This has to happen before the
// program's own main.
func init() {
	if mark := os.Getenv(reaperEnv); mark != "" {
		reap(mark)
		os.Exit(0)
	}
}

// reap returns when the parent is gone and its leftovers are removed.
func reap(mark string) {
	// The parent never writes: the read returns when the parent's end of the pipe is closed.
	_, _ = io.Copy(io.Discard, os.Stdin)
	if kept(mark) {
		return
	}
	if os.Getenv(keepEnv) == "1" && len(namesIn(netnsDir, mark)) > 0 {
		_ = keepOwner(mark) // if the directory is missing, there is nothing to keep
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// A reaper's output is not read. What it could not remove, the next process's Sweep
	// removes.
	_ = remove(ctx, mark)
}

// keepOwner makes sweeps leave alone what belongs to the mark.
func keepOwner(mark string) error {
	if err := os.MkdirAll(dirOf(mark), 0o755); err != nil {
		return err
	}
	return os.WriteFile(dirOf(mark)+"/"+keptFile, nil, 0o644)
}

// startReaper starts the reaper of this process, once. The returned file stays open until this
// process ends, which is the reaper's signal.
var startReaper = sync.OnceValues(func() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), reaperEnv+"="+Mark())
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of Ctrl-C
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	return w, nil
})
