package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// foreign is a Linux machine without ovloom: a bridge with a vxlan device, and a
// workload behind it.
type foreign struct {
	*machine
	vtep netip.Addr
}

// fdbMode is how a Linux vxlan device finds out behind which VTEP a MAC is.
type fdbMode string

const (
	fdbLearning fdbMode = "learning"
	fdbStatic   fdbMode = "nolearning" // it is told
)

// foreignMachine makes one on a host that runs no ovloomd. Its floods go to the
// given hosts. Where no network card is to fill in checksums, the kernel must:
// those of outer UDP, too, which Linux sends unless told otherwise.
func (o *overlay) foreignMachine(h *lab.Host, network intent.Network, name string, mode fdbMode, floodTo []*lab.Host, n byte) *foreign {
	o.t.Helper()
	w, err := h.NewWorkload(o.t.Context(), name)
	if err != nil {
		o.t.Fatal(err)
	}
	m := &foreign{machine: &machine{Workload: w, port: intent.Port{
		Tenant: network.Tenant, Network: network.Name, Name: name, MAC: intent.MAC{2, 0, 0, 0, 2, n},
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, 200 + n}), netip.MustParseAddr(fmt.Sprintf("fd00:1::2%02d", n))},
	}}, vtep: h.VTEP}
	o.script(h.Exec, fmt.Sprintf(`
		ip link add br%[1]d mtu 1550 type bridge mcast_snooping 0
		ip link set br%[1]d up
		ip link add vx%[1]d mtu 1550 type vxlan id %[1]d dstport 4789 local %[2]s %[3]s
		ip link set vx%[1]d master br%[1]d up
		ethtool -K vx%[1]d tx off >/dev/null
		ethtool -K eth1 tx off >/dev/null
		ip link add ve%[1]d mtu 1550 type veth peer name eth0 mtu 1550 address %[4]s netns %[5]s
		ip link set ve%[1]d master br%[1]d up`, network.VNI, h.VTEP, mode, m.port.MAC, w.NetNS))
	for _, to := range floodTo {
		o.script(h.Exec, fmt.Sprintf("bridge fdb append 00:00:00:00:00:00 dev vx%d dst %s", network.VNI, to.VTEP))
	}
	o.script(w.Exec, fmt.Sprintf(`
		ethtool -K eth0 tx off >/dev/null
		ip link set eth0 up
		ip addr add %s/24 dev eth0
		ip addr add %s/64 dev eth0 nodad`, m.v4(), m.v6()))
	return m
}

// tell enters into a foreign machine's table where a port's MAC is.
func (o *overlay) tell(m *foreign, vni uint32, port *machine) {
	o.t.Helper()
	o.script(m.Host.Exec, fmt.Sprintf("bridge fdb replace %s dev vx%d dst %s self", port.port.MAC, vni, port.Host.VTEP))
}

// script runs shell commands on a host or in a workload.
func (o *overlay) script(exec func(context.Context, ...string) (string, error), script string) {
	o.t.Helper()
	if _, err := exec(o.t.Context(), "sh", "-ec", script); err != nil {
		o.t.Fatal(err)
	}
}

// networkNamed returns a network as the store has it.
func (o *overlay) networkNamed(ref string) intent.Network {
	o.t.Helper()
	var n api.Network
	o.get(o.Hosts[0], &n, "network", "show", ref)
	return n.Network
}

func learnedBehind(host *lab.Host, o *overlay) (n int, macs string) {
	o.t.Helper()
	out, err := host.Exec(o.t.Context(), "ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", "unix:"+host.MgmtSock("br-int"), "table=44,cookie=0xf09000000000000/0xffff000000000000")
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.Count(out, "dl_dst="), out
}

