package borders_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// quiet are the reasons for which kernels' own packets are dropped, which none of the
// lies has.
var quiet = []string{"no-router", "own-address"}

// allDrops returns how many packets the hosts have dropped that may have been ours, and
// for what.
func allDrops(o *overlay.Overlay, hosts []*lab.Host) (n uint64, reasons string) {
	o.T.Helper()
	for _, h := range hosts {
		for _, d := range o.Status(h).Drops {
			if !slices.Contains(quiet, d.Reason) {
				n += d.Packets
				reasons += fmt.Sprintf(" %s:%s=%d", h.Name, d.Reason, d.Packets)
			}
		}
	}
	return n, reasons
}

// neighbours returns what a machine believes about its neighbours' MACs, and its routers.
func neighbours(o *overlay.Overlay, m *overlay.Machine) string {
	o.T.Helper()
	out, err := m.Exec(o.T.Context(), "sh", "-ec", "ip -4 neigh; ip -6 neigh; ip -6 route show proto ra")
	if err != nil {
		o.T.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(out, "\n") {
		// What is believed, not since when.
		for _, state := range []string{" REACHABLE", " STALE", " DELAY", " PROBE", " router"} {
			l = strings.ReplaceAll(l, state, "")
		}
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// A barrage is many frames of one liar's.
type barrage struct {
	*overlay.Overlay
	liar  *liar
	send  func(frames [][]byte) // all of them
	heard map[*overlay.Machine]*lab.Capture
	back  *lab.Capture          // what is answered in the switch comes by here
	may   func(netip.Addr) bool // the addresses that the liar may use
	hosts []*lab.Host

	truth func(number int) []byte // a frame that arrives

	frames [][]byte
	what   []string
}

func (b *barrage) add(what string, frame func(number int) []byte) {
	b.frames = append(b.frames, frame(len(b.frames)))
	b.what = append(b.what, what)
}

// fire sends the frames. Each is either dropped and counted, or arrives and claims
// nothing false.
func (b *barrage) fire() {
	b.T.Helper()
	before, _ := allDrops(b.Overlay, b.hosts)
	batch := 150
	if overlay.OnKernel() {
		batch = 30
	}
	sent := uint64(0)
	for frames := range slices.Chunk(b.frames, batch) {
		// The switch's backlog is bounded: behind each batch comes
		// something true.
		last := len(b.what) + int(sent)
		b.send(append(slices.Clone(frames), b.truth(last)))
		sent += uint64(len(frames)) + 1
		lab.Eventually(b.T, overlay.PollTime, "the truth to arrive behind a batch", func() error {
			for _, c := range b.heard {
				if c.Count(func(p lab.Packet) bool { n, ok := numberOf(p.Data); return ok && n == last && !p.Outgoing }) > 0 {
					return nil
				}
			}
			return fmt.Errorf("it has not")
		})
	}
	var arrived map[int]bool
	var was uint64
	lab.Eventually(b.T, overlay.PollTime, "every frame to have arrived or been counted", func() error {
		arrived = map[int]bool{}
		for m, c := range b.heard {
			for _, p := range c.Packets(func(p lab.Packet) bool { return !p.Outgoing }) {
				n, ok := numberOf(p.Data)
				if !ok {
					continue
				}
				if p.Src != b.liar.mac {
					b.T.Fatalf("a frame reached %s under the MAC %s\n% x", m.Port.Ref(), p.Src, p.Data)
				}
				arrived[n] = true
				if n >= len(b.what) { // a barrier
					continue
				}
				if err := b.liar.judge(p.Data, b.may); err != nil {
					b.T.Fatalf("%s reached %s: %v\n% x", b.what[n], m.Port.Ref(), err, p.Data)
				}
			}
		}
		for _, p := range b.back.Packets(nil) {
			if p.Inner != nil {
				p = *p.Inner
			}
			if n, ok := numberOf(p.Data); ok && p.Dst == b.liar.mac && !p.Outgoing {
				arrived[n] = true
			}
		}
		now, reasons := allDrops(b.Overlay, b.hosts)
		was = now - before
		if was+uint64(len(arrived)) != sent {
			return fmt.Errorf("%d frames sent, %d arrived or were answered, %d dropped:%s", sent, len(arrived), was, reasons)
		}
		return nil
	})
	if was == 0 || len(arrived) == 0 {
		b.T.Errorf("of %d frames %d arrived and %d were dropped: there were some for both", sent, len(arrived), was)
	}
	b.T.Logf("%d frames: %d arrived, %d dropped", sent, len(arrived), was)
}

// fill adds the lies to the barrage, each with every stack of tags up to a depth, and
// with some deeper ones.
func (b *barrage) fill(victims []victim, depth int) {
	stacks := tagStacks(depth)
	var deeper [][]tag
	for range 200 {
		var s []tag
		for range 3 {
			s = append(s, tag{tagKinds[b.liar.random.IntN(len(tagKinds))], []uint16{0, 0xe064}[b.liar.random.IntN(2)]})
		}
		deeper = append(deeper, s)
	}
	for _, v := range victims {
		for i, lie := range b.liar.lies(v) {
			dst := v.to.Port.MAC
			if i%2 == 1 {
				dst = lab.Broadcast
			}
			some := append([][]tag{nil, {{0x8100, 0}}, {{0x8100, 0}, {0x8100, 0}}}, deeper[b.liar.random.IntN(len(deeper))])
			for range 6 * (depth - 1) {
				some = append(some, stacks[b.liar.random.IntN(len(stacks))])
			}
			if i < 9 || strings.Contains(lie.what, "router advertisement, plain") {
				some = stacks
			}
			for _, tags := range some {
				b.add(fmt.Sprintf("%s, to %s, tags %#04x", lie.what, v.to.Port.Ref(), tags), func(n int) []byte { return lie.frame(b.liar.mac, dst, tags, n) })
			}
		}
		// What would be true arrives under no router's MAC.
		for _, router := range []intent.MAC{intent.GatewayMAC, intent.RouterMAC(1), intent.RouterMAC(2)} {
			truth := inner{"the truth", lab.EtherIPv4, ip4(b.liar.v4, v.to.V4(), 0)}
			for _, dst := range []intent.MAC{v.to.Port.MAC, lab.Broadcast} {
				b.add(fmt.Sprintf("the truth from %s to %s", router, dst), func(n int) []byte { return truth.frame(router, dst, nil, n) })
			}
		}
		// What it says as itself arrives.
		for _, tags := range [][]tag{nil, {{0x8100, 0}}, {{0x88a8, 0}}, {{0x8100, 0xe000}}} {
			truth := inner{"the truth", lab.EtherIPv4, ip4(b.liar.v4, v.to.V4(), 0)}
			b.add("the truth", func(n int) []byte { return truth.frame(b.liar.mac, v.to.Port.MAC, tags, n) })
		}
	}
}

// TestBorders sends every forged frame in every disguise from every place that may send into a
// network, and checks at real receivers, here and on another host, that none arrives,
// that no receiver believes one, and that all are counted.
func TestBorders(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 3}, 2)
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.Run("network", "add", "acme/lab", "--subnet", "10.0.1.0/24", "--subnet", "fd00:2::/64", "--learning")
	o.Run("network", "add", "acme/tor", "--subnet", "10.0.2.0/24", "--subnet", "fd00:3::/64")
	o.Run("network", "add", "acme/bare")
	o.Run("network", "add", "acme/trunk", "--vlan-transparent", "--ethertype", "0x88b5")
	near, far := o.Hosts[0], o.Hosts[1]

	// receivers plugs the machines that are lied to, and has them know their gateways and
	// each other.
	receivers := func(network string) []*overlay.Machine {
		ms := []*overlay.Machine{o.Plug(near, "acme/"+network+"/near"), o.Plug(far, "acme/"+network+"/far")}
		for i, m := range ms {
			o.Script(m.Exec, "sysctl -qw net.ipv6.conf.eth0.accept_ra=2 net.ipv4.conf.eth0.arp_accept=1 net.ipv6.conf.eth0.accept_redirects=1")
			if len(m.Port.Addrs) == 0 {
				continue
			}
			for _, a := range []netip.Addr{overlay.GatewayOf(m.V4()), overlay.GatewayOf(m.V6()), ms[1-i].V4(), ms[1-i].V6()} {
				o.Reaches(m, a)
			}
		}
		return ms
	}
	lieFrom := func(o *overlay.Overlay, ms []*overlay.Machine, l *liar, back *lab.Capture, send func([][]byte)) {
		l.ll = eui64(l.mac)
		l.gateways = []netip.Addr{overlay.GatewayOf(ms[0].V4()), overlay.GatewayOf(ms[0].V6()), eui64(intent.GatewayMAC)}
		l.random = rand.New(rand.NewPCG(1, 2))
		b := &barrage{Overlay: o, liar: l, send: send, hosts: o.Hosts[:2], heard: map[*overlay.Machine]*lab.Capture{}, back: back}
		b.may = func(a netip.Addr) bool { return a == l.v4 || a == l.v6 || a == l.ll }
		before := map[*overlay.Machine]string{}
		for _, m := range ms {
			b.heard[m] = o.Capture(m)
			defer b.heard[m].Close()
			before[m] = neighbours(o, m)
		}
		truth := inner{"the truth", lab.EtherIPv4, ip4(l.v4, ms[0].V4(), 0)}
		b.truth = func(n int) []byte { return truth.frame(l.mac, ms[0].Port.MAC, nil, n) }
		b.fill([]victim{{ms[0], ms[1]}, {ms[1], ms[0]}}, depthOfTags())
		b.fire()
		for _, m := range ms {
			for _, line := range strings.Split(neighbours(o, m), "\n") {
				lies := strings.Contains(line, l.mac.String()) && !strings.HasPrefix(line, l.v4.String()+" ") && !strings.HasPrefix(line, l.v6.String()+" ") && !strings.HasPrefix(line, l.ll.String()+" ")
				if lies || strings.Contains(line, "proto ra") || strings.Contains(line, l.ll.String()+" dev eth0 proto") {
					o.T.Errorf("%s believes: %s\nbefore:\n%s", m.Port.Ref(), line, before[m])
				}
			}
		}
		for _, m := range ms {
			o.Reaches(m, l.gateways[0])
		}
	}
	sub := func(name string, test func(t *testing.T, o *overlay.Overlay)) {
		t.Run(name, func(t *testing.T) { test(t, o.With(t)) })
	}

	sub("of a port", func(t *testing.T, o *overlay.Overlay) {
		ms := receivers("web")
		a := o.Plug(near, "acme/web/liar")
		o.Reaches(a, ms[1].V4())
		l := &liar{mac: a.Port.MAC, v4: a.V4(), v6: a.V6()}
		lieFrom(o, ms, l, o.Capture(a), func(frames [][]byte) {
			if err := a.SendFrames("eth0", frames); err != nil {
				t.Fatal(err)
			}
		})
		// Large packets in fragments go on working.
		for _, to := range []netip.Addr{ms[0].V4(), ms[1].V4(), ms[0].V6(), ms[1].V6()} {
			if _, err := a.Exec(t.Context(), "ping", "-c", "1", "-W", "3", "-s", "4000", to.String()); err != nil {
				t.Errorf("large ping: %v", err)
			}
		}
	})

	sub("of a learning network", func(t *testing.T, o *overlay.Overlay) {
		ms := receivers("lab")
		vm := o.Plug(near, "acme/lab/vm", "--learn", "4")
		o.Reaches(vm, ms[1].V4())
		l := &liar{mac: intent.MAC{2, 0, 0, 0, 1, 0x66}, v4: netip.MustParseAddr("10.0.1.166"), v6: netip.MustParseAddr("fd00:2::166")}
		lieFrom(o, ms, l, o.Capture(vm), func(frames [][]byte) {
			if err := vm.SendFrames("eth0", frames); err != nil {
				t.Fatal(err)
			}
		})
		testSources(o, vm, l.mac, l.v4, o.Plug(far, "acme/web/server"))
	})

	sub("of a peer", func(t *testing.T, o *overlay.Overlay) {
		ms := receivers("tor")
		o.Run("peer", "add", "acme/tor/tor1", "--vtep", o.Hosts[2].VTEP.String())
		vni := o.NetworkNamed("acme/tor").VNI
		l := &liar{mac: intent.MAC{2, 0, 0, 0, 2, 0x66}, v4: netip.MustParseAddr("10.0.2.166"), v6: netip.MustParseAddr("fd00:3::166")}
		lieFrom(o, ms, l, o.Wire(), func(frames [][]byte) {
			to := map[*lab.Host][][]byte{}
			for _, f := range frames {
				h := near
				if intent.MAC(f[:6]) == ms[1].Port.MAC {
					h = far
				}
				to[h] = append(to[h], f)
			}
			for h, frames := range to {
				overlay.SendVXLAN(t, o.Hosts[2], h.VTEP, vni, frames...)
			}
		})
	})

	sub("of a network that carries tags", func(t *testing.T, o *overlay.Overlay) {
		a, b := o.Plug(near, "acme/trunk/a"), o.Plug(far, "acme/trunk/b")
		alien := intent.MAC{2, 0, 0, 0xaa, 0xbb, 0xcc}
		other := netip.MustParseAddr("192.168.8.9")
		lie := inner{"", lab.EtherARP, lab.ARP{Op: 2, SHA: a.Port.MAC, SPA: other, THA: b.Port.MAC, TPA: other}.Message(1, lab.EtherIPv4, 6, 4)}
		testFrames(o, a, b, []frameCase{
			{"a tag", inner{"", 0x1234, make([]byte, 46)}.frame(a.Port.MAC, b.Port.MAC, []tag{{0x8100, 5}}, 1), ""},
			{"two tags", inner{"", 0x1234, make([]byte, 46)}.frame(a.Port.MAC, b.Port.MAC, []tag{{0x88a8, 5}, {0x8100, 6}}, 2), ""},
			{"ARP behind a tag is its users'", lie.frame(a.Port.MAC, b.Port.MAC, []tag{{0x8100, 5}}, 3), ""},
			{"a tag of another MAC", lie.frame(alien, b.Port.MAC, []tag{{0x8100, 5}}, 4), "spoof-mac"},
			{"two tags of VLAN 0", lie.frame(a.Port.MAC, b.Port.MAC, []tag{{0x8100, 0}, {0x8100, 0}}, 5), "tagged"},
			{"an old tag", lie.frame(a.Port.MAC, b.Port.MAC, []tag{{0x9100, 5}}, 6), "tagged"},
			{"a tag to the gateway", inner{"", lab.EtherIPv4, ip4(other, other, 0)}.frame(a.Port.MAC, intent.GatewayMAC, []tag{{0x8100, 5}}, 7), "tagged"},
			{"a type that is carried", inner{"", 0x88b5, make([]byte, 46)}.frame(a.Port.MAC, b.Port.MAC, nil, 8), ""},
			{"a type that is not", inner{"", 0x88b6, make([]byte, 46)}.frame(a.Port.MAC, b.Port.MAC, nil, 9), "ethertype"},
		})
	})

	sub("of a network without subnets", func(t *testing.T, o *overlay.Overlay) {
		a, b := o.Plug(near, "acme/bare/a"), o.Plug(far, "acme/bare/b")
		server := o.Plug(far, "acme/web/target")
		o.Reaches(server, overlay.GatewayOf(server.V4()))
		any4 := netip.MustParseAddr("192.168.8.9")
		router := lab.ICMPv6(eui64(a.Port.MAC), netip.MustParseAddr("ff02::1"), lab.ICMPv6RouterAdv, make([]byte, 12))
		testFrames(o, a, b, []frameCase{
			{"any address", inner{"", lab.EtherIPv4, ip4(any4, any4, 0)}.frame(a.Port.MAC, b.Port.MAC, nil, 1), ""},
			{"any ARP under its MAC", inner{"", lab.EtherARP, lab.ARP{Op: 2, SHA: a.Port.MAC, SPA: any4, THA: b.Port.MAC, TPA: any4}.Message(1, lab.EtherIPv4, 6, 4)}.frame(a.Port.MAC, b.Port.MAC, nil, 2), ""},
			{"ARP that cannot be read", inner{"", lab.EtherARP, lab.ARP{Op: 2, SHA: a.Port.MAC, SPA: any4, THA: b.Port.MAC, TPA: any4}.Message(6, lab.EtherIPv4, 6, 4)}.frame(a.Port.MAC, b.Port.MAC, nil, 3), "malformed"},
			{"another type", inner{"", 0x88b5, make([]byte, 46)}.frame(a.Port.MAC, b.Port.MAC, nil, 4), "ethertype"},
			{"a tag", inner{"", lab.EtherIPv4, ip4(any4, any4, 0)}.frame(a.Port.MAC, b.Port.MAC, []tag{{0x8100, 5}}, 5), "tagged"},
			{"a router advertisement", inner{"", lab.EtherIPv6, ip6(eui64(a.Port.MAC), netip.MustParseAddr("ff02::1"), lab.ProtoICMPv6, 255, router)}.frame(a.Port.MAC, lab.Broadcast, nil, 6), "router-advertisement"},
			{"into another network", inner{"", lab.EtherIPv4, ip4(any4, server.V4(), 0)}.frame(a.Port.MAC, intent.GatewayMAC, nil, 7), "foreign-source"},
		})
	})
}

// A frameCase is a frame, and why it is dropped; empty: it arrives.
type frameCase struct {
	name   string
	frame  []byte
	reason string
}

// testFrames sends frames from one machine to another. All numbers in them differ.
func testFrames(o *overlay.Overlay, from, to *overlay.Machine, cases []frameCase) {
	o.T.Helper()
	heard := o.Capture(to)
	defer heard.Close()
	here := func(c frameCase) lab.Match {
		want, _ := numberOf(c.frame)
		return func(p lab.Packet) bool { n, ok := numberOf(p.Data); return ok && n == want && !p.Outgoing }
	}
	for _, c := range cases {
		if c.reason == "" {
			lab.Eventually(o.T, overlay.PollTime, c.name+" to arrive", func() error {
				o.Send(from, c.frame)
				return overlay.Seen(heard, here(c))
			})
			continue
		}
		before := o.Drops(from.Host, c.reason)
		o.Send(from, c.frame)
		o.Dropped(from.Host, c.reason, before+1)
		if heard.Count(here(c)) != 0 {
			o.T.Errorf("%s arrived, and was counted as %s", c.name, c.reason)
		}
	}
}

// testSources routes packets of a MAC behind a port to a server: its gateway takes them
// from the network's addresses, and what routes by it lead to.
func testSources(o *overlay.Overlay, vm *overlay.Machine, mac intent.MAC, own netip.Addr, server *overlay.Machine) {
	o.T.Helper()
	heard := o.Capture(server)
	defer heard.Close()
	packet := func(from netip.Addr, words string) []byte {
		return overlay.Datagram(mac, intent.GatewayMAC, from, server.V4(), []byte(words))
	}
	lab.Eventually(o.T, overlay.PollTime, "a packet from behind the port to be routed", func() error {
		o.Send(vm, packet(own, "from here"))
		return overlay.Seen(heard, overlay.PayloadContains("from here"))
	})
	for _, from := range []string{"10.0.0.99", "172.16.5.5", "127.0.0.1"} {
		before := o.Drops(vm.Host, "foreign-source")
		o.Send(vm, packet(netip.MustParseAddr(from), "from elsewhere"))
		o.Dropped(vm.Host, "foreign-source", before+1)
	}
	if heard.Count(overlay.PayloadContains("from elsewhere")) != 0 {
		o.T.Error("a packet from another network was routed")
	}
	o.Run("route", "add", "acme", "172.16.0.0/16", "--via", own.String())
	lab.Eventually(o.T, overlay.PollTime, "a packet from behind a route to be routed", func() error {
		o.Send(vm, packet(netip.MustParseAddr("172.16.5.5"), "from behind"))
		return overlay.Seen(heard, overlay.PayloadContains("from behind"))
	})
}
