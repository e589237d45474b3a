// Package ovstest starts a private Open vSwitch for tests: real ovsdb-server and
// ovs-vswitchd processes with every file in a directory of their own, which tests
// can kill, pause and start again.
//
// A package whose tests use it has
//
//	func TestMain(m *testing.M) { os.Exit(ovstest.Main(m)) }
//
// so that its tests run in a network namespace that nobody else uses, and that is
// gone with them.
package ovstest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// Switch is one private Open vSwitch.
type Switch struct {
	t testing.TB

	Dir    string // holds database, sockets and logs
	Socket string // of ovsdb-server

	db, vswitchd *exec.Cmd // nil while not running
}

// Start starts an Open vSwitch, which ends with the test.
func Start(t testing.TB) *Switch {
	t.Helper()
	s := StartDB(t)
	s.StartVSwitchd()
	return s
}

// StartDB starts an Open vSwitch without its ovs-vswitchd.
func StartDB(t testing.TB) *Switch {
	t.Helper()
	// Not t.TempDir: the name of a socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	s := &Switch{t: t, Dir: dir, Socket: filepath.Join(dir, "db.sock")}
	t.Cleanup(func() {
		s.KillVSwitchd()
		s.KillDB()
		deleteTaps()
		if t.Failed() {
			t.Logf("ovs-vswitchd.log ends with:\n%s", tail(s.file("ovs-vswitchd.log")))
		}
		os.RemoveAll(dir)
	})
	s.run("ovsdb-tool", "create", s.file("conf.db"), schema)
	s.StartServer()
	return s
}

// StartServer starts ovsdb-server and waits until it answers.
func (s *Switch) StartServer() {
	s.t.Helper()
	s.db = s.start("ovsdb-server", "--remote=punix:"+s.Socket, "--unixctl="+s.file("db.ctl"), s.file("conf.db"))
	s.Until("ovsdb-server answers", func() bool {
		return s.command("ovsdb-client", "-t", "1", "list-dbs", "unix:"+s.Socket).Run() == nil
	})
}

// StartVSwitchd starts ovs-vswitchd and waits until its control socket is there.
func (s *Switch) StartVSwitchd() {
	s.t.Helper()
	ctl := s.file("vswitchd.ctl")
	os.Remove(ctl)
	s.vswitchd = s.start("ovs-vswitchd", "--disable-system", "--unixctl="+ctl, "unix:"+s.Socket)
	s.Until("ovs-vswitchd runs", func() bool {
		_, err := os.Stat(ctl)
		return err == nil
	})
}

// KillDB kills ovsdb-server as kill -9 does.
func (s *Switch) KillDB() { kill(&s.db) }

// KillVSwitchd kills ovs-vswitchd as kill -9 does.
func (s *Switch) KillVSwitchd() { kill(&s.vswitchd) }

// PauseDB stops ovsdb-server until ResumeDB: it takes connections and says nothing.
func (s *Switch) PauseDB() { s.signal(s.db, syscall.SIGSTOP) }

// ResumeDB lets ovsdb-server go on.
func (s *Switch) ResumeDB() { s.signal(s.db, syscall.SIGCONT) }

// VSCtl runs ovs-vsctl and returns what it prints, without the last newline. It
// does not wait for ovs-vswitchd.
func (s *Switch) VSCtl(args ...string) string {
	s.t.Helper()
	return s.run("ovs-vsctl", append([]string{"--db=unix:" + s.Socket, "-t", "10", "--no-wait"}, args...)...)
}

// OFCtl runs ovs-ofctl on a bridge with OpenFlow 1.5 and returns what it prints.
func (s *Switch) OFCtl(command, bridge string, args ...string) string {
	s.t.Helper()
	return s.run("ovs-ofctl", append([]string{"-O", "OpenFlow15", "-t", "10", command, "unix:" + s.file(bridge+".mgmt")}, args...)...)
}

// Until polls a condition and fails the test when it does not hold within 20 s.
func (s *Switch) Until(what string, holds func() bool) {
	s.t.Helper()
	Until(s.t, what, holds)
}

// Until polls a condition and fails the test when it does not hold within 20 s.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
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

func (s *Switch) file(name string) string { return filepath.Join(s.Dir, name) }

func (s *Switch) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+s.Dir, "OVS_DBDIR="+s.Dir, "OVS_LOGDIR="+s.Dir, "OVS_SYSCONFDIR="+s.Dir)
	return c
}

func (s *Switch) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.command(name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

func (s *Switch) start(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	args = append([]string{"--no-chdir", "--log-file=" + s.file(name+".log"), "-vconsole:off", "--pidfile=" + s.file(name+".pid")}, args...)
	c := s.command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startForever(c); err != nil {
		s.t.Fatalf("start %s: %v", name, err)
	}
	return c
}

func (s *Switch) signal(c *exec.Cmd, sig syscall.Signal) {
	s.t.Helper()
	if err := c.Process.Signal(sig); err != nil {
		s.t.Fatalf("%s: %v", c.Path, err)
	}
}

func kill(c **exec.Cmd) {
	if *c != nil {
		(*c).Process.Kill()
		(*c).Wait()
		*c = nil
	}
}

// deleteTaps deletes the interfaces of bridges, which outlive a killed ovs-vswitchd.
func deleteTaps() {
	out, _ := exec.Command("ip", "-o", "link", "show", "type", "tun").Output()
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 1 {
			exec.Command("ip", "link", "delete", strings.TrimSuffix(f[1], ":")).Run()
		}
	}
}

// Offline returns a function that runs ovs-vsctl on the database while the server
// of s does not run, through a server of its own on another socket.
func Offline(t testing.TB, s *Switch) func(args ...string) {
	return func(args ...string) {
		t.Helper()
		o := &Switch{t: t, Dir: s.Dir, Socket: s.Socket + "-offline"}
		o.db = o.start("ovsdb-server", "--remote=punix:"+o.Socket, "--unixctl="+s.file("offline.ctl"), s.file("conf.db"))
		defer o.KillDB()
		o.Until("ovsdb-server answers", func() bool {
			return o.command("ovsdb-client", "-t", "1", "list-dbs", "unix:"+o.Socket).Run() == nil
		})
		o.VSCtl(args...)
	}
}

// starter is one thread that lives as long as the process. Pdeathsig, by which the
// processes go when a test dies, counts the thread that started them as their parent.
var starter = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for f := range starter {
			f()
		}
	}()
}

func startForever(c *exec.Cmd) error {
	err := make(chan error)
	starter <- func() { err <- c.Start() }
	return <-err
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-3000):])
}

// Context returns a context that ends with the test, and after 20 s at the latest.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
