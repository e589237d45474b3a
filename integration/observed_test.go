package integration_test

// What other programs and people change in the switch is seen and put back, and told.

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/pipeline"
)

// putBackLog matches what ovloomd says of its repairs.
const putBackLog = `msg="put back"`

// ofctl changes the switch of a host from the side.
func (o *overlay) ofctl(h *lab.Host, args ...string) string {
	o.t.Helper()
	return o.exec(h, append([]string{"ovs-ofctl", "-O", "OpenFlow15"}, args...)...)
}

// repairs returns what a host has put back, of one kind: how often, and the newest.
func (o *overlay) repairs(h *lab.Host, what string) (times int, newest api.Repair) {
	o.t.Helper()
	for _, r := range o.status(h).Repairs {
		if strings.Contains(r.What, what) {
			times += r.Times
			if newest.What == "" {
				newest = r
			}
		}
	}
	return times, newest
}

// putsBack does something to a host's switch, and waits until the host says that it has
// put that back, all flows are as they were, and a still reaches b.
func (o *overlay) putsBack(h *lab.Host, name, what string, a, b *machine, do func()) api.Repair {
	o.t.Helper()
	before, _ := o.repairs(h, what)
	flows := o.dump(h)
	began := time.Now()
	do()
	var newest api.Repair
	var took time.Duration
	lab.Eventually(o.t, pollTime, name+": it is told to be put back", func() error {
		var times int
		if times, newest = o.repairs(h, what); times == before {
			return fmt.Errorf("repairs: %+v, warnings: %+v", o.status(h).Repairs, o.status(h).Warnings)
		}
		if took == 0 {
			took = newest.At.Sub(began)
		}
		return nil
	})
	lab.Eventually(o.t, pollTime, name+": all flows are back", func() error {
		if now := o.dump(h); now != flows {
			return fmt.Errorf("before:\n%s\nafter:\n%s", flows, now)
		}
		return flowsAreRight(o.t.Context(), h)
	})
	o.reaches(a, b.v4())
	o.t.Logf("%s: put back %s after it was begun: %d %s (%s)", name, took.Round(time.Millisecond), newest.Count, newest.What, newest.Detail)
	return newest
}

// Flows, groups and settings of ports that others change are put back while ovloomd runs.
func TestHandsInTheSwitch(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2, AllowLog: []string{putBackLog, `Network is down`}})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	h := o.Hosts[0]
	a, b, liar := o.plug(h, "acme/web/a"), o.plug(o.Hosts[1], "acme/web/b"), o.plug(h, "acme/web/liar")
	o.reaches(a, b.v4())
	port := o.interfaceOf(h, "acme/web/a")
	from := o.interfaceOf(h, "acme/web/liar")
	if r := o.status(h).Repairs; len(r) != 0 {
		t.Fatalf("nobody has changed anything, and it says %+v", r)
	}

	o.putsBack(h, "del-flows", "flows changed", a, b, func() { o.ofctl(h, "del-flows", "br-int") })
	o.putsBack(h, "one flow deleted", "flows changed", a, b, func() {
		o.ofctl(h, "del-flows", "br-int", "table=0,in_port="+port)
	})
	o.putsBack(h, "a flow changed", "flows changed", a, b, func() {
		o.ofctl(h, "mod-flows", "br-int", "table=0,in_port="+port+",actions=drop")
	})

	// A way past port security, under a cookie as ovloom itself gives them.
	lie := []byte("a lie")
	heard := o.capture(b)
	r := o.putsBack(h, "a flow added", "flows changed", a, b, func() {
		flow := strings.Fields(o.ofctl(h, "dump-flows", "--no-stats", "br-int", "table=0,in_port="+from))
		actions := flow[len(flow)-1]
		o.ofctl(h, "add-flow", "br-int", "table=0,priority=65535,in_port="+from+","+regexp.MustCompile(`goto_table:\d+`).ReplaceAllString(actions, fmt.Sprintf("goto_table:%d", pipeline.TableByName("fork").ID)))
	})
	if r.Count != 1 || !strings.Contains(r.Detail, "1 were too many; table classify") {
		t.Errorf("it says %+v", r)
	}
	o.send(liar, datagram(liar.port.MAC, b.port.MAC, a.v4(), b.v4(), lie))
	o.dropped(h, "spoof-ipv4", 1)
	heard.MustNotSee(t, "something said in another's name", carries(lie))
	o.putsBack(h, "a flow with a cookie of learned ones", "flows changed", a, b, func() {
		o.ofctl(h, "add-flow", "br-int", "table=0,priority=65535,cookie=0xf07000000000002,in_port="+from+",actions=drop")
	})
	o.putsBack(h, "del-groups", "groups changed", a, b, func() { o.ofctl(h, "del-groups", "br-int") })

	for _, setting := range []string{"down", "no-forward", "no-receive"} {
		r := o.putsBack(h, "mod-port "+setting, "port settings", a, b, func() {
			o.ofctl(h, "mod-port", "br-int", o.status(h).Ports[0].Interface, setting)
		})
		if !strings.Contains(r.Detail, setting) {
			t.Errorf("it says %+v", r)
		}
	}
	o.putsBack(h, "mod-port of the tunnel", "port settings", a, b, func() { o.ofctl(h, "mod-port", "br-int", "vx0", "no-forward") })

	if out := o.run("status"); !strings.Contains(out, "Put back") || !strings.Contains(out, "flows changed by another program") {
		t.Errorf("status prints\n%s", out)
	}
	// Many hands: it goes on being put right, and takes no more than its share of time.
	before, _ := o.repairs(h, "flows changed")
	until := time.Now().Add(2 * time.Second)
	for n := 0; time.Now().Before(until); n++ {
		o.ofctl(h, "add-flow", "br-int", fmt.Sprintf("table=0,priority=1,reg4=%d,actions=drop", n))
	}
	lab.Eventually(t, pollTime, "all is right again", func() error { return flowsAreRight(t.Context(), h) })
	o.reaches(a, b.v4())
	if after, _ := o.repairs(h, "flows changed"); after == before || after-before > 8 {
		t.Errorf("while flows were added in a loop for 2 s they were put back %d times", after-before)
	}
}

// interfaceOf returns the OpenFlow number of a port's interface.
func (o *overlay) interfaceOf(h *lab.Host, port string) string {
	o.t.Helper()
	for _, p := range o.status(h).Ports {
		if p.Port == port {
			return fmt.Sprint(p.OFPort)
		}
	}
	o.t.Fatalf("%s is not plugged on %s", port, h.Name)
	return ""
}
