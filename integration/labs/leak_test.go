package labs_test

// These tests are of what a lab leaves behind: nothing, however its process ends.
// The process is a copy of this test binary, started with leaverEnv.

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// leaverEnv names the back end of the lab that a copy of this binary leaves.
const leaverEnv = "OVLOOM_TEST_LEAVER"

// leave starts a lab, says so, and ends as its standard input says. It never
// closes the lab.
func leave(b lab.Backend) int {
	// A shell starts what it runs in the background with interrupts ignored.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		os.Exit(130)
	}()
	ctx := context.Background()
	l, err := lab.Start(ctx, lab.Config{Hosts: 2, Backend: b})
	if err == nil {
		_, err = l.Hosts[0].NewWorkload(ctx, "w")
	}
	if err == nil {
		_, err = l.Hosts[0].Start(ctx, "sleep", "sleep", "1000")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(lab.Mark())
	order, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	switch order {
	case "exit\n":
		return 0
	case "panic\n":
		go panic("as told")
	}
	select {}
}

// leaver is a process that has a lab.
type leaver struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	mark  string
}

func startLeaver(t *testing.T, b lab.Backend) *leaver {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), leaverEnv+"="+string(b), "LAB_KEEP=")
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, unless the test failed
	})
	mark, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait() // so that it has said everything
		t.Fatalf("no lab: %v\n%s", err, said.String())
	}
	return &leaver{cmd, stdin, strings.TrimSpace(mark)}
}

// mustHaveALab is the positive control of mustLeaveNothing.
func (l *leaver) mustHaveALab(t *testing.T) {
	t.Helper()
	lab.Eventually(t, 10*time.Second, l.mark+" to have a lab", func() error {
		left := strings.Join(lab.Leftovers(l.mark), "\n")
		for _, want := range []string{"ovs-vswitchd", "ovsdb-server", "sleep 1000", "namespace ", "directory "} {
			if !strings.Contains(left, want) {
				return fmt.Errorf("no %s among\n%s", want, left)
			}
		}
		return nil
	})
}

func mustLeaveNothing(t *testing.T, mark string) {
	t.Helper()
	lab.Eventually(t, 30*time.Second, "everything of "+mark+" to be gone", func() error {
		if left := lab.Leftovers(mark); len(left) > 0 {
			return fmt.Errorf("left:\n%s", strings.Join(left, "\n"))
		}
		return nil
	})
}

func TestNothingIsLeft(t *testing.T) {
	for _, c := range []struct {
		name    string
		backend lab.Backend
		end     func(*leaver) error
	}{
		{"after an exit", lab.Namespaces, func(l *leaver) error { return l.say("exit") }},
		{"after a panic", lab.Namespaces, func(l *leaver) error { return l.say("panic") }},
		{"after an interrupt", lab.Namespaces, func(l *leaver) error { return l.cmd.Process.Signal(os.Interrupt) }},
		{"after kill -9", lab.Namespaces, func(l *leaver) error { return l.cmd.Process.Kill() }},
		{"of containers after kill -9", lab.Containers, func(l *leaver) error { return l.cmd.Process.Kill() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := startLeaver(t, c.backend)
			l.mustHaveALab(t)
			if err := c.end(l); err != nil {
				t.Fatal(err)
			}
			_ = l.cmd.Wait() // how it ends is what differs
			mustLeaveNothing(t, l.mark)
		})
	}
}

func (l *leaver) say(order string) error {
	_, err := io.WriteString(l.stdin, order+"\n")
	return err
}

func TestSweepRemovesWhatReapersCouldNot(t *testing.T) {
	l := startLeaver(t, lab.Namespaces)
	reaper := l.reaper(t)
	if err := syscall.Kill(reaper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = l.cmd.Wait()
	l.mustHaveALab(t)
	if _, err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustLeaveNothing(t, l.mark)
}

func TestSweepLeavesTheLiving(t *testing.T) {
	l := startLeaver(t, lab.Namespaces)
	if _, err := lab.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.mustHaveALab(t)
	if err := l.say("exit"); err != nil {
		t.Fatal(err)
	}
	_ = l.cmd.Wait()
	mustLeaveNothing(t, l.mark)
}

// reaper returns the child that waits for the leaver's end: the one without the
// lab's mark.
func (l *leaver) reaper(t *testing.T) int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", l.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			continue // that thread has ended
		}
		for _, child := range strings.Fields(string(children)) {
			env, err := os.ReadFile("/proc/" + child + "/environ")
			if err == nil && bytes.Contains(env, []byte("OVLOOM_LAB_REAPER="+l.mark)) {
				pid, err := strconv.Atoi(child)
				if err != nil {
					t.Fatal(err)
				}
				return pid
			}
		}
	}
	t.Fatalf("%s has no reaper", l.mark)
	return 0
}
