package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// natPort is where servers of these tests listen, TCP and UDP.
const natPort = 8000

// natTime is how long one question of these tests may take.
const natTime = 2 * time.Second

// outdoors is an overlay with both kinds of externals and an outside.
type outdoors struct {
	*overlay
	outside *lab.Outside
}

func newOutdoors(t *testing.T, hosts int) *outdoors {
	t.Helper()
	o := &outdoors{overlay: newOverlay(t, lab.Config{Hosts: hosts})}
	var err error
	if o.outside, err = o.NewOutside(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.run("external", "add", "internet", "--host")
	o.run("external", "add", "campus", "--bridge", lab.CampusBridge, "--subnet", lab.Campus.String(),
		"--gateway", lab.CampusGateway.String(), "--pool", "203.0.113.10-203.0.113.200")
	for _, h := range o.Hosts {
		lab.Eventually(t, pollTime, h.Name+" to have its ways out", func() error {
			s := o.status(h)
			if len(s.Uplinks) != 2 {
				return fmt.Errorf("%d uplinks", len(s.Uplinks))
			}
			for _, u := range s.Uplinks {
				if u.OFPort == 0 {
					return fmt.Errorf("external %s has no port: %s", u.External, u.Fault)
				}
			}
			return nil
		})
		// Only what is known to be wrong is set right.
		lab.Eventually(t, pollTime, h.Name+" to forward packets", func() error {
			o.runOn(h, "status", "--fix")
			for _, u := range o.status(h).Uplinks {
				if u.Fault != "" {
					return errors.New(u.Fault)
				}
			}
			_, err := h.Exec(t.Context(), "grep", "1", "/proc/sys/net/ipv4/ip_forward")
			return err
		})
	}
	return o
}

// tenant adds a tenant with one network, which has the same addresses as every
// other's, and a port on each of some hosts.
func (o *outdoors) tenant(name string, hosts ...*lab.Host) []*machine {
	o.t.Helper()
	o.run("tenant", "add", name)
	// Ports are wider here than the campus, so that fragments are cut again.
	o.run("network", "add", name+"/web", "--subnet", "10.0.1.0/24")
	var machines []*machine
	for i, h := range hosts {
		machines = append(machines, o.plug(h, fmt.Sprintf("%s/web/c%d", name, i+1)))
	}
	return machines
}

// tellTale serves TCP and UDP in a workload until the test ends: it answers with the
// address that it sees of the client, and what it was told. A workload with several
// addresses has to name those on which it takes datagrams: it would answer from any
// of them.
func tellTale(t *testing.T, w *lab.Workload, named ...netip.Addr) {
	t.Helper()
	var tcp *net.TCPListener
	var udp []*net.UDPConn
	err := w.InNetNS(func() (err error) {
		if tcp, err = net.ListenTCP("tcp4", &net.TCPAddr{Port: natPort}); err != nil {
			return err
		}
		if len(named) == 0 {
			named = []netip.Addr{netip.IPv4Unspecified()}
		}
		for _, a := range named {
			c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at(a)))
			if err != nil {
				return err
			}
			udp = append(udp, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tcp.Close()
		for _, c := range udp {
			c.Close()
		}
	})
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "%s\n", c.RemoteAddr())
				io.Copy(c, c)
			}()
		}
	}()
	for _, c := range udp {
		go func() {
			b := make([]byte, 1<<16)
			for {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				c.WriteToUDPAddrPort(append([]byte(from.String()+"\n"), b[:n]...), from)
			}
		}()
	}
}

// dial opens a connection from a workload.
func dial(w *lab.Workload, network string, to netip.AddrPort) (c net.Conn, err error) {
	err = w.InNetNS(func() error {
		d := net.Dialer{Timeout: natTime}
		c, err = d.Dial(network, to.String())
		return err
	})
	return c, err
}

