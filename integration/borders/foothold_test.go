package borders_test

// What a foothold is worth: a user's account on a host, a container beside the overlay, and
// connections and fragments of a tenant that the switch and its host see differently.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// asUser runs fn in the host's network on a thread whose sockets are a user's.
func asUser(h *lab.Host, uid int, fn func() error) error {
	return h.InNetNS(func() error {
		if _, err := unix.SetfsuidRetUid(uid); err != nil {
			return err
		}
		defer unix.Setfsuid(0)
		return fn()
	})
}

// A user of a host needs no more than a socket to send to where other hosts' tunnels end,
// from the host's own address: such datagrams do not leave.
func TestUsersOfAHostDoNotTunnel(t *testing.T) {
	if lab.Datapath() != "netdev" {
		t.Skip("the kernel's datapath sends tunnel packets by the host's own IP, as a user does")
	}
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	h1, h2 := o.Hosts[0], o.Hosts[1]
	a, b := o.Plug(h1, "acme/web/c1"), o.Plug(h2, "acme/web/c2")
	o.Reaches(a, b.V4())
	heard := o.Capture(b)
	vni := o.NetworkNamed("acme/web").VNI
	send := func(from netip.AddrPort, words string, size int) error {
		var local *net.UDPAddr
		if from.IsValid() {
			local = net.UDPAddrFromAddrPort(from)
		}
		c, err := net.DialUDP("udp4", local, net.UDPAddrFromAddrPort(netip.AddrPortFrom(h2.VTEP, lab.VXLANPort)))
		if err != nil {
			return err
		}
		defer c.Close()
		if err := overlay.WithoutChecksums(c); err != nil {
			return err
		}
		_, err = c.Write(lab.VXLAN(vni, overlay.Datagram(a.Port.MAC, b.Port.MAC, a.V4(), b.V4(), append([]byte(words), make([]byte, size)...))))
		return err
	}
	tunnel := func(uid int, words string, size int) error {
		return asUser(h1, uid, func() error { return send(netip.AddrPortFrom(h1.VTEP, 0), words, size) })
	}
	// Root can: the positive control, which shows that the frame is valid.
	lab.Eventually(t, overlay.PollTime, "root's tunnel packet to arrive", func() error {
		if err := tunnel(0, "from root", 0); err != nil {
			return err
		}
		return overlay.Seen(heard, overlay.PayloadIs([]byte("from root")))
	})
	const user = 65534
	forged := func(p lab.Packet) bool { return bytes.Contains(p.Payload, []byte("from a user")) }
	try := func() {
		t.Helper()
		for range 3 {
			for _, size := range []int{0, 1300} {
				// Sending may fail or not: what counts is that nothing arrives.
				_ = tunnel(user, "from a user", size)
			}
		}
		lab.Eventually(t, overlay.PollTime, "a later tunnel packet of root's to arrive", func() error {
			if err := tunnel(0, "root again", 0); err != nil {
				return err
			}
			return overlay.Seen(heard, overlay.PayloadIs([]byte("root again")))
		})
		heard.MustNotSee(t, "a tunnel packet of a user's", forged)
	}
	try()

	// What the host masquerades has its address, too: a container's, beside the overlay.
	w, err := h1.NewWorkload(t.Context(), "beside")
	if err != nil {
		t.Fatal(err)
	}
	o.Script(h1.Exec, fmt.Sprintf(`
		sysctl -qw net.ipv4.ip_forward=1
		ip link add beside type veth peer name eth0 netns %s
		ip addr add 10.88.0.1/24 dev beside
		ip link set beside up
		ethtool -K beside tx off >/dev/null
		nft 'table ip beside { chain out { type nat hook postrouting priority srcnat; ip saddr 10.88.0.0/24 masquerade; }; }'`, w.NetNS))
	o.Script(w.Exec, "ip addr add 10.88.0.2/24 dev eth0; ip link set eth0 up; ethtool -K eth0 tx off >/dev/null; ip route add default via 10.88.0.1")
	if _, err := w.Ping(t.Context(), h2.VTEP); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.InNetNS(func() error {
			return send(netip.AddrPort{}, "from a user, masqueraded", 0)
		}); err != nil {
			t.Fatal(err)
		}
	}
	lab.Eventually(t, overlay.PollTime, "what is masqueraded to be dropped", func() error {
		if rules := o.Exec(h1, "nft", "list", "chain", "inet", "ovloom_ports", "translated"); !strings.Contains(rules, "counter packets 3 ") {
			return errors.New(rules)
		}
		return nil
	})
	try()
	o.Reaches(a, b.V4())

	// Rules that another program deletes come back.
	o.Exec(h1, "nft", "flush", "ruleset")
	lab.Eventually(t, 15*overlay.PollTime, "the rules are back", func() error {
		_, err := h1.Exec(t.Context(), "nft", "list", "chain", "inet", "ovloom_ports", "users")
		return err
	})
	try()
}

