package peers

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startOVS starts a private Open vSwitch with a bridge br0 on the dummy datapath that
// ends with the test, and returns the path of br0's OpenFlow socket.
func startOVS(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peers") // not t.TempDir: too long for a unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	command := func(name string, args ...string) *exec.Cmd {
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_DBDIR="+dir, "OVS_LOGDIR="+dir)
		return cmd
	}
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	daemon := func(socket, name string, args ...string) {
		t.Helper()
		cmd := command(name, append(args, "--no-chdir", "--log-file="+in(name+".log"))...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		await(t, socket, func() bool { return listens(in(socket)) })
	}
	run("ovsdb-tool", "create", in("conf.db"))
	daemon("db.sock", "ovsdb-server", in("conf.db"), "--remote=punix:"+in("db.sock"), "--unixctl="+in("ovsdb.ctl"))
	run("ovs-vsctl", "--db=unix:"+in("db.sock"), "--no-wait", "init")
	daemon("vswitchd.ctl", "ovs-vswitchd", "unix:"+in("db.sock"), "--enable-dummy", "--disable-system", "--unixctl="+in("vswitchd.ctl"))
	run("ovs-vsctl", "--db=unix:"+in("db.sock"), "--timeout=15", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "fail_mode=secure")
	await(t, "br0.mgmt", func() bool { return listens(in("br0.mgmt")) })
	return in("br0.mgmt")
}

// listens reports whether somebody listens on a unix socket.
func listens(path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// await polls until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