// askWho asks a tellTale over TCP or UDP with a payload of some bytes, and returns the
// address that it saw.
func askWho(w *lab.Workload, network string, to netip.AddrPort, size int) (netip.AddrPort, error) {
	c, err := dial(w, network, to)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	return whoAmI(c, size)
}

func whoAmI(c net.Conn, size int) (netip.AddrPort, error) {
	c.SetDeadline(time.Now().Add(natTime))
	if _, err := c.Write(make([]byte, size)); err != nil {
		return netip.AddrPort{}, err
	}
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil {
		return netip.AddrPort{}, err
	}
	line, rest, _ := strings.Cut(string(b[:n]), "\n")
	if c.LocalAddr().Network() == "udp" && len(rest) != size {
		return netip.AddrPort{}, fmt.Errorf("%d bytes came back of %d", len(rest), size)
	}
	return netip.ParseAddrPort(line)
}

// seenAs polls until a server sees a client under an address.
func (o *outdoors) seenAs(from *lab.Workload, network string, to netip.AddrPort, size int, want netip.Addr) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, fmt.Sprintf("%s seen as %s over %s at %s", from.NetNS, want, network, to), func() error {
		got, err := askWho(from, network, to, size)
		if err == nil && got.Addr() != want {
			err = fmt.Errorf("seen as %s", got)
		}
		return err
	})
}

// at is the port of a tellTale at an address.
func at(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, natPort) }

func (o *outdoors) snat(tenant, external string) intent.SNAT {
	o.t.Helper()
	var s intent.SNAT
	o.get(o.Hosts[0], &s, "nat", "snat", "add", tenant, "--external", external)
	return s
}

func (o *outdoors) float(port *machine) netip.Addr {
	o.t.Helper()
	var f intent.Floating
	o.get(o.Hosts[0], &f, "nat", "floating", "add", port.port.Ref().String(), "--external", "campus")
	return f.Address
}

func TestSNATThroughTheHost(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.tenant("acme", o.Hosts[0], o.Hosts[1]), o.tenant("umbrella", o.Hosts[0])
	o.snat("acme", "internet")
	o.snat("umbrella", "internet")
	server := at(lab.InternetServer)
	for _, m := range append(acme, other...) {
		for _, network := range []string{"tcp", "udp"} {
			o.seenAs(m.Workload, network, server, 10, m.Host.InternetAddr())
		}
		o.seenAs(m.Workload, "udp", server, 4000, m.Host.InternetAddr())
		o.reaches(m, lab.InternetServer)
	}

	t.Run("many connections of two tenants with the same addresses", func(t *testing.T) {
		o := &outdoors{&overlay{o.Lab, t}, o.outside}
		o.manyConnections(acme[0], other[0], server, o.Hosts[0].InternetAddr())
		if n, err := megaflows(t.Context(), o.Hosts[0], "tcp"); err != nil || n == 0 || n > 40 {
			t.Errorf("%d entries in the datapath's cache, %v", n, err)
		}
	})

	t.Run("nobody listens", func(t *testing.T) {
		_, err := askWho(acme[0].Workload, "udp", netip.AddrPortFrom(lab.InternetServer, 9), 10)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("want the ICMP error, got %v", err)
		}
	})
}

