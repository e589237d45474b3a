package demo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/pipeline"
)

// The demonstration checks all that it says, and has to notice when it is not so.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "demo")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/demo").CombinedOutput(); err != nil {
		t.Fatalf("build the demonstration: %v\n%s", err, out)
	}
	overlay.New(t, lab.Config{Hosts: 1}) // builds the programs, unless they are there

	t.Run("passes", func(t *testing.T) {
		out := demo(t, program, lab.Programs(), 0, nil)
		for _, want := range []string{"acme/web/c1# ping", "VNI 10001 is umbrella/web", "dropped 1: spoof-ipv4",
			"internet sees 198.51.100.10:", "umbrella/web/c2 sees 203.0.113.1:", "leaves on host1", "dropped on host1", "== Clean up"} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
		}
	})
	t.Run("fails when a network leaks", func(t *testing.T) {
		// On the host of a port that is plugged late, packets from the tunnel go to
		// every port from then on: again and again, because ovloomd closes the hole.
		flow := fmt.Sprintf("table=%d,priority=65535,in_port=vx0,actions=all", pipeline.TableByName("output").ID)
		bin := wrapped(t, fmt.Sprintf(`case "$*" in "port plug umbrella/web/c2"*) (for n in $(seq 100); do ovs-ofctl -O OpenFlow15 add-flow br-int '%s' || break; sleep 0.1; done) >/dev/null 2>&1 & ;; esac`, flow))
		out := demo(t, program, bin, 1, nil)
		if want := "umbrella/web/c2 heard what was not for it"; !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	})
	t.Run("leaves nothing when interrupted", func(t *testing.T) {
		for _, when := range []string{"port plug", "nat forward add"} {
			demo(t, program, lab.Programs(), 130, func(out string) bool { return strings.Contains(out, when) })
		}
	})
}

// demo runs the demonstration with the programs in bin and returns what it
// printed. Once interrupt, if there is one, says so, it is interrupted.
func demo(t *testing.T, program, bin string, code int, interrupt func(out string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "OVLOOM_BIN="+bin, "LAB_KEEP=")
	log := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	printed := func() string {
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	mark := fmt.Sprintf("ovl-%d-", cmd.Process.Pid)
	if interrupt != nil {
		lab.Eventually(t, overlay.PollTime, "the moment to interrupt", func() error {
			if !interrupt(printed()) {
				return errors.New("it has not come")
			}
			return nil
		})
		if err := cmd.Process.Signal(unix.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	err = cmd.Wait()
	out := printed()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d, want %d: %v\n%s", got, code, err, out)
	}
	for _, pattern := range []string{"/run/netns/" + mark + "*", filepath.Join(os.TempDir(), mark+"*")} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("it has left %v, %v", left, err)
		}
	}
	return out
}

// wrapped returns a directory with the programs, of which ovloom runs a script
// after each command.
func wrapped(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(lab.Programs(), "ovloomd"), filepath.Join(dir, "ovloomd")); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("#!/bin/sh\n%s \"$@\" || exit\n%s\n", filepath.Join(lab.Programs(), "ovloom"), script)
	if err := os.WriteFile(filepath.Join(dir, "ovloom"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
