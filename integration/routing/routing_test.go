package routing_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// routed is a tenant with two networks: web has a port on the first two hosts, db on
// the first and the third.
type routed struct {
	web1, web2, db1, db3 *overlay.Machine
}

func newRouted(o *overlay.Overlay, tenant string) routed {
	o.T.Helper()
	o.Run("tenant", "add", tenant)
	o.Run("network", "add", tenant+"/web", "--subnet", "10.0.1.0/24", "--subnet", "fd00:1::/64")
	o.Run("network", "add", tenant+"/db", "--subnet", "10.0.2.0/24", "--subnet", "fd00:2::/64", "--mtu", "1300")
	return routed{
		o.Plug(o.Hosts[0], tenant+"/web/c1"), o.Plug(o.Hosts[1], tenant+"/web/c2"),
		o.Plug(o.Hosts[0], tenant+"/db/c1"), o.Plug(o.Hosts[2], tenant+"/db/c3"),
	}
}

// pingTTL pings once and returns what ping printed, if the answer had a TTL.
func pingTTL(ctx context.Context, from *overlay.Machine, to netip.Addr, ttl int) error {
	out, err := from.Exec(ctx, "ping", "-c", "1", "-W", "2", to.String())
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("ttl=%d ", ttl); !strings.Contains(out, want) {
		return fmt.Errorf("want %s in: %s", want, out)
	}
	return nil
}

// traceroute returns the addresses on the way.
func traceroute(ctx context.Context, from *overlay.Machine, to netip.Addr) ([]string, error) {
	applet := "traceroute"
	if to.Is6() {
		applet = "traceroute6"
	}
	out, err := from.Exec(ctx, "busybox", applet, "-n", "-q", "1", "-w", "3", "-m", "4", to.String())
	if err != nil {
		return nil, err
	}
	var hops []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		if f := strings.Fields(line); len(f) > 1 {
			hops = append(hops, f[1])
		}
	}
	return hops, nil
}

