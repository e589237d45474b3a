package shares_test

// What one tenant, user or machine of the underlay could take from others, beside floods.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// One forged packet of the underlay leads a host's tunnels to another machine. It is noticed,
// put back and reported.
func TestForgedTunnelNeighbour(t *testing.T) {
	if lab.Datapath() != "netdev" {
		t.Skip("the kernel resolves the tunnels' neighbours itself, and learns from no tunnel packet")
	}
	o := overlay.New(t, lab.Config{})
	if err := o.AllowLog(`msg="put back" part=repair what="tunnel neighbour`); err != nil {
		t.Fatal(err)
	}
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	here, there, forger := o.Hosts[0], o.Hosts[1], o.Hosts[2]
	a, b := o.Plug(here, "acme/web/c1"), o.Plug(there, "acme/web/c2")
	o.Reaches(a, b.V4())
	neighbour := func() string {
		t.Helper()
		for line := range strings.Lines(o.Exec(here, "ovs-appctl", "tnl/neigh/show")) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == there.VTEP.String() {
				return f[1]
			}
		}
		return ""
	}
	own := func(h *lab.Host) intent.MAC {
		t.Helper()
		var mac intent.MAC
		if err := h.InNetNS(func() error {
			nic, err := net.InterfaceByName("br-phy")
			if err == nil {
				mac = intent.MAC(nic.HardwareAddr)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return mac
	}
	right := own(there).String()
	lab.Eventually(t, overlay.PollTime, "the neighbour to be known", func() error {
		if got := neighbour(); got != right {
			return fmt.Errorf("%q, want %s", got, right)
		}
		return nil
	})
	false1 := intent.MAC{2, 0x66, 0, 0, 0, 1}
	forge := func(n int) {
		inner := overlay.Datagram(b.Port.MAC, a.Port.MAC, b.V4(), a.V4(), []byte("forged"))
		src := netip.AddrPortFrom(there.VTEP, uint16(50000+n))
		f := lab.IPFrame(false1, own(here), there.VTEP, here.VTEP, lab.ProtoUDP, 64,
			lab.UDP(src, netip.AddrPortFrom(here.VTEP, lab.VXLANPort), lab.VXLAN(o.NetworkNamed("acme/web").VNI, inner)))
		if err := forger.SendFrame(lab.UnderlayNIC, f); err != nil {
			t.Fatal(err)
		}
	}
	// ovs-vswitchd believes a forged packet at once, and ovloomd puts the neighbour back
	// within a second: what shows that it was believed is that it was put back.
	n := 0
	lab.Eventually(t, overlay.PollTime, "a forged packet to be believed and put back", func() error {
		forge(n)
		n++
		if times, _ := o.Repairs(here, "tunnel neighbour"); times == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	lab.Eventually(t, overlay.PollTime, "the neighbour to be put back", func() error {
		if got := neighbour(); got != right {
			return fmt.Errorf("%q, want %s", got, right)
		}
		return nil
	})
	o.Reaches(a, b.V4())
	if times, r := o.Repairs(here, "tunnel neighbour"); times == 0 || !strings.Contains(fmt.Sprint(r), false1.String()) {
		t.Errorf("repairs: %d, %+v", times, r)
	}
}

// Scans of unused addresses, packets that are too large, and random IPv6
// addresses: what one tenant has ovloomd do leaves the other its share.
func TestScansLeaveOthersTheirAnswers(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	if err := o.AllowLog(`datapath reached the dynamic limit`, `blocked \d+ ms waiting`, `long poll interval`, `context switches:`, `faults:`, `disk:`); err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[0]
	machines := map[string]*overlay.Machine{}
	for _, tenant := range []string{"evil", "acme"} {
		o.Run("tenant", "add", tenant)
		o.Run("network", "add", tenant+"/web", "--subnet", "10.0.1.0/24", "--subnet", "fd00:1::/64")
		o.Run("network", "add", tenant+"/small", "--subnet", "10.0.2.0/24", "--mtu", "1300")
		o.Run("network", "add", tenant+"/open", "--subnet", "10.64.0.0/16", "--learning")
		for _, port := range []string{"web/c1", "small/s1", "open/o1"} {
			machines[tenant+"/"+port] = o.Plug(h, tenant+"/"+port)
		}
		o.Reaches(machines[tenant+"/web/c1"], machines[tenant+"/small/s1"].V4())
		o.Reaches(machines[tenant+"/web/c1"], machines[tenant+"/open/o1"].V4())
	}
	evil, good := machines["evil/web/c1"], machines["acme/web/c1"]
	expired := func(n int) []byte {
		to := netip.AddrPortFrom(machines["acme/small/s1"].V4(), 9)
		return overlay.ToGateway(good, to.Addr(), 17, 1, lab.UDP(netip.AddrPortFrom(good.V4(), uint16(1000+n)), to, []byte("late")))
	}
	large := func(m *overlay.Machine, to netip.Addr, dontFragment bool) func(int) []byte {
		return func(n int) []byte {
			f := overlay.ToGateway(m, to, 17, 64, lab.UDP(netip.AddrPortFrom(m.V4(), uint16(n)), netip.AddrPortFrom(to, 9), make([]byte, 1400)))
			ip := f[14:34]
			binary.BigEndian.PutUint16(ip[4:], uint16(n))
			ip[6], ip[7], ip[10], ip[11] = 0, 0, 0, 0
			if dontFragment {
				ip[6] = 0x40
			}
			binary.BigEndian.PutUint16(ip[10:], lab.Checksum(0, ip))
			return f
		}
	}
	answers := func(o *overlay.Overlay) {
		o.T.Helper()
		if n := answered(o, good, 20, 11, expired); n != 20 {
			o.T.Errorf("%d of 20 packets whose TTL ended have an answer", n)
		}
		if n := answered(o, good, 20, 3, large(good, machines["acme/small/s1"].V4(), true)); n != 20 {
			o.T.Errorf("%d of 20 packets that are too large have an answer", n)
		}
	}
	for _, c := range []struct {
		name, reason string
		rate         int
		frame        func(n int) []byte
	}{
		{"unknown next hops", "punt-limit", 5000, func(n int) []byte {
			to := netip.AddrFrom4([4]byte{10, 64, byte(1 + n>>8%200), byte(n)})
			return overlay.ToGateway(evil, to, 17, 64, lab.UDP(netip.AddrPortFrom(evil.V4(), 9), netip.AddrPortFrom(to, 9), []byte("scan")))
		}},
		{"too large", "punt-limit", 3000, large(evil, machines["evil/small/s1"].V4(), true)},
		{"too large, to be sent in fragments", "punt-limit", 3000, large(evil, machines["evil/small/s1"].V4(), false)},
		{"random IPv6 addresses", "", 10000, func(int) []byte {
			b := netip.MustParseAddr("fd00:1::").As16()
			binary.BigEndian.PutUint64(b[8:], rand.Uint64())
			to := netip.AddrFrom16(b)
			return lab.IPFrame(evil.Port.MAC, intent.GatewayMAC, evil.V6(), to, 17, 64, lab.UDP(netip.AddrPortFrom(evil.V6(), 9), netip.AddrPortFrom(to, 9), []byte("scan")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o.With(t)
			before := o.Drops(h, c.reason)
			stop := o.Flood(evil, c.rate, 0, c.frame)
			if c.reason != "" {
				o.Dropped(h, c.reason, before+500)
			}
			answers(o)
			if n := megaflows(o, h); n > 20000 {
				t.Errorf("%d megaflows", n)
			}
			if n := stop(); n < 500 {
				t.Errorf("only %d frames sent", n)
			}
		})
	}
}

// A user's program that listens where a forward was before receives nothing of it; root's
// does, which takes precedence.
func TestUsersDoNotTakeForwards(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	h := o.Hosts[0]
	acme := o.Tenant("acme", h)
	overlay.Serve(t, acme[0].Workload)
	o.SNAT("acme", "internet")
	client := netip.MustParseAddr("198.51.100.1")
	at := map[string]netip.AddrPort{}
	for _, port := range []string{"8090", "8091"} {
		var f intent.Forward
		o.Get(h, &f, "nat", "forward", "add", "acme", "--external", "internet", "--tcp", port, "--to", fmt.Sprintf("%s:%d", acme[0].Port.Ref(), overlay.ServerPort))
		at[port] = netip.AddrPortFrom(h.InternetAddr(), f.Port)
		o.SeenAs(o.Outside.Workload, "tcp", at[port], 10, client)
	}
	const user = 65534
	listen := func(uid int, port uint16) {
		t.Helper()
		var l net.Listener
		err := h.InNetNS(func() (err error) {
			// Of this thread only: what a socket's owner is.
			if _, err := unix.SetfsuidRetUid(uid); err != nil {
				return err
			}
			defer unix.Setfsuid(0)
			l, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close() // says nothing, so that no tell-tale is taken for it
			}
		}()
	}
	listen(user, 8090)
	listen(0, 8091)
	o.Warns(h, "a program listens on tcp port 8090", true)
	o.Warns(h, "tcp port 8091 is not forwarded", true)
	lab.Eventually(t, overlay.PollTime, "root's program to have the port", func() error {
		if _, err := overlay.AskWho(o.Outside.Workload, "tcp", at["8091"], 10); err == nil {
			return errors.New("the forward answers")
		}
		return nil
	})
	o.SeenAs(o.Outside.Workload, "tcp", at["8090"], 10, client)
}

// What is part of no connection is not translated, by the switch or by the host: it must
// not leave under the addresses that the two use between them.
func TestNoInnerAddressLeavesTheHost(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer)
	c := o.Tenant("acme", o.Hosts[0])[0]
	o.SNAT("acme", "internet")
	server := overlay.ServerAt(lab.InternetServer)
	o.SeenAs(c.Workload, "tcp", server, 10, o.Hosts[0].InternetAddr())
	heard, err := o.Outside.Capture("inet0")
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()

	segment := func(port uint16, flags byte, good bool) []byte {
		seg := make([]byte, 20)
		binary.BigEndian.PutUint16(seg, port)
		binary.BigEndian.PutUint16(seg[2:], overlay.ServerPort)
		binary.BigEndian.PutUint32(seg[4:], rand.Uint32())
		binary.BigEndian.PutUint32(seg[8:], rand.Uint32())
		seg[12], seg[13], seg[14] = 5<<4, flags, 0xff
		sum := lab.Checksum(lab.PseudoHeader(c.V4(), lab.InternetServer, 6, len(seg)), seg)
		if !good {
			sum ^= 0x5555
		}
		binary.BigEndian.PutUint16(seg[16:], sum)
		return overlay.ToGateway(c, lab.InternetServer, 6, 64, seg)
	}
	for flags := range byte(64) {
		o.Send(c, segment(2000+uint16(flags), flags, true))
		o.Send(c, segment(3000+uint16(flags), flags, false))
		o.Send(c, segment(4000, flags, true)) // one connection, and whatever may follow in it
	}
	for kind := range byte(20) {
		icmp := make([]byte, 8+28)
		icmp[0] = kind
		icmp[8] = 0x45
		binary.BigEndian.PutUint16(icmp[2:], lab.Checksum(0, icmp))
		o.Send(c, overlay.ToGateway(c, lab.InternetServer, 1, 64, icmp))
	}
	// What is in order passes, after all of it.
	o.SeenAs(c.Workload, "tcp", server, 10, o.Hosts[0].InternetAddr())
	o.SeenAs(c.Workload, "udp", server, 10, o.Hosts[0].InternetAddr())
	shared, inner := netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("10.0.0.0/8")
	heard.MustNotSee(t, "a packet from an inner address", func(p lab.Packet) bool {
		return shared.Contains(p.IPSrc) || inner.Contains(p.IPSrc)
	})
	if heard.Count(func(p lab.Packet) bool { return p.IPSrc == o.Hosts[0].InternetAddr() }) == 0 {
		t.Error("the capture hears nothing of the host")
	}
}
