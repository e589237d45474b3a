package nat_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

func TestSNATThroughTheHost(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.Tenant("acme", o.Hosts[0], o.Hosts[1]), o.Tenant("umbrella", o.Hosts[0])
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "internet")
	server := overlay.ServerAt(lab.InternetServer)
	for _, m := range append(acme, other...) {
		for _, network := range []string{"tcp", "udp"} {
			o.SeenAs(m.Workload, network, server, 10, m.Host.InternetAddr())
		}
		o.SeenAs(m.Workload, "udp", server, 4000, m.Host.InternetAddr())
		o.Reaches(m, lab.InternetServer)
	}

	t.Run("many connections of two tenants with the same addresses", func(t *testing.T) {
		o := o.With(t)
		manyConnections(o, acme[0], other[0], server, o.Hosts[0].InternetAddr())
		if n, err := overlay.Megaflows(t.Context(), o.Hosts[0], "tcp"); err != nil || n == 0 || n > 40 {
			t.Errorf("%d entries in the datapath's cache, %v", n, err)
		}
	})

	t.Run("closed port", func(t *testing.T) {
		_, err := overlay.AskWho(acme[0].Workload, "udp", netip.AddrPortFrom(lab.InternetServer, 9), 10)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("want the ICMP error, got %v", err)
		}
	})
}

func TestSNATThroughABridge(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.Tenant("acme", o.Hosts[0], o.Hosts[1]), o.Tenant("umbrella", o.Hosts[0])
	o.SNAT("acme", "campus")
	seen := map[netip.Addr]bool{}
	for _, m := range acme {
		var who netip.AddrPort
		lab.Eventually(t, overlay.PollTime, "an answer from the campus", func() (err error) {
			who, err = overlay.AskWho(m.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10)
			return err
		})
		if !lab.Campus.Contains(who.Addr()) {
			t.Errorf("seen as %s", who)
		}
		seen[who.Addr()] = true
		o.SeenAs(m.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, who.Addr()) // behind the gateway
		o.SeenAs(m.Workload, "udp", overlay.ServerAt(lab.CampusServer), 4000, who.Addr())
	}
	if len(seen) != len(acme) {
		t.Errorf("two hosts use %v", seen)
	}

	t.Run("many connections of two tenants with the same addresses", func(t *testing.T) {
		o := o.With(t)
		o.SNAT("umbrella", "campus")
		var a, b netip.AddrPort
		lab.Eventually(t, overlay.PollTime, "answers to both", func() (err error) {
			if a, err = overlay.AskWho(acme[0].Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10); err == nil {
				b, err = overlay.AskWho(other[0].Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10)
			}
			return err
		})
		if a.Addr() == b.Addr() {
			t.Errorf("both tenants are seen as %s", a.Addr())
		}
		manyConnections(o, acme[0], other[0], overlay.ServerAt(lab.CampusServer), a.Addr(), b.Addr())
	})
}

func TestFloatingAddress(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[0])
	c1, c2 := acme[0], acme[1]
	overlay.Serve(t, c1.Workload)
	address := o.Float(c1)
	client := lab.CampusGateway // the outside's first address on the campus

	o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(address), 10, client)
	o.SeenAs(o.Outside.Workload, "udp", overlay.ServerAt(address), 4000, client)
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.CampusServer), 10, address)
	o.SeenAs(c1.Workload, "udp", overlay.ServerAt(lab.InternetServer), 10, address)
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(address), 10, address) // itself

	t.Run("from inside the tenant", func(t *testing.T) {
		o.SNAT("acme", "internet")
		lab.Eventually(t, overlay.PollTime, "an answer", func() error {
			who, err := overlay.AskWho(c2.Workload, "tcp", overlay.ServerAt(address), 10)
			if err == nil && who.Addr() == c2.V4() {
				err = errors.New("not translated: the answer would not come back this way")
			}
			return err
		})
	})

	t.Run("closed port", func(t *testing.T) {
		_, err := overlay.AskWho(o.Outside.Workload, "udp", netip.AddrPortFrom(address, 9), 10)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("want the ICMP error, got %v", err)
		}
	})

	t.Run("moves with its port", func(t *testing.T) {
		heard, err := o.Outside.Capture("campus0")
		if err != nil {
			t.Fatal(err)
		}
		defer heard.Close()
		o.RunOn(o.Hosts[0], "port", "unplug", c1.Port.Ref().String())
		moved := o.PlugExisting(o.Hosts[1], c1.Port.Ref().String())
		overlay.Serve(t, moved.Workload)
		heard.MustSee(t, overlay.PollTime, "an announcement of the address", func(p lab.Packet) bool {
			return p.ARP != nil && p.ARP.SPA == address && p.ARP.TPA == address
		})
		o.SeenAs(o.Outside.Workload, "tcp", overlay.ServerAt(address), 10, client)
	})
}

