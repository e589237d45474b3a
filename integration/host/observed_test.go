package host_test

// What other programs and people change in the switch is noticed, put back and reported.

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/pipeline"
)

// putBackLog matches what ovloomd logs of its repairs.
const putBackLog = `msg="put back"`

// putsBack does something to a host's switch, and waits until the host says that it has
// put that back, all flows are as they were, and a still reaches b.
func putsBack(o *overlay.Overlay, h *lab.Host, name, what string, a, b *overlay.Machine, do func()) api.Repair {
	o.T.Helper()
	before, _ := o.Repairs(h, what)
	flows := o.Dump(h)
	began := time.Now()
	do()
	var newest api.Repair
	var took time.Duration
	lab.Eventually(o.T, overlay.PollTime, name+": it is told to be put back", func() error {
		var times int
		if times, newest = o.Repairs(h, what); times == before {
			return fmt.Errorf("repairs: %+v, warnings: %+v", o.Status(h).Repairs, o.Status(h).Warnings)
		}
		if took == 0 {
			took = newest.At.Sub(began)
		}
		return nil
	})
	lab.Eventually(o.T, overlay.PollTime, name+": all flows are back", func() error {
		if now := o.Dump(h); now != flows && !strings.HasPrefix(what, "bridge") { // whose ports may have other numbers
			return fmt.Errorf("before:\n%s\nafter:\n%s", flows, now)
		}
		return overlay.FlowsAreRight(o.T.Context(), h)
	})
	o.Reaches(a, b.V4())
	o.T.Logf("%s: put back %s after it was begun: %d %s (%s)", name, took.Round(time.Millisecond), newest.Count, newest.What, newest.Detail)
	return newest
}

// Flows, groups and settings of ports that others change are put back while ovloomd runs.
func TestHandsInTheSwitch(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: []string{putBackLog, `Network is down`}})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	h := o.Hosts[0]
	a, b, liar := o.Plug(h, "acme/web/a"), o.Plug(o.Hosts[1], "acme/web/b"), o.Plug(h, "acme/web/liar")
	o.Reaches(a, b.V4())
	port := interfaceOf(o, h, "acme/web/a")
	from := interfaceOf(o, h, "acme/web/liar")
	if r := o.Status(h).Repairs; len(r) != 0 {
		t.Fatalf("nothing was changed, and status reports %+v", r)
	}

	putsBack(o, h, "del-flows", "flows changed", a, b, func() { o.Ofctl(h, "del-flows", "br-int") })
	putsBack(o, h, "one flow deleted", "flows changed", a, b, func() {
		o.Ofctl(h, "del-flows", "br-int", "table=0,in_port="+port)
	})
	putsBack(o, h, "a flow changed", "flows changed", a, b, func() {
		o.Ofctl(h, "mod-flows", "br-int", "table=0,in_port="+port+",actions=drop")
	})

	// A way past port security, under a cookie as ovloom itself gives them.
	lie := []byte("a lie")
	heard := o.Capture(b)
	r := putsBack(o, h, "a flow added", "flows changed", a, b, func() {
		flow := strings.Fields(o.Ofctl(h, "dump-flows", "--no-stats", "br-int", "table=0,in_port="+from))
		actions := flow[len(flow)-1]
		o.Ofctl(h, "add-flow", "br-int", "table=0,priority=65535,in_port="+from+","+regexp.MustCompile(`goto_table:\d+`).ReplaceAllString(actions, fmt.Sprintf("goto_table:%d", pipeline.TableByName("fork").ID)))
	})
	if r.Count != 1 || !strings.Contains(r.Detail, "1 were too many; table classify") {
		t.Errorf("it says %+v", r)
	}
	o.Send(liar, overlay.Datagram(liar.Port.MAC, b.Port.MAC, a.V4(), b.V4(), lie))
	o.Dropped(h, "spoof-ipv4", 1)
	heard.MustNotSee(t, "something said in another's name", overlay.PayloadIs(lie))
	putsBack(o, h, "a flow with a cookie of learned ones", "flows changed", a, b, func() {
		o.Ofctl(h, "add-flow", "br-int", "table=0,priority=65535,cookie=0xf07000000000002,in_port="+from+",actions=drop")
	})
	putsBack(o, h, "del-groups", "groups changed", a, b, func() { o.Ofctl(h, "del-groups", "br-int") })

	putsBack(o, h, "del-flows of the underlay's bridge", "flows changed", a, b, func() { o.Ofctl(h, "del-flows", "br-phy") })

	// That its device is down is seen by two who watch: as a link, and as a port.
	putsBack(o, h, "mod-port down", "", a, b, func() {
		o.Ofctl(h, "mod-port", "br-int", o.Status(h).Ports[0].Interface, "down")
	})
	for _, setting := range []string{"no-forward", "no-receive"} {
		r := putsBack(o, h, "mod-port "+setting, "port settings", a, b, func() {
			o.Ofctl(h, "mod-port", "br-int", o.Status(h).Ports[0].Interface, setting)
		})
		if !strings.Contains(r.Detail, setting) {
			t.Errorf("it says %+v", r)
		}
	}
	putsBack(o, h, "mod-port of the tunnel", "port settings", a, b, func() { o.Ofctl(h, "mod-port", "br-int", "vx0", "no-forward") })

	if !overlay.OnKernel() {
		putsBack(o, h, "bounds of fragments", "fragments of connections", a, b, func() {
			o.Exec(h, "ovs-appctl", "dpctl/ipf-set-max-nfrags", "netdev@ovs-netdev", "10")
		})
	}

	if out := o.Run("status"); !strings.Contains(out, "Put back") || !strings.Contains(out, "flows changed by another program") {
		t.Errorf("status prints\n%s", out)
	}
	// Many changes: all are put back, and that takes no more than its share of time.
	before, _ := o.Repairs(h, "flows changed")
	until := time.Now().Add(2 * time.Second)
	for n := 0; time.Now().Before(until); n++ {
		o.Ofctl(h, "add-flow", "br-int", fmt.Sprintf("table=0,priority=1,reg4=%d,actions=drop", n))
	}
	lab.Eventually(t, overlay.PollTime, "all is right again", func() error { return overlay.FlowsAreRight(t.Context(), h) })
	o.Reaches(a, b.V4())
	if after, _ := o.Repairs(h, "flows changed"); after == before || after-before > 8 {
		t.Errorf("while flows were added in a loop for 2 s they were put back %d times", after-before)
	}
}