// Fragments that might be answers to the outside are held to the same share as those that
// leave, so that a tenant with a static route leaves others theirs.
func TestFragmentsBesideARouteAreShared(t *testing.T) {
	if lab.Datapath() != "netdev" {
		t.Skip("on the kernel's datapath the kernel bounds fragments for all together")
	}
	o := overlay.NewOutdoors(t, 1)
	h := o.Hosts[0]
	if err := o.AllowLog(`datapath reached the dynamic limit`, `blocked \d+ ms waiting`, `long poll interval`, `context switches:`, `faults:`, `disk:`); err != nil {
		t.Fatal(err)
	}
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	evil, good := o.Tenant("evil", h)[0], o.Tenant("acme", h)[0]
	o.SNAT("evil", "internet")
	o.SNAT("acme", "internet")
	o.Float(evil)
	router := o.Plug(h, "evil/web/r1")
	o.Run("route", "add", "evil", "192.0.2.0/24", "--via", router.V4().String())
	server := overlay.ServerAt(lab.InternetServer)
	o.SeenAs(good.Workload, "udp", server, 3000, h.InternetAddr())
	first := func(n int) []byte {
		f := overlay.ToGateway(evil, netip.MustParseAddr("192.0.2.77"), 17, 64, make([]byte, 800))
		ip := f[14:34]
		binary.BigEndian.PutUint16(ip[4:], uint16(n))
		ip[6] = 0x20 // more of them follow, which never come
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], lab.Checksum(0, ip))
		return f
	}
	before := o.Drops(h, "fragment-limit")
	stop := o.Flood(evil, 3000, 9000, first)
	defer stop()
	// Those that are held go into the table first, which has room for 5,000.
	lab.Eventually(t, overlay.PollTime, "the flood to be felt", func() error {
		held := regexp.MustCompile(`num frag: (\d+)`).FindStringSubmatch(o.Exec(h, "ovs-appctl", "dpctl/ipf-get-status"))
		if n := o.Drops(h, "fragment-limit") - before; n < 3000 && (held == nil || held[1] != "5000") {
			return fmt.Errorf("%d dropped, %v held", n, held)
		}
		return nil
	})
	lost := 0
	for range 10 {
		c, err := overlay.Dial(good.Workload, "udp", server)
		if err == nil {
			_, err = overlay.WhoAmI(c, 3000)
			c.Close()
		}
		if err != nil {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of 10 datagrams in fragments are lost while another tenant floods", lost)
	}
}

// Connections that are closed for Open vSwitch leave the host's conntrack table.
func TestClosedConnectionsLeaveTheHostsTable(t *testing.T) {
	if lab.Datapath() != "netdev" {
		t.Skip("on the kernel's datapath the host has one table for all")
	}
	o := overlay.NewOutdoors(t, 1)
	h := o.Hosts[0]
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	evil := o.Tenant("evil", h)[0]
	o.SNAT("evil", "internet")
	server := overlay.ServerAt(lab.InternetServer)
	o.SeenAs(evil.Workload, "tcp", server, 10, h.InternetAddr())
	established := func() (kernel, ovs int) {
		t.Helper()
		out := o.Exec(h, "cat", "/proc/net/nf_conntrack")
		for l := range strings.Lines(out) {
			if strings.Contains(l, "100.64.") && strings.Contains(l, "ESTABLISHED") {
				kernel++
			}
		}
		out = o.Exec(h, "ovs-appctl", "dpctl/dump-conntrack")
		for l := range strings.Lines(out) {
			if strings.Contains(l, "ESTABLISHED") && strings.Contains(l, "src=10.0.1.") {
				ovs++
			}
		}
		return
	}
	for _, way := range []string{"a source route", "a flag too many"} {
		heard := o.Capture(evil)
		for range 5 {
			heard.Reset()
			c, err := overlay.Dial(evil.Workload, "tcp", server)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			port := c.LocalAddr().(*net.TCPAddr).AddrPort().Port()
			// The SYN-ACK tells the client's next number.
			var seq, ack uint32
			lab.Eventually(t, overlay.PollTime, "an answer to the SYN", func() error {
				for _, p := range heard.Packets(nil) {
					if p.Proto == 6 && p.IPDst == evil.V4() && p.DstPort == port {
						tcp := p.Data[34:]
						if tcp[13]&0x12 == 0x12 {
							ack, seq = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
							return nil
						}
					}
				}
				return errors.New("there is none")
			})
			flags := byte(0x14) // RST and ACK
			if way == "a flag too many" {
				flags |= 0x01
			}
			seg := make([]byte, 20)
			binary.BigEndian.PutUint16(seg, port)
			binary.BigEndian.PutUint16(seg[2:], overlay.ServerPort)
			binary.BigEndian.PutUint32(seg[4:], seq)
			binary.BigEndian.PutUint32(seg[8:], ack+1)
			seg[12], seg[13], seg[14] = 5<<4, flags, 0xff
			binary.BigEndian.PutUint16(seg[16:], lab.Checksum(lab.PseudoHeader(evil.V4(), lab.InternetServer, 6, len(seg)), seg))
			f := overlay.ToGateway(evil, lab.InternetServer, 6, 64, seg)
			if way == "a source route" {
				f = withOptions(f, []byte{131, 7, 4, 192, 0, 2, 1, 0})
			}
			o.Send(evil, f)
		}
		heard.Close()
		o.SeenAs(evil.Workload, "tcp", server, 10, h.InternetAddr()) // earlier packets have been processed
		lab.Eventually(t, overlay.PollTime, "the host to have no more connections than the switch, after resets with "+way, func() error {
			if kernel, ovs := established(); kernel > ovs {
				return fmt.Errorf("%d connections of the host are established, %d of the switch", kernel, ovs)
			}
			return nil
		})
	}
}

// withOptions puts options, a multiple of four bytes, into a frame of IPv4.
func withOptions(f, options []byte) []byte {
	b := append([]byte(nil), f[:34]...)
	b = append(append(b, options...), f[34:]...)
	ip := b[14 : 34+len(options)]
	ip[0] = 0x40 | byte(len(ip)/4)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(b)-14))
	ip[10], ip[11] = 0, 0
	binary.BigEndian.PutUint16(ip[10:], lab.Checksum(0, ip))
	return b
}
