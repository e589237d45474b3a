package trace_test

// What ovloom trace says of a packet, compared with what then happens to it. To add a case, add
// a row.

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// traceRow is a packet: the question to trace, and the frame to send.
type traceRow struct {
	name    string
	from    *overlay.Machine
	args    string    // of ovloom trace, after the port
	summary string    // the beginning of the verdict; {a} is the name of the port, {host1} …
	frame   []byte    // the frame to send
	heard   lab.Match // matches it at its receivers, or the reply at the sender
}

// traceLab is the overlay for the rows: machines by name.
type traceLab struct {
	*overlay.Overlay
	m     map[string]*overlay.Machine
	heard map[string]*lab.Capture // by port
}

func newTraceLab(t *testing.T) *traceLab {
	o := overlay.New(t, lab.Config{})
	l := &traceLab{o, map[string]*overlay.Machine{}, map[string]*lab.Capture{}}
	o.Run("tenant", "add", "acme")
	o.Run("tenant", "add", "umbrella")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64", "--ethertype", "0x88b5")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.1.0/24", "--subnet", "fd00:2::/64")
	o.Run("network", "add", "acme/open", "--subnet", "10.0.2.0/24", "--unknown", "flood", "--ethertype", "0x88b5")
	o.Run("network", "add", "acme/lab", "--subnet", "10.0.3.0/24", "--learning", "--ethertype", "0x88b5")
	o.Run("network", "add", "umbrella/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.Run("port", "add", "acme/web/off", "--ip", "10.0.0.50", "--mac", "02:00:00:00:00:50")
	for _, p := range []struct {
		name, network string
		host          int
		flags         string
	}{
		{"a", "acme/web", 0, ""}, {"b", "acme/web", 0, ""}, {"c", "acme/web", 1, ""}, {"d", "acme/web", 2, ""},
		{"e", "acme/db", 0, ""}, {"f", "acme/db", 1, ""},
		{"o1", "acme/open", 0, ""}, {"o2", "acme/open", 2, ""},
		{"l1", "acme/lab", 0, "--learn 1"}, {"l2", "acme/lab", 1, ""},
		{"x", "umbrella/web", 1, "--ip 10.0.0.77 --ip fd00:1::77"},
	} {
		m := o.Plug(o.Hosts[p.host], p.network+"/"+p.name, strings.Fields(p.flags)...)
		l.m[p.name] = m
		l.heard[m.Port.Ref().String()] = o.Capture(m)
	}
	// Until tunnels have resolved their neighbours, packets are lost in ways that no trace
	// shows.
	for _, from := range []string{"a", "b", "c", "d"} {
		for _, to := range []string{"a", "c", "d"} {
			o.Reaches(l.m[from], l.m[to].V4())
		}
	}
	return l
}

// udp is a row with a datagram. Its payload is its name, by which captures recognise it.
func (l *traceLab) udp(name, from, args, summary string, dstMAC intent.MAC, src, dst netip.Addr) traceRow {
	m := l.m[from]
	return traceRow{name, m, args + " --udp 9 --sport 9", summary,
		overlay.Datagram(m.Port.MAC, dstMAC, src, dst, []byte(name)), overlay.PayloadIs([]byte(name))}
}

// arp is a row with an ARP request.
func (l *traceLab) arp(name, from, args, summary string, sender, target netip.Addr) traceRow {
	m := l.m[from]
	return traceRow{name, m, args, summary,
		lab.ARP{Op: 1, SHA: m.Port.MAC, SPA: sender, TPA: target}.Frame(m.Port.MAC, lab.Broadcast),
		func(p lab.Packet) bool { return !p.Outgoing && p.ARP != nil && p.ARP.Op == 2 && p.ARP.SPA == target }}
}

// nd is a row with a neighbour solicitation.
func (l *traceLab) nd(name, from, args, summary string, sender, target netip.Addr) traceRow {
	m := l.m[from]
	solicited, group := overlay.SolicitedNode(target)
	return traceRow{name, m, args, summary,
		lab.IPFrame(m.Port.MAC, group, sender, solicited, lab.ProtoICMPv6, 255,
			lab.ICMPv6(sender, solicited, lab.ICMPv6NeighbourSol, lab.ND(0, target, 1, m.Port.MAC))),
		func(p lab.Packet) bool {
			return !p.Outgoing && p.ICMPType == lab.ICMPv6NeighbourAdv && p.NDTarget == target
		}}
}

