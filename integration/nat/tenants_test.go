package nat_test

// NAT of tenants that have the same addresses: no packet of one reaches the other, and
// ICMP errors quote a packet with the addresses that its sender knows.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

func forward(o *overlay.Outdoors, tenant, external, flag, port, target string) netip.Addr {
	o.T.Helper()
	var f intent.Forward
	o.Get(o.Hosts[0], &f, "nat", "forward", "add", tenant, "--external", external, flag, port, "--to", target)
	return f.Address
}

// Two tenants with equal addresses leave by SNAT, and are reached by a floating
// address and a forward: no packet of one's comes to the other, not through NAT and not
// through a gateway.
func TestTenantsNeverMeetThroughNAT(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	other := o.Tenant("umbrella", o.Hosts[0], o.Hosts[1])
	for i := range acme {
		if acme[i].V4() != other[i].V4() {
			t.Fatalf("the tenants' addresses differ: %s, %s", acme[i].V4(), other[i].V4())
		}
	}
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "internet")
	floating := overlay.ServerAt(o.Float(acme[0]))
	forward := overlay.ServerAt(forward(o, "umbrella", "campus", "--udp", fmt.Sprint(overlay.ServerPort), fmt.Sprintf("umbrella/web/c1:%d", overlay.ServerPort)))

	captures := func(machines []*overlay.Machine) (all []*lab.Capture) {
		for _, m := range machines {
			all = append(all, o.Capture(m))
		}
		return all
	}
	ofAcme, ofOther := captures(acme), captures(other)
	server, inner := overlay.ServerAt(lab.InternetServer), overlay.ServerAt(acme[1].V4())
	// From outside, from inside to the outside (the answer has the words, too), and
	// over the gateways, which have the same addresses as well.
	o.TellUntilHeard(o.Outside.Workload, floating, "for acme", ofAcme[0])
	o.TellUntilHeard(o.Outside.Workload, forward, "for umbrella", ofOther[0])
	for i := range acme {
		for _, who := range []struct {
			m    *overlay.Machine
			name string
		}{{acme[i], "acme"}, {other[i], "umbrella"}} {
			words := fmt.Sprintf("from %s/c%d", who.name, i+1)
			lab.Eventually(t, overlay.PollTime, "an answer to "+words, func() error {
				c, err := overlay.Dial(who.m.Workload, "udp", server)
				if err != nil {
					return err
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(overlay.AnswerTime))
				if _, err := io.WriteString(c, words); err != nil {
					return err
				}
				b := make([]byte, 100)
				n, err := c.Read(b)
				if err == nil && !bytes.Contains(b[:n], []byte(words)) {
					err = fmt.Errorf("answered %q", b[:n])
				}
				return err
			})
		}
	}
	o.TellUntilHeard(acme[0].Workload, inner, "from acme inside", ofAcme[1])
	o.TellUntilHeard(other[0].Workload, inner, "from umbrella inside", ofOther[1])

	// The other tenant's external addresses do not lead in.
	for _, try := range []struct {
		from *overlay.Machine
		to   netip.AddrPort
	}{{acme[0], forward}, {other[0], floating}, {acme[1], forward}, {other[1], floating}} {
		h := try.from.Host
		before := o.Drops(h, "foreign-nat-address")
		if err := overlay.Tell(try.from.Workload, try.to, "from "+try.from.Port.Tenant+" across"); err != nil {
			t.Error(err)
		}
		o.Dropped(h, "foreign-nat-address", before+1)
	}
	for _, side := range []struct {
		foreign  string
		captures []*lab.Capture
	}{{"umbrella", ofAcme}, {"acme", ofOther}} {
		for _, c := range side.captures {
			c.MustNotSee(t, "a packet of "+side.foreign, overlay.PayloadContains(side.foreign))
			if n := c.Lost(); n > 0 {
				t.Errorf("%s lost %d frames", c.Name, n)
			}
		}
	}
}

