package l2_test

// The host's own kernel receives what ports send, too: on the userspace datapath Open
// vSwitch reads copies.

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// hostEnd returns the MAC of a port's interface on its host.
func hostEnd(o *overlay.Overlay, m *overlay.Machine) intent.MAC {
	o.T.Helper()
	out := o.Exec(m.Host, "sh", "-c", "ip -o link | grep 'alias "+m.Port.Ref().String()+"$'")
	_, after, _ := strings.Cut(out, "link/ether ")
	mac, err := intent.ParseMAC(strings.Fields(after)[0])
	if err != nil {
		o.T.Fatal(err)
	}
	return mac
}

// A host neither takes what its ports send nor routes it: masqueraded or not, it could be
// a tunnel packet, under the address of any host.
func TestHostsAreDeafToTheirPorts(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	for _, h := range o.Hosts { // as hosts are
		o.Exec(h, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.arp_ignore=0", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0")
	}
	o.Run("tenant", "add", "acme")
	o.Run("tenant", "add", "umbrella")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	o.Run("network", "add", "acme/lab", "--learning")
	o.Run("network", "add", "umbrella/web", "--subnet", "10.0.0.0/24")
	evil, good := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[0], "acme/web/c2")
	l1, l2 := o.Plug(o.Hosts[0], "acme/lab/l1", "--learn", "4"), o.Plug(o.Hosts[0], "acme/lab/l2", "--learn", "4")
	victim := o.Plug(o.Hosts[0], "umbrella/web/c1")
	victim2 := o.Plug(o.Hosts[1], "umbrella/web/c2")
	o.Reaches(evil, good.V4())
	o.Reaches(victim, victim2.V4())

	heard, heard2, wire := o.Capture(victim), o.Capture(victim2), o.Wire()
	vni := o.NetworkNamed("umbrella/web").VNI
	end := hostEnd(o, evil)
	phy, err := intent.ParseMAC(strings.TrimSpace(o.Exec(o.Hosts[0], "sh", "-c", "ip -o link show br-phy | grep -o 'link/ether [0-9a-f:]*' | cut -c12-")))
	if err != nil {
		t.Fatal(err)
	}
	tunnelled := func(to *overlay.Machine) []byte {
		return lab.VXLAN(vni, overlay.Datagram(victim2.Port.MAC, to.Port.MAC, victim2.V4(), to.V4(), []byte("forged")))
	}
	toTunnel := func(srcMAC, dstMAC intent.MAC, from, to netip.Addr, payload []byte) []byte {
		return lab.IPFrame(srcMAC, dstMAC, from, to, lab.ProtoUDP, 64,
			lab.UDP(netip.AddrPortFrom(from, 9), netip.AddrPortFrom(to, lab.VXLANPort), payload))
	}
	forged := func(p lab.Packet) bool { return bytes.Contains(p.Payload, []byte("forged")) }
	try := func(what string, do func()) {
		t.Helper()
		do()
		heard.MustNotSee(t, what, forged)
		heard2.MustNotSee(t, what, forged)
		wire.MustNotSee(t, what, forged)
	}

	third := o.Hosts[2]
	try("what the host would route, as a tunnel packet of another host's", func() {
		for _, from := range []netip.Addr{third.VTEP, evil.V4()} {
			o.Send(evil, toTunnel(evil.Port.MAC, end, from, o.Hosts[1].VTEP, tunnelled(victim2)))
		}
	})
	before := o.Exec(o.Hosts[0], "sh", "-c", "nstat -az IcmpInEchos Icmp6InEchos | tail -n +2 | tr -s ' ' | cut -d' ' -f1,2")
	// Sent as if it came from where a route leads to.
	for _, dst := range []netip.Addr{o.Hosts[0].Mgmt, o.Hosts[0].VTEP} {
		for _, mac := range []intent.MAC{end, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			o.Send(evil, lab.IPFrame(evil.Port.MAC, mac, o.Hosts[1].Mgmt, dst, 1, 64, []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}))
		}
	}
	o.Reaches(evil, good.V4()) // earlier packets have been processed
	if after := o.Exec(o.Hosts[0], "sh", "-c", "nstat -az IcmpInEchos Icmp6InEchos | tail -n +2 | tr -s ' ' | cut -d' ' -f1,2"); after != before {
		t.Errorf("the host took in pings of a port:\n%safter\n%s", after, before)
	}

	// To where tunnels end, by a port that Open vSwitch could take for such a place.
	try("a tunnel packet of a port's, taken out of its tunnel on the way to another", func() {
		o.Send(l2, overlay.Datagram(phy, l1.Port.MAC, netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("10.9.9.8"), []byte("here lives this MAC")))
		mac := intent.MAC{2, 0, 0, 0, 0, 0x99}
		for range 3 {
			o.Send(l1, toTunnel(mac, phy, o.Hosts[1].VTEP, o.Hosts[0].VTEP, tunnelled(victim)))
		}
		o.Reaches(evil, good.V4())
	})
	o.Reaches(victim, victim2.V4())

	// Rules that another program deletes come back.
	o.Exec(o.Hosts[0], "nft", "flush", "ruleset")
	lab.Eventually(t, 15*overlay.PollTime, "the rules are back", func() error {
		_, err := o.Hosts[0].Exec(t.Context(), "nft", "list", "table", "inet", "ovloom_ports")
		return err
	})
}