// rows are in the order of sending.
func (l *traceLab) rows() []traceRow {
	a, b, c := l.m["a"], l.m["b"], l.m["c"]
	e, f := l.m["e"], l.m["f"]
	addr := netip.MustParseAddr
	all4, all6 := addr("255.255.255.255"), addr("ff02::1")
	gw := intent.GatewayMAC
	unusedMAC := intent.MAC{2, 0, 0, 0xaa, 0xbb, 0xcc}
	unknown4, unknown6 := addr("10.0.0.99"), addr("fd00:1::99")
	off := addr("10.0.0.50")
	lies := l.udp("another MAC", "a", c.V4().String()+" --src-mac "+unusedMAC.String(), "dropped on host1 in table port_security: spoof-mac", c.Port.MAC, a.V4(), c.V4())
	lies.frame = overlay.Datagram(unusedMAC, c.Port.MAC, a.V4(), c.V4(), []byte(lies.name))
	icmp6 := func(kind uint8, dst netip.Addr, body []byte) []byte {
		return lab.IPFrame(a.Port.MAC, intent.MAC{0x33, 0x33, 0, 0, 0, dst.As16()[15]}, a.V6(), dst, lab.ProtoICMPv6, 255, lab.ICMPv6(a.V6(), dst, kind, body))
	}
	behind := func(name string, mac intent.MAC, summary string) traceRow {
		src := addr("10.0.3.200")
		return traceRow{name, l.m["l1"], "broadcast --udp 9 --sport 9 --src 10.0.3.200 --src-mac " + mac.String(), summary,
			overlay.Datagram(mac, lab.Broadcast, src, all4, []byte(name)), overlay.PayloadIs([]byte(name))}
	}
	never := func(lab.Packet) bool { return false }
	return []traceRow{
		// Within a network.
		l.udp("to a port on the same host", "a", b.V4().String(), "delivered to acme/web/b on host1", b.Port.MAC, a.V4(), b.V4()),
		l.udp("to a port on another host", "a", c.V4().String(), "delivered to acme/web/c on host2", c.Port.MAC, a.V4(), c.V4()),
		l.udp("to a port by its name", "a", "acme/web/d", "delivered to acme/web/d on host3", l.m["d"].Port.MAC, a.V4(), l.m["d"].V4()),
		l.udp("to a port by its MAC", "c", a.Port.MAC.String(), "delivered to acme/web/a on host1", a.Port.MAC, c.V4(), a.V4()),
		l.udp("in IPv6 to the same host", "a", b.V6().String(), "delivered to acme/web/b on host1", b.Port.MAC, a.V6(), b.V6()),
		l.udp("in IPv6 to another host", "a", c.V6().String(), "delivered to acme/web/c on host2", c.Port.MAC, a.V6(), c.V6()),
		l.udp("to all", "a", "broadcast", "delivered to 3 ports: acme/web/b on host1, acme/web/c on host2, acme/web/d on host3", lab.Broadcast, a.V4(), all4),
		l.udp("to a group", "c", "224.0.0.99", "delivered to 3 ports: acme/web/a on host1, acme/web/b on host1, acme/web/d on host3", intent.MAC{1, 0, 0x5e, 0, 0, 99}, c.V4(), addr("224.0.0.99")),
		l.udp("to all in IPv6", "a", all6.String(), "delivered to 3 ports: acme/web/b on host1, acme/web/c on host2, acme/web/d on host3", intent.MAC{0x33, 0x33, 0, 0, 0, 1}, a.V6(), all6),
		l.udp("to all when there is one other", "o1", "broadcast", "delivered to acme/open/o2 on host3", lab.Broadcast, l.m["o1"].V4(), all4),
		{"to a MAC that is flooded", l.m["o1"], unusedMAC.String(), "delivered to acme/open/o2 on host3",
			lab.Ethernet(l.m["o1"].Port.MAC, unusedMAC, 0x88b5, []byte("plain")), func(p lab.Packet) bool { return !p.Outgoing && p.EtherType == 0x88b5 }},

		// To addresses behind ports.
		behind("a MAC behind a port", unusedMAC, "delivered to acme/lab/l2 on host2"),
		behind("one more than may be", intent.MAC{2, 0, 0, 0xaa, 0xbb, 0xdd}, "dropped on host1 in table fork: learn-limit"),
		behind("the same once more", unusedMAC, "delivered to acme/lab/l2 on host2"),
		{"to a MAC that was learned", l.m["l2"], unusedMAC.String(), "delivered to acme/lab/l1 on host1",
			lab.Ethernet(l.m["l2"].Port.MAC, unusedMAC, 0x88b5, []byte("plain")), func(p lab.Packet) bool { return !p.Outgoing && p.EtherType == 0x88b5 }},

		// Address resolution.
		l.arp("who has it", "a", c.V4().String()+" --ask", "answered by the switch of host1 with "+c.Port.MAC.String(), a.V4(), c.V4()),
		l.nd("who has it in IPv6", "a", c.V6().String()+" --ask", "answered by the switch of host1 with "+c.Port.MAC.String(), a.V6(), c.V6()),
		l.arp("who has an unknown address", "a", unknown4.String(), "no packet is sent: the question who has 10.0.0.99 is dropped on host1 in table arp_nd: no-such-address", a.V4(), unknown4),
		l.nd("who has an unknown IPv6 address", "a", unknown6.String(), "no packet is sent: the question who has fd00:1::99 is dropped on host1 in table arp_nd: no-such-address", a.V6(), unknown6),
		l.arp("who has my own", "a", a.V4().String(), "no packet is sent: the question who has "+a.V4().String()+" is dropped on host1 in table arp_nd: own-address", a.V4(), a.V4()),
		l.arp("who has that of an unplugged port", "a", off.String(), "no packet is sent: the question who has 10.0.0.50 is dropped on host1 in table arp_nd: not-plugged", a.V4(), off),
		l.arp("who has another tenant's", "a", "10.0.0.77", "no packet is sent: the question who has 10.0.0.77 is dropped on host1 in table arp_nd: no-such-address", a.V4(), addr("10.0.0.77")),
		l.arp("another tenant's port", "a", "umbrella/web/x", "no packet is sent: the question who has 10.0.0.77 is dropped on host1 in table arp_nd: no-such-address", a.V4(), addr("10.0.0.77")),

		// Forged packets, and addresses without a destination.
		lies,
		l.udp("another IPv4 address", "a", c.V4().String()+" --src 10.0.0.66", "dropped on host1 in table port_security: spoof-ipv4", c.Port.MAC, addr("10.0.0.66"), c.V4()),
		l.udp("another IPv6 address", "a", c.V6().String()+" --src fd00:1::66", "dropped on host1 in table port_security: spoof-ipv6", c.Port.MAC, addr("fd00:1::66"), c.V6()),
		l.arp("a question as another", "a", c.V4().String()+" --ask --src 10.0.0.66", "dropped on host1 in table port_security: spoof-arp", addr("10.0.0.66"), c.V4()),
		l.nd("a solicitation as another", "a", c.V6().String()+" --ask --src fd00:1::66", "dropped on host1 in table port_security: spoof-nd", addr("fd00:1::66"), c.V6()),
		{"a router advertisement", a, "ff02::1 --icmp 134", "dropped on host1 in table port_security: router-advertisement", icmp6(lab.ICMPv6RouterAdv, all6, make([]byte, 12)), never},
		{"a router solicitation", a, "ff02::2 --icmp 133", "dropped on host1 in table arp_nd: no-router", icmp6(133, addr("ff02::2"), make([]byte, 4)), never},
		l.udp("to the MAC of an unplugged port", "a", "02:00:00:00:00:50", "dropped on host1 in table fdb: not-plugged", intent.MAC{2, 0, 0, 0, 0, 0x50}, a.V4(), off),
		{"to an unknown MAC", a, unusedMAC.String(), "dropped on host1 in table unknown: unknown-destination", lab.Ethernet(a.Port.MAC, unusedMAC, 0x88b5, []byte("plain")), never},
		{"to a MAC that bridges keep", a, "01:80:c2:00:00:03", "dropped on host1 in table fork: reserved-mac", lab.Ethernet(a.Port.MAC, intent.MAC{1, 0x80, 0xc2, 0, 0, 3}, 0x88b5, []byte("plain")), never},

		// Between networks.
		l.udp("routed on one host", "a", e.V4().String(), "delivered to acme/db/e on host1", gw, a.V4(), e.V4()),
		l.udp("routed to another host", "a", f.V4().String(), "delivered to acme/db/f on host2", gw, a.V4(), f.V4()),
		l.udp("routed back", "f", "acme/web/a", "delivered to acme/web/a on host1", gw, f.V4(), a.V4()),
		l.udp("routed on one host in IPv6", "a", e.V6().String(), "delivered to acme/db/e on host1", gw, a.V6(), e.V6()),
		l.udp("routed to another host in IPv6", "a", f.V6().String(), "delivered to acme/db/f on host2", gw, a.V6(), f.V6()),
		l.udp("routed to an unplugged port", "e", off.String(), "dropped on host1 in table neighbour: not-plugged", gw, e.V4(), off),
		l.udp("routed to an unknown address", "e", unknown4.String(), "dropped on host1 in table neighbour: no-such-address", gw, e.V4(), unknown4),
		l.udp("without a route", "a", "10.99.0.1", "dropped on host1 in table route: no-route", gw, a.V4(), addr("10.99.0.1")),
		l.udp("to the gateway, which only answers pings", "a", "10.0.0.1", "dropped on host1 in table l3_in: gateway", gw, a.V4(), addr("10.0.0.1")),
		l.arp("who is the gateway", "a", "10.0.0.1 --ask", "answered by the switch of host1 with "+gw.String(), a.V4(), addr("10.0.0.1")),
		l.nd("who is the gateway in IPv6", "a", "fd00:1::1 --ask", "answered by the switch of host1 with "+gw.String(), a.V6(), addr("fd00:1::1")),
	}
}

