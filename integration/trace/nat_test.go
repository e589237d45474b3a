package trace_test

// What ovloom trace says of packets that are routed, leave the overlay or enter it, compared
// with what then happens to them. To add a case, add a row.

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// exitRow is a datagram: the question to trace, and the frame to send. Its payload is its name,
// by which captures recognise it; only the machines to which the trace says that it goes may
// receive it.
type exitRow struct {
	name string
	from string // a machine; "campus": from outside, through that external
	to   netip.Addr
	port uint16
	by   string // an object on its path
	says string // the beginning of the verdict

	src  netip.Addr // its source; only from outside
	ttl  uint8      // 0: 64
	size int        // bytes of IP packet; 0: as many as its name needs

	icmp  uint8  // type of the ICMP or ICMPv6 message that its sender gets; 0: none
	parts string // a machine that gets it in fragments
}

// exitLab is the overlay for the rows.
type exitLab struct {
	*overlay.Outdoors
	m       map[string]*overlay.Machine
	heard   map[string]*lab.Capture // by port
	exits   map[string]*lab.Capture // what leaves, by external and host
	campus  *lab.Capture
	float   netip.Addr // of acme/web/p
	forward netip.Addr
}

func newExitLab(t *testing.T) *exitLab {
	l := &exitLab{Outdoors: overlay.NewOutdoors(t, 2), m: map[string]*overlay.Machine{}, heard: map[string]*lab.Capture{}, exits: map[string]*lab.Capture{}}
	l.Run("external", "add", "nowhere", "--bridge", "br-none", "--subnet", "198.18.0.0/24", "--gateway", "198.18.0.1", "--pool", "198.18.0.10-198.18.0.20")
	for _, tenant := range []string{"acme", "umbrella", "lonely", "half", "stuck"} {
		l.Run("tenant", "add", tenant)
		l.Run("network", "add", tenant+"/web", "--subnet", "10.0.1.0/24", "--subnet", "fd00:1::/64")
	}
	l.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24", "--subnet", "fd00:2::/64", "--mtu", "1300")
	l.Run("network", "add", "acme/lab", "--subnet", "10.0.3.0/24", "--learning")
	l.Run("port", "add", "acme/db/off", "--ip", "10.0.2.50")
	for _, p := range []struct {
		name, network string
		host          int
	}{
		{"a", "acme/web", 0}, {"b", "acme/web", 1}, {"p", "acme/web", 1}, {"e", "acme/db", 0}, {"f", "acme/db", 1}, {"l", "acme/lab", 0},
		{"u", "umbrella/web", 0}, {"x", "lonely/web", 0}, {"g", "half/web", 0}, {"h", "half/web", 0}, {"s", "stuck/web", 0},
	} {
		m := l.Plug(l.Hosts[p.host], p.network+"/"+p.name)
		l.m[p.name] = m
		l.heard[m.Port.Ref().String()] = l.Capture(m)
	}
	l.SNAT("acme", "internet")
	l.SNAT("umbrella", "campus")
	l.SNAT("stuck", "nowhere")
	l.float = l.Outdoors.Float(l.m["p"])
	l.Outdoors.Float(l.m["g"])
	var f intent.Forward
	l.Get(l.Hosts[0], &f, "nat", "forward", "add", "acme", "--external", "campus", "--udp", "8080", "--to", "acme/web/a:9")
	l.forward = f.Address
	l.Run("route", "add", "acme", "10.9.0.0/16", "--via", l.m["f"].V4().String())
	l.Run("route", "add", "acme", "fd00:9::/48", "--via", l.m["e"].V6().String())
	l.Run("route", "add", "acme", "10.8.0.0/16", "--via", l.m["e"].V4().String(), "--via", l.m["f"].V4().String())

	var err error
	if l.campus, err = l.Outside.Capture("campus0"); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts {
		l.exits["campus on "+h.Name] = l.campus
		if l.exits["internet on "+h.Name], err = h.Capture(intent.HostUplink); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(l.campus.Close)
	// Until tunnels have resolved their neighbours, packets are lost in ways that no trace
	// shows.
	l.Reaches(l.m["a"], l.m["b"].V4())
	l.Reaches(l.m["e"], l.m["f"].V4())
	return l
}

// rows are in the order of sending.
func (l *exitLab) rows() []exitRow {
	addr := netip.MustParseAddr
	e, f := l.m["e"], l.m["f"]
	host1, host2 := l.Hosts[0], l.Hosts[1]
	internet := lab.InternetServer
	return []exitRow{
		// Between networks.
		{name: "routed", from: "a", to: f.V4(), port: 9, by: "port acme/db/f", says: "delivered to acme/db/f on host2"},
		{name: "routed in IPv6", from: "a", to: f.V6(), port: 9, by: "port acme/db/f", says: "delivered to acme/db/f on host2"},
		{name: "the last TTL", from: "a", to: f.V4(), port: 9, ttl: 1, says: "dropped on host1 in table l3_in: expired", icmp: 11},
		{name: "the last hop limit", from: "a", to: f.V6(), port: 9, ttl: 1, says: "dropped on host1 in table l3_in: expired", icmp: 3},
		{name: "the last TTL but one", from: "a", to: f.V4(), port: 9, ttl: 2, by: "port acme/db/f", says: "delivered to acme/db/f on host2"},
		{name: "as large as may be", from: "a", to: e.V4(), port: 9, size: 1300, says: "delivered to acme/db/e on host1"},
		{name: "too large", from: "a", to: e.V4(), port: 9, size: 1301, says: "ovloomd of host1: too large", parts: "e"},
		{name: "too large in IPv6", from: "a", to: e.V6(), port: 9, size: 1301, says: "dropped on host1 in table forward: oversize", icmp: 2},
		{name: "no route in IPv6", from: "a", to: addr("2001:db8::1"), port: 9, says: "dropped on host1 in table route: no-route", icmp: 1},
		{name: "unplugged", from: "a", to: addr("10.0.2.50"), port: 9, by: "port acme/db/off", says: "dropped on host1 in table neighbour: not-plugged", icmp: 3},
		{name: "to an unknown address", from: "a", to: addr("10.0.2.99"), port: 9, says: "dropped on host1 in table neighbour: no-such-address", icmp: 3},
		{name: "to an address that may be there", from: "a", to: addr("10.0.3.99"), port: 9, says: "ovloomd of host1: not answered yet", icmp: 3},
		{name: "by a static route", from: "a", to: addr("10.9.1.1"), port: 9, by: "route acme 10.9.0.0/16", says: "delivered to acme/db/f on host2"},
		{name: "by a static route in IPv6", from: "a", to: addr("fd00:9::1"), port: 9, by: "route acme fd00:9::/48", says: "delivered to acme/db/e on host1"},

		// Out. The neighbours on the bridge have to be resolved first.
		{name: "who is on the campus", from: "p", to: lab.CampusServer, port: 9, by: "floating acme/web/p on campus", says: "ovloomd of host2: a next hop that ovloomd has to ask for"},
		{name: "from a floating address", from: "p", to: lab.CampusServer, port: 9, by: "floating acme/web/p on campus", says: "leaves on host2: out by external campus, from " + l.float.String()},
		{name: "by the host", from: "a", to: internet, port: 9, by: "snat acme through internet", says: "leaves on host1: out by external internet, the host's own routing (ovl0), from 100.64."},
		{name: "by the other host", from: "f", to: internet, port: 9, by: "snat acme through internet", says: "leaves on host2: out by external internet, the host's own routing (ovl0), from 100.64."},
		{name: "by the bridge", from: "u", to: internet, port: 9, by: "snat umbrella through campus", says: "leaves on host1: out by external campus, from 203.0.113."},
		{name: "from a floating address, past the gateway", from: "p", to: internet, port: 9, by: "floating acme/web/p on campus", says: "leaves on host2: out by external campus, from " + l.float.String()},
		{name: "with the last TTL", from: "a", to: internet, port: 9, ttl: 1, says: "dropped on host1 in table l3_in: expired", icmp: 11},
		{name: "no NAT at all", from: "x", to: internet, port: 9, says: "dropped on host1 in table route: no-route", icmp: 3},
		{name: "no NAT for this port", from: "h", to: internet, port: 9, says: "dropped on host1 in table external_out: no-nat"},
		{name: "no uplink here", from: "s", to: internet, port: 9, by: "snat stuck through nowhere", says: "dropped on host1 in table external_out: no-uplink"},

		// To the hosts' own addresses.
		{name: "a VTEP", from: "a", to: host2.VTEP, port: 4789, by: "guard", says: "dropped on host1 in table external_out: vtep"},
		{name: "the host's VTEP", from: "a", to: host1.VTEP, port: 4789, by: "guard", says: "dropped on host1 in table external_out: vtep"},
		{name: "the host", from: "a", to: host1.InternetAddr(), port: 22, by: "guard", says: "dropped on host1 in table external_out: host-address"},
		{name: "the host's end of the host uplink", from: "a", to: addr("100.64.0.1"), port: 22, by: "guard", says: "dropped on host1 in table external_out: host-address"},
		{name: "the store", from: "a", to: host1.Mgmt, port: lab.StorePort, by: "guard", says: "dropped on host1 in table external_out: store"},
		{name: "another tenant's address", from: "u", to: l.float, port: 9, by: "guard", says: "dropped on host1 in table external_out: foreign-nat-address"},
		{name: "the host's, from a floating address", from: "p", to: host2.InternetAddr(), port: 22, by: "guard", says: "dropped on host2 in table external_out: host-address"},
		{name: "link-local", from: "a", to: addr("169.254.169.254"), port: 80, says: "dropped on host1 in table l3_in: on-link"},

		// Into the overlay again.
		{name: "its own floating address", from: "p", to: l.float, port: 9, by: "floating acme/web/p on campus", says: "delivered to acme/web/p on host2"},
		{name: "a floating address of the tenant's", from: "b", to: l.float, port: 9, by: "floating acme/web/p on campus", says: "delivered to acme/web/p on host2"},
		{name: "a forward of the tenant's", from: "a", to: l.forward, port: 8080, by: "forward acme campus udp/8080", says: "delivered to acme/web/a on host1"},
		{name: "a port of its own address that is not forwarded", from: "e", to: l.forward, port: 8081, says: "dropped on host1 in table nat_in: no-forward"},

		// From outside.
		{name: "in to a floating address", from: "campus", src: lab.CampusGateway, to: l.float, port: 9, by: "floating acme/web/p on campus", says: "delivered to acme/web/p on host2"},
		{name: "in from far away", from: "campus", src: internet, to: l.float, port: 9, by: "floating acme/web/p on campus", says: "delivered to acme/web/p on host2"},
		{name: "in to a forwarded port", from: "campus", src: lab.CampusServer, to: l.forward, port: 8080, by: "forward acme campus udp/8080", says: "delivered to acme/web/a on host1"},
		{name: "in to a port that is not", from: "campus", src: lab.CampusServer, to: l.forward, port: 8081, says: "dropped on host1 in table nat_in: no-forward"},
		{name: "in to an unused address", from: "campus", src: lab.CampusServer, to: addr("203.0.113.150"), port: 9,
			says: "no packet comes in: no host answers for 203.0.113.150 on external campus"},
		{name: "in with the last TTL", from: "campus", src: lab.CampusServer, to: l.float, port: 9, ttl: 1, says: "dropped on host2 in table l3_in: expired", icmp: 11},
	}
}

// ask traces a row.
func (l *exitLab) ask(i int, row exitRow) intent.Trace {
	l.T.Helper()
	args := []string{"trace"}
	if m := l.m[row.from]; m != nil {
		args = append(args, m.Port.Ref().String())
	} else {
		args = append(args, "--from-external", row.from, "--src", row.src.String())
	}
	args = append(args, row.to.String(), "--udp", fmt.Sprint(row.port), "--sport", fmt.Sprint(sportOf(i)), "--ttl", fmt.Sprint(cmp.Or(row.ttl, 64)))
	if row.size != 0 {
		args = append(args, "--size", fmt.Sprint(row.size))
	}
	var trace intent.Trace
	l.Get(l.Hosts[i%len(l.Hosts)], &trace, args...)
	return trace
}

// sportOf is a row's source port, different for each row, so that each row is the first packet
// of its connection.
func sportOf(i int) uint16 { return uint16(5000 + i) }

// Packets behave as the trace says, and the trace itself changes nothing.
func TestTraceAgreesOnTheWayOut(t *testing.T) {
	l := newExitLab(t)
	rows := l.rows()
	lab.Eventually(t, overlay.PollTime, "the campus' gateway to be known", func() error {
		i := slices.IndexFunc(rows, func(r exitRow) bool { return r.name == "by the bridge" })
		if trace := l.ask(i, rows[i]); trace.Verdict != intent.TraceLeft {
			return fmt.Errorf("%s", trace.Summary)
		}
		return nil
	})
	for i, row := range rows {
		l.ask(i, row)
	}
	l.untouched()
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			l := *l
			l.Outdoors = l.With(t)
			trace := l.ask(i, row)
			if !strings.HasPrefix(trace.Summary, row.says) {
				t.Errorf("trace says: %s\nwant: %s", trace.Summary, row.says)
			}
			if len(trace.Packets) == 0 {
				t.Fatalf("no packet in %+v", trace)
			}
			last := trace.Packets[len(trace.Packets)-1]
			if row.by != "" && !slices.ContainsFunc(last.Hops, func(h intent.TraceHop) bool {
				return slices.ContainsFunc(h.Steps, func(s intent.TraceStep) bool { return s.Object == row.by })
			}) {
				text, _ := json.MarshalIndent(last, "", " ")
				t.Errorf("the trace does not pass %s:\n%s", row.by, text)
			}
			l.happens(i, row, last)
		})
	}
	t.Run("one of several ways", func(t *testing.T) {
		l := *l
		l.Outdoors = l.With(t)
		row := exitRow{name: "one of several", from: "a", to: netip.MustParseAddr("10.8.1.1"), port: 9}
		trace := l.ask(len(rows), row)
		if !strings.HasPrefix(trace.Summary, "delivered to acme/db/") || !slices.ContainsFunc(trace.Advice, func(a string) bool { return strings.Contains(a, "one of several ways") }) {
			t.Errorf("trace says: %s\n%v", trace.Summary, trace.Advice)
		}
		l.launch(len(rows), row)
		lab.Eventually(t, overlay.PollTime, "one of the next hops to get it", func() error {
			n := l.heard["acme/db/e"].Count(named(row)) + l.heard["acme/db/f"].Count(named(row))
			if n != 1 {
				return fmt.Errorf("%d do", n)
			}
			return nil
		})
	})
}

