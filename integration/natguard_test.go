package integration_test

// What tenants must not reach, tried with real packets and connections: tunnels, the
// store, the hosts and each other. Every destination is reached once its external
// allows it, so that silence before means something.

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

// accepts listens on a TCP port of a host, as sshd would, and counts who gets through.
func accepts(t *testing.T, h *lab.Host, a netip.AddrPort) (accepted chan netip.AddrPort) {
	t.Helper()
	var l net.Listener
	if err := h.InNetNS(func() (err error) {
		l, err = net.Listen("tcp4", a.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted = make(chan netip.AddrPort, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c.RemoteAddr().(*net.TCPAddr).AddrPort()
			c.Close()
		}
	}()
	return accepted
}

// vxlan returns a VXLAN packet (RFC 7348, section 5) with a frame, without its UDP
// header.
func vxlan(vni uint32, frame []byte) []byte {
	const vniIsValid = 0x08
	return append(binary.BigEndian.AppendUint32([]byte{vniIsValid, 0, 0, 0}, vni<<8), frame...)
}

// guarded is a destination that tenants must not reach.
type guarded struct {
	what, reason string
	to           netip.AddrPort
}

// connects opens a TCP connection and closes it.
func connects(w *lab.Workload, to netip.AddrPort, timeout time.Duration) error {
	return w.InNetNS(func() error {
		c, err := net.DialTimeout("tcp", to.String(), timeout)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// briefly is enough for a SYN to be dropped; the counter of drops tells that it was.
const briefly = 200 * time.Millisecond

// allow lets tenants reach an address by an external, or not any more.
func (o *outdoors) allow(external string, a netip.Addr, flag string) {
	o.t.Helper()
	o.run("external", "set", external, flag, netip.PrefixFrom(a, 32).String())
}

// testGuarded tries TCP connections that must not come about, allows them, sees them
// come about, and forbids them again.
func (o *outdoors) testGuarded(from *machine, external string, g guarded) {
	o.t.Helper()
	h := from.Host
	refuse := func() {
		o.t.Helper()
		before := o.drops(h, g.reason)
		if connects(from.Workload, g.to, briefly) == nil {
			o.t.Errorf("%s was reached at %s by %s", g.what, g.to, external)
		}
		o.dropped(h, g.reason, before+1)
	}
	refuse()
	o.allow(external, g.to.Addr(), "--allow")
	lab.Eventually(o.t, pollTime, g.what+", which is allowed", func() error { return connects(from.Workload, g.to, natTime) })
	o.allow(external, g.to.Addr(), "--no-allow")
	lab.Eventually(o.t, pollTime, g.what+" to be out of reach again", func() error {
		if connects(from.Workload, g.to, briefly) == nil {
			return errors.New("it answers")
		}
		return nil
	})
	refuse()
}

func TestGuardedDestinations(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.tenant("acme", o.Hosts[0], o.Hosts[1]), o.tenant("umbrella", o.Hosts[0], o.Hosts[1])
	c1, victim := acme[0], other[1]
	o.snat("acme", "internet")
	o.snat("umbrella", "internet")
	foreign := o.float(victim)
	tellTale(t, victim.Workload)
	o.seenAs(o.outside.Workload, "tcp", at(foreign), 10, lab.CampusGateway)
	o.seenAs(c1.Workload, "tcp", at(lab.InternetServer), 10, c1.Host.InternetAddr())

	t.Run("tunnels", func(t *testing.T) { o.testForgedVXLAN(t, c1, victim, foreign) })

	for _, g := range []guarded{
		{"the store", "store", netip.AddrPortFrom(o.Hosts[0].Mgmt, lab.StorePort)},
		{"ssh of this host", "host-address", netip.AddrPortFrom(c1.Host.InternetAddr(), 22)},
	} {
		t.Run(g.what, func(t *testing.T) {
			o := &outdoors{&overlay{o.Lab, t}, o.outside}
			if g.to.Port() == 22 {
				accepts(t, c1.Host, g.to)
			}
			o.testGuarded(c1, "internet", g)
		})
	}
}

// testForgedVXLAN forges tunnel packets into another tenant's network, where the victim
// has a floating address.
func (o *outdoors) testForgedVXLAN(t *testing.T, from, victim *machine, address netip.Addr) {
	o = &outdoors{&overlay{o.Lab, t}, o.outside}
	vni := o.networkNamed("umbrella/web").VNI
	heard := o.capture(victim)
	forge := func(words string) error {
		frame := datagram(from.port.MAC, victim.port.MAC, netip.MustParseAddr("10.0.1.77"), victim.v4(), []byte(words))
		for _, h := range o.Hosts {
			if err := tell(from.Workload, netip.AddrPortFrom(h.VTEP, lab.VXLANPort), string(vxlan(vni, frame))); err != nil {
				return err
			}
		}
		return nil
	}
	before := o.drops(from.Host, "vtep")
	for range 10 {
		if err := forge("forged"); err != nil {
			t.Fatal(err)
		}
	}
	o.dropped(from.Host, "vtep", before+20)

	// The capture hears the victim, and what is forged is what a tunnel would take.
	o.heard(o.outside.Workload, at(address), "from outside", heard)
	o.allow("internet", o.Hosts[1].VTEP, "--allow")
	lab.Eventually(t, pollTime, "a forged packet, which is allowed, to come as far as it does", func() error {
		if err := forge("allowed"); err != nil {
			return err
		}
		if onKernel() {
			return seen(heard, says("allowed"))
		}
		// The address is open then, and tunnels to it are not: the host translates no tunnel
		// packets.
		rules := o.exec(from.Host, "nft", "list", "chain", "inet", "ovloom_ports", "translated")
		if !regexp.MustCompile(`counter packets [1-9]`).MatchString(rules) {
			return errors.New(rules)
		}
		return nil
	})
	if !onKernel() {
		heard.MustNotSee(t, "a forged packet to an address that is open", says("allowed"))
	}
	o.allow("internet", o.Hosts[1].VTEP, "--no-allow")
	before = o.drops(from.Host, "vtep")
	lab.Eventually(t, pollTime, "tunnels to be out of reach again", func() error {
		heard.Reset()
		if err := forge("allowed"); err != nil {
			return err
		}
		if seen(heard, says("allowed")) == nil {
			return errors.New("a forged packet arrives")
		}
		return nil
	})
	o.dropped(from.Host, "vtep", before+2)
	heard.MustNotSee(t, "a forged packet", says("forged"))
}
