package integration_test

// The host's own kernel hears what ports send, too: on the userspace datapath Open
// vSwitch reads copies.

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// hostEnd returns the MAC of a port's interface on its host.
func (o *overlay) hostEnd(m *machine) intent.MAC {
	o.t.Helper()
	out := o.exec(m.Host, "sh", "-c", "ip -o link | grep 'alias "+m.port.Ref().String()+"$'")
	_, after, _ := strings.Cut(out, "link/ether ")
	mac, err := intent.ParseMAC(strings.Fields(after)[0])
	if err != nil {
		o.t.Fatal(err)
	}
	return mac
}

// A host neither takes what its ports send nor routes it: masqueraded or not, it could be
// a tunnel packet, under the address of any host.
func TestHostsAreDeafToTheirPorts(t *testing.T) {
	o := newOverlay(t, lab.Config{})
	for _, h := range o.Hosts { // as hosts are
		o.exec(h, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.arp_ignore=0", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0")
	}
	o.run("tenant", "add", "acme")
	o.run("tenant", "add", "umbrella")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	o.run("network", "add", "acme/lab", "--learning")
	o.run("network", "add", "umbrella/web", "--subnet", "10.0.0.0/24")
	evil, good := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[0], "acme/web/c2")
	l1, l2 := o.plug(o.Hosts[0], "acme/lab/l1", "--learn", "4"), o.plug(o.Hosts[0], "acme/lab/l2", "--learn", "4")
	victim := o.plug(o.Hosts[0], "umbrella/web/c1")
	victim2 := o.plug(o.Hosts[1], "umbrella/web/c2")
	o.reaches(evil, good.v4())
	o.reaches(victim, victim2.v4())

	heard, heard2, wire := o.capture(victim), o.capture(victim2), o.captureUnderlay()
	vni := o.networkNamed("umbrella/web").VNI
	end := o.hostEnd(evil)
	phy, err := intent.ParseMAC(strings.TrimSpace(o.exec(o.Hosts[0], "sh", "-c", "ip -o link show br-phy | grep -o 'link/ether [0-9a-f:]*' | cut -c12-")))
	if err != nil {
		t.Fatal(err)
	}
	tunnelled := func(to *machine) []byte {
		return vxlan(vni, datagram(victim2.port.MAC, to.port.MAC, victim2.v4(), to.v4(), []byte("forged")))
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
		for _, from := range []netip.Addr{third.VTEP, evil.v4()} {
			o.send(evil, toTunnel(evil.port.MAC, end, from, o.Hosts[1].VTEP, tunnelled(victim2)))
		}
	})
	before := o.exec(o.Hosts[0], "sh", "-c", "nstat -az IcmpInEchos Icmp6InEchos | tail -n +2 | tr -s ' ' | cut -d' ' -f1,2")
	// Sent as if it came from where a route leads to.
	for _, dst := range []netip.Addr{o.Hosts[0].Mgmt, o.Hosts[0].VTEP} {
		for _, mac := range []intent.MAC{end, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			o.send(evil, lab.IPFrame(evil.port.MAC, mac, o.Hosts[1].Mgmt, dst, 1, 64, []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}))
		}
	}
	o.reaches(evil, good.v4()) // all before has been taken in
	if after := o.exec(o.Hosts[0], "sh", "-c", "nstat -az IcmpInEchos Icmp6InEchos | tail -n +2 | tr -s ' ' | cut -d' ' -f1,2"); after != before {
		t.Errorf("the host took in pings of a port:\n%safter\n%s", after, before)
	}

	// To where tunnels end, by a port that Open vSwitch could take for such a place.
	try("a tunnel packet of a port's, taken out of its tunnel on the way to another", func() {
		o.send(l2, datagram(phy, l1.port.MAC, netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("10.9.9.8"), []byte("here lives this MAC")))
		mac := intent.MAC{2, 0, 0, 0, 0, 0x99}
		for range 3 {
			o.send(l1, toTunnel(mac, phy, o.Hosts[1].VTEP, o.Hosts[0].VTEP, tunnelled(victim)))
		}
		o.reaches(evil, good.v4())
	})
	o.reaches(victim, victim2.v4())

	// What another program takes away comes back.
	o.exec(o.Hosts[0], "nft", "flush", "ruleset")
	lab.Eventually(t, 15*pollTime, "the rules are back", func() error {
		_, err := o.Hosts[0].Exec(t.Context(), "nft", "list", "table", "inet", "ovloom_ports")
		return err
	})
}
