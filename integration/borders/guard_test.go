package borders_test

// What tenants must not reach, tried with real packets and connections: tunnels, the
// store, the hosts and each other. Every destination is reached once its external
// allows it: the positive control of the silence before.

import (
	"errors"
	"net/netip"
	"regexp"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// guarded is a destination that tenants must not reach.
type guarded struct {
	what, reason string
	to           netip.AddrPort
}

// testGuarded tries TCP connections that must fail, allows them, sees them succeed, and
// forbids them again.
func testGuarded(o *overlay.Outdoors, from *overlay.Machine, external string, g guarded) {
	o.T.Helper()
	h := from.Host
	refuse := func() {
		o.T.Helper()
		before := o.Drops(h, g.reason)
		if overlay.ConnectTCP(from.Workload, g.to, overlay.Briefly) == nil {
			o.T.Errorf("%s was reached at %s by %s", g.what, g.to, external)
		}
		o.Dropped(h, g.reason, before+1)
	}
	refuse()
	o.Allow(external, g.to.Addr(), "--allow")
	lab.Eventually(o.T, overlay.PollTime, g.what+", which is allowed", func() error { return overlay.ConnectTCP(from.Workload, g.to, overlay.AnswerTime) })
	o.Allow(external, g.to.Addr(), "--no-allow")
	lab.Eventually(o.T, overlay.PollTime, g.what+" to be out of reach again", func() error {
		if overlay.ConnectTCP(from.Workload, g.to, overlay.Briefly) == nil {
			return errors.New("it answers")
		}
		return nil
	})
	refuse()
}

func TestGuardedDestinations(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.Tenant("acme", o.Hosts[0], o.Hosts[1]), o.Tenant("umbrella", o.Hosts[0], o.Hosts[1])
	c1, victim := acme[0], other[1]
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "internet")
	foreign := o.Float(victim)
	overlay.Serve(t, victim.Workload)
	o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(foreign), 10, lab.CampusGateway)
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, c1.Host.InternetAddr())

	t.Run("tunnels", func(t *testing.T) { testForgedVXLAN(o, t, c1, victim, foreign) })

	for _, g := range []guarded{
		{"the store", "store", netip.AddrPortFrom(o.Hosts[0].Mgmt, lab.StorePort)},
		{"ssh of this host", "host-address", netip.AddrPortFrom(c1.Host.InternetAddr(), 22)},
	} {
		t.Run(g.what, func(t *testing.T) {
			o := o.With(t)
			if g.to.Port() == 22 {
				overlay.AcceptTCP(t, c1.Host, g.to)
			}
			testGuarded(o, c1, "internet", g)
		})
	}
}

// testForgedVXLAN forges tunnel packets into another tenant's network, where the victim
// has a floating address.
func testForgedVXLAN(o *overlay.Outdoors, t *testing.T, from, victim *overlay.Machine, address netip.Addr) {
	o = o.With(t)
	vni := o.NetworkNamed("umbrella/web").VNI
	heard := o.Capture(victim)
	forge := func(words string) error {
		frame := overlay.Datagram(from.Port.MAC, victim.Port.MAC, netip.MustParseAddr("10.0.1.77"), victim.V4(), []byte(words))
		for _, h := range o.Hosts {
			if err := overlay.Tell(from.Workload, netip.AddrPortFrom(h.VTEP, lab.VXLANPort), string(lab.VXLAN(vni, frame))); err != nil {
				return err
			}
		}
		return nil
	}
	before := o.Drops(from.Host, "vtep")
	for range 10 {
		if err := forge("forged"); err != nil {
			t.Fatal(err)
		}
	}
	o.Dropped(from.Host, "vtep", before+20)

	// The capture hears the victim, and what is forged is what a tunnel would take.
	o.TellUntilHeard(o.Outside.Workload, overlay.ServerAt(address), "from outside", heard)
	o.Allow("internet", o.Hosts[1].VTEP, "--allow")
	lab.Eventually(t, overlay.PollTime, "a forged packet, which is allowed, to come as far as it does", func() error {
		if err := forge("allowed"); err != nil {
			return err
		}
		if overlay.OnKernel() {
			return overlay.Seen(heard, overlay.PayloadContains("allowed"))
		}
		// The address is open then, and tunnels to it are not: the host translates no tunnel
		// packets.
		rules := o.Exec(from.Host, "nft", "list", "chain", "inet", "ovloom_ports", "translated")
		if !regexp.MustCompile(`counter packets [1-9]`).MatchString(rules) {
			return errors.New(rules)
		}
		return nil
	})
	if !overlay.OnKernel() {
		heard.MustNotSee(t, "a forged packet to an address that is open", overlay.PayloadContains("allowed"))
	}
	o.Allow("internet", o.Hosts[1].VTEP, "--no-allow")
	before = o.Drops(from.Host, "vtep")
	lab.Eventually(t, overlay.PollTime, "tunnels to be out of reach again", func() error {
		heard.Reset()
		if err := forge("allowed"); err != nil {
			return err
		}
		if overlay.Seen(heard, overlay.PayloadContains("allowed")) == nil {
			return errors.New("a forged packet arrives")
		}
		return nil
	})
	o.Dropped(from.Host, "vtep", before+2)
	heard.MustNotSee(t, "a forged packet", overlay.PayloadContains("forged"))
}