// untouched fails the test if any packet was ever routed or tracked.
func (l *exitLab) untouched() {
	l.T.Helper()
	for _, h := range l.Hosts {
		tracked, err := h.Exec(l.T.Context(), "ovs-appctl", "dpctl/dump-conntrack")
		if err != nil || strings.TrimSpace(tracked) != "" {
			l.T.Errorf("connections on %s after nothing but traces: %v\n%s", h.Name, err, tracked)
		}
		flows, err := h.Exec(l.T.Context(), "ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "br-int")
		if err != nil {
			l.T.Error(err)
		}
		looked := 0
		for _, line := range strings.Split(flows, "\n") {
			_, rest, _ := strings.Cut(line, "table=")
			number, _, _ := strings.Cut(rest, ",")
			id, err := strconv.ParseUint(number, 10, 8)
			if err != nil || !slices.Contains(routers, pipeline.TableByID(uint8(id)).Name) {
				continue
			}
			looked++
			if !strings.Contains(line, "n_packets=0,") {
				l.T.Errorf("a trace was counted on %s: %s", h.Name, line)
			}
		}
		if looked < len(routers) {
			l.T.Errorf("%d flows route on %s:\n%s", looked, h.Name, flows)
		}
	}
}

// routers are the tables that only routed packets pass through.
var routers = []string{"nat_in", "l3_in", "route", "neighbour", "forward", "guard", "snat", "external_out"}

func setTTL(c *net.UDPConn, ttl uint8) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, int(ttl)) })
	return errors.Join(err, failed)
}

