package lab

// This file is a host: its paths, and how commands run in it.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Host is one machine of a lab. Paths are the same inside it and outside.
type Host struct {
	// Set by Start.
	Name string // host1, host2, …
	Dir  string // the files of all its processes
	lab  *Lab

	// Set by the back end.
	Mgmt     netip.Addr   // address on eth0, the management network
	VTEP     netip.Addr   // address on eth1, the underlay
	Underlay netip.Prefix // VTEP, with the underlay's prefix length
	netns    string       // path of the network namespace, for this process

	// The daemons, each nil until it is first started.
	OVSDB    *Process
	Vswitchd *Process
	Ovloomd  *Process

	bridged bool         // the NIC is in uplinkBridge
	started atomic.Int64 // processes, to number their files

	// Guarded by mu.
	mu        sync.Mutex
	workloads []*Workload
}

// The interfaces of every host.
const (
	ManagementNIC = "eth0"
	UnderlayNIC   = "eth1"
)

// execTimeout bounds a command whose context has no deadline of its own.
const execTimeout = 30 * time.Second

// OVSRunDir returns the directory of the sockets of Open vSwitch.
func (h *Host) OVSRunDir() string { return filepath.Join(h.Dir, "ovs") }

// DBSock returns the path of ovsdb-server's socket.
func (h *Host) DBSock() string { return filepath.Join(h.OVSRunDir(), "db.sock") }

// MgmtSock returns the path of a bridge's OpenFlow socket.
func (h *Host) MgmtSock(bridge string) string {
	return filepath.Join(h.OVSRunDir(), bridge+".mgmt")
}

// StateDir returns ovloomd's --state-dir.
func (h *Host) StateDir() string { return filepath.Join(h.Dir, "state") }

// Socket returns ovloomd's --socket.
func (h *Host) Socket() string { return filepath.Join(h.Dir, "ovloomd.sock") }

// LogDir returns the directory of all logs.
func (h *Host) LogDir() string { return filepath.Join(h.Dir, "log") }

func (h *Host) makeDirs() error {
	for _, dir := range []string{h.OVSRunDir(), h.LogDir(), h.StateDir(), h.dbDir(), h.etcDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return os.Chmod(h.StateDir(), 0o700)
}

func (h *Host) dbDir() string  { return filepath.Join(h.Dir, "db") }
func (h *Host) etcDir() string { return filepath.Join(h.Dir, "etc") }

// env is the environment of all processes in h.
func (h *Host) env() []string {
	return []string{
		markEnv + "=" + h.lab.mark,
		"OVS_RUNDIR=" + h.OVSRunDir(),
		"OVS_LOGDIR=" + h.LogDir(),
		"OVS_DBDIR=" + h.dbDir(),
		"OVS_SYSCONFDIR=" + h.etcDir(),
		"OVLOOM_SOCKET=" + h.Socket(),
	}
}

// ExecError is a command that ran and failed.
type ExecError struct {
	Args   []string
	Code   int // its exit code; -1 if a signal ended it
	Stderr string
}

// Error returns the command, its exit code and its output.
func (e *ExecError) Error() string {
	return fmt.Sprintf("%s: exit code %d: %s", strings.Join(e.Args, " "), e.Code, strings.TrimSpace(e.Stderr))
}

// ExitCode returns the exit code behind err: 0 for nil, and -1 if err is not from a command
// that exited.
func ExitCode(err error) int {
	var e *ExecError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Code
	}
	return -1
}

// Exec runs a command in the host and returns its standard output, also if it fails; then the
// error is an *ExecError.
func (h *Host) Exec(ctx context.Context, args ...string) (string, error) {
	return h.execIn(ctx, "", args)
}

// execIn is Exec in a network namespace of the host; "" is the host's own.
func (h *Host) execIn(ctx context.Context, netns string, args []string) (string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, Patient(execTimeout))
		defer cancel()
	}
	line := h.lab.back.command(h, netns, h.env(), args)
	return run(ctx, args, line)
}

// run runs a command line; errors name it as args.
func run(ctx context.Context, args, line []string) (string, error) {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), ctx.Err(), strings.TrimSpace(stderr.String()))
	case errors.As(err, &exit):
		return stdout.String(), &ExecError{Args: args, Code: exit.ExitCode(), Stderr: stderr.String()}
	}
	return stdout.String(), fmt.Errorf("%s: %w", strings.Join(args, " "), err)
}

// InNetNS calls fn on a thread inside the host's network namespace. Sockets that fn opens stay
// there. Fn must not start goroutines that open sockets.
func (h *Host) InNetNS(fn func() error) error { return inNetNS(h.netns, fn) }

// quietKernel keeps the host's kernel from handling packets of the underlay. Open vSwitch gets
// copies of the frames, and the kernel receives them too: it must neither answer for addresses
// that have moved to another interface nor have IPv6 addresses of its own on the ports of a
// bridge.
func (h *Host) quietKernel() error {
	for key, value := range map[string]string{
		"ipv6/conf/all/disable_ipv6":     "1",
		"ipv6/conf/default/disable_ipv6": "1",
		"ipv4/conf/all/arp_ignore":       "1",
	} {
		if err := setSysctl(h.netns, key, value); err != nil {
			return err
		}
	}
	return nil
}

// Workloads returns the host's workloads in the order they were made.
func (h *Host) Workloads() []*Workload {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Workload(nil), h.workloads...)
}

// enterPath is the path of a script that runs a shell, or its arguments, in the host.
func (h *Host) enterPath() string { return filepath.Join(h.Dir, "enter") }

func (h *Host) writeEnter() error {
	line := h.lab.back.command(h, "", h.env(), nil)
	script := "#!/bin/sh\n# Run a command in " + h.Name + "; without arguments, a shell.\n" +
		"[ $# -gt 0 ] || set -- sh\n" +
		"PATH=" + binDir() + ":$PATH\nexport PATH\n" +
		"tty=--interactive\n" +
		"[ ! -t 0 ] || tty='--interactive --tty'\n" +
		"exec " + strings.Join(line, " ") + " \"$@\"\n"
	return os.WriteFile(h.enterPath(), []byte(script), 0o755)
}

// expectEnd marks the end of the host's processes as expected, before they are killed.
func (h *Host) expectEnd() {
	for _, p := range []*Process{h.OVSDB, h.Vswitchd, h.Ovloomd} {
		if p != nil {
			p.expected.Store(true)
		}
	}
}