// Packets behave as the trace says, whichever host it is run on.
func TestTraceAgreesWithPackets(t *testing.T) {
	l := newTraceLab(t)
	for i, row := range l.rows() {
		t.Run(row.name, func(t *testing.T) {
			l := &traceLab{l.With(t), l.m, l.heard}
			var trace intent.Trace
			l.Get(l.Hosts[i%len(l.Hosts)], &trace, append([]string{"trace", row.from.Port.Ref().String()}, strings.Fields(row.args)...)...)
			if !strings.HasPrefix(trace.Summary, row.summary) {
				t.Errorf("trace says: %s\nwant: %s", trace.Summary, row.summary)
			}
			if len(trace.Packets) == 0 || trace.Packets[len(trace.Packets)-1].Summary == "" {
				t.Fatalf("no packet in %+v", trace)
			}
			l.happens(row, trace)
		})
	}
}

// happens sends a row's frame, and fails the test unless what happens to it is what the trace
// says.
func (l *traceLab) happens(row traceRow, trace intent.Trace) {
	l.T.Helper()
	for _, c := range l.heard {
		c.Reset()
	}
	var delivered []string
	dropped := map[*lab.Host]intent.TraceEnd{}
	before := map[*lab.Host]uint64{}
	for _, hop := range trace.Packets[len(trace.Packets)-1].Hops {
		for _, e := range hop.Ends {
			h := l.Hosts[slices.IndexFunc(l.Hosts, func(h *lab.Host) bool { return h.Name == hop.Host })]
			switch e.Kind {
			case intent.TraceDelivered, intent.TraceAnswered:
				delivered = append(delivered, e.Port)
			case intent.TraceDropped:
				dropped[h], before[h] = e, l.Drops(h, e.Reason)
			}
		}
	}
	if len(delivered)+len(dropped) == 0 {
		l.T.Fatalf("the trace ends nowhere: %+v", trace)
	}
	l.Send(row.from, row.frame)
	for _, port := range delivered {
		l.heard[port].MustSee(l.T, overlay.PollTime, row.name+" at "+port, row.heard)
	}
	for h, e := range dropped {
		l.Dropped(h, e.Reason, before[h]+1)
	}
	for port, c := range l.heard {
		if !slices.Contains(delivered, port) {
			c.MustNotSee(l.T, fmt.Sprintf("%s at %s", row.name, port), func(p lab.Packet) bool { return !p.Outgoing && row.heard(p) })
		}
	}
}

