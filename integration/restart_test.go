package integration_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// flowWatch is a running `ovs-ofctl monitor br-int watch:`, which prints every
// change of the switch's flows (ovs-ofctl(8)).
type flowWatch struct {
	o *overlay
	h *lab.Host
	p *lab.Process
}

// watchFlows starts watching and returns when the watch is shown to work.
func (o *overlay) watchFlows(h *lab.Host) *flowWatch {
	o.t.Helper()
	p, err := h.Start(o.t.Context(), "flow-watch", "ovs-ofctl", "-O", "OpenFlow13", "monitor",
		"unix:"+h.MgmtSock("br-int"), "watch:!initial")
	if err != nil {
		o.t.Fatal(err)
	}
	w := &flowWatch{o, h, p}
	o.t.Cleanup(func() { _ = p.Stop() })
	// A flow of nobody's, in a table that does not exist for us.
	lab.Eventually(o.t, pollTime, "the watch to see a change", func() error {
		w.ofctl("add-flow", "cookie=0xdead,table=250,actions=drop")
		w.ofctl("del-flows", "cookie=0xdead/-1")
		if len(w.changes()) == 0 {
			return fmt.Errorf("nothing yet")
		}
		return nil
	})
	return w
}

func (w *flowWatch) ofctl(command, flow string) {
	w.o.t.Helper()
	if _, err := w.h.Exec(w.o.t.Context(), "ovs-ofctl", "-O", "OpenFlow13", command, "unix:"+w.h.MgmtSock("br-int"), flow); err != nil {
		w.o.t.Fatal(err)
	}
}

// changes returns what was changed so far.
func (w *flowWatch) changes() []string {
	w.o.t.Helper()
	out, err := w.p.Output()
	if err != nil {
		w.o.t.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "event=") {
			events = append(events, strings.TrimSpace(line))
		}
	}
	return events
}

// ours returns the changes that were not made by this test.
func (w *flowWatch) ours() []string {
	w.o.t.Helper()
	var events []string
	for _, e := range w.changes() {
		if !strings.Contains(e, "table=250") {
			events = append(events, e)
		}
	}
	return events
}

func TestRestartOfOvloomdSendsOnlyWhatChanged(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: []string{`terminating with signal`}})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.run("network", "add", "acme/lab", "--subnet", "10.0.1.0/24", "--learning")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.plug(o.Hosts[1], "acme/lab/l1", "--learn", "3")
	o.reaches(a, b.v4())

	h := o.Hosts[1] // not the one with the store, so that things can change meanwhile
	echo, err := lab.StartEcho(a.Workload, b.Workload, b.v4(), 100)
	if err != nil {
		t.Fatal(err)
	}
	w := o.watchFlows(h)
	restart := func(meanwhile func()) {
		t.Helper()
		if err := h.Ovloomd.Kill(); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		if _, err := h.StartOvloomd(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("nothing changed", func(t *testing.T) {
		o := &overlay{o.Lab, t}
		for range 3 {
			restart(func() {})
			if s := o.synced(h); s.Resync.Messages != 0 {
				t.Errorf("the restarted daemon says that it sent %d messages", s.Resync.Messages)
			}
		}
		if changed := w.ours(); len(changed) != 0 {
			t.Errorf("%d changes of flows, such as %s", len(changed), changed[0])
		}
	})
	if r := echo.Stop(); r.Lost() != 0 {
		t.Errorf("%d of %d packets lost over restarts of ovloomd", r.Lost(), r.Sent)
	}
	if echo, err = lab.StartEcho(a.Workload, b.Workload, b.v4(), 100); err != nil {
		t.Fatal(err)
	}

	t.Run("a port added", func(t *testing.T) {
		o := &overlay{o.Lab, t}
		restart(func() { o.plug(o.Hosts[0], "acme/web/c3", "--ip", "10.0.0.33", "--no-wait") })
		lab.Eventually(t, pollTime, "the new port's flows", func() error {
			if changed := w.ours(); len(changed) == 0 {
				return fmt.Errorf("no change")
			}
			return nil
		})
		s := o.synced(h)
		for _, e := range w.ours() {
			if !strings.Contains(e, "event=ADDED") {
				t.Errorf("more than the new port's flows: %s", e)
			}
		}
		if n := len(w.ours()); s.Resync.Messages > n {
			t.Errorf("%d messages for %d changed flows", s.Resync.Messages, n)
		}
	})
	// The userspace datapath loses a packet in one of five times that a veth is added
	// to it, whoever adds it.
	if r := echo.Stop(); r.Lost() > 1 {
		t.Errorf("%d of %d packets lost over a restart of ovloomd and a new port", r.Lost(), r.Sent)
	}
}

func TestFlowsReturnAfterVswitchdDied(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: vswitchdGone})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.reaches(a, b.v4())
	for _, h := range o.Hosts {
		before := o.dump(h)
		if err := h.Vswitchd.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := h.StartVswitchd(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.reaches(a, b.v4())
		o.reaches(b, a.v6())
		lab.Eventually(t, pollTime, "all flows of "+h.Name+" to be back", func() error {
			if after := o.dump(h); after != before {
				return fmt.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			return nil
		})
	}
}

func TestResyncAfterOVSDBDied(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: ovsdbGone})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.reaches(a, b.v4())

	h := o.Hosts[1]
	if err := h.OVSDB.Kill(); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, pollTime, "status to say that ovsdb-server is gone", func() error {
		for _, c := range o.status(h).Connections {
			if c.Name == "ovsdb" && !c.Connected {
				return nil
			}
		}
		return fmt.Errorf("it does not")
	})
	if err := h.StartOVSDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Open vSwitch itself comes back with a back-off of its own.
	lab.Eventually(t, time.Minute, "traffic to flow again", func() error {
		_, err := a.Ping(t.Context(), b.v4())
		return err
	})
	c := o.plug(h, "acme/web/c3")
	o.reaches(a, c.v4())
	o.runOn(h, "port", "unplug", "acme/web/c3")
}

// Lines that Open vSwitch and ovloomd log when the test kills a daemon.
var (
	vswitchdGone = []string{
		`no openflow connection`, `openflow connection`, `cannot put the bridges right`, `ovs-vswitchd`,
		`comparing the switch`, `changing the switch failed`, `could not open network device`, `tunnel`, `\|rconn\|WARN\|`,
	}
	ovsdbGone = append([]string{`ovsdb`, `db.sock`, `database`, `cannot keep`, `cannot mark`, `lock`}, vswitchdGone...)
)

// dump returns a host's flows, without counters, as ovs-ofctl prints them.
func (o *overlay) dump(h *lab.Host) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 20*time.Second)
	defer cancel()
	out, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "--no-stats", "unix:"+h.MgmtSock("br-int"))
	if err != nil {
		o.t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
