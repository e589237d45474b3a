package integration_test

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
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
)

// flood sends from a machine until the returned function is called, which says how many
// frames were sent.
func (o *overlay) flood(from *machine, rate, most int, frame func(n int) []byte) (stop func() int) {
	ctx, cancel := context.WithCancel(o.t.Context())
	var sent int
	var err error
	var done sync.WaitGroup
	done.Go(func() { sent, err = from.Flood(ctx, "eth0", rate, most, frame) })
	end := sync.OnceFunc(func() { cancel(); done.Wait() })
	o.t.Cleanup(end)
	return func() int {
		end()
		if err != nil {
			o.t.Error(err)
		}
		return sent
	}
}

// megaflows returns how many flows the cache of a host's datapath holds.
func (o *overlay) megaflows(h *lab.Host) int {
	o.t.Helper()
	out, err := h.Exec(o.t.Context(), "ovs-appctl", "upcall/show")
	if err != nil {
		o.t.Fatal(err)
	}
	m := regexp.MustCompile(`\(current (\d+)\)`).FindStringSubmatch(out)
	if m == nil {
		o.t.Fatalf("upcall/show: %q", out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// toGateway is a frame of a machine for its gateway.
func toGateway(from *machine, to netip.Addr, proto, ttl uint8, payload []byte) []byte {
	return lab.IPFrame(from.port.MAC, intent.GatewayMAC, from.v4(), to, proto, ttl, payload)
}

// answered sends a number of frames one after the other, each of which has an ICMP error
// for an answer, and returns how many answers came.
func (o *overlay) answered(from *machine, n int, kind byte, frame func(n int) []byte) int {
	o.t.Helper()
	c := o.capture(from)
	is := func(p lab.Packet) bool {
		return p.Proto == 1 && p.IPDst == from.v4() && p.ICMPType == kind
	}
	for i := range n {
		if err := from.SendFrame("eth0", frame(i)); err != nil {
			o.t.Fatal(err)
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
	o := newOutdoors(t, 1)
	h := o.Hosts[0]
	// What ovs-vswitchd says of a flood.
	if err := o.AllowLog(`datapath reached the dynamic limit`, `blocked \d+ ms waiting`, `long poll interval`, `context switches:`, `faults:`, `disk:`); err != nil {
		t.Fatal(err)
	}
	tellTale(t, o.outside.Workload, lab.InternetServer)
	evil, good := o.tenant("evil", h)[0], o.tenant("acme", h)[0]
	o.snat("evil", "internet")
	o.snat("acme", "internet")
	o.run("network", "add", "acme/db", "--subnet", "10.0.2.0/24")
	db := o.plug(h, "acme/db/d1")
	friend := o.plug(h, "evil/web/f1")
	server := at(lab.InternetServer)
	o.reaches(evil, lab.InternetServer)
	o.reaches(good, lab.InternetServer)
	o.reaches(good, db.v4())
	o.reaches(evil, friend.v4())
	o.limited(h, intent.DefaultConnections)

	expired := func(m *machine) func(int) []byte {
		return func(n int) []byte {
			return toGateway(m, lab.InternetServer, 17, 1, lab.UDP(netip.AddrPortFrom(m.v4(), uint16(n)), server, []byte("late")))
		}
	}
	isAnswered := func(t *testing.T) {
		t.Helper()
		if n := o.answered(good, 20, 11, expired(good)); n != 20 {
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
		stop := o.flood(evil, 5000, 0, expired(evil))
		o.dropped(h, "punt-limit", 500)
		isAnswered(t)
		stop()
	})

	t.Run("fragments", func(t *testing.T) {
		first := func(n int) []byte {
			f := toGateway(evil, lab.InternetServer, 17, 64, make([]byte, 800))
			ip := f[14:34]
			binary.BigEndian.PutUint16(ip[4:], uint16(n))
			ip[6] = 0x20 // more of them follow, which never come
			ip[10], ip[11] = 0, 0
			binary.BigEndian.PutUint16(ip[10:], ^onesSum(ip))
			return f
		}
		stop := o.flood(evil, 3000, 6000, first)
		o.dropped(h, "fragment-limit", 1000)
		for i := range 10 {
			c, err := dial(good.Workload, "udp", server)
			if err == nil {
				_, err = whoAmI(c, 3000)
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
			binary.BigEndian.PutUint16(seg[2:], natPort+1)
			binary.BigEndian.PutUint32(seg[4:], rand.Uint32())
			seg[12], seg[13], seg[14] = 5<<4, 2, 0xff
			binary.BigEndian.PutUint16(seg[16:], ^onesSum(pseudo(evil.v4(), lab.InternetServer, 6, seg)))
			return toGateway(evil, lab.InternetServer, 6, 64, seg)
		}
		stop := o.flood(evil, 20000, 0, syn)
		o.dropped(h, "nat-full", many)
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
		c := o.capture(friend)
		stop := o.flood(evil, 40000, 0, func(n int) []byte {
			return lab.Ethernet(evil.port.MAC, lab.Broadcast, lab.EtherIPv4, toGateway(evil, netip.MustParseAddr("255.255.255.255"), 17, 64,
				lab.UDP(netip.AddrPortFrom(evil.v4(), 9), netip.MustParseAddrPort("255.255.255.255:9"), []byte("storm")))[14:])
		})
		o.dropped(h, "storm-limit", 5000)
		sent := stop()
		if n := c.Count(says("storm")); n == 0 || n > sent*3/4 {
			t.Errorf("%d of %d broadcasts come to the other port, want about a thousand a second", n, sent)
		}
	})

	o.run("network", "add", "evil/six", "--subnet", "10.0.6.0/24", "--subnet", "fd00:6::/64")
	for _, c := range []struct {
		name  string
		frame func(from *machine) []byte
	}{
		{"new MACs", func(from *machine) []byte {
			dst := intent.MAC{2, 9, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())}
			return lab.Ethernet(from.port.MAC, dst, lab.EtherIPv4, toGateway(from, friend.v4(), 17, 64, nil)[14:])
		}},
		{"new addresses", func(from *machine) []byte {
			dst := from.v6().As16()
			binary.BigEndian.PutUint64(dst[8:], rand.Uint64())
			to := netip.AddrFrom16(dst)
			return lab.IPFrame(from.port.MAC, intent.GatewayMAC, from.v6(), to, 17, 64, lab.UDP(netip.AddrPortFrom(from.v6(), 9), netip.AddrPortFrom(to, 9), nil))
		}},
		{"questions", func(from *machine) []byte {
			ask := arpOf(1, lab.EtherIPv4, 6, 4, 1, from.port.MAC, from.v4(), intent.MAC{}, gatewayOf(from.v4()))
			return lab.Ethernet(from.port.MAC, lab.Broadcast, lab.EtherARP, ask)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Each has an attacker of its own: the penalty of one would make the next easier.
			evil := o.plug(h, "evil/six/"+strings.ReplaceAll(strings.ToLower(c.name), " ", "-"))
			o.reaches(evil, friend.v4())
			before := o.drops(h, "penalty")
			stop := o.flood(evil, 20000, 0, func(int) []byte { return c.frame(evil) })
			connects(t) // the flood has hardly begun
			lab.Eventually(t, pollTime, "status to name the port", func() error {
				for _, w := range o.status(h).Warnings {
					if strings.Contains(w.What, "port "+evil.port.Ref().String()+" ") {
						return nil
					}
				}
				return fmt.Errorf("%d megaflows, warnings %v", o.megaflows(h), o.status(h).Warnings)
			})
			o.dropped(h, "penalty", before+20000)
			isAnswered(t)
			connects(t)
			// What there was before the penalty is gone after ten seconds without use. After
			// that, 200 packets a second make one each, which is there for as long.
			lab.Eventually(t, 2*pollTime, "few megaflows, while the flood goes on", func() error {
				if n := o.megaflows(h); n > 3500 {
					return fmt.Errorf("%d megaflows", n)
				}
				return nil
			})
			o.reaches(good, db.v4())
			if sent := stop(); sent < 20000 {
				t.Logf("only %d frames sent", sent)
			}
			// Who is in penalty can still speak.
			o.reaches(evil, friend.v4())
		})
	}
}

// onesSum is the ones' complement sum of 16-bit words.
func onesSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
	}
	for sum>>16 > 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// pseudo puts the pseudo-header before a TCP segment or a UDP datagram.
func pseudo(src, dst netip.Addr, proto byte, payload []byte) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = append(b, 0, proto, byte(len(payload)>>8), byte(len(payload)))
	return append(b, payload...)
}
