package routing_test

import (
	"fmt"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// Only packets that are too large for the next network are counted as such, not those
// that were measured and fit.
func TestOversizeCountsWhatIsTooLarge(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/wide", "--subnet", "10.0.0.0/24", "--gateway", "10.0.0.1")
	o.Run("network", "add", "acme/narrow", "--subnet", "10.0.1.0/24", "--gateway", "10.0.1.1", "--mtu", "1300")
	h := o.Hosts[0]
	a, b := o.Plug(h, "acme/wide/a"), o.Plug(h, "acme/narrow/b")
	ping := func(size, count int) {
		t.Helper()
		if _, err := a.Exec(t.Context(), "ping", "-c", fmt.Sprint(count), "-i", "0.2", "-W", "2", "-M", "dont", "-s", fmt.Sprint(size), b.V4().String()); err != nil {
			t.Fatal(err)
		}
	}
	// 28 bytes of headers: as large as may be.
	o.Reaches(a, b.V4())
	ping(1272, 10)
	// Open vSwitch credits both outcomes with them, some time after they were sent.
	lab.Eventually(t, overlay.PollTime, "the flow of what is too large to be credited with what fits", func() error {
		out, err := h.Exec(t.Context(), "sh", "-c", "ovs-ofctl -O OpenFlow15 dump-flows unix:"+h.MgmtSock("br-int")+" | grep 'reg0=0x20/0x20'")
		if err != nil {
			return err
		}
		var n int
		for i := range len(out) {
			if _, err := fmt.Sscanf(out[i:], "n_packets=%d", &n); err == nil && n > 5 {
				return nil
			}
		}
		return fmt.Errorf("%s", out)
	})
	if n := o.Drops(h, "oversize"); n != 0 {
		t.Errorf("%d packets that fit are counted as too large", n)
	}
	ping(1273, 5)
	o.Dropped(h, "oversize", 5)
	ping(1272, 5)
	if n := o.Drops(h, "oversize"); n != 5 {
		t.Errorf("%d packets are counted as too large, want 5", n)
	}
}
