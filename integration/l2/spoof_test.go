package l2_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

var noMAC intent.MAC

// A port sends as itself only; anything else is dropped, and counted by reason.
func TestSpoofingIsDroppedAndCounted(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a := o.Plug(o.Hosts[0], "acme/web/c1")
	b := o.Plug(o.Hosts[1], "acme/web/c2")
	victim := o.Plug(o.Hosts[0], "acme/web/victim")
	o.Reaches(a, b.V4())
	heard := o.Capture(b)

	// What a port sends as itself arrives: the capture's positive control.
	own := []byte("as itself")
	o.Say(a, b, own)
	heard.MustSee(t, overlay.PollTime, "an honest datagram", overlay.PayloadIs(own))

	lie := []byte("a lie")
	alien := intent.MAC{2, 0, 0, 0xaa, 0xbb, 0xcc}
	nd := func(kind uint8, srcMAC intent.MAC, src, target netip.Addr, option uint8, link intent.MAC) []byte {
		return lab.IPFrame(srcMAC, b.Port.MAC, src, b.V6(), lab.ProtoICMPv6, 255, lab.ICMPv6(src, b.V6(), kind, lab.ND(0x60, target, option, link)))
	}
	cases := []struct {
		name, reason string
		frame        []byte
	}{
		{"another MAC", "spoof-mac", overlay.Datagram(alien, b.Port.MAC, a.V4(), b.V4(), lie)},
		{"the victim's MAC", "spoof-mac", overlay.Datagram(victim.Port.MAC, b.Port.MAC, a.V4(), b.V4(), lie)},
		{"another IPv4 address", "spoof-ipv4", overlay.Datagram(a.Port.MAC, b.Port.MAC, victim.V4(), b.V4(), lie)},
		{"another IPv6 address", "spoof-ipv6", overlay.Datagram(a.Port.MAC, b.Port.MAC, victim.V6(), b.V6(), lie)},
		{"an ARP reply for the victim's address", "spoof-arp",
			lab.ARP{Op: 2, SHA: a.Port.MAC, SPA: victim.V4(), THA: b.Port.MAC, TPA: b.V4()}.Frame(a.Port.MAC, b.Port.MAC)},
		{"an ARP request as the victim", "spoof-arp",
			lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: victim.V4(), TPA: b.V4()}.Frame(a.Port.MAC, lab.Broadcast)},
		{"another MAC inside ARP", "spoof-arp",
			lab.ARP{Op: 1, SHA: alien, SPA: a.V4(), TPA: b.V4()}.Frame(a.Port.MAC, lab.Broadcast)},
		{"an advertisement of the victim's address", "spoof-nd", nd(lab.ICMPv6NeighbourAdv, a.Port.MAC, a.V6(), victim.V6(), 2, a.Port.MAC)},
		{"an advertisement of its address with another MAC", "spoof-nd", nd(lab.ICMPv6NeighbourAdv, a.Port.MAC, a.V6(), a.V6(), 2, alien)},
		{"a solicitation with another MAC", "spoof-nd", nd(lab.ICMPv6NeighbourSol, a.Port.MAC, a.V6(), b.V6(), 1, alien)},
		{"a solicitation as the victim", "spoof-nd", nd(lab.ICMPv6NeighbourSol, a.Port.MAC, victim.V6(), b.V6(), 1, a.Port.MAC)},
		{"duplicate address detection of the victim's address", "spoof-nd",
			nd(lab.ICMPv6NeighbourSol, a.Port.MAC, netip.IPv6Unspecified(), victim.V6(), 0, noMAC)},
		{"a router advertisement", "router-advertisement",
			lab.IPFrame(a.Port.MAC, b.Port.MAC, a.V6(), b.V6(), lab.ProtoICMPv6, 255, lab.ICMPv6(a.V6(), b.V6(), lab.ICMPv6RouterAdv, make([]byte, 12)))},
		{"a redirect", "router-advertisement",
			lab.IPFrame(a.Port.MAC, b.Port.MAC, a.V6(), b.V6(), lab.ProtoICMPv6, 255, lab.ICMPv6(a.V6(), b.V6(), lab.ICMPv6Redirect, make([]byte, 36)))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := o.With(t)
			before := o.Drops(a.Host, c.reason)
			o.Send(a, c.frame)
			o.Dropped(a.Host, c.reason, before+1)
		})
	}
	heard.MustNotSee(t, "something said in another's name", func(p lab.Packet) bool {
		return !p.Outgoing && (string(p.Payload) == string(lie) || p.Src == alien ||
			p.Src != victim.Port.MAC && (p.IPSrc == victim.V4() || p.IPSrc == victim.V6()) || p.ICMPType == lab.ICMPv6RouterAdv || p.ICMPType == lab.ICMPv6Redirect)
	})
}

// A host that comes up says things before it has an address; none of it is
// spoofing.
func TestStartingHostsAreNotSpoofers(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a, b := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	o.Reaches(a, b.V4())
	heard := o.Capture(b)
	spoofed := func() (n uint64) {
		for _, r := range []string{"spoof-mac", "spoof-ipv4", "spoof-ipv6", "spoof-arp", "spoof-nd"} {
			n += o.Drops(a.Host, r)
		}
		return n
	}
	before := spoofed()

	unspecified4, all := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	discover := lab.IPFrame(a.Port.MAC, lab.Broadcast, unspecified4, all, lab.ProtoUDP, 64,
		lab.UDP(netip.AddrPortFrom(unspecified4, 68), netip.AddrPortFrom(all, 67), []byte("discover")))
	o.Send(a, discover)
	heard.MustSee(t, overlay.PollTime, "the DHCP client's question", overlay.PayloadIs([]byte("discover")))

	solicited, group := overlay.SolicitedNode(a.V6())
	unspecified := netip.IPv6Unspecified()
	o.Send(a, lab.IPFrame(a.Port.MAC, group, unspecified, solicited, lab.ProtoICMPv6, 255,
		lab.ICMPv6(unspecified, solicited, lab.ICMPv6NeighbourSol, lab.ND(0, a.V6(), 0, noMAC))))
	o.Send(a, lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: unspecified4, TPA: a.V4()}.Frame(a.Port.MAC, lab.Broadcast))
	o.Send(a, lab.ARP{Op: 1, SHA: a.Port.MAC, SPA: a.V4(), TPA: a.V4()}.Frame(a.Port.MAC, lab.Broadcast))
	o.Send(a, lab.ARP{Op: 2, SHA: a.Port.MAC, SPA: a.V4(), THA: lab.Broadcast, TPA: a.V4()}.Frame(a.Port.MAC, lab.Broadcast))
	o.Dropped(a.Host, "own-address", 4)

	// Multicast listener reports are hop-by-hop packets; without that header the
	// switch sees the same fields.
	routers := netip.MustParseAddr("ff02::16")
	o.Send(a, lab.IPFrame(a.Port.MAC, intent.MAC{0x33, 0x33, 0, 0, 0, 0x16}, unspecified, routers, lab.ProtoICMPv6, 1,
		lab.ICMPv6(unspecified, routers, 143, binary.BigEndian.AppendUint32(nil, 0))))
	heard.MustSee(t, overlay.PollTime, "the multicast listener report", func(p lab.Packet) bool { return p.ICMPType == 143 })

	if n := spoofed() - before; n != 0 {
		t.Errorf("%d packets of a starting host counted as spoofed: %+v", n, o.Status(a.Host).Drops)
	}
}