func TestRoutingBetweenNetworks(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 3})
	acme := newRouted(o, "acme")
	other := newRouted(o, "umbrella") // the same addresses, another tenant

	gateway4, gateway6 := netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("fd00:1::1")
	for _, r := range []routed{acme, other} {
		for _, pair := range [][2]*overlay.Machine{{r.web1, r.db1}, {r.web1, r.db3}, {r.db3, r.web2}} {
			from, to := pair[0], pair[1]
			for _, a := range []netip.Addr{to.V4(), to.V6()} {
				o.Reaches(from, a)
				if err := pingTTL(t.Context(), from, a, 63); err != nil {
					t.Errorf("%s to %s: %v", from.Port.Ref(), a, err)
				}
			}
		}
		for _, g := range []netip.Addr{gateway4, gateway6, netip.MustParseAddr("10.0.2.1"), netip.MustParseAddr("fd00:2::1")} {
			if err := pingTTL(t.Context(), r.web2, g, 64); err != nil {
				t.Errorf("the gateway %s: %v", g, err)
			}
		}
		if _, err := r.web1.Exec(t.Context(), "ping", "-c", "1", "-W", "2", "-s", "4000", gateway4.String()); err != nil {
			t.Errorf("a ping of the gateway in fragments: %v", err)
		}
	}

	t.Run("traceroute shows the gateway", func(t *testing.T) {
		for _, to := range []netip.Addr{acme.db3.V4(), acme.db3.V6()} {
			want := []string{gateway4.String(), to.String()}
			if to.Is6() {
				want[0] = gateway6.String()
			}
			lab.Eventually(t, overlay.PollTime, "traceroute to "+to.String(), func() error {
				hops, err := traceroute(t.Context(), acme.web1, to)
				if err == nil && strings.Join(hops, " ") != strings.Join(want, " ") {
					err = fmt.Errorf("hops %v, want %v", hops, want)
				}
				return err
			})
		}
	})

	t.Run("what cannot be reached is said to be", func(t *testing.T) {
		for to, want := range map[string]string{
			"10.0.2.99":  "From 10.0.1.1 icmp_seq=1 Destination Host Unreachable",
			"10.77.0.1":  "From 10.0.1.1 icmp_seq=1 Destination Net Unreachable",
			"fd00:2::99": "From fd00:1::1 icmp_seq=1 Destination unreachable: Address unreachable",
			"fd00:77::1": "From fd00:1::1 icmp_seq=1 Destination unreachable: No route",
		} {
			lab.Eventually(t, overlay.PollTime, to+" is unreachable", func() error {
				// It fails; what it prints is with the error.
				out, err := acme.web1.Exec(t.Context(), "ping", "-c", "1", "-W", "2", to)
				if said := out + fmt.Sprint(err); !strings.Contains(said, want) {
					return errors.New(said)
				}
				return nil
			})
		}
		for _, reason := range []string{"no-such-address", "no-route"} {
			if o.Drops(o.Hosts[0], reason) == 0 {
				t.Errorf("no drop is counted as %s", reason)
			}
		}
	})

	t.Run("a wide network reaches a narrow one", func(t *testing.T) {
		for _, to := range []*overlay.Machine{acme.db1, acme.db3} {
			for _, a := range []netip.Addr{to.V4(), to.V6()} {
				for _, pair := range [][2]*overlay.Machine{{acme.web1, to}, {to, acme.web1}} {
					addr := a
					if pair[1] == acme.web1 {
						addr = acme.web1.V4()
						if a.Is6() {
							addr = acme.web1.V6()
						}
					}
					if _, err := lab.Transfer(t.Context(), pair[0].Workload, pair[1].Workload, addr, 1<<20); err != nil {
						t.Errorf("%s to %s: %v", pair[0].Port.Ref(), addr, err)
					}
				}
			}
		}
		// Without DF the gateway cuts what is too large.
		lab.Eventually(t, overlay.PollTime, "a large ping that may be fragmented", func() error {
			_, err := acme.web2.Exec(t.Context(), "ping", "-c", "1", "-W", "2", "-s", "1400", "-M", "dont", acme.db3.V4().String())
			return err
		})
	})

	t.Run("tenants never meet", func(t *testing.T) {
		seen := o.Capture(other.db3)
		o.Reaches(other.web1, other.db3.V4())
		seen.MustSee(t, overlay.PollTime, "an echo of its own tenant", lab.IsEcho)
		seen.Reset()
		o.Reaches(acme.web1, acme.db3.V4())
		seen.MustNotSee(t, "an echo of the other tenant", lab.IsEcho)
	})
}

// A peer's machine has the gateway, too: one host is it for all peers of a network,
// and that host's switch asks for machines behind peers, which the store does not
// know.
func TestPeersRouteThroughTheGateway(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 3}, 2)
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24", "--subnet", "fd00:2::/64")
	web1, web2 := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[1], "acme/web/c2")
	db1, db2 := o.Plug(o.Hosts[0], "acme/db/c1"), o.Plug(o.Hosts[1], "acme/db/c2")
	o.Reaches(web1, web2.V4())
	o.Run("peer", "add", "acme/web/tor1", "--vtep", o.Hosts[2].VTEP.String())
	m := o.ForeignMachine(o.Hosts[2], o.NetworkNamed("acme/web"), "behind", overlay.FDBLearning, o.Hosts[:2], 1)
	o.Script(m.Exec, "ip route add default via 10.0.0.1; ip -6 route add default via fd00:1::1")

	// The first word comes from either side: of v4 from a port, of v6 from the machine.
	o.Reaches(db2, m.V4())
	o.Reaches(m.Machine, db2.V6())
	for _, to := range []*overlay.Machine{db1, db2} {
		for _, a := range []netip.Addr{to.V4(), to.V6()} {
			o.Reaches(m.Machine, a)
			if err := pingTTL(t.Context(), m.Machine, a, 63); err != nil {
				t.Errorf("%s from behind the peer: %v", a, err)
			}
			if _, err := lab.Transfer(t.Context(), m.Workload, to.Workload, a, 256<<10); err != nil {
				t.Error(err)
			}
		}
	}
	// One packet, one answer: only one host took it.
	out, err := m.Exec(t.Context(), "ping", "-c", "3", "-i", "0.2", "-W", "2", db1.V4().String())
	if err != nil || strings.Contains(out, "DUP") {
		t.Errorf("%v\n%s", err, out)
	}
	// The first host is the gateway, until it has no port of the network any more.
	o.RunOn(o.Hosts[0], "port", "unplug", "acme/web/c1")
	lab.Eventually(t, overlay.PollTime, "the peer knows the gateway's new place", func() error {
		out, err := o.Hosts[2].Exec(t.Context(), "bridge", "fdb", "show")
		if want := fmt.Sprintf("dst %s", o.Hosts[1].VTEP); err == nil && !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.HasPrefix(line, intent.GatewayMAC.String()) && strings.Contains(line, want)
		}) {
			err = errors.New(out)
		}
		return err
	})
	o.Reaches(m.Machine, db1.V4())

	lab.Eventually(t, overlay.PollTime, "an unknown address is said to be unreachable", func() error {
		out, err := db1.Exec(t.Context(), "ping", "-c", "1", "-W", "4", "10.0.0.99")
		if said := out + fmt.Sprint(err); !strings.Contains(said, "From 10.0.2.1 icmp_seq=1 Destination Host Unreachable") {
			return errors.New(said)
		}
		return nil
	})
}

