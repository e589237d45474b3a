package host_test

import (
	"fmt"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// Status shows the counters of the datapath's cache, of whichever datapath: the first
// packet of a ping misses it, and those after that hit.
func TestStatusCountsHitsOfTheCache(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/a"), o.Plug(o.Hosts[1], "acme/web/b")
	o.Reaches(a, b.V4())
	for _, h := range o.Hosts {
		before := o.Status(h).Cache
		if before == nil || before.Misses == 0 || before.Lost > 0 {
			t.Fatalf("%s: the cache after the first ping: %+v", h.Name, before)
		}
		if onKernel := overlay.OnKernel(); (before.Masks > 0) != onKernel || (before.MaskHits > 0) != onKernel {
			t.Errorf("%s: masks are told by Linux's datapath only: %+v", h.Name, before)
		}
		hits := uint64(0)
		lab.Eventually(t, overlay.PollTime, h.Name+" to count 20 more hits, and flows", func() error {
			if _, err := a.Ping(t.Context(), b.V4()); err != nil {
				return err
			}
			now := o.Status(h).Cache
			if hits = now.Hits - before.Hits; hits < 20 || now.Flows == 0 || now.Lost > 0 {
				return fmt.Errorf("before %+v, now %+v", before, now)
			}
			return nil
		})
	}
}
