package integration_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

var noMAC intent.MAC

// solicitedNode returns the group that a neighbour solicitation is sent to, as an
// address and as a MAC (RFC 4291, 2.7.1; RFC 2464, 7).
func solicitedNode(a netip.Addr) (netip.Addr, intent.MAC) {
	b := a.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], b[13:])
	return netip.AddrFrom16(group), intent.MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}
}

// A port speaks only as itself; what it may not say is dropped, and counted by
// why.
func TestSpoofingIsDroppedAndCounted(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a := o.plug(o.Hosts[0], "acme/web/c1")
	b := o.plug(o.Hosts[1], "acme/web/c2")
	victim := o.plug(o.Hosts[0], "acme/web/victim")
	o.reaches(a, b.v4())
	heard := o.capture(b)

	// What a port says as itself arrives: the capture hears.
	own := []byte("as itself")
	o.say(a, b, own)
	heard.MustSee(t, pollTime, "an honest datagram", carries(own))

	lie := []byte("a lie")
	alien := intent.MAC{2, 0, 0, 0xaa, 0xbb, 0xcc}
	nd := func(kind uint8, srcMAC intent.MAC, src, target netip.Addr, option uint8, link intent.MAC) []byte {
		return lab.IPFrame(srcMAC, b.port.MAC, src, b.v6(), lab.ProtoICMPv6, 255, lab.ICMPv6(src, b.v6(), kind, lab.ND(0x60, target, option, link)))
	}
	cases := []struct {
		name, reason string
		frame        []byte
	}{
		{"another MAC", "spoof-mac", datagram(alien, b.port.MAC, a.v4(), b.v4(), lie)},
		{"the victim's MAC", "spoof-mac", datagram(victim.port.MAC, b.port.MAC, a.v4(), b.v4(), lie)},
		{"another IPv4 address", "spoof-ipv4", datagram(a.port.MAC, b.port.MAC, victim.v4(), b.v4(), lie)},
		{"another IPv6 address", "spoof-ipv6", datagram(a.port.MAC, b.port.MAC, victim.v6(), b.v6(), lie)},
		{"an ARP reply for the victim's address", "spoof-arp",
			lab.ARP{Op: 2, SHA: a.port.MAC, SPA: victim.v4(), THA: b.port.MAC, TPA: b.v4()}.Frame(a.port.MAC, b.port.MAC)},
		{"an ARP request as the victim", "spoof-arp",
			lab.ARP{Op: 1, SHA: a.port.MAC, SPA: victim.v4(), TPA: b.v4()}.Frame(a.port.MAC, lab.Broadcast)},
		{"another MAC inside ARP", "spoof-arp",
			lab.ARP{Op: 1, SHA: alien, SPA: a.v4(), TPA: b.v4()}.Frame(a.port.MAC, lab.Broadcast)},
		{"an advertisement of the victim's address", "spoof-nd", nd(lab.ICMPv6NeighbourAdv, a.port.MAC, a.v6(), victim.v6(), 2, a.port.MAC)},
		{"an advertisement of its address with another MAC", "spoof-nd", nd(lab.ICMPv6NeighbourAdv, a.port.MAC, a.v6(), a.v6(), 2, alien)},
		{"a solicitation with another MAC", "spoof-nd", nd(lab.ICMPv6NeighbourSol, a.port.MAC, a.v6(), b.v6(), 1, alien)},
		{"a solicitation as the victim", "spoof-nd", nd(lab.ICMPv6NeighbourSol, a.port.MAC, victim.v6(), b.v6(), 1, a.port.MAC)},
		{"duplicate address detection of the victim's address", "spoof-nd",
			nd(lab.ICMPv6NeighbourSol, a.port.MAC, netip.IPv6Unspecified(), victim.v6(), 0, noMAC)},
		{"a router advertisement", "router-advertisement",
			lab.IPFrame(a.port.MAC, b.port.MAC, a.v6(), b.v6(), lab.ProtoICMPv6, 255, lab.ICMPv6(a.v6(), b.v6(), lab.ICMPv6RouterAdv, make([]byte, 12)))},
		{"a redirect", "router-advertisement",
			lab.IPFrame(a.port.MAC, b.port.MAC, a.v6(), b.v6(), lab.ProtoICMPv6, 255, lab.ICMPv6(a.v6(), b.v6(), lab.ICMPv6Redirect, make([]byte, 36)))},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := &overlay{o.Lab, t}
			before := o.drops(a.Host, c.reason)
			o.send(a, c.frame)
			o.dropped(a.Host, c.reason, before+1)
		})
	}
	heard.MustNotSee(t, "something said in another's name", func(p lab.Packet) bool {
		return !p.Outgoing && (string(p.Payload) == string(lie) || p.Src == alien ||
			p.Src != victim.port.MAC && (p.IPSrc == victim.v4() || p.IPSrc == victim.v6()) || p.ICMPType == lab.ICMPv6RouterAdv || p.ICMPType == lab.ICMPv6Redirect)
	})
}

// A host that comes up says things before it has an address; none of it is
// spoofing.
func TestStartingHostsAreNotSpoofers(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2})
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	a, b := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")
	o.reaches(a, b.v4())
	heard := o.capture(b)
	spoofed := func() (n uint64) {
		for _, r := range []string{"spoof-mac", "spoof-ipv4", "spoof-ipv6", "spoof-arp", "spoof-nd"} {
			n += o.drops(a.Host, r)
		}
		return n
	}
	before := spoofed()

	nobody, all := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	discover := lab.IPFrame(a.port.MAC, lab.Broadcast, nobody, all, lab.ProtoUDP, 64,
		lab.UDP(netip.AddrPortFrom(nobody, 68), netip.AddrPortFrom(all, 67), []byte("discover")))
	o.send(a, discover)
	heard.MustSee(t, pollTime, "the DHCP client's question", carries([]byte("discover")))

	solicited, group := solicitedNode(a.v6())
	unspecified := netip.IPv6Unspecified()
	o.send(a, lab.IPFrame(a.port.MAC, group, unspecified, solicited, lab.ProtoICMPv6, 255,
		lab.ICMPv6(unspecified, solicited, lab.ICMPv6NeighbourSol, lab.ND(0, a.v6(), 0, noMAC))))
	o.send(a, lab.ARP{Op: 1, SHA: a.port.MAC, SPA: nobody, TPA: a.v4()}.Frame(a.port.MAC, lab.Broadcast))
	o.send(a, lab.ARP{Op: 1, SHA: a.port.MAC, SPA: a.v4(), TPA: a.v4()}.Frame(a.port.MAC, lab.Broadcast))
	o.send(a, lab.ARP{Op: 2, SHA: a.port.MAC, SPA: a.v4(), THA: lab.Broadcast, TPA: a.v4()}.Frame(a.port.MAC, lab.Broadcast))
	o.dropped(a.Host, "own-address", 4)

	// Multicast listener reports are hop-by-hop packets; without that header the
	// switch sees the same fields.
	routers := netip.MustParseAddr("ff02::16")
	o.send(a, lab.IPFrame(a.port.MAC, intent.MAC{0x33, 0x33, 0, 0, 0, 0x16}, unspecified, routers, lab.ProtoICMPv6, 1,
		lab.ICMPv6(unspecified, routers, 143, binary.BigEndian.AppendUint32(nil, 0))))
	heard.MustSee(t, pollTime, "the multicast listener report", func(p lab.Packet) bool { return p.ICMPType == 143 })

	if n := spoofed() - before; n != 0 {
		t.Errorf("%d packets of a starting host counted as spoofed: %+v", n, o.status(a.Host).Drops)
	}
}