// launch sends a row.
func (l *exitLab) launch(i int, row exitRow) {
	l.T.Helper()
	payload := row.payload()
	ttl := cmp.Or(row.ttl, 64)
	from := l.m[row.from]
	if from == nil {
		l.fromOutside(i, row, payload, ttl)
		return
	}
	src, headers := from.V4(), 28
	if row.to.Is6() {
		src, headers = from.V6(), 48
	}
	if row.size != 0 {
		payload = append(payload, make([]byte, row.size-headers-len(payload))...)
	}
	l.Send(from, lab.IPFrame(from.Port.MAC, intent.GatewayMAC, src, row.to, lab.ProtoUDP, ttl,
		lab.UDP(netip.AddrPortFrom(src, sportOf(i)), netip.AddrPortFrom(row.to, row.port), payload)))
}

// fromOutside sends a row as any machine does: it resolves the address first.
func (l *exitLab) fromOutside(i int, row exitRow, payload []byte, ttl uint8) {
	l.T.Helper()
	err := l.Outside.InNetNS(func() error {
		c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(row.src, sportOf(i))), net.UDPAddrFromAddrPort(netip.AddrPortFrom(row.to, row.port)))
		if err != nil {
			return err
		}
		defer c.Close()
		if err := setTTL(c, ttl); err != nil {
			return err
		}
		_, err = c.Write(payload)
		return err
	})
	if err != nil {
		l.T.Fatal(err)
	}
}

