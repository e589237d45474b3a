package l2_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// tell enters into a foreign machine's table where a port's MAC is.
func tell(o *overlay.Overlay, m *overlay.Foreign, vni uint32, port *overlay.Machine) {
	o.T.Helper()
	o.Script(m.Host.Exec, fmt.Sprintf("bridge fdb replace %s dev vx%d dst %s self", port.Port.MAC, vni, port.Host.VTEP))
}

func learnedBehind(host *lab.Host, o *overlay.Overlay) (n int, macs string) {
	o.T.Helper()
	out, err := host.Exec(o.T.Context(), "ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", "unix:"+host.MgmtSock("br-int"), "table=44,cookie=0xf09000000000000/0xffff000000000000")
	if err != nil {
		o.T.Fatal(err)
	}
	return strings.Count(out, "dl_dst="), out
}

// Two Linux vxlan devices, one that learns and one with static entries, and the ports of
// two hosts reach each other.
func TestPeersAndPortsReachEachOther(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 4}, 2)
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	ports := []*overlay.Machine{o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")}
	o.Reaches(ports[0], ports[1].V4())
	o.Run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[2].VTEP.String())
	o.Run("peer", "add", "acme/web/tor2", "--vtep", o.Hosts[3].VTEP.String())
	web := o.NetworkNamed("acme/web")
	learns := o.ForeignMachine(o.Hosts[2], web, "learns", overlay.FDBLearning, o.Hosts[:2], 1)
	told := o.ForeignMachine(o.Hosts[3], web, "told", overlay.FDBStatic, o.Hosts[:2], 2)
	for _, p := range ports {
		tell(o, told, web.VNI, p)
	}

	for _, m := range []*overlay.Foreign{learns, told} {
		for i, p := range ports {
			// Once the port speaks first, once the machine behind the peer.
			from, to := p, m.Machine
			if i == 1 {
				from, to = to, from
			}
			o.Reaches(from, to.V4())
			o.Reaches(from, to.V6())
			for _, pair := range [][2]*overlay.Machine{{from, to}, {to, from}} {
				for _, addr := range []netip.Addr{pair[1].V4(), pair[1].V6()} {
					got, err := lab.Transfer(t.Context(), pair[0].Workload, pair[1].Workload, addr, 256<<10)
					if err != nil {
						t.Error(err)
					}
					if least := 1550 - 40 - 20 - 12; got.MSS < least {
						t.Errorf("%s to %s: segments of %d bytes, want at least %d", pair[0].Port.Ref(), addr, got.MSS, least)
					}
				}
			}
		}
	}

	t.Run("only the host of the port answers", func(t *testing.T) {
		o := o.With(t)
		wire := o.Wire()
		for _, m := range []*overlay.Foreign{learns, told} {
			heard := o.Capture(m.Machine)
			for i, p := range ports {
				reply := func(q lab.Packet) bool { return q.ARP != nil && q.ARP.Op == 2 && q.ARP.SPA == p.V4() }
				advert := func(q lab.Packet) bool {
					return q.ICMPType == lab.ICMPv6NeighbourAdv && q.NDTarget == p.V6() && lab.IsResolution(q)
				}
				heard.Reset()
				wire.Reset()
				o.Send(m.Machine, lab.ARP{Op: 1, SHA: m.Port.MAC, SPA: m.V4(), TPA: p.V4()}.Frame(m.Port.MAC, lab.Broadcast))
				solicited, group := overlay.SolicitedNode(p.V6())
				o.Send(m.Machine, lab.IPFrame(m.Port.MAC, group, m.V6(), solicited, lab.ProtoICMPv6, 255,
					lab.ICMPv6(m.V6(), solicited, lab.ICMPv6NeighbourSol, lab.ND(0, p.V6(), 1, m.Port.MAC))))
				heard.MustSee(t, overlay.PollTime, "the ARP reply", reply)
				heard.MustSee(t, overlay.PollTime, "the neighbour advertisement", advert)
				o.Say(ports[1-i], m.Machine, []byte("later")) // any other answer has arrived by now
				heard.MustSee(t, overlay.PollTime, "a datagram", overlay.PayloadIs([]byte("later")))
				for what, match := range map[string]lab.Match{"ARP replies": reply, "advertisements": advert} {
					got := wire.Packets(lab.Inside(web.VNI, match))
					if len(got) != 1 || got[0].IPSrc != p.Host.VTEP || got[0].IPDst != m.VTEP || heard.Count(match) != 1 {
						t.Errorf("%s about %s: %v; want one from %s", what, p.Port.Ref(), got, p.Host.VTEP)
					}
				}
			}
		}
	})

	t.Run("a peer's broadcast stays on the hosts it was sent to", func(t *testing.T) {
		o := o.With(t)
		wire := o.Wire()
		heard := []*lab.Capture{o.Capture(ports[0]), o.Capture(ports[1])}
		words := []byte("to all")
		o.Shout(learns.Machine, words)
		for _, c := range heard {
			c.MustSee(t, overlay.PollTime, "the broadcast", overlay.PayloadIs(words))
			if n := c.Count(overlay.PayloadIs(words)); n != 1 {
				t.Errorf("a port hears it %d times", n)
			}
		}
		for _, p := range wire.Packets(lab.Inside(web.VNI, overlay.PayloadIs(words))) {
			if p.IPSrc != learns.VTEP {
				t.Errorf("tunnelled again: %v", p)
			}
		}
	})

	t.Run("a MAC that is silent for long is looked for behind the peers", func(t *testing.T) {
		o := o.With(t)
		for _, h := range o.Hosts[:2] {
			o.DeleteTable(h, 44)
		}
		near, heard := o.Capture(ports[1]), o.Capture(told.Machine)
		words := []byte("are you there")
		lab.Eventually(t, overlay.PollTime, "the machine to hear a frame to its forgotten MAC", func() error {
			o.Say(ports[0], told.Machine, words)
			if heard.Count(overlay.PayloadIs(words)) == 0 {
				return errors.New("it does not")
			}
			return nil
		})
		near.MustNotSee(t, "the frame, at another port", overlay.PayloadIs(words))
	})
}

