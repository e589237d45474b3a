package lab

// This file is a process in a host that runs until it is stopped or killed.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process runs in a host. Its output is in a file.
type Process struct {
	// Set by Start.
	Name string
	Log  string // path of its standard output and error
	args []string
	host *Host
	cmd  *exec.Cmd
	pid  int

	expected atomic.Bool   // its end was requested
	done     chan struct{} // closed when it has ended; then err is set
	err      error
}

// Start runs a command in the host, in the background. Its output is appended to
// the log called name, so that a daemon's restarts are in one file.
func (h *Host) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	return h.startIn(ctx, "", name, args)
}

// startIn is Start in a network namespace of the host; "" is its first.
func (h *Host) startIn(ctx context.Context, netns, name string, args []string) (*Process, error) {
	p := &Process{Name: name, Log: filepath.Join(h.LogDir(), name+".out"), args: args, host: h, done: make(chan struct{})}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	// The shell prints its pid and then becomes the program.
	pidFile := filepath.Join(h.Dir, fmt.Sprintf("%s-%d.pid", name, h.started.Add(1)))
	wrapped := append([]string{"sh", "-c", `echo $$ >"$0"; exec "$@"`, pidFile}, args...)
	line := h.lab.back.command(h, netns, h.env(), wrapped)
	p.cmd = exec.Command(line[0], line[1:]...)
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// The mark is needed already while the process enters the host.
	p.cmd.Env = append(os.Environ(), markEnv+"="+h.lab.mark)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, execTimeout)
	defer cancel()
	err = poll(ctx, name+" to start", func() error {
		if !p.Running() {
			return nil
		}
		p.pid, err = h.lab.back.pid(h, p.cmd.Process.Pid, pidFile)
		return err
	})
	return p, err
}

// Pid returns its process id as this process sees it.
func (p *Process) Pid() int { return p.pid }

// Running reports whether it is still running.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Ended reports whether its end was requested, by Signal, Kill or Stop.
func (p *Process) Ended() bool { return p.expected.Load() }

// Wait waits until it has ended. It returns an *ExecError if it failed; an end that was
// requested is no failure.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", p.Name, ctx.Err())
	}
	if p.Ended() {
		return nil
	}
	return p.failure()
}

// failure returns how it ended, with its last output; nil if it succeeded.
func (p *Process) failure() error {
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return &ExecError{Args: p.args, Code: exit.ExitCode(), Stderr: tail(p.Log, 20)}
	}
	return p.err
}

// Signal sends it a signal. If the signal ends it, that end is expected.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return fmt.Errorf("send %v to %s: it has ended", sig, p.Name)
	}
	switch sig {
	case unix.SIGSTOP, unix.SIGCONT, unix.SIGUSR1, unix.SIGUSR2:
	default:
		p.expected.Store(true)
	}
	if err := unix.Kill(p.pid, sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, p.Name, err)
	}
	return nil
}

// Kill is kill -9. It returns when the process has ended.
func (p *Process) Kill() error { return p.end(unix.SIGKILL) }

// Stop ends it with SIGTERM, and waits up to ten seconds.
func (p *Process) Stop() error { return p.end(unix.SIGTERM) }

func (p *Process) end(sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.Wait(ctx)
}

// Output returns all that it has written so far.
func (p *Process) Output() (string, error) {
	b, err := os.ReadFile(p.Log)
	return strings.TrimSuffix(string(b), "\n"), err
}