// A trace when a host does not answer, and traces in scripts that expect a verdict.
func TestTraceWithoutAHost(t *testing.T) {
	o := overlay.New(t, lab.Config{AllowLog: overlay.VswitchdGone})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/a"), o.Plug(o.Hosts[1], "acme/web/b")
	o.Plug(o.Hosts[2], "acme/web/c")
	o.Reaches(a, b.V4())
	trace := func(h *lab.Host, code int, args ...string) string {
		t.Helper()
		out, err := h.Ovloom(t.Context(), append([]string{"trace", "acme/web/a"}, args...)...)
		if lab.ExitCode(err) != code {
			t.Errorf("trace %v: exit code %d, want %d: %v\n%s", args, lab.ExitCode(err), code, err, out)
		}
		return out
	}
	trace(o.Hosts[0], 0, "10.0.0.99")
	trace(o.Hosts[0], 0, "10.0.0.99", "--expect", "dropped")
	trace(o.Hosts[0], 1, "10.0.0.99", "--expect", "delivered")
	trace(o.Hosts[0], 3, "acme/web/unknown")

	if err := o.Hosts[2].Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	if out := trace(o.Hosts[0], 0, b.V4().String()); !strings.Contains(out, "delivered to acme/web/b on host2") {
		t.Errorf("a trace without that host:\n%s", out)
	}
	out := trace(o.Hosts[1], 5, "broadcast")
	for _, want := range []string{"delivered to acme/web/b on host2", "what host3 does is not known", "through the tunnel to host3"} {
		if !strings.Contains(out, want) {
			t.Errorf("a trace to a host that is silent does not say %q:\n%s", want, out)
		}
	}
	out = trace(o.Hosts[1], 5, "acme/web/c")
	if !strings.Contains(out, "what host3 does is not known") {
		t.Errorf("a trace to a host that is silent:\n%s", out)
	}

	// The switch of the sender's host is down.
	if err := o.Hosts[0].Vswitchd.Kill(); err != nil {
		t.Fatal(err)
	}
	if out := trace(o.Hosts[0], 5, b.V4().String()); !strings.Contains(out, "ovs-vswitchd on host1 does not answer") {
		t.Errorf("a trace through a switch that is down:\n%s", out)
	}
	if err := errors.Join(o.Hosts[0].StartVswitchd(t.Context()), startAgain(t, o.Hosts[2])); err != nil {
		t.Fatal(err)
	}
	o.Reaches(a, b.V4())
}