// happens sends a row, and fails the test unless what happens to it is what the trace says.
func (l *exitLab) happens(i int, row exitRow, p intent.TracePacket) {
	l.T.Helper()
	for _, captures := range []map[string]*lab.Capture{l.heard, l.exits} {
		for _, c := range captures {
			c.Reset()
		}
	}
	sees := map[*lab.Capture]lab.Match{}
	dropped := map[*lab.Host]intent.TraceEnd{}
	before := map[*lab.Host]uint64{}
	for _, hop := range p.Hops {
		for _, e := range hop.Ends {
			switch h := l.Hosts[slices.IndexFunc(l.Hosts, func(h *lab.Host) bool { return h.Name == hop.Host })]; e.Kind {
			case intent.TraceDelivered:
				sees[l.heard[e.Port]] = sameAs(row, e.Packet)
			case intent.TraceLeft:
				sees[l.exits[e.External+" on "+h.Name]] = sameAs(row, e.Packet)
			case intent.TraceDropped:
				dropped[h], before[h] = e, l.Drops(h, e.Reason)
				if e.Reason == "next-hop" { // until it is resolved
					sees[l.campus] = named(row)
				}
			}
		}
	}
	if row.parts != "" {
		sees[l.heard[l.m[row.parts].Port.Ref().String()]] = func(p lab.Packet) bool {
			return !p.Outgoing && p.DstPort == row.port && p.SrcPort == sportOf(i) && p.Len <= 1300+14
		}
	}
	if row.icmp != 0 {
		sender := l.campus
		if m := l.m[row.from]; m != nil {
			sender = l.heard[m.Port.Ref().String()]
		}
		proto := uint8(lab.ProtoICMP)
		if row.to.Is6() {
			proto = lab.ProtoICMPv6
		}
		sees[sender] = func(p lab.Packet) bool { return !p.Outgoing && p.Proto == proto && p.ICMPType == row.icmp }
	}
	if len(sees)+len(dropped) == 0 {
		l.T.Fatalf("the trace ends nowhere: %+v", p)
	}
	l.launch(i, row)
	for c, m := range sees {
		c.MustSee(l.T, overlay.PollTime, row.name+", as the trace says", m)
	}
	for h, e := range dropped {
		l.Dropped(h, e.Reason, before[h]+1)
	}
	for port, c := range l.heard {
		if _, is := sees[c]; !is {
			c.MustNotSee(l.T, fmt.Sprintf("%s at %s", row.name, port), named(row))
		}
	}
	for exit, c := range l.exits {
		if _, is := sees[c]; !is && p.Verdict != intent.TraceLeft {
			c.MustNotSee(l.T, fmt.Sprintf("%s by %s", row.name, exit), named(row))
		}
	}
}

// payload is a row's name, as a prefix that no other row has.
func (r exitRow) payload() []byte { return []byte(r.name + "\n") }

// named matches a row's datagram anywhere.
func named(row exitRow) lab.Match {
	return func(p lab.Packet) bool { return !p.Outgoing && bytes.HasPrefix(p.Payload, row.payload()) }
}

// sameAs matches a row with the addresses, the port and the TTL that the trace predicts at that
// point.
func sameAs(row exitRow, packet string) lab.Match {
	want := map[string]string{}
	for _, w := range strings.Split(packet, ",") {
		key, value, _ := strings.Cut(w, "=")
		want[key] = value
	}
	return func(p lab.Packet) bool {
		return named(row)(p) && p.Src.String() == want["dl_src"] && p.Dst.String() == want["dl_dst"] &&
			p.IPSrc.String() == cmp.Or(want["nw_src"], want["ipv6_src"]) && p.IPDst.String() == cmp.Or(want["nw_dst"], want["ipv6_dst"]) &&
			fmt.Sprint(p.DstPort) == want["udp_dst"] && fmt.Sprint(p.TTL) == want["nw_ttl"]
	}
}