// Two Linux vxlan devices, one of which learns and one of which is told, and the
// ports of two hosts reach each other.
func TestPeersAndPortsReachEachOther(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 4}, 2)
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	ports := []*machine{o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[1], "acme/web/c2")}
	o.reaches(ports[0], ports[1].v4())
	o.run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[2].VTEP.String())
	o.run("peer", "add", "acme/web/tor2", "--vtep", o.Hosts[3].VTEP.String())
	web := o.networkNamed("acme/web")
	learns := o.foreignMachine(o.Hosts[2], web, "learns", fdbLearning, o.Hosts[:2], 1)
	told := o.foreignMachine(o.Hosts[3], web, "told", fdbStatic, o.Hosts[:2], 2)
	for _, p := range ports {
		o.tell(told, web.VNI, p)
	}

	for _, m := range []*foreign{learns, told} {
		for i, p := range ports {
			// Once the port speaks first, once the machine behind the peer.
			from, to := p, m.machine
			if i == 1 {
				from, to = to, from
			}
			o.reaches(from, to.v4())
			o.reaches(from, to.v6())
			for _, pair := range [][2]*machine{{from, to}, {to, from}} {
				for _, addr := range []netip.Addr{pair[1].v4(), pair[1].v6()} {
					got, err := lab.Transfer(t.Context(), pair[0].Workload, pair[1].Workload, addr, 256<<10)
					if err != nil {
						t.Error(err)
					}
					if least := 1550 - 40 - 20 - 12; got.MSS < least {
						t.Errorf("%s to %s: segments of %d bytes, want at least %d", pair[0].port.Ref(), addr, got.MSS, least)
					}
				}
			}
		}
	}

	t.Run("only the host of the port answers", func(t *testing.T) {
		o := &overlay{o.Lab, t}
		wire := o.captureUnderlay()
		for _, m := range []*foreign{learns, told} {
			heard := o.capture(m.machine)
			for i, p := range ports {
				reply := func(q lab.Packet) bool { return q.ARP != nil && q.ARP.Op == 2 && q.ARP.SPA == p.v4() }
				advert := func(q lab.Packet) bool {
					return q.ICMPType == lab.ICMPv6NeighbourAdv && q.NDTarget == p.v6() && lab.IsResolution(q)
				}
				heard.Reset()
				wire.Reset()
				o.send(m.machine, lab.ARP{Op: 1, SHA: m.port.MAC, SPA: m.v4(), TPA: p.v4()}.Frame(m.port.MAC, lab.Broadcast))
				solicited, group := solicitedNode(p.v6())
				o.send(m.machine, lab.IPFrame(m.port.MAC, group, m.v6(), solicited, lab.ProtoICMPv6, 255,
					lab.ICMPv6(m.v6(), solicited, lab.ICMPv6NeighbourSol, lab.ND(0, p.v6(), 1, m.port.MAC))))
				heard.MustSee(t, pollTime, "the ARP reply", reply)
				heard.MustSee(t, pollTime, "the neighbour advertisement", advert)
				o.say(ports[1-i], m.machine, []byte("later")) // whoever else answers has done so by now
				heard.MustSee(t, pollTime, "a datagram", carries([]byte("later")))
				for what, match := range map[string]lab.Match{"ARP replies": reply, "advertisements": advert} {
					got := wire.Packets(lab.Inside(web.VNI, match))
					if len(got) != 1 || got[0].IPSrc != p.Host.VTEP || got[0].IPDst != m.vtep || heard.Count(match) != 1 {
						t.Errorf("%s about %s: %v; want one from %s", what, p.port.Ref(), got, p.Host.VTEP)
					}
				}
			}
		}
	})

	t.Run("a peer's broadcast stays on the hosts it was sent to", func(t *testing.T) {
		o := &overlay{o.Lab, t}
		wire := o.captureUnderlay()
		heard := []*lab.Capture{o.capture(ports[0]), o.capture(ports[1])}
		words := []byte("to all")
		o.shout(learns.machine, words)
		for _, c := range heard {
			c.MustSee(t, pollTime, "the broadcast", carries(words))
			if n := c.Count(carries(words)); n != 1 {
				t.Errorf("a port hears it %d times", n)
			}
		}
		for _, p := range wire.Packets(lab.Inside(web.VNI, carries(words))) {
			if p.IPSrc != learns.vtep {
				t.Errorf("tunnelled again: %v", p)
			}
		}
	})

	t.Run("a MAC that is silent for long is looked for behind the peers", func(t *testing.T) {
		o := &overlay{o.Lab, t}
		for _, h := range o.Hosts[:2] {
			if _, err := h.Exec(t.Context(), "ovs-ofctl", "-O", "OpenFlow15", "del-flows", "unix:"+h.MgmtSock("br-int"), "table=44"); err != nil {
				t.Fatal(err)
			}
		}
		near, heard := o.capture(ports[1]), o.capture(told.machine)
		words := []byte("are you there")
		lab.Eventually(t, pollTime, "the machine to hear a frame to its forgotten MAC", func() error {
			o.say(ports[0], told.machine, words)
			if heard.Count(carries(words)) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
		near.MustNotSee(t, "the frame, at another port", carries(words))
	})
}

// A peer has one network: with another VNI it is a stranger, until it is a peer
// there, too, and from the moment it is not any more.
func TestPeerIsConfinedToItsNetworks(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 2}, 1)
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.run("tenant", "add", "umbrella")
	o.run("network", "add", "umbrella/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	ours, theirs := o.plug(o.Hosts[0], "acme/web/c1"), o.plug(o.Hosts[0], "umbrella/web/c1")
	vtep := o.Hosts[1].VTEP.String()
	o.run("peer", "add", "acme/web/tor1", "--vtep", vtep)
	in := o.foreignMachine(o.Hosts[1], o.networkNamed("acme/web"), "in", fdbLearning, o.Hosts[:1], 1)
	out := o.foreignMachine(o.Hosts[1], o.networkNamed("umbrella/web"), "out", fdbLearning, o.Hosts[:1], 2)
	o.reaches(in.machine, ours.v4())

	heard := o.capture(theirs)
	refused := func(from *foreign, to *machine, words string) {
		t.Helper()
		before := o.drops(o.Hosts[0], "unknown-vtep")
		o.say(from.machine, to, []byte(words))
		o.shout(from.machine, []byte(words))
		o.dropped(o.Hosts[0], "unknown-vtep", before+2)
	}
	refused(out, theirs, "too early")
	heard.MustNotSee(t, "anything from a stranger", carries([]byte("too early")))

	o.run("peer", "add", "umbrella/web/tor1", "--vtep", vtep)
	o.reaches(out.machine, theirs.v4())
	o.reaches(theirs, out.v6())
	o.reaches(in.machine, ours.v6())
	if n, flows := learnedBehind(o.Hosts[0], o); n < 2 {
		t.Errorf("learned behind the two peers: %s", flows)
	}

	// With the peer goes what was learned behind it, and nothing else.
	o.run("peer", "delete", "umbrella/web/tor1")
	refused(out, theirs, "too late")
	heard.MustNotSee(t, "anything from a peer that was deleted", carries([]byte("too late")))
	lab.Eventually(t, pollTime, "what was learned behind the deleted peer to go", func() error {
		if _, flows := learnedBehind(o.Hosts[0], o); strings.Contains(flows, out.port.MAC.String()) {
			return errors.New(flows)
		}
		return nil
	})
	o.reaches(in.machine, ours.v4())
	quiet := o.capture(out.machine)
	o.say(theirs, out.machine, []byte("gone"))
	o.dropped(o.Hosts[0], "unknown-destination", 1)
	quiet.MustNotSee(t, "anything to a peer that was deleted", carries([]byte("gone")))
}