func TestSNATThroughABridge(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.tenant("acme", o.Hosts[0], o.Hosts[1]), o.tenant("umbrella", o.Hosts[0])
	o.snat("acme", "campus")
	seen := map[netip.Addr]bool{}
	for _, m := range acme {
		var who netip.AddrPort
		lab.Eventually(t, pollTime, "an answer from the campus", func() (err error) {
			who, err = askWho(m.Workload, "tcp", at(lab.CampusServer), 10)
			return err
		})
		if !lab.Campus.Contains(who.Addr()) {
			t.Errorf("seen as %s", who)
		}
		seen[who.Addr()] = true
		o.seenAs(m.Workload, "tcp", at(lab.InternetServer), 10, who.Addr()) // behind the gateway
		o.seenAs(m.Workload, "udp", at(lab.CampusServer), 4000, who.Addr())
	}
	if len(seen) != len(acme) {
		t.Errorf("two hosts use %v", seen)
	}

	t.Run("many connections of two tenants with the same addresses", func(t *testing.T) {
		o := &outdoors{&overlay{o.Lab, t}, o.outside}
		o.snat("umbrella", "campus")
		var a, b netip.AddrPort
		lab.Eventually(t, pollTime, "answers to both", func() (err error) {
			if a, err = askWho(acme[0].Workload, "tcp", at(lab.CampusServer), 10); err == nil {
				b, err = askWho(other[0].Workload, "tcp", at(lab.CampusServer), 10)
			}
			return err
		})
		if a.Addr() == b.Addr() {
			t.Errorf("both tenants are seen as %s", a.Addr())
		}
		o.manyConnections(acme[0], other[0], at(lab.CampusServer), a.Addr(), b.Addr())
	})
}

func TestFloatingAddress(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme := o.tenant("acme", o.Hosts[0], o.Hosts[0])
	c1, c2 := acme[0], acme[1]
	tellTale(t, c1.Workload)
	address := o.float(c1)
	client := lab.CampusGateway // the outside's first address on the campus

	o.seenAs(o.outside.Workload, "tcp", at(address), 10, client)
	o.seenAs(o.outside.Workload, "udp", at(address), 4000, client)
	o.seenAs(c1.Workload, "tcp", at(lab.CampusServer), 10, address)
	o.seenAs(c1.Workload, "udp", at(lab.InternetServer), 10, address)
	o.seenAs(c1.Workload, "tcp", at(address), 10, address) // itself

	t.Run("from inside the tenant", func(t *testing.T) {
		o.snat("acme", "internet")
		lab.Eventually(t, pollTime, "an answer", func() error {
			who, err := askWho(c2.Workload, "tcp", at(address), 10)
			if err == nil && who.Addr() == c2.v4() {
				err = errors.New("not translated: the answer would not come back this way")
			}
			return err
		})
	})

	t.Run("nobody listens", func(t *testing.T) {
		_, err := askWho(o.outside.Workload, "udp", netip.AddrPortFrom(address, 9), 10)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("want the ICMP error, got %v", err)
		}
	})

	t.Run("moves with its port", func(t *testing.T) {
		heard, err := o.outside.Capture("campus0")
		if err != nil {
			t.Fatal(err)
		}
		defer heard.Close()
		o.runOn(o.Hosts[0], "port", "unplug", c1.port.Ref().String())
		moved := o.plugExisting(o.Hosts[1], c1.port.Ref().String())
		tellTale(t, moved.Workload)
		heard.MustSee(t, pollTime, "an announcement of the address", func(p lab.Packet) bool {
			return p.ARP != nil && p.ARP.SPA == address && p.ARP.TPA == address
		})
		o.seenAs(o.outside.Workload, "tcp", at(address), 10, client)
	})
}

func TestForward(t *testing.T) {
	o := newOutdoors(t, 1)
	acme := o.tenant("acme", o.Hosts[0])
	tellTale(t, acme[0].Workload)
	target := fmt.Sprintf("%s:%d", acme[0].port.Ref(), natPort)
	var f intent.Forward
	o.get(o.Hosts[0], &f, "nat", "forward", "add", "acme", "--external", "campus", "--tcp", "8080", "--to", target)
	o.run("nat", "forward", "add", "acme", "--external", "campus", "--udp", "8080", "--to", target)
	to := netip.AddrPortFrom(f.Address, 8080)
	o.seenAs(o.outside.Workload, "tcp", to, 10, lab.CampusGateway)
	// In fragments, and the first packet of its connection.
	o.seenAs(o.outside.Workload, "udp", to, 4000, lab.CampusGateway)
	if _, err := askWho(o.outside.Workload, "tcp", netip.AddrPortFrom(f.Address, 8081), 10); err == nil {
		t.Error("a port that is not forwarded answers")
	}
	o.dropped(o.Hosts[0], "no-forward", 1)
}

