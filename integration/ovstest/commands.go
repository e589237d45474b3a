package ovstest

// Commands of Open vSwitch, and waiting for what they do.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience bounds every command and every wait.
const patience = 20 * time.Second

// Vsctl runs ovs-vsctl, which waits until ovs-vswitchd has done what it says, and returns
// what it prints, without the last newline. The test fails if the command does.
func (s *Switch) Vsctl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-vsctl", append([]string{"--db=unix:" + s.Socket, "--timeout=15"}, args...)...)
}

// VsctlNoWait is Vsctl that does not wait for ovs-vswitchd, which may be down.
func (s *Switch) VsctlNoWait(args ...string) string {
	s.t.Helper()
	return s.Vsctl(append([]string{"--no-wait"}, args...)...)
}

// Ofctl runs ovs-ofctl with OpenFlow 1.5 and returns what it prints, without the last
// newline. The names of bridges in its arguments stand for their sockets. The test fails if
// the command does.
func (s *Switch) Ofctl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-ofctl", s.ofctl(args)...)
}

// TryOfctl is Ofctl for commands that may fail; the error holds what ovs-ofctl
// printed.
func (s *Switch) TryOfctl(args ...string) (string, error) {
	return s.command("", "ovs-ofctl", s.ofctl(args)...)
}

// OfctlInput is TryOfctl with input as standard input, for commands that take "-" as a
// file.
func (s *Switch) OfctlInput(input string, args ...string) (string, error) {
	return s.command(input, "ovs-ofctl", s.ofctl(args)...)
}

// Appctl sends a command to ovs-vswitchd and returns what it prints, without the last
// newline. The test fails if the command does.
func (s *Switch) Appctl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-appctl", append([]string{"--target=" + s.file("vswitchd.ctl"), "--timeout=15"}, args...)...)
}

// ofctl returns the arguments of ovs-ofctl, with sockets for the names of bridges.
func (s *Switch) ofctl(args []string) []string {
	out := append([]string{"-O", "OpenFlow15", "-t", "15"}, args...)
	for i, a := range out {
		if socket := s.file(a + ".mgmt"); a != "" && !strings.Contains(a, "/") && exists(socket) {
			out[i] = "unix:" + socket
		}
	}
	return out
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// run runs a command that must succeed.
func (s *Switch) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.command("", name, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSuffix(out, "\n")
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

// Until polls a condition and fails the test when it does not hold within 20 s.
func (s *Switch) Until(what string, holds func() bool) {
	s.t.Helper()
	Until(s.t, what, holds)
}

// Until polls a condition and fails the test when it does not hold within 20 s.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// Settle reads until the text is the wanted one, or 10 s have passed, and returns
// what it read last. The kernel does part of its work later: the local route of an
// IPv6 address comes after the address.
func Settle(want string, read func() string) string {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got := read(); got == want || time.Now().After(end) {
			return got
		}
	}
}

// Context returns a context that ends with the test, and after 20 s at the latest.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