// manyConnections opens 200 connections at once from two machines with the same
// address, and asks over each how the server sees it: each as another, and all from
// the addresses that are wanted.
func manyConnections(o *overlay.Outdoors, a, b *overlay.Machine, server netip.AddrPort, want ...netip.Addr) {
	o.T.Helper()
	if a.V4() != b.V4() {
		o.T.Fatalf("the machines' addresses differ: %s, %s", a.V4(), b.V4())
	}
	open := make([]net.Conn, 200)
	defer func() {
		for _, c := range open {
			if c != nil {
				c.Close()
			}
		}
	}()
	ctx, cancel := context.WithTimeout(o.T.Context(), overlay.PollTime)
	defer cancel()
	var g errgroup.Group
	for i := range open {
		g.Go(func() error {
			return []*overlay.Machine{a, b}[i%2].InNetNS(func() (err error) {
				var d net.Dialer
				if open[i], err = d.DialContext(ctx, "tcp", server.String()); err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		o.T.Fatal(err)
	}
	seen, from := map[netip.AddrPort]bool{}, map[netip.Addr]bool{}
	for i, c := range open {
		who, err := overlay.WhoAmI(c, 10)
		if err != nil {
			o.T.Fatalf("connection %d: %v", i, err)
		}
		seen[who], from[who.Addr()] = true, true
	}
	if len(seen) != len(open) {
		o.T.Errorf("%d connections look like %d", len(open), len(seen))
	}
	for _, a := range want {
		delete(from, a)
	}
	if len(from) > 0 {
		o.T.Errorf("connections come from %v, too", from)
	}
}

// quote is an ICMP error, with the packet that it is about.
type quote struct {
	from, to netip.Addr
	about    lab.Packet
}

// isUnreachable matches ICMP destination unreachable of IPv4 (RFC 792).
func isUnreachable(p lab.Packet) bool { return p.Proto == lab.ProtoICMP && p.ICMPType == 3 }

// readQuote takes an ICMP error apart, and finds fault with checksums.
func readQuote(p lab.Packet) (quote, error) {
	const ethernet, header, icmp = 14, 20, 8
	if len(p.Data) < ethernet+header+icmp+header+8 {
		return quote{}, fmt.Errorf("%d bytes are not enough: %s", len(p.Data), p)
	}
	ip := p.Data[ethernet:]
	ip = ip[:min(len(ip), int(binary.BigEndian.Uint16(ip[2:])))]
	inner := ip[header+icmp:]
	for what, b := range map[string][]byte{"IP": ip[:header], "ICMP": ip[header:], "quoted IP": inner[:header]} {
		if lab.Checksum(0, b) != 0 {
			return quote{}, fmt.Errorf("the %s checksum is wrong: %x", what, ip)
		}
	}
	return quote{p.IPSrc, p.IPDst, lab.Decode(lab.Ethernet(intent.MAC{}, intent.MAC{}, lab.EtherIPv4, inner))}, nil
}

// refusedBy sends datagrams to a closed port until the ICMP error comes back,
// and checks that it comes from the address asked and quotes what was sent as it was
// sent, on the interface where capture is.
func refusedBy(o *overlay.Outdoors, from *lab.Workload, self netip.Addr, to netip.AddrPort, capture *lab.Capture) {
	o.T.Helper()
	words := "closed port " + to.String()
	lab.Eventually(o.T, overlay.PollTime, words, func() error {
		capture.Reset()
		c, err := overlay.Dial(from, "udp", to)
		if err != nil {
			return err
		}
		defer c.Close()
		port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if _, err := io.WriteString(c, words); err != nil {
			return err
		}
		if err := overlay.Seen(capture, isUnreachable); err != nil {
			return err
		}
		q, err := readQuote(capture.Packets(isUnreachable)[0])
		if err != nil {
			return err
		}
		got := fmt.Sprintf("%s tells %s of %s:%d>%s:%d %q", q.from, q.to, q.about.IPSrc, q.about.SrcPort, q.about.IPDst, q.about.DstPort, q.about.Payload)
		if want := fmt.Sprintf("%s tells %s of %s:%d>%s %q", to.Addr(), self, self, port, to, words); got != want {
			return fmt.Errorf("%s\nwant %s", got, want)
		}
		return nil
	})
}

// The sender of a refused packet gets an ICMP error from the address that it sent to,
// which quotes the packet as it sent it, whatever was translated on the way.
func TestErrorsThroughNATQuoteWhatWasSent(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	acme, other := o.Tenant("acme", o.Hosts[0], o.Hosts[0]), o.Tenant("umbrella", o.Hosts[1])
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	c1, c2, u1 := acme[0], acme[1], other[0]
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "campus")
	floating := o.Float(c1)
	forward := forward(o, "acme", "campus", "--udp", "8080", "acme/web/c2:9")
	o.SeenAs(c2.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, c2.Host.InternetAddr())
	lab.Eventually(t, overlay.PollTime, "an uplink by the campus", func() error {
		_, err := overlay.AskWho(u1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10)
		return err
	})
	campus, err := o.Outside.Capture("campus0")
	if err != nil {
		t.Fatal(err)
	}

	t.Run("about packets from outside", func(t *testing.T) {
		o := o.With(t)
		client := lab.CampusGateway
		refusedBy(o, o.Outside.Workload, client, netip.AddrPortFrom(floating, 9), campus)
		refusedBy(o, o.Outside.Workload, client, netip.AddrPortFrom(forward, 8080), campus)
	})

	t.Run("about packets from inside", func(t *testing.T) {
		o := o.With(t)
		for _, m := range []*overlay.Machine{c1, c2, u1} { // floating, through the host, by a bridge
			inside := o.Capture(m)
			for _, a := range []netip.Addr{lab.CampusServer, lab.InternetServer} {
				refusedBy(o, m.Workload, m.V4(), netip.AddrPortFrom(a, 9), inside)
			}
		}
	})

	// The answer comes after the client's socket is closed: the error about it goes out,
	// and names the addresses that the server knows.
	t.Run("about answers from outside", func(t *testing.T) {
		o := o.With(t)
		internet, err := o.Outside.Capture("inet0")
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range []struct {
			from    *overlay.Machine
			server  netip.Addr
			capture *lab.Capture
		}{{c1, lab.CampusServer, campus}, {u1, lab.CampusServer, campus}, {c2, lab.InternetServer, internet}} {
			refusesLate(o, way.from, way.server, way.capture)
		}
	})
}

// refusesLate lets a machine ask a server that answers after the client's socket is closed.
func refusesLate(o *overlay.Outdoors, from *overlay.Machine, server netip.Addr, outside *lab.Capture) {
	o.T.Helper()
	var l *net.UDPConn
	if err := o.Outside.InNetNS(func() (err error) {
		l, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, 0)))
		return err
	}); err != nil {
		o.T.Fatal(err)
	}
	defer l.Close()
	here := l.LocalAddr().(*net.UDPAddr).AddrPort()
	lab.Eventually(o.T, overlay.PollTime, fmt.Sprintf("%s refuses a late answer of %s", from.Port.Ref(), here), func() error {
		outside.Reset()
		if err := overlay.Tell(from.Workload, here, "and who are you?"); err != nil {
			return err
		}
		l.SetReadDeadline(time.Now().Add(overlay.AnswerTime))
		_, client, err := l.ReadFromUDPAddrPort(make([]byte, 100))
		if err != nil {
			return err
		}
		if client.Addr() == from.V4() {
			return errors.New("its inner address is seen outside")
		}
		if _, err := l.WriteToUDPAddrPort([]byte("too late"), client); err != nil {
			return err
		}
		if err := overlay.Seen(outside, isUnreachable); err != nil {
			return err
		}
		q, err := readQuote(outside.Packets(isUnreachable)[0])
		if err != nil {
			return err
		}
		got := fmt.Sprintf("%s tells %s of %s:%d>%s:%d %q", q.from, q.to, q.about.IPSrc, q.about.SrcPort, q.about.IPDst, q.about.DstPort, q.about.Payload)
		if want := fmt.Sprintf("%s tells %s of %s>%s %q", client.Addr(), server, here, client, "too late"); got != want {
			return fmt.Errorf("%s\nwant %s", got, want)
		}
		return nil
	})
}