// slowly writes to a tellTale and reads back, some times a second, until ctx ends.
// It returns the first error.
func slowly(ctx context.Context, c net.Conn) error {
	if _, err := whoAmI(c, 1); err != nil {
		return err
	}
	b := make([]byte, 1000)
	for ctx.Err() == nil {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// A connection goes on whatever happens to ovloomd and to rules that are not its own,
// and ends with its own.
func TestConnectionsEndWithTheirRule(t *testing.T) {
	o := newOutdoors(t, 1)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.tenant("acme", o.Hosts[0]), o.tenant("umbrella", o.Hosts[0])
	o.snat("acme", "internet")
	o.snat("umbrella", "internet")
	type transfer struct {
		ended chan error
		stop  context.CancelFunc
	}
	start := func(m *machine) transfer {
		o.seenAs(m.Workload, "tcp", at(lab.InternetServer), 10, m.Host.InternetAddr())
		c, err := dial(m.Workload, "tcp", at(lab.InternetServer))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ctx, stop := context.WithCancel(t.Context())
		x := transfer{make(chan error, 1), stop}
		go func() { x.ended <- slowly(ctx, c) }()
		return x
	}
	a, b := start(acme[0]), start(other[0])
	goesOn := func(what string, x transfer) {
		t.Helper()
		select {
		case err := <-x.ended:
			t.Fatalf("%s ended: %v", what, err)
		default:
		}
	}
	h := o.Hosts[0]
	if err := h.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.synced(h)
	o.run("nat", "floating", "add", "umbrella/web/c1", "--external", "campus")
	goesOn("the connection over a restart", a)
	goesOn("the connection whose port got a floating address", b)

	o.run("nat", "snat", "delete", "acme")
	select {
	case err := <-a.ended:
		if err == nil {
			t.Error("the connection ended in order")
		}
	case <-time.After(pollTime):
		t.Error("the connection goes on without its rule")
	}
	goesOn("the other tenant's connection", b)
	b.stop()
	if err := <-b.ended; err != nil {
		t.Errorf("the other tenant's connection: %v", err)
	}
}

// What is the hosts' own stays out of reach, and is counted.
func TestTenantsDoNotReachHosts(t *testing.T) {
	o := newOutdoors(t, 2)
	tellTale(t, o.outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.tenant("acme", o.Hosts[0]), o.tenant("umbrella", o.Hosts[1])
	o.snat("acme", "internet")
	foreign := o.float(other[0])
	c1 := acme[0]
	o.seenAs(c1.Workload, "tcp", at(lab.InternetServer), 10, c1.Host.InternetAddr())
	wire := o.captureUnderlay()
	for _, try := range []struct {
		what, reason string
		to           netip.AddrPort
	}{
		{"VXLAN to another host", "vtep", netip.AddrPortFrom(o.Hosts[1].VTEP, 4789)},
		{"VXLAN to this host", "vtep", netip.AddrPortFrom(o.Hosts[0].VTEP, 4789)},
		{"ssh of this host", "host-address", netip.AddrPortFrom(c1.Host.InternetAddr(), 22)},
		{"the host's end of its way out", "host-address", netip.AddrPortFrom(netip.MustParseAddr("100.64.0.1"), 22)},
		{"the store", "store", netip.AddrPortFrom(o.Hosts[0].Mgmt, lab.StorePort)},
		{"another tenant's address", "foreign-nat-address", at(foreign)},
	} {
		before := o.drops(c1.Host, try.reason)
		if _, err := askWho(c1.Workload, "udp", try.to, 50); err == nil {
			t.Errorf("%s answered", try.what)
		}
		o.dropped(c1.Host, try.reason, before+1)
	}
	wire.MustNotSee(t, "a packet of the tenant's", func(p lab.Packet) bool { return p.IPSrc == c1.v4() })
}