// What the store says of a MAC outranks where it is heard; once its port is
// unplugged, it may be behind a peer.
func TestMACMovesFromAPortToAPeer(t *testing.T) {
	o := newOverlay(t, lab.Config{}, 2)
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[2].VTEP.String())
	near, far := o.plug(o.Hosts[0], "acme/web/near"), o.plug(o.Hosts[1], "acme/web/far")
	moving := o.plug(o.Hosts[0], "acme/web/c1", "--ip", "10.0.0.50", "--ip", "fd00:1::50")
	m := o.foreignMachine(o.Hosts[2], o.networkNamed("acme/web"), "tor", fdbLearning, o.Hosts[:2], 1)
	o.reaches(m.machine, moving.v4())
	o.reaches(far, moving.v4())

	// The same machine, behind the peer; its port is still plugged.
	o.script(m.Exec, fmt.Sprintf(`
		ip link set eth0 address %s
		ip addr flush dev eth0
		ip addr add %s/24 dev eth0
		ip addr add %s/64 dev eth0 nodad`, moving.port.MAC, moving.v4(), moving.v6()))
	m.port = moving.port
	for _, h := range o.Hosts[:2] {
		before := o.drops(h, "spoof-mac")
		o.shout(m.machine, []byte("me"))
		o.dropped(h, "spoof-mac", before+1)
		if _, flows := learnedBehind(h, o); strings.Contains(flows, m.port.MAC.String()) {
			t.Errorf("%s learned the MAC of a port that is plugged: %s", h.Name, flows)
		}
	}
	heard := o.capture(moving)
	words := []byte("to the port")
	o.say(far, moving, words)
	heard.MustSee(t, pollTime, "a datagram to the port", carries(words))

	o.runOn(moving.Host, "port", "unplug", "acme/web/c1")
	for _, p := range []*machine{near, far} {
		o.reaches(p, m.v4())
		o.reaches(p, m.v6())
	}
	for _, h := range o.Hosts[:2] {
		if _, flows := learnedBehind(h, o); !strings.Contains(flows, m.port.MAC.String()) {
			t.Errorf("%s did not learn the MAC behind the peer: %s", h.Name, flows)
		}
	}

	// And back: the port is plugged again, and outranks what was learned.
	back := o.plugExisting(o.Hosts[1], "acme/web/c1")
	heard = o.capture(back)
	words = []byte("to the port again")
	lab.Eventually(t, pollTime, "the port to be found where it is plugged", func() error {
		o.say(near, back, words)
		if heard.Count(carries(words)) == 0 {
			return errors.New("not there")
		}
		return nil
	})
}