// A floating address of a port on another host is reached through the campus, by ports
// of its own tenant too.
func TestFloatingAddressOfAnotherHost(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1], o.Hosts[0])
	c1, c2, c3 := acme[0], acme[1], acme[2]
	overlay.Serve(t, c2.Workload)
	address, own := o.Float(c2), o.Float(c3)
	o.SNAT("acme", "campus")
	campus, err := o.Hosts[0].Capture(lab.CampusNIC)
	if err != nil {
		t.Fatal(err)
	}
	var who netip.AddrPort
	lab.Eventually(t, overlay.PollTime, "an answer to a port without a floating address", func() (err error) {
		who, err = overlay.AskWho(c1.Workload, "tcp", overlay.ServerAt(address), 10)
		return err
	})
	if !lab.Campus.Contains(who.Addr()) || who.Addr() == own {
		t.Errorf("c1 is seen as %s", who)
	}
	o.SeenAs(c1.Workload, "udp", overlay.ServerAt(address), 4000, who.Addr())
	o.SeenAs(c3.Workload, "tcp", overlay.ServerAt(address), 10, own)
	o.Reaches(c1, address)
	campus.MustSee(t, overlay.PollTime, "a packet to the address on the campus", func(p lab.Packet) bool {
		return p.IPSrc == who.Addr() && p.IPDst == address
	})
	campus.MustNotSee(t, "an inner address", func(p lab.Packet) bool {
		inner := netip.MustParsePrefix("10.0.1.0/24")
		return inner.Contains(p.IPSrc) || inner.Contains(p.IPDst)
	})
}
