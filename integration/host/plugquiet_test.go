package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// accused returns how many packets of a host's machines were dropped as spoofed.
func accused(o *overlay.Overlay, h *lab.Host) string {
	o.T.Helper()
	var list []string
	for _, d := range o.Status(h).Drops {
		if d.Packets > 0 && (strings.HasPrefix(d.Reason, "spoof-") || d.Reason == "claimed-elsewhere") {
			list = append(list, fmt.Sprintf("%s: %d %s", h.Name, d.Packets, d.Reason))
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// A machine that is plugged sends packets by itself. None of them counts as spoofed, so
// that the counters of spoofed packets mean something.
func TestPluggingCountsNoLies(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/v4", "--subnet", "10.0.0.0/24")
	o.Run("network", "add", "acme/dual", "--subnet", "10.0.1.0/24", "--subnet", "fd00:1::/64")
	first, second := o.Hosts[0], o.Hosts[1]
	a, b := o.Plug(first, "acme/v4/a"), o.Plug(second, "acme/v4/b")
	c, d := o.Plug(first, "acme/dual/c"), o.Plug(second, "acme/dual/d")
	e := o.Plug(first, "acme/dual/e", "--ip", "10.0.1.77")
	o.Reaches(a, b.V4())
	o.Reaches(c, d.V6())
	o.Reaches(e, d.V4())

	// Linux asks for routers within a second, and again after four.
	spoken := func(h *lab.Host, reasons ...string) {
		t.Helper()
		for _, r := range reasons {
			o.Dropped(h, r, 1)
		}
	}
	spoken(first, "no-ipv6", "no-router")
	spoken(second, "no-ipv6", "no-router")
	innocent := func(when string, hosts ...*lab.Host) {
		t.Helper()
		for _, h := range hosts {
			if got := accused(o, h); got != "" {
				t.Errorf("%s: %s", when, got)
			}
		}
	}
	innocent("plugged", o.Hosts...)

	for _, ref := range []string{"acme/v4/a", "acme/dual/c"} {
		o.Run("port", "unplug", ref)
		moved := o.PlugExisting(second, ref)
		if ref == "acme/v4/a" {
			o.Reaches(moved, b.V4())
		} else {
			o.Reaches(moved, d.V6())
		}
	}
	innocent("moved", o.Hosts...)

	// The address is taken away from a machine that goes on sending, which has no right to it then.
	loser := second.Workloads()[len(second.Workloads())-2]
	taken := o.PlugExisting(first, "acme/v4/a", "--take")
	o.Reaches(taken, b.V4())
	innocent("taken", first)
	if err := loser.SendFrame("eth0", overlay.Datagram(taken.Port.MAC, b.Port.MAC, taken.V4(), b.V4(), []byte("still here"))); err != nil {
		t.Fatal(err)
	}
	o.Dropped(second, "claimed-elsewhere", 1)
}