// A peer can make a host learn a limited number of MACs only.
func TestPeerFillsNoTable(t *testing.T) {
	const limit = 4096
	o := newOverlay(t, lab.Config{Hosts: 2}, 1)
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	p := o.plug(o.Hosts[0], "acme/web/c1")
	o.run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[1].VTEP.String())
	m := o.foreignMachine(o.Hosts[1], o.networkNamed("acme/web"), "tor", fdbLearning, o.Hosts[:1], 1)
	o.reaches(p, m.v4())

	mac := func(i int) intent.MAC { return intent.MAC{2, 0, 1, 0, byte(i >> 8), byte(i)} }
	sent := 0
	lab.Eventually(t, 2*pollTime, "the limit to be reached", func() error {
		var frames [][]byte
		for range 300 { // the switch takes so many at once
			frames = append(frames, datagram(mac(sent%(limit+500)), p.port.MAC, m.v4(), p.v4(), nil))
			sent++
		}
		if err := m.SendFrames("eth0", frames); err != nil {
			t.Fatal(err)
		}
		if n, _ := learnedBehind(o.Hosts[0], o); n < limit {
			return fmt.Errorf("%d MACs", n)
		}
		return nil
	})
	heard := o.capture(p)
	// More are heard, and not learned.
	for i := range 100 {
		o.send(m.machine, datagram(mac(limit+1000+i), p.port.MAC, m.v4(), p.v4(), []byte("one more")))
	}
	heard.MustSee(t, pollTime, "a MAC beyond the limit", carries([]byte("one more")))
	if n, _ := learnedBehind(o.Hosts[0], o); n != limit {
		t.Errorf("%d MACs are learned, the limit is %d", n, limit)
	}
	o.run("peer", "delete", "acme/web/tor1")
	lab.Eventually(t, pollTime, "the table to be empty", func() error {
		if n, _ := learnedBehind(o.Hosts[0], o); n > 0 {
			return fmt.Errorf("%d MACs", n)
		}
		return nil
	})
}