// A route leads to what is behind a port; several next hops share the connections, and
// one that goes moves its own only.
func TestStaticRoutes(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.1.0/24", "--subnet", "fd00:1::/64")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24", "--subnet", "fd00:2::/64")
	c1 := o.Plug(o.Hosts[0], "acme/web/c1")
	var routers []*overlay.Machine
	for i, h := range []*lab.Host{o.Hosts[0], o.Hosts[1], o.Hosts[1]} {
		r := o.Plug(h, fmt.Sprintf("acme/db/r%d", i+1))
		o.Script(r.Exec, `
			ip route add local 10.9.0.0/16 dev lo
			ip -6 route add local fd09::/48 dev lo`)
		routers = append(routers, r)
	}
	via := func(n int) (flags4, flags6 []string) {
		for _, r := range routers[:n] {
			flags4 = append(flags4, "--via", r.V4().String())
			flags6 = append(flags6, "--via", r.V6().String())
		}
		return flags4, flags6
	}

	via4, via6 := via(1)
	o.Run(append([]string{"route", "add", "acme", "10.9.0.0/16"}, via4...)...)
	o.Run(append([]string{"route", "add", "acme", "fd09::/48"}, via6...)...)
	o.Reaches(c1, netip.MustParseAddr("10.9.3.4"))
	o.Reaches(c1, netip.MustParseAddr("fd09::3:4"))

	t.Run("a thousand destinations need few entries", func(t *testing.T) {
		var frames [][]byte
		for i := range 1000 {
			to := netip.AddrFrom4([4]byte{10, 9, byte(i / 250), byte(1 + i%250)})
			frames = append(frames, lab.IPFrame(c1.Port.MAC, intent.GatewayMAC, c1.V4(), to, lab.ProtoUDP, 64,
				lab.UDP(netip.AddrPortFrom(c1.V4(), 9), netip.AddrPortFrom(to, 9), []byte("hello"))))
		}
		seen := o.Capture(routers[0])
		lab.Eventually(t, overlay.PollTime, "a datagram comes to every destination", func() error {
			if err := c1.SendFrames("eth0", frames); err != nil {
				return err
			}
			to := map[netip.Addr]bool{}
			for _, p := range seen.Packets(func(p lab.Packet) bool { return p.Proto == lab.ProtoUDP && !p.Outgoing }) {
				to[p.IPDst] = true
			}
			if len(to) < len(frames) {
				return fmt.Errorf("%d of %d", len(to), len(frames))
			}
			return nil
		})
		if n, err := overlay.Megaflows(t.Context(), o.Hosts[0], "ip,nw_src="+c1.V4().String()); err != nil || n == 0 || n > 20 {
			t.Errorf("%d entries, %v", n, err)
		}
	})

	via4, via6 = via(3)
	o.Run(append([]string{"route", "set", "acme", "10.9.0.0/16"}, via4...)...)
	o.Run(append([]string{"route", "set", "acme", "fd09::/48"}, via6...)...)
	t.Run("connections are spread, and stay", func(t *testing.T) {
		before := ways(o, c1, routers)
		total := 0
		for _, r := range routers {
			total += len(before[r])
		}
		if total != ecmpConnections {
			t.Errorf("%d connections went %d ways", ecmpConnections, total)
		}
		for _, r := range routers {
			if n := len(before[r]); n < 10 {
				t.Errorf("%s has %d of %d connections", r.Port.Ref(), n, ecmpConnections)
			}
		}
		via4, _ := via(2)
		o.Run(append([]string{"route", "set", "acme", "10.9.0.0/16"}, via4...)...)
		after := ways(o, c1, routers)
		for _, r := range routers[:2] {
			for port := range before[r] {
				if !after[r][port] {
					t.Errorf("the connection from port %d left %s, which did not go", port, r.Port.Ref())
				}
			}
		}
		if n := len(after[routers[2]]); n > 0 {
			t.Errorf("%d connections go where no route leads any more", n)
		}
	})
}

