// Package ovstest runs a private Open vSwitch for tests: an ovsdb-server and an
// ovs-vswitchd of their own, in a temporary directory, with a bridge br0 on the
// dummy datapath. It touches neither the host's network nor a running Open vSwitch.
package ovstest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every command and every wait for a process.
const patience = 20 * time.Second

// Switch is a running Open vSwitch with a bridge br0.
type Switch struct {
	Dir  string // holds its sockets, database and logs
	Mgmt string // path of br0's OpenFlow socket

	t        testing.TB
	database *exec.Cmd
	vswitchd *exec.Cmd // nil while it is stopped
}

// Start starts a switch that ends with the test. Without Open vSwitch on the machine
// the test fails.
func Start(t testing.TB) *Switch {
	t.Helper()
	for _, name := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: these tests need Open vSwitch: apt-get install openvswitch-switch", err)
		}
	}
	// Not t.TempDir: its long path would not fit in a unix socket's address.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	s := &Switch{Dir: dir, Mgmt: filepath.Join(dir, "br0.mgmt"), t: t}
	t.Cleanup(s.stop)

	s.run("ovsdb-tool", "create", filepath.Join(dir, "conf.db"))
	s.database = s.start("ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=punix:"+filepath.Join(dir, "db.sock"),
		"--unixctl="+filepath.Join(dir, "ovsdb.ctl"), "--no-chdir", "--log-file="+filepath.Join(dir, "ovsdb.log"))
	s.waitFor("db.sock")
	s.Vsctl("--no-wait", "init")
	s.StartVswitchd()
	s.Vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "fail_mode=secure")
	s.waitFor("br0.mgmt")
	return s
}

// StartVswitchd starts ovs-vswitchd after KillVswitchd. It may return before br0 is
// back.
func (s *Switch) StartVswitchd() {
	s.t.Helper()
	s.vswitchd = s.start("ovs-vswitchd", "unix:"+filepath.Join(s.Dir, "db.sock"), "--enable-dummy", "--disable-system",
		"--unixctl="+filepath.Join(s.Dir, "vswitchd.ctl"), "--no-chdir", "--log-file="+filepath.Join(s.Dir, "vswitchd.log"))
	s.waitFor("vswitchd.ctl")
}

// KillVswitchd kills ovs-vswitchd as a crash would, and removes the sockets that it
// leaves.
func (s *Switch) KillVswitchd() {
	s.t.Helper()
	if s.vswitchd == nil {
		return
	}
	kill(s.vswitchd)
	s.vswitchd = nil
	for _, name := range []string{"br0.mgmt", "vswitchd.ctl"} {
		os.Remove(filepath.Join(s.Dir, name))
	}
}

// Ofctl runs ovs-ofctl with OpenFlow 1.5 and returns what it prints. The test fails
// if the command does.
func (s *Switch) Ofctl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-ofctl", append([]string{"-O", "OpenFlow15"}, s.resolve(args)...)...)
}

// TryOfctl is Ofctl for commands that may fail; the error holds what ovs-ofctl
// printed.
func (s *Switch) TryOfctl(args ...string) (string, error) {
	return s.command("", "ovs-ofctl", append([]string{"-O", "OpenFlow15"}, s.resolve(args)...)...)
}

// OfctlInput runs ovs-ofctl with OpenFlow 1.5 and input as its standard input, for
// commands that take "-" as a file.
func (s *Switch) OfctlInput(input string, args ...string) (string, error) {
	return s.command(input, "ovs-ofctl", append([]string{"-O", "OpenFlow15"}, s.resolve(args)...)...)
}

// Vsctl runs ovs-vsctl and returns what it prints. The test fails if the command
// does.
func (s *Switch) Vsctl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-vsctl", append([]string{"--db=unix:" + filepath.Join(s.Dir, "db.sock"), "--timeout=15"}, args...)...)
}

// Appctl sends a command to ovs-vswitchd and returns what it prints. The test fails
// if the command does.
func (s *Switch) Appctl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-appctl", append([]string{"--target=" + filepath.Join(s.Dir, "vswitchd.ctl"), "--timeout=15"}, args...)...)
}

// resolve replaces the argument br0 by the bridge's socket.
func (s *Switch) resolve(args []string) []string {
	out := append([]string(nil), args...)
	for i, a := range out {
		if a == "br0" {
			out[i] = "unix:" + s.Mgmt
		}
	}
	return out
}

// run runs a command that must succeed.
func (s *Switch) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.command("", name, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// command runs a command within the time allowed.
func (s *Switch) command(input, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = s.env()
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// env makes Open vSwitch's programs use the switch's own directory.
func (s *Switch) env() []string {
	return append(os.Environ(), "OVS_RUNDIR="+s.Dir, "OVS_DBDIR="+s.Dir, "OVS_LOGDIR="+s.Dir, "OVS_SYSCONFDIR="+s.Dir)
}

// start starts a daemon in the foreground. It dies with the thread that started it, so
// also when the test process is killed.
func (s *Switch) start(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = s.env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", name, err)
	}
	return cmd
}

// waitFor waits until a socket is listened on; it is there a moment before.
func (s *Switch) waitFor(name string) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("unix", filepath.Join(s.Dir, name)); err == nil {
			c.Close()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(s.Dir, "vswitchd.log"))
	s.t.Fatalf("%s did not appear within %v\n%s", name, patience, log)
}

// stop ends both daemons and removes the directory.
func (s *Switch) stop() {
	if s.vswitchd != nil {
		kill(s.vswitchd)
	}
	if s.database != nil {
		kill(s.database)
	}
	os.RemoveAll(s.Dir)
}

// kill ends a daemon; the dummy datapath leaves nothing behind.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