// A peer has one network: its packets with another VNI are dropped until it is a peer
// there, too, and again when it ceases to be one.
func TestPeerIsConfinedToItsNetworks(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2}, 1)
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.Run("tenant", "add", "umbrella")
	o.Run("network", "add", "umbrella/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	ours, theirs := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[0], "umbrella/web/c1")
	vtep := o.Hosts[1].VTEP.String()
	o.Run("peer", "add", "acme/web/tor1", "--vtep", vtep)
	in := o.ForeignMachine(o.Hosts[1], o.NetworkNamed("acme/web"), "in", overlay.FDBLearning, o.Hosts[:1], 1)
	out := o.ForeignMachine(o.Hosts[1], o.NetworkNamed("umbrella/web"), "out", overlay.FDBLearning, o.Hosts[:1], 2)
	o.Reaches(in.Machine, ours.V4())

	heard := o.Capture(theirs)
	refused := func(from *overlay.Foreign, to *overlay.Machine, words string) {
		t.Helper()
		before := o.Drops(o.Hosts[0], "unknown-vtep")
		o.Say(from.Machine, to, []byte(words))
		o.Shout(from.Machine, []byte(words))
		o.Dropped(o.Hosts[0], "unknown-vtep", before+2)
	}
	refused(out, theirs, "too early")
	heard.MustNotSee(t, "anything from a stranger", overlay.PayloadIs([]byte("too early")))

	o.Run("peer", "add", "umbrella/web/tor1", "--vtep", vtep)
	o.Reaches(out.Machine, theirs.V4())
	o.Reaches(theirs, out.V6())
	o.Reaches(in.Machine, ours.V6())
	if n, flows := learnedBehind(o.Hosts[0], o); n < 2 {
		t.Errorf("learned behind the two peers: %s", flows)
	}

	// When the peer goes, the MACs learned behind it go, and no others.
	o.Run("peer", "delete", "umbrella/web/tor1")
	refused(out, theirs, "too late")
	heard.MustNotSee(t, "anything from a peer that was deleted", overlay.PayloadIs([]byte("too late")))
	lab.Eventually(t, overlay.PollTime, "what was learned behind the deleted peer to go", func() error {
		if _, flows := learnedBehind(o.Hosts[0], o); strings.Contains(flows, out.Port.MAC.String()) {
			return errors.New(flows)
		}
		return nil
	})
	o.Reaches(in.Machine, ours.V4())
	quiet := o.Capture(out.Machine)
	o.Say(theirs, out.Machine, []byte("gone"))
	o.Dropped(o.Hosts[0], "unknown-destination", 1)
	quiet.MustNotSee(t, "anything to a peer that was deleted", overlay.PayloadIs([]byte("gone")))
}

