package integration_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

// What the store knows is answered where the question is asked.
func TestKnownAddressesAreAnsweredInTheSwitch(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	// The underlay is watched before the first machine says anything.
	wire := o.captureUnderlay()
	a := o.plug(o.Hosts[0], "acme/web/c1")
	b := o.plug(o.Hosts[1], "acme/web/c2")
	near := o.plug(o.Hosts[0], "acme/web/c3")
	for _, to := range []*machine{b, near} {
		for _, addr := range []netip.Addr{to.v4(), to.v6()} {
			o.reaches(a, addr)
		}
	}
	wire.MustSee(t, pollTime, "an echo through the tunnel", lab.InsideAny(lab.IsEcho))

	t.Run("asked for again", func(t *testing.T) {
		// Whatever the kernel remembers, it has to ask anew.
		for _, family := range []string{"-4", "-6"} {
			if _, err := a.Exec(t.Context(), "ip", family, "neigh", "flush", "dev", "eth0"); err != nil {
				t.Fatal(err)
			}
		}
		heard := o.capture(a)
		o.reaches(a, b.v4())
		o.reaches(a, b.v6())
		heard.MustSee(t, pollTime, "an ARP reply for c2", func(p lab.Packet) bool {
			return p.ARP != nil && p.ARP.Op == 2 && p.ARP.SPA == b.v4() && p.ARP.SHA == b.port.MAC && p.Src == b.port.MAC
		})
		heard.MustSee(t, pollTime, "a neighbour advertisement of c2", func(p lab.Packet) bool {
			return p.ICMPType == lab.ICMPv6NeighbourAdv && p.NDTarget == b.v6() && p.IPSrc == b.v6() && p.Src == b.port.MAC
		})
	})

	t.Run("own address", func(t *testing.T) {
		heard := o.capture(a)
		nobody := netip.IPv4Unspecified()
		before := o.drops(a.Host, "own-address")
		o.send(a, lab.ARP{Op: 1, SHA: a.port.MAC, SPA: nobody, TPA: a.v4()}.Frame(a.port.MAC, lab.Broadcast))
		o.send(a, lab.ARP{Op: 1, SHA: a.port.MAC, SPA: a.v4(), TPA: a.v4()}.Frame(a.port.MAC, lab.Broadcast))
		solicited, group := solicitedNode(a.v6())
		o.send(a, lab.IPFrame(a.port.MAC, group, netip.IPv6Unspecified(), solicited, lab.ProtoICMPv6, 255,
			lab.ICMPv6(netip.IPv6Unspecified(), solicited, lab.ICMPv6NeighbourSol, lab.ND(0, a.v6(), 0, noMAC))))
		o.dropped(a.Host, "own-address", before+3)
		heard.MustNotSee(t, "an answer about its own address", func(p lab.Packet) bool {
			return !p.Outgoing && (p.ARP != nil && p.ARP.SPA == a.v4() || p.NDTarget == a.v6())
		})
	})

	t.Run("address of nobody", func(t *testing.T) {
		before := o.drops(a.Host, "no-such-address")
		o.send(a, lab.ARP{Op: 1, SHA: a.port.MAC, SPA: a.v4(), TPA: netip.MustParseAddr("10.0.0.200")}.Frame(a.port.MAC, lab.Broadcast))
		o.dropped(a.Host, "no-such-address", before+1)
	})

	t.Run("port that is plugged nowhere", func(t *testing.T) {
		o.run("port", "add", "acme/web/idle", "--ip", "10.0.0.99")
		before := o.drops(a.Host, "not-plugged")
		o.send(a, lab.ARP{Op: 1, SHA: a.port.MAC, SPA: a.v4(), TPA: netip.MustParseAddr("10.0.0.99")}.Frame(a.port.MAC, lab.Broadcast))
		o.dropped(a.Host, "not-plugged", before+1)
	})

	// The capture has seen tunnel packets, and is not deaf to ARP either: the
	// hosts' own resolution of their VTEPs is on it.
	wire.MustSee(t, pollTime, "the hosts' own ARP", lab.IsARPOrND)
	wire.MustNotSee(t, "a workload's question for an address, or an answer", lab.InsideAny(lab.IsResolution))
}

// Broadcast reaches every port of the network once, and only hosts that have one.
func TestBroadcastReachesMembersOnce(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--vni", "5001")
	o.run("network", "add", "acme/db", "--subnet", "10.0.1.0/24")
	a := o.plug(o.Hosts[0], "acme/web/c1")
	receivers := []*machine{o.plug(o.Hosts[0], "acme/web/c2"), o.plug(o.Hosts[1], "acme/web/c3"), o.plug(o.Hosts[1], "acme/web/c4")}
	elsewhere := o.plug(o.Hosts[2], "acme/db/d1") // its host has the tenant, and not the network
	o.reaches(a, receivers[1].v4())

	wire := o.captureUnderlay()
	back := o.capture(a)
	heard := map[*machine]*lab.Capture{elsewhere: o.capture(elsewhere)}
	for _, m := range receivers {
		heard[m] = o.capture(m)
	}
	const rounds = 20
	for i := range rounds {
		o.shout(a, fmt.Appendf(nil, "round %d", i))
	}
	round := func(p lab.Packet) bool { return len(p.Payload) > 6 && string(p.Payload[:6]) == "round " }
	for _, m := range receivers {
		lab.Eventually(t, pollTime, m.port.Ref().String()+" to hear all", func() error {
			if n := heard[m].Count(round); n < rounds {
				return fmt.Errorf("%d of %d", n, rounds)
			}
			return nil
		})
	}
	for _, m := range receivers {
		if n := heard[m].Count(round); n != rounds {
			t.Errorf("%s heard %d broadcasts %d times", m.port.Ref(), rounds, n)
		}
	}
	if n := wire.Count(lab.Inside(5001, round)); n != rounds {
		t.Errorf("%d broadcasts crossed the underlay %d times; one other host has ports of the network", rounds, n)
	}
	heard[elsewhere].MustNotSee(t, "a broadcast of another network", round)
	back.MustNotSee(t, "its own broadcast", lab.All(round, func(p lab.Packet) bool { return !p.Outgoing }))
}
