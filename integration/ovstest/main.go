package ovstest

// Network namespaces for tests.

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// insideKey is set in the environment of a test process that is in a namespace of
// its own; its value is the prefix of the namespaces that the process may name.
const insideKey = "OVLOOM_TEST_NETNS_PREFIX"

// Main runs the tests in a new network namespace, by starting this program once
// more, and returns the exit code. Namespaces that Netns made and temporary files are
// removed whatever becomes of that process. Fuzzing, which needs no network, runs in place.
func Main(m *testing.M) int {
	if insideOwnNamespace() || fuzzing() {
		return m.Run()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces: run them as root")
		return 1
	}
	prefix := fmt.Sprintf("ovltest%d-", os.Getpid())
	temp, err := os.MkdirTemp("", "ovltest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(temp)
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), insideKey+"="+prefix, "TMPDIR="+temp)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// Ctrl-C reaches the child too; we stay to clean up after it.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	err = startForever(c)
	if err == nil {
		err = c.Wait()
	}
	names, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, n := range names {
		exec.Command("ip", "netns", "delete", filepath.Base(n)).Run()
	}
	if err != nil && c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "start the tests in a network namespace:", err)
	}
	if err != nil {
		return max(1, c.ProcessState.ExitCode())
	}
	return 0
}

// insideOwnNamespace says whether this process has a network namespace of its own.
func insideOwnNamespace() bool { return os.Getenv(insideKey) != "" }

// Netns makes a network namespace with a name of its own, and removes it after the
// test.
func Netns(t testing.TB, suffix string) string {
	t.Helper()
	prefix := os.Getenv(insideKey)
	if prefix == "" {
		t.Fatal("the package's TestMain does not call ovstest.Main")
	}
	name := prefix + suffix
	IP(t, "netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", name).Run() })
	return name
}

// IP runs ip(8) and returns what it prints.
func IP(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func fuzzing() bool {
	for _, a := range os.Args[1:] {
		a = strings.TrimLeft(a, "-")
		if strings.HasPrefix(a, "test.fuzz=") || a == "test.fuzzworker" {
			return true
		}
	}
	return false
}
