// Package ovstest starts a private Open vSwitch for the tests of packages: real
// ovsdb-server and ovs-vswitchd processes with every file in a directory of their own,
// which tests can kill, pause and start again. It touches no Open vSwitch that runs.
// (Package lab starts several, in hosts with networks.)
//
// StartBridge gives a switch on the dummy datapath, which needs neither root nor a
// network. Start and StartDB give one on the userspace datapath, whose bridges are
// interfaces of the machine; a package whose tests use them has
//
//	func TestMain(m *testing.M) { os.Exit(ovstest.Main(m)) }
//
// so that its tests run in a network namespace of their own, which ends with them.
package ovstest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// schema is where Debian's openvswitch-common has the switch's schema.
const schema = "/usr/share/openvswitch/vswitch.ovsschema"

// Switch is one private Open vSwitch.
type Switch struct {
	t testing.TB

	Dir    string // holds database, sockets and logs
	Socket string // of ovsdb-server
	Mgmt   string // br0's OpenFlow socket, for StartBridge

	db, vswitchd *exec.Cmd // nil while not running
}

// Start starts an Open vSwitch, which ends with the test.
func Start(t testing.TB) *Switch {
	t.Helper()
	s := StartDB(t)
	s.StartVswitchd()
	return s
}

// StartBridge starts an Open vSwitch with a bridge br0 on the dummy datapath, which ends
// with the test.
func StartBridge(t testing.TB) *Switch {
	t.Helper()
	s := Start(t)
	s.Vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy", "fail_mode=secure")
	s.Mgmt = s.file("br0.mgmt")
	s.Until("br0 answers", func() bool { return listens(s.Mgmt) })
	return s
}

// StartDB starts an Open vSwitch without its ovs-vswitchd. Without Open vSwitch on the
// machine the test fails.
func StartDB(t testing.TB) *Switch {
	t.Helper()
	for _, name := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: these tests need Open vSwitch: apt-get install openvswitch-switch", err)
		}
	}
	// Not t.TempDir: the name of a socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	s := &Switch{t: t, Dir: dir, Socket: filepath.Join(dir, "db.sock")}
	t.Cleanup(func() {
		s.KillVswitchd()
		s.KillDB()
		if insideOwnNamespace() {
			deleteTaps()
		}
		if t.Failed() {
			t.Logf("ovs-vswitchd.log ends with:\n%s", tail(s.file("ovs-vswitchd.log")))
		}
		os.RemoveAll(dir)
	})
	s.run("ovsdb-tool", "create", s.file("conf.db"), schema)
	s.StartServer()
	s.VsctlNoWait("init")
	return s
}

// StartServer starts ovsdb-server and waits until it answers.
func (s *Switch) StartServer() {
	s.t.Helper()
	os.Remove(s.Socket)
	s.db = s.start("ovsdb-server", "--remote=punix:"+s.Socket, "--unixctl="+s.file("db.ctl"), s.file("conf.db"))
	s.Until("ovsdb-server answers", func() bool { return listens(s.Socket) })
}

// StartVswitchd starts ovs-vswitchd and waits until its control socket answers. It may
// return before the bridges are back.
func (s *Switch) StartVswitchd() {
	s.t.Helper()
	ctl := s.file("vswitchd.ctl")
	os.Remove(ctl)
	s.vswitchd = s.start("ovs-vswitchd", "--enable-dummy", "--disable-system", "--unixctl="+ctl, "unix:"+s.Socket)
	s.Until("ovs-vswitchd runs", func() bool { return listens(ctl) })
}

// KillDB kills ovsdb-server as kill -9 does.
func (s *Switch) KillDB() { kill(&s.db) }

// KillVswitchd kills ovs-vswitchd as kill -9 does, and removes the OpenFlow sockets that
// it leaves.
func (s *Switch) KillVswitchd() {
	kill(&s.vswitchd)
	sockets, _ := filepath.Glob(s.file("*.mgmt"))
	for _, path := range sockets {
		os.Remove(path)
	}
}

// PauseDB stops ovsdb-server until ResumeDB: it takes connections and says nothing.
func (s *Switch) PauseDB() { s.signal(s.db, syscall.SIGSTOP) }

// ResumeDB lets ovsdb-server go on.
func (s *Switch) ResumeDB() { s.signal(s.db, syscall.SIGCONT) }

// Offline returns a function that runs ovs-vsctl on the database while the server
// of s does not run, through a server of its own on another socket.
func Offline(t testing.TB, s *Switch) func(args ...string) {
	return func(args ...string) {
		t.Helper()
		o := &Switch{t: t, Dir: s.Dir, Socket: s.Socket + "-offline"}
		o.db = o.start("ovsdb-server", "--remote=punix:"+o.Socket, "--unixctl="+s.file("offline.ctl"), s.file("conf.db"))
		defer o.KillDB()
		o.Until("ovsdb-server answers", func() bool { return listens(o.Socket) })
		o.VsctlNoWait(args...)
	}
}

func (s *Switch) file(name string) string { return filepath.Join(s.Dir, name) }

// start starts a daemon in the foreground.
func (s *Switch) start(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	args = append([]string{"--no-chdir", "--log-file=" + s.file(name+".log"), "-vconsole:off", "--pidfile=" + s.file(name+".pid")}, args...)
	c := exec.Command(name, args...)
	c.Env = s.env()
	// In a group of its own an interrupt reaches it by the test only.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
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

// listens says whether a process listens on a unix socket; the file is there a moment
// before.
func listens(path string) bool {
	c, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	c.Close()
	return true
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