// ecmpConnections is how many connections are followed.
const ecmpConnections = 200

// ways sends the first packet of many TCP connections and returns which router each
// came to, by its source port. Of UDP the userspace datapath hashes no ports.
func ways(o *overlay.Overlay, from *overlay.Machine, routers []*overlay.Machine) map[*overlay.Machine]map[uint16]bool {
	o.T.Helper()
	var captures []*lab.Capture
	for _, r := range routers {
		captures = append(captures, o.Capture(r))
	}
	to := netip.MustParseAddr("10.9.3.4")
	var frames [][]byte
	for i := range ecmpConnections {
		syn := make([]byte, 20) // its checksum is wrong: no answer comes
		binary.BigEndian.PutUint16(syn, uint16(20000+i))
		binary.BigEndian.PutUint16(syn[2:], 9)
		syn[12], syn[13] = 5<<4, 2
		frames = append(frames, lab.IPFrame(from.Port.MAC, intent.GatewayMAC, from.V4(), to, lab.ProtoTCP, 64, syn))
	}
	found := map[*overlay.Machine]map[uint16]bool{}
	lab.Eventually(o.T, overlay.PollTime, "every connection comes to a router", func() error {
		if err := from.SendFrames("eth0", frames); err != nil {
			return err
		}
		all := map[uint16]bool{}
		for i, c := range captures {
			found[routers[i]] = map[uint16]bool{}
			for _, p := range c.Packets(func(p lab.Packet) bool { return p.IPDst == to && !p.Outgoing }) {
				found[routers[i]][p.SrcPort] = true
				all[p.SrcPort] = true
			}
		}
		if len(all) < ecmpConnections {
			return fmt.Errorf("%d of %d", len(all), ecmpConnections)
		}
		return nil
	})
	for _, c := range captures {
		c.Close()
	}
	return found
}

// connect makes that many TCP connections, one after the other.
func connect(o *overlay.Overlay, from, to *overlay.Machine, n int) {
	o.T.Helper()
	var l net.Listener
	err := to.InNetNS(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(to.V4(), 0).String())
		return err
	})
	if err != nil {
		o.T.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	err = from.InNetNS(func() error {
		for range n {
			c, err := net.DialTimeout("tcp", l.Addr().String(), overlay.PollTime)
			if err != nil {
				return err
			}
			c.Close()
		}
		return nil
	})
	if err != nil {
		o.T.Fatal(err)
	}
}

// A thousand connections between two routed ports need no more entries in the
// datapath's cache than one.
func TestRoutedConnectionsNeedFewEntries(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.1.0/24")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24")
	c1, c2 := o.Plug(o.Hosts[0], "acme/web/c1"), o.Plug(o.Hosts[0], "acme/db/c2")
	o.Reaches(c1, c2.V4())
	connect(o, c1, c2, 1000)
	n, err := overlay.Megaflows(t.Context(), o.Hosts[0], "tcp")
	if err != nil || n == 0 || n > 10 {
		t.Errorf("%d entries, %v", n, err)
	}
}
