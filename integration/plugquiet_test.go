package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

// accused says how often a host's machines were taken for somebody else.
func (o *overlay) accused(h *lab.Host) string {
	o.t.Helper()
	var list []string
	for _, d := range o.status(h).Drops {
		if d.Packets > 0 && (strings.HasPrefix(d.Reason, "spoof-") || d.Reason == "claimed-elsewhere") {
			list = append(list, fmt.Sprintf("%s: %d %s", h.Name, d.Packets, d.Reason))
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// A machine that is plugged says things by itself. None of it counts as a lie, and so
// the counters of lies are worth a look.
func TestPluggingCountsNoLies(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/v4", "--subnet", "10.0.0.0/24")
	o.run("network", "add", "acme/dual", "--subnet", "10.0.1.0/24", "--subnet", "fd00:1::/64")
	first, second := o.Hosts[0], o.Hosts[1]
	a, b := o.plug(first, "acme/v4/a"), o.plug(second, "acme/v4/b")
	c, d := o.plug(first, "acme/dual/c"), o.plug(second, "acme/dual/d")
	e := o.plug(first, "acme/dual/e", "--ip", "10.0.1.77")
	o.reaches(a, b.v4())
	o.reaches(c, d.v6())
	o.reaches(e, d.v4())

	// Linux asks for routers within a second, and again after four.
	spoken := func(h *lab.Host, reasons ...string) {
		t.Helper()
		for _, r := range reasons {
			o.dropped(h, r, 1)
		}
	}
	spoken(first, "no-ipv6", "no-router")
	spoken(second, "no-ipv6", "no-router")
	innocent := func(when string, hosts ...*lab.Host) {
		t.Helper()
		for _, h := range hosts {
			if got := o.accused(h); got != "" {
				t.Errorf("%s: %s", when, got)
			}
		}
	}
	innocent("plugged", o.Hosts...)

	for _, ref := range []string{"acme/v4/a", "acme/dual/c"} {
		o.run("port", "unplug", ref)
		moved := o.plugExisting(second, ref)
		if ref == "acme/v4/a" {
			o.reaches(moved, b.v4())
		} else {
			o.reaches(moved, d.v6())
		}
	}
	innocent("moved", o.Hosts...)

	// Taken away from a machine that goes on, which is what has no right to speak then.
	loser := second.Workloads()[len(second.Workloads())-2]
	taken := o.plugExisting(first, "acme/v4/a", "--take")
	o.reaches(taken, b.v4())
	innocent("taken", first)
	if err := loser.SendFrame("eth0", datagram(taken.port.MAC, b.port.MAC, taken.v4(), b.v4(), []byte("still here"))); err != nil {
		t.Fatal(err)
	}
	o.dropped(second, "claimed-elsewhere", 1)
}
