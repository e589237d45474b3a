package shares_test

// One tenant floods; another, beside it, loses nothing.

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// megaflows returns how many flows the cache of a host's datapath holds.
func megaflows(o *overlay.Overlay, h *lab.Host) int {
	o.T.Helper()
	out, err := h.Exec(o.T.Context(), "ovs-appctl", "upcall/show")
	if err != nil {
		o.T.Fatal(err)
	}
	m := regexp.MustCompile(`\(current (\d+)\)`).FindStringSubmatch(out)
	if m == nil {
		o.T.Fatalf("upcall/show: %q", out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// answered sends a number of frames one after the other, each of which has an ICMP error
// for an answer, and returns how many answers came.
func answered(o *overlay.Overlay, from *overlay.Machine, n int, kind byte, frame func(n int) []byte) int {
	o.T.Helper()
	c := o.Capture(from)
	is := func(p lab.Packet) bool {
		return p.Proto == 1 && p.IPDst == from.V4() && p.ICMPType == kind
	}
	for i := range n {
		if err := from.SendFrame("eth0", frame(i)); err != nil {
			o.T.Fatal(err)
		}
		for end := time.Now().Add(lab.Patient(time.Second)); c.Count(is) <= i && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	return c.Count(is)
}

// tenConnections counts how many of ten connections, one after the other, come about.
func tenConnections(dial func(context.Context) (net.Conn, error)) (ok int) {
	for range 10 {
		ctx, cancel := context.WithTimeout(context.Background(), lab.Patient(2*time.Second))
		if c, err := dial(ctx); err == nil {
			c.Close()
			ok++
		}
		cancel()
	}
	return ok
}

func TestOneTenantTakesNothingFromAnother(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	h := o.Hosts[0]
	// Warnings of ovs-vswitchd about a flood.
	if err := o.AllowLog(`datapath reached the dynamic limit`, `blocked \d+ ms waiting`, `long poll interval`, `context switches:`, `faults:`, `disk:`); err != nil {
		t.Fatal(err)
	}
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer)
	evil, good := o.Tenant("evil", h)[0], o.Tenant("acme", h)[0]
	o.SNAT("evil", "internet")
	o.SNAT("acme", "internet")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24")
	db := o.Plug(h, "acme/db/d1")
	friend := o.Plug(h, "evil/web/f1")
	server := overlay.ServerAt(lab.InternetServer)
	o.Reaches(evil, lab.InternetServer)
	o.Reaches(good, lab.InternetServer)
	o.Reaches(good, db.V4())
	o.Reaches(evil, friend.V4())
	o.ConnectionsLimited(h, intent.DefaultConnections)

	expired := func(m *overlay.Machine) func(int) []byte {
		return func(n int) []byte {
			return overlay.ToGateway(m, lab.InternetServer, 17, 1, lab.UDP(netip.AddrPortFrom(m.V4(), uint16(n)), server, []byte("late")))
		}
	}
	isAnswered := func(t *testing.T) {
		t.Helper()
		if n := answered(o.Overlay, good, 20, 11, expired(good)); n != 20 {
			t.Errorf("%d of 20 packets whose TTL ended have an answer, while another tenant floods", n)
		}
	}
	connects := func(t *testing.T) {
		t.Helper()
		if n := tenConnections(func(ctx context.Context) (c net.Conn, err error) {
			err = good.InNetNS(func() error {
				var d net.Dialer
				c, err = d.DialContext(ctx, "tcp4", server.String())
				return err
			})
			return c, err
		}); n != 10 {
			t.Errorf("%d of 10 connections of another tenant come about", n)
		}
	}

	t.Run("ICMP errors", func(t *testing.T) {
		stop := o.Flood(evil, 5000, 0, expired(evil))
		o.Dropped(h, "punt-limit", 500)
		isAnswered(t)
		stop()
	})

	t.Run("fragments", func(t *testing.T) {
		first := func(n int) []byte {
			f := overlay.ToGateway(evil, lab.InternetServer, 17, 64, make([]byte, 800))
			ip := f[14:34]
			binary.BigEndian.PutUint16(ip[4:], uint16(n))
			ip[6] = 0x20 // more of them follow, which never come
			ip[10], ip[11] = 0, 0
			binary.BigEndian.PutUint16(ip[10:], lab.Checksum(0, ip))
			return f
		}
		stop := o.Flood(evil, 3000, 6000, first)
		o.Dropped(h, "fragment-limit", 1000)
		for i := range 10 {
			c, err := overlay.Dial(good.Workload, "udp", server)
			if err == nil {
				_, err = overlay.WhoAmI(c, 3000)
				c.Close()
			}
			if err != nil {
				t.Errorf("datagram %d, in fragments, is lost: %v", i, err)
			}
		}
		if n := stop(); n < 6000 {
			t.Logf("%d fragments sent", n)
		}
	})

	t.Run("connections", func(t *testing.T) {
		const many = 4000
		syn := func(n int) []byte { // more than the host has source ports, and each another connection
			seg := make([]byte, 20)
			binary.BigEndian.PutUint16(seg, uint16(1024+n%60000))
			binary.BigEndian.PutUint16(seg[2:], overlay.ServerPort+1)
			binary.BigEndian.PutUint32(seg[4:], rand.Uint32())
			seg[12], seg[13], seg[14] = 5<<4, 2, 0xff
			binary.BigEndian.PutUint16(seg[16:], lab.Checksum(lab.PseudoHeader(evil.V4(), lab.InternetServer, 6, len(seg)), seg))
			return overlay.ToGateway(evil, lab.InternetServer, 6, 64, seg)
		}
		stop := o.Flood(evil, 20000, 0, syn)
		o.Dropped(h, "nat-full", many)
		if n := tenConnections(func(ctx context.Context) (c net.Conn, err error) {
			err = h.InNetNS(func() error {
				var d net.Dialer
				c, err = d.DialContext(ctx, "tcp4", server.String())
				return err
			})
			return c, err
		}); n != 10 {
			t.Errorf("%d of 10 connections of the host itself come about", n)
		}
		connects(t)
		stop()
	})

	t.Run("broadcasts", func(t *testing.T) {
		c := o.Capture(friend)
		stop := o.Flood(evil, 40000, 0, func(n int) []byte {
			return lab.Ethernet(evil.Port.MAC, lab.Broadcast, lab.EtherIPv4, overlay.ToGateway(evil, netip.MustParseAddr("255.255.255.255"), 17, 64,
				lab.UDP(netip.AddrPortFrom(evil.V4(), 9), netip.MustParseAddrPort("255.255.255.255:9"), []byte("storm")))[14:])
		})
		o.Dropped(h, "storm-limit", 5000)
		sent := stop()
		if n := c.Count(overlay.PayloadContains("storm")); n == 0 || n > sent*3/4 {
			t.Errorf("%d of %d broadcasts come to the other port, want about a thousand a second", n, sent)
		}
	})

	o.Run("network", "add", "evil/six", "--subnet", "10.0.6.0/24", "--subnet", "fd00:6::/64")
	for _, c := range []struct {
		name  string
		frame func(from *overlay.Machine) []byte
	}{
		{"new MACs", func(from *overlay.Machine) []byte {
			dst := intent.MAC{2, 9, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())}
			return lab.Ethernet(from.Port.MAC, dst, lab.EtherIPv4, overlay.ToGateway(from, friend.V4(), 17, 64, nil)[14:])
		}},
		{"new addresses", func(from *overlay.Machine) []byte {
			dst := from.V6().As16()
			binary.BigEndian.PutUint64(dst[8:], rand.Uint64())
			to := netip.AddrFrom16(dst)
			return lab.IPFrame(from.Port.MAC, intent.GatewayMAC, from.V6(), to, 17, 64, lab.UDP(netip.AddrPortFrom(from.V6(), 9), netip.AddrPortFrom(to, 9), nil))
		}},
		{"questions", func(from *overlay.Machine) []byte {
			ask := lab.ARP{Op: 1, SHA: from.Port.MAC, SPA: from.V4(), TPA: overlay.GatewayOf(from.V4())}.Message(1, lab.EtherIPv4, 6, 4)
			return lab.Ethernet(from.Port.MAC, lab.Broadcast, lab.EtherARP, ask)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Each has an attacker of its own: the penalty of one would make the next easier.
			evil := o.Plug(h, "evil/six/"+strings.ReplaceAll(strings.ToLower(c.name), " ", "-"))
			o.Reaches(evil, friend.V4())
			before := o.Drops(h, "penalty")
			stop := o.Flood(evil, 20000, 0, func(int) []byte { return c.frame(evil) })
			connects(t) // the flood has hardly begun
			lab.Eventually(t, overlay.PollTime, "status to name the port", func() error {
				for _, w := range o.Status(h).Warnings {
					if strings.Contains(w.What, "port "+evil.Port.Ref().String()+" ") {
						return nil
					}
				}
				return fmt.Errorf("%d megaflows, warnings %v", megaflows(o.Overlay, h), o.Status(h).Warnings)
			})
			o.Dropped(h, "penalty", before+20000)
			isAnswered(t)
			connects(t)
			// What there was before the penalty is gone after ten seconds without use. After
			// that, 200 packets a second make one each, which is there for as long.
			lab.Eventually(t, 2*overlay.PollTime, "few megaflows, while the flood goes on", func() error {
				if n := megaflows(o.Overlay, h); n > 3500 {
					return fmt.Errorf("%d megaflows", n)
				}
				return nil
			})
			o.Reaches(good, db.V4())
			if sent := stop(); sent < 20000 {
				t.Logf("only %d frames sent", sent)
			}
			// A port in penalty can still send.
			o.Reaches(evil, friend.V4())
		})
	}
}