// The store's place of a MAC outranks a learned one; once its port is
// unplugged, it may be behind a peer.
func TestMACMovesFromAPortToAPeer(t *testing.T) {
	o := overlay.New(t, lab.Config{}, 2)
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.Run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[2].VTEP.String())
	near, far := o.Plug(o.Hosts[0], "acme/web/near"), o.Plug(o.Hosts[1], "acme/web/far")
	moving := o.Plug(o.Hosts[0], "acme/web/c1", "--ip", "10.0.0.50", "--ip", "fd00:1::50")
	m := o.ForeignMachine(o.Hosts[2], o.NetworkNamed("acme/web"), "tor", overlay.FDBLearning, o.Hosts[:2], 1)
	o.Reaches(m.Machine, moving.V4())
	o.Reaches(far, moving.V4())

	// The same machine, behind the peer; its port is still plugged.
	o.Script(m.Exec, fmt.Sprintf(`
		ip link set eth0 address %s
		ip addr flush dev eth0
		ip addr add %s/24 dev eth0
		ip addr add %s/64 dev eth0 nodad`, moving.Port.MAC, moving.V4(), moving.V6()))
	m.Port = moving.Port
	for _, h := range o.Hosts[:2] {
		before := o.Drops(h, "spoof-mac")
		o.Shout(m.Machine, []byte("me"))
		o.Dropped(h, "spoof-mac", before+1)
		if _, flows := learnedBehind(h, o); strings.Contains(flows, m.Port.MAC.String()) {
			t.Errorf("%s learned the MAC of a port that is plugged: %s", h.Name, flows)
		}
	}
	heard := o.Capture(moving)
	words := []byte("to the port")
	o.Say(far, moving, words)
	heard.MustSee(t, overlay.PollTime, "a datagram to the port", overlay.PayloadIs(words))

	o.RunOn(moving.Host, "port", "unplug", "acme/web/c1")
	for _, p := range []*overlay.Machine{near, far} {
		o.Reaches(p, m.V4())
		o.Reaches(p, m.V6())
	}
	for _, h := range o.Hosts[:2] {
		if _, flows := learnedBehind(h, o); !strings.Contains(flows, m.Port.MAC.String()) {
			t.Errorf("%s did not learn the MAC behind the peer: %s", h.Name, flows)
		}
	}

	// And back: the port is plugged again, and outranks what was learned.
	back := o.PlugExisting(o.Hosts[1], "acme/web/c1")
	heard = o.Capture(back)
	words = []byte("to the port again")
	lab.Eventually(t, overlay.PollTime, "the port to be found where it is plugged", func() error {
		o.Say(near, back, words)
		if heard.Count(overlay.PayloadIs(words)) == 0 {
			return errors.New("not there")
		}
		return nil
	})
}

// A peer can make a host learn a limited number of MACs only.
func TestPeerFillsNoTable(t *testing.T) {
	const limit = 4096
	o := overlay.New(t, lab.Config{Hosts: 2}, 1)
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	p := o.Plug(o.Hosts[0], "acme/web/c1")
	o.Run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[1].VTEP.String())
	m := o.ForeignMachine(o.Hosts[1], o.NetworkNamed("acme/web"), "tor", overlay.FDBLearning, o.Hosts[:1], 1)
	o.Reaches(p, m.V4())

	mac := func(i int) intent.MAC { return intent.MAC{2, 0, 1, 0, byte(i >> 8), byte(i)} }
	sent := 0
	lab.Eventually(t, 2*overlay.PollTime, "the limit to be reached", func() error {
		var frames [][]byte
		for range 300 { // the switch learns this many at once
			frames = append(frames, overlay.Datagram(mac(sent%(limit+500)), p.Port.MAC, m.V4(), p.V4(), nil))
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
	heard := o.Capture(p)
	// More may send, and are not learned.
	for i := range 100 {
		o.Send(m.Machine, overlay.Datagram(mac(limit+1000+i), p.Port.MAC, m.V4(), p.V4(), []byte("one more")))
	}
	heard.MustSee(t, overlay.PollTime, "a MAC beyond the limit", overlay.PayloadIs([]byte("one more")))
	if n, _ := learnedBehind(o.Hosts[0], o); n != limit {
		t.Errorf("%d MACs are learned, the limit is %d", n, limit)
	}
	o.Run("peer", "delete", "acme/web/tor1")
	lab.Eventually(t, overlay.PollTime, "the table to be empty", func() error {
		if n, _ := learnedBehind(o.Hosts[0], o); n > 0 {
			return fmt.Errorf("%d MACs", n)
		}
		return nil
	})
}