func TestForward(t *testing.T) {
	o := overlay.NewOutdoors(t, 1)
	acme := o.Tenant("acme", o.Hosts[0])
	overlay.Serve(t, acme[0].Workload)
	target := fmt.Sprintf("%s:%d", acme[0].Port.Ref(), overlay.ServerPort)
	var f intent.Forward
	o.Get(o.Hosts[0], &f, "nat", "forward", "add", "acme", "--external", "campus", "--tcp", "8080", "--to", target)
	o.Run("nat", "forward", "add", "acme", "--external", "campus", "--udp", "8080", "--to", target)
	to := netip.AddrPortFrom(f.Address, 8080)
	o.SeenAs(o.Outside.Workload, "tcp", to, 10, lab.CampusGateway)
	// In fragments, and the first packet of its connection.
	o.SeenAs(o.Outside.Workload, "udp", to, 4000, lab.CampusGateway)
	if _, err := overlay.AskWho(o.Outside.Workload, "tcp", netip.AddrPortFrom(f.Address, 8081), 10); err == nil {
		t.Error("a port that is not forwarded answers")
	}
	o.Dropped(o.Hosts[0], "no-forward", 1)
}

// slowly writes to a overlay.Serve and reads back, some times a second, until ctx ends.
// It returns the first error.
func slowly(ctx context.Context, c net.Conn) error {
	if _, err := overlay.WhoAmI(c, 1); err != nil {
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
	o := overlay.NewOutdoors(t, 1)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.Tenant("acme", o.Hosts[0]), o.Tenant("umbrella", o.Hosts[0])
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "internet")
	type transfer struct {
		ended chan error
		stop  context.CancelFunc
	}
	start := func(m *overlay.Machine) transfer {
		o.SeenAs(m.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, m.Host.InternetAddr())
		c, err := overlay.Dial(m.Workload, "tcp", overlay.ServerAt(lab.InternetServer))
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
	o.Synced(h)
	o.Run("nat", "floating", "add", "umbrella/web/c1", "--external", "campus")
	goesOn("the connection over a restart", a)
	goesOn("the connection whose port got a floating address", b)

	o.Run("nat", "snat", "delete", "acme")
	select {
	case err := <-a.ended:
		if err == nil {
			t.Error("the connection ended in order")
		}
	case <-time.After(overlay.PollTime):
		t.Error("the connection goes on without its rule")
	}
	goesOn("the other tenant's connection", b)
	b.stop()
	if err := <-b.ended; err != nil {
		t.Errorf("the other tenant's connection: %v", err)
	}
}

// The hosts' own addresses stay out of reach, and attempts are counted.
func TestTenantsDoNotReachHosts(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	overlay.Serve(t, o.Outside.Workload, lab.InternetServer, lab.CampusServer)
	acme, other := o.Tenant("acme", o.Hosts[0]), o.Tenant("umbrella", o.Hosts[1])
	o.SNAT("acme", "internet")
	foreign := o.Float(other[0])
	c1 := acme[0]
	o.SeenAs(c1.Workload, "tcp", overlay.ServerAt(lab.InternetServer), 10, c1.Host.InternetAddr())
	wire := o.Wire()
	for _, try := range []struct {
		what, reason string
		to           netip.AddrPort
	}{
		{"VXLAN to another host", "vtep", netip.AddrPortFrom(o.Hosts[1].VTEP, 4789)},
		{"VXLAN to this host", "vtep", netip.AddrPortFrom(o.Hosts[0].VTEP, 4789)},
		{"ssh of this host", "host-address", netip.AddrPortFrom(c1.Host.InternetAddr(), 22)},
		{"the host's end of its uplink", "host-address", netip.AddrPortFrom(netip.MustParseAddr("100.64.0.1"), 22)},
		{"the store", "store", netip.AddrPortFrom(o.Hosts[0].Mgmt, lab.StorePort)},
		{"another tenant's address", "foreign-nat-address", overlay.ServerAt(foreign)},
	} {
		before := o.Drops(c1.Host, try.reason)
		if _, err := overlay.AskWho(c1.Workload, "udp", try.to, 50); err == nil {
			t.Errorf("%s answered", try.what)
		}
		o.Dropped(c1.Host, try.reason, before+1)
	}
	wire.MustNotSee(t, "a packet of the tenant's", func(p lab.Packet) bool { return p.IPSrc == c1.V4() })
}
