package integration_test

// Which hosts may send tunnel packets for a tenant, and that a port which is up is known
// to all that must know it.

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// A host that has nothing of a tenant cannot speak in the tenant's networks, though it
// has a VTEP that all know. With its first port of the tenant it can, and the port's first
// packets arrive.
func TestHostsTunnelForTheirOwnTenantsOnly(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	for _, tenant := range []string{"acme", "umbrella"} {
		o.run("tenant", "add", tenant)
		o.run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24")
	}
	o.run("network", "add", "acme/db", "--subnet", "10.0.1.0/24")
	h2, h3 := o.Hosts[1], o.Hosts[2]
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(h2, "acme/web/c2")
	db := o.plug(h2, "acme/db/d1")
	evil := o.plug(h3, "umbrella/web/c3")
	c4, c5 := o.plug(h2, "umbrella/web/c4"), o.plug(o.Hosts[0], "umbrella/web/c5")
	o.reaches(a, b.v4())
	heard := o.capture(b)
	vni := o.networkNamed("acme/web").VNI
	forge := func(words string) {
		sendVXLAN(t, h3, h2.VTEP, vni, datagram(a.port.MAC, b.port.MAC, a.v4(), b.v4(), []byte(words)))
	}
	for range 5 {
		forge("forged")
	}
	o.dropped(h2, "no-claim", 5)
	heard.MustNotSee(t, "a frame forged by a host without ports of the tenant", carries([]byte("forged")))

	// Its own tenant's packets pass, before and after.
	o.reaches(evil, c4.v4())
	o.reaches(evil, c5.v4())

	for i := range 3 {
		name := fmt.Sprintf("acme/web/p%d", i)
		p := o.plug(h3, name)
		// Not only into the port's own network: the sender routes.
		for _, to := range []*machine{a, b, db} {
			out, err := p.Exec(t.Context(), "ping", "-c", "5", "-i", "0.02", "-W", "2", to.v4().String())
			if err != nil || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("first packets of %s to %s: %v\n%s", name, to.port.Ref(), err, out)
			}
		}
		if i == 0 {
			lab.Eventually(t, pollTime, "the host's tunnel packets of the tenant to pass", func() error {
				forge("now allowed")
				return seen(heard, carries([]byte("now allowed")))
			})
		}
		o.runOn(h3, "port", "unplug", name)
	}
	lab.Eventually(t, pollTime, "the host to be a stranger again", func() error {
		heard.Reset()
		forge("not any more")
		time.Sleep(10 * time.Millisecond)
		if heard.Count(carries([]byte("not any more"))) > 0 {
			return errors.New("its packets pass")
		}
		return nil
	})
}
