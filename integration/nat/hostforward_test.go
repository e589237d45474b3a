package nat_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// What is forwarded from the host's own addresses, a port on that host reaches there as
// any client outside does: forwards of its own tenant and of others, wherever the target is.
// All other ports of the host stay closed.
func TestForwardAtTheClientsOwnHost(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	host1, host2 := o.Hosts[0], o.Hosts[1]
	acme := o.Tenant("acme", host1, host1, host2)
	other := o.Tenant("umbrella", host1, host2)
	c1, c2, c3 := acme[0], acme[1], acme[2]
	for _, m := range append(acme, other...) {
		overlay.Serve(t, m.Workload)
	}
	o.SNAT("acme", "internet")
	o.SNAT("umbrella", "internet")
	add := func(to *overlay.Machine, tcp, udp int) {
		t.Helper()
		for flag, port := range map[string]int{"--tcp": tcp, "--udp": udp} {
			o.Run("nat", "forward", "add", to.Port.Tenant, "--external", "internet", flag, fmt.Sprint(port), "--to", fmt.Sprintf("%s:%d", to.Port.Ref(), overlay.ServerPort))
		}
	}
	add(c1, 8081, 5081)
	add(c2, 8082, 5082)
	add(c3, 8083, 5083)
	add(other[0], 8084, 5084)

	own := host1.InternetAddr()
	gateway := netip.MustParseAddr("100.64.0.1")
	redirected, err := host1.Capture(intent.HostUplink)
	if err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		what string
		from *overlay.Machine
		port uint16
	}{
		{"itself", c1, 1},
		{"a port of its tenant on its host", c1, 2},
		{"a port of its tenant on another host", c1, 3},
		{"a port of another tenant", c1, 4},
		{"another tenant's port, from that", other[0], 3},
	} {
		t.Run(try.what, func(t *testing.T) {
			o := o.With(t)
			for _, a := range []netip.Addr{own, host1.VTEP} {
				o.SeenAs(try.from.Workload, "tcp", netip.AddrPortFrom(a, 8080+try.port), 10, gateway)
			}
			o.SeenAs(try.from.Workload, "udp", netip.AddrPortFrom(own, 5080+try.port), 10, gateway)
			o.SeenAs(try.from.Workload, "udp", netip.AddrPortFrom(own, 5080+try.port), 4000, gateway) // in fragments
			target := map[uint16]string{1: "acme/web/c1 on host1", 2: "acme/web/c2 on host1", 3: "acme/web/c3 on host2", 4: "umbrella/web/c1 on host1"}[try.port]
			var trace intent.Trace
			o.Get(host2, &trace, "trace", try.from.Port.Ref().String(), own.String(), "--tcp", fmt.Sprint(8080+try.port))
			if trace.Summary != "delivered to "+target {
				t.Errorf("trace says: %s", trace.Summary)
			}
		})
	}
	redirected.MustNotSee(t, "an ICMP redirect", func(p lab.Packet) bool { return p.Proto == lab.ProtoICMP && p.ICMPType == 5 })

	// From outside it is as before: the target sees the client.
	client := netip.MustParseAddr("198.51.100.1")
	o.SeenAs(o.Outside.Workload, "tcp", netip.AddrPortFrom(own, 8083), 10, client)
	// Another host's address is closed, as long as the external does not allow it.
	before := o.Drops(host1, "other-host")
	if _, err := overlay.AskWho(c1.Workload, "udp", netip.AddrPortFrom(host2.InternetAddr(), 5083), 10); err == nil {
		t.Error("another host's address answers")
	}
	o.Dropped(host1, "other-host", before+1)
	o.Allow("internet", host2.InternetAddr(), "--allow")
	for network, port := range map[string]uint16{"tcp": 8083, "udp": 5083} {
		o.SeenAs(c1.Workload, network, netip.AddrPortFrom(host2.InternetAddr(), port), 10, own)
	}

	// Other ports of the host, forwarded ports of the other protocol included.
	accepted := overlay.AcceptTCP(t, host1, netip.AddrPortFrom(own, 22))
	for _, port := range []uint16{22, 8085, 5083} {
		before := o.Drops(host1, "host-address")
		if overlay.ConnectTCP(c1.Workload, netip.AddrPortFrom(own, port), overlay.Briefly) == nil {
			t.Errorf("TCP port %d of the host answers", port)
		}
		o.Dropped(host1, "host-address", before+1)
	}
	if len(accepted) > 0 {
		t.Error("ssh was reached")
	}
	// A fragment without a port passes the switch, and the host drops what it belongs to.
	if _, err := overlay.AskWho(c1.Workload, "udp", netip.AddrPortFrom(own, 5099), 4000); err == nil {
		t.Error("a datagram in fragments reaches the host")
	}

	// When a forward is deleted, its port closes and its connections end.
	c, err := overlay.Dial(c1.Workload, "tcp", netip.AddrPortFrom(own, 8084))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := overlay.WhoAmI(c, 1); err != nil {
		t.Fatal(err)
	}
	o.Run("nat", "forward", "delete", "umbrella", "--external", "internet", "--tcp", "8084")
	lab.Eventually(t, overlay.PollTime, "the connection to end with its forward", func() error {
		if _, err := overlay.WhoAmI(c, 1); err == nil {
			return fmt.Errorf("it goes on")
		}
		return nil
	})
	lab.Eventually(t, overlay.PollTime, "a trace to say that the port is closed", func() error {
		var trace intent.Trace
		o.Get(host1, &trace, "trace", c1.Port.Ref().String(), own.String(), "--tcp", "8084")
		if !strings.HasPrefix(trace.Summary, "dropped on host1 in table external_out: host-address") {
			return fmt.Errorf("trace says: %s", trace.Summary)
		}
		return nil
	})
}
