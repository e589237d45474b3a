package l2_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// Addresses that the store knows are answered on the host of the sender.
func TestKnownAddressesAreAnsweredInTheSwitch(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	// The underlay is captured before the first machine sends anything.
	wire := o.Wire()
	a := o.Plug(o.Hosts[0], "acme/web/c1")
	b := o.Plug(o.Hosts[1], "acme/web/c2")
	near := o.Plug(o.Hosts[0], "acme/web/c3")
	for _, to := range []*overlay.Machine{b, near} {
		for _, addr := range []netip.Addr{to.V4(), to.V6()} {
			o.Reaches(a, addr)
		}
	}
	wire.MustSee(t, overlay.PollTime, "an echo through the tunnel", lab.InsideAny(lab.IsEcho))

	t.Run("asked for again", func(t *testing.T) {
		// The kernel's neighbour table is empty, so that it asks again.
		for _, family := range []string{"-4", "-6"} {
			if _, err := a.Exec(t.Context(), "ip", family, "neigh", "flush", "dev", "eth0"); err != nil {
				t.Fatal(err)
			}
		}
		heard := o.Capture(a)
		o.Reaches(a, b.V4())
		o.Reaches(a, b.V6())
		heard.MustSee(t, overlay.PollTime, "an ARP reply for c2", func(p lab.Packet) bool {
			return p.ARP != nil && p.ARP.Op == 2 && p.ARP.SPA == b.V4() && p.ARP.SHA == b.Port.MAC && p.Src == b.Port.MAC
		})
		heard.MustSee(t, overlay.PollTime, "a neighbour advertisement of c2", func(p lab.Packet) bool {
			return p.ICMPType == lab.ICMPv6NeighbourAdv && p.NDTarget == b.V6() && p.IPSrc == b.V6() && p.Src == b.Port.MAC
		})
	})

	t.Run("own address", func(t *testing.T) {
		heard := o.Capture(a)
		unspecified := netip.IPv4Unspecified()
		before := o.Drops(a.Host, "own-address")
		o.Send(a, lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: unspecified, TPA: a.V4()}.Frame(a.Port.MAC, lab.Broadcast))
		o.Send(a, lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: a.V4(), TPA: a.V4()}.Frame(a.Port.MAC, lab.Broadcast))
		solicited, group := overlay.SolicitedNode(a.V6())
		o.Send(a, lab.IPFrame(a.Port.MAC, group, netip.IPv6Unspecified(), solicited, lab.ProtoICMPv6, 255,
			lab.ICMPv6(netip.IPv6Unspecified(), solicited, lab.ICMPv6NeighbourSol, lab.ND(0, a.V6(), 0, noMAC))))
		o.Dropped(a.Host, "own-address", before+3)
		heard.MustNotSee(t, "an answer about its own address", func(p lab.Packet) bool {
			return !p.Outgoing && (p.ARP != nil && p.ARP.SPA == a.V4() || p.NDTarget == a.V6())
		})
	})

	t.Run("unknown address", func(t *testing.T) {
		before := o.Drops(a.Host, "no-such-address")
		o.Send(a, lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: a.V4(), TPA: netip.MustParseAddr("10.0.0.200")}.Frame(a.Port.MAC, lab.Broadcast))
		o.Dropped(a.Host, "no-such-address", before+1)
	})

	t.Run("port that is plugged nowhere", func(t *testing.T) {
		o.Run("port", "add", "acme/web/idle", "--ip", "10.0.0.99")
		before := o.Drops(a.Host, "not-plugged")
		o.Send(a, lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: a.V4(), TPA: netip.MustParseAddr("10.0.0.99")}.Frame(a.Port.MAC, lab.Broadcast))
		o.Dropped(a.Host, "not-plugged", before+1)
	})

	// The capture has seen tunnel packets, and is not deaf to ARP either: the
	// hosts' own resolution of their VTEPs is on it.
	wire.MustSee(t, overlay.PollTime, "the hosts' own ARP", lab.IsARPOrND)
	wire.MustNotSee(t, "a workload's question for an address, or an answer", lab.InsideAny(lab.IsResolution))
}

// Broadcast reaches every port of the network once, and only hosts that have one.
func TestBroadcastReachesMembersOnce(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--vni", "5001")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.1.0/24")
	a := o.Plug(o.Hosts[0], "acme/web/c1")
	receivers := []*overlay.Machine{o.Plug(o.Hosts[0], "acme/web/c2"), o.Plug(o.Hosts[1], "acme/web/c3"), o.Plug(o.Hosts[1], "acme/web/c4")}
	elsewhere := o.Plug(o.Hosts[2], "acme/db/d1") // its host has the tenant, and not the network
	o.Reaches(a, receivers[1].V4())

	wire := o.Wire()
	back := o.Capture(a)
	heard := map[*overlay.Machine]*lab.Capture{elsewhere: o.Capture(elsewhere)}
	for _, m := range receivers {
		heard[m] = o.Capture(m)
	}
	const rounds = 20
	for i := range rounds {
		o.Shout(a, fmt.Appendf(nil, "round %d", i))
	}
	round := func(p lab.Packet) bool { return len(p.Payload) > 6 && string(p.Payload[:6]) == "round " }
	for _, m := range receivers {
		lab.Eventually(t, overlay.PollTime, m.Port.Ref().String()+" to hear all", func() error {
			if n := heard[m].Count(round); n < rounds {
				return fmt.Errorf("%d of %d", n, rounds)
			}
			return nil
		})
	}
	for _, m := range receivers {
		if n := heard[m].Count(round); n != rounds {
			t.Errorf("%s heard %d broadcasts %d times", m.Port.Ref(), rounds, n)
		}
	}
	if n := wire.Count(lab.Inside(5001, round)); n != rounds {
		t.Errorf("%d broadcasts crossed the underlay %d times; one other host has ports of the network", rounds, n)
	}
	heard[elsewhere].MustNotSee(t, "a broadcast of another network", round)
	back.MustNotSee(t, "its own broadcast", lab.All(round, func(p lab.Packet) bool { return !p.Outgoing }))
}