// While the store is down, a host traces through its own switch, with its cached copy of the
// tenant.
func TestTraceWithoutStore(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2, AllowLog: overlay.StoreGone})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(o.Hosts[0], "acme/web/a"), o.Plug(o.Hosts[1], "acme/web/b")
	c := o.Plug(o.Hosts[1], "acme/web/c")
	o.Reaches(b, a.V4())
	o.Reaches(b, c.V4())
	if err := o.Hosts[0].Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	traces := func(to netip.Addr, code int, want string) {
		t.Helper()
		lab.Eventually(t, overlay.PollTime, fmt.Sprintf("a trace to %s from the copy", to), func() error {
			out, err := o.Hosts[1].Ovloom(t.Context(), "trace", "acme/web/b", to.String())
			if lab.ExitCode(err) != code || !strings.Contains(out, want) {
				return fmt.Errorf("exit code %d, want %d and %q: %v\n%s", lab.ExitCode(err), code, want, err, out)
			}
			return nil
		})
	}
	traces(c.V4(), 0, "delivered to acme/web/c on host2")
	traces(a.V4(), 5, "but which host that is is not known")
	if err := startAgain(t, o.Hosts[0]); err != nil {
		t.Fatal(err)
	}
	traces(a.V4(), 0, "delivered to acme/web/a on host1")
}

func startAgain(t *testing.T, h *lab.Host) error {
	_, err := h.StartOvloomd(t.Context())
	return err
}