// interfaceOf returns the OpenFlow number of a port's interface.
func interfaceOf(o *overlay.Overlay, h *lab.Host, port string) string {
	o.T.Helper()
	for _, p := range o.Status(h).Ports {
		if p.Port == port {
			return fmt.Sprint(p.OFPort)
		}
	}
	o.T.Fatalf("%s is not plugged on %s", port, h.Name)
	return ""
}

// Whatever is done to the bridge, it and what ovloom needs of it come back, and a start
// after that knows its own bridge.
func TestHandsOnTheBridge(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: append([]string{putBackLog, `Network is down`, `No such device`,
		`connection refused`, `tcp:127.0.0.1:9`, `br-int`, `openflow`, `connection closed by`}, overlay.VswitchdGone...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	h := o.Hosts[1]
	a, b := o.Plug(h, "acme/web/a"), o.Plug(o.Hosts[0], "acme/web/b")
	o.Reaches(a, b.V4())
	vsctl := func(args ...string) func() {
		return func() { o.Exec(h, append([]string{"ovs-vsctl"}, args...)...) }
	}
	for name, args := range map[string][]string{
		"external_ids cleared": {"clear", "Bridge", "br-int", "external_ids"},
		"fail mode":            {"set-fail-mode", "br-int", "standalone"},
		"protocols":            {"set", "bridge", "br-int", "protocols=OpenFlow13"},
		"tunnel's options":     {"set", "interface", "vx0", "options:remote_ip=192.0.2.1"},
		"tunnel deleted":       {"del-port", "br-int", "vx0"},
		"spanning tree":        {"set", "bridge", "br-int", "stp_enable=true"},
		"set-controller":       {"set-controller", "br-int", "tcp:127.0.0.1:9"},
	} {
		putsBack(o, h, name, "bridge settings", a, b, vsctl(args...))
	}
	if out := o.Exec(h, "ovs-vsctl", "get-controller", "br-int"); out != "" {
		t.Errorf("the controller is still there: %s", out)
	}

	// While ovloomd is away.
	if err := h.Ovloomd.Stop(); err != nil {
		t.Fatal(err)
	}
	vsctl("clear", "Bridge", "br-int", "external_ids")()
	vsctl("set-controller", "br-int", "tcp:127.0.0.1:9")()
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, overlay.PollTime, "all to be right again", func() error { return overlay.FlowsAreRight(t.Context(), h) })
	o.Reaches(a, b.V4())
	if out := o.Exec(h, "ovs-vsctl", "get", "Bridge", "br-int", "external_ids:ovloom"); !strings.Contains(out, h.Name) {
		t.Errorf("the bridge is marked as %s", out)
	}
}

// Status answers at once while Open vSwitch hangs, and says which parts are old.
func TestStatusWhileOpenVSwitchHangs(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1, AllowLog: append([]string{putBackLog, `Broken pipe`, `cannot`, `task failed`, `comparing`, `openflow`}, append(overlay.OVSDBGone, overlay.VswitchdGone...)...)})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	h := o.Hosts[0]
	a, b := o.Plug(h, "acme/web/a"), o.Plug(h, "acme/web/b")
	o.Reaches(a, b.V4())
	whole := o.Status(h)

	for name, p := range map[string]*lab.Process{"ovsdb-server": h.OVSDB, "ovs-vswitchd": h.Vswitchd} {
		if err := p.Signal(unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		var s api.Status
		slowest := time.Duration(0)
		for range 8 {
			began := time.Now()
			s = o.Status(h)
			slowest = max(slowest, time.Since(began))
			time.Sleep(200 * time.Millisecond)
		}
		t.Logf("while %s hangs the slowest status took %s", name, slowest.Round(time.Millisecond))
		if slowest > 3*time.Second { // idle: 0.7 s
			t.Errorf("while %s hangs status takes %s", name, slowest)
		}
		if len(s.Ports) != len(whole.Ports) || len(s.Tenants) != 1 {
			t.Errorf("while %s hangs status has lost ports: %+v", name, s)
		}
		if p == h.Vswitchd {
			if len(s.Warnings) == 0 || len(s.Stale) == 0 && s.Connections[2].Connected {
				t.Errorf("while %s hangs status says %+v, stale %+v", name, s.Warnings, s.Stale)
			}
		}
		if err := p.Signal(unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, time.Minute, "status to be of now", func() error {
			if s := o.Status(h); len(s.Stale)+len(s.Warnings) > 0 {
				return fmt.Errorf("stale %+v, warnings %+v", s.Stale, s.Warnings)
			}
			return nil
		})
		o.Reaches(a, b.V4())
	}
}
