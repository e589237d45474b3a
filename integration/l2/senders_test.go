package l2_test

// Which hosts may send tunnel packets for a tenant, and that a port which is up is known
// to all that must know it.

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// A host that has no port of a tenant cannot send into the tenant's networks, though all
// know its VTEP. With its first port of the tenant it can, and the port's first
// packets arrive.
func TestHostsTunnelForTheirOwnTenantsOnly(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	for _, tenant := range []string{"acme", "umbrella"} {
		o.Run("tenant", "add", tenant)
		o.Run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24")
	}
	o.Run("network", "add", "acme/db", "--subnet", "10.0.1.0/24")
	h2, h3 := o.Hosts[1], o.Hosts[2]
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(h2, "acme/web/c2")
	db := o.Plug(h2, "acme/db/d1")
	evil := o.Plug(h3, "umbrella/web/c3")
	c4, c5 := o.Plug(h2, "umbrella/web/c4"), o.Plug(o.Hosts[0], "umbrella/web/c5")
	o.Reaches(a, b.V4())
	heard := o.Capture(b)
	vni := o.NetworkNamed("acme/web").VNI
	forge := func(words string) {
		overlay.SendVXLAN(t, h3, h2.VTEP, vni, overlay.Datagram(a.Port.MAC, b.Port.MAC, a.V4(), b.V4(), []byte(words)))
	}
	for range 5 {
		forge("forged")
	}
	o.Dropped(h2, "no-claim", 5)
	heard.MustNotSee(t, "a frame forged by a host without ports of the tenant", overlay.PayloadIs([]byte("forged")))

	// Its own tenant's packets pass, before and after.
	o.Reaches(evil, c4.V4())
	o.Reaches(evil, c5.V4())

	for i := range 3 {
		name := fmt.Sprintf("acme/web/p%d", i)
		p := o.Plug(h3, name)
		// Not only into the port's own network: the sender routes.
		for _, to := range []*overlay.Machine{a, b, db} {
			out, err := p.Exec(t.Context(), "ping", "-c", "5", "-i", "0.02", "-W", "2", to.V4().String())
			if err != nil || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("first packets of %s to %s: %v\n%s", name, to.Port.Ref(), err, out)
			}
		}
		if i == 0 {
			lab.Eventually(t, overlay.PollTime, "the host's tunnel packets of the tenant to pass", func() error {
				forge("now allowed")
				return overlay.Seen(heard, overlay.PayloadIs([]byte("now allowed")))
			})
		}
		o.RunOn(h3, "port", "unplug", name)
	}
	lab.Eventually(t, overlay.PollTime, "the host to be a stranger again", func() error {
		heard.Reset()
		forge("not any more")
		time.Sleep(10 * time.Millisecond)
		if heard.Count(overlay.PayloadIs([]byte("not any more"))) > 0 {
			return errors.New("its packets pass")
		}
		return nil
	})
}
