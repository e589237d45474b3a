package nat_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// A forward leads to its port on whatever host, and the port sees the client's address.
func TestForwardToAnotherHost(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	c1, c2 := acme[0], acme[1]
	for _, m := range acme {
		overlay.Serve(t, m.Workload)
	}
	forward := func(external, protocol, port string, to *overlay.Machine) netip.AddrPort {
		var f intent.Forward
		o.Get(o.Hosts[0], &f, "nat", "forward", "add", "acme", "--external", external, "--"+protocol, port,
			"--to", fmt.Sprintf("%s:%d", to.Port.Ref(), overlay.ServerPort))
		return netip.AddrPortFrom(f.Address, f.Port)
	}

	t.Run("through a bridge", func(t *testing.T) {
		here := forward("campus", "tcp", "8080", c1) // the first one: its host answers for the address
		there := forward("campus", "tcp", "8081", c2)
		datagrams := forward("campus", "udp", "8081", c2)
		for _, to := range []netip.AddrPort{here, there} {
			o.SeenAs(o.Outside.Workload, "tcp", to, 10, lab.CampusGateway)
		}
		o.SeenAs(o.Outside.Workload, "udp", datagrams, 4000, lab.CampusGateway)
		// The port is closed: the error comes back the same way.
		closed := netip.AddrPortFrom(datagrams.Addr(), 8082)
		o.Run("nat", "forward", "add", "acme", "--external", "campus", "--udp", "8082", "--to", c2.Port.Ref().String()+":9")
		lab.Eventually(t, overlay.PollTime, "the ICMP error", func() error {
			if _, err := overlay.AskWho(o.Outside.Workload, "udp", closed, 10); !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("want the ICMP error, got %v", err)
			}
			return nil
		})

		// A connection ends with its rule, on both hosts.
		c, err := overlay.Dial(o.Outside.Workload, "tcp", there)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if who, err := overlay.WhoAmI(c, 1); err != nil || who.Addr() != lab.CampusGateway {
			t.Fatalf("seen as %s, %v", who, err)
		}
		o.Run("nat", "forward", "delete", "acme", "--external", "campus", "--tcp", "8081")
		lab.Eventually(t, overlay.PollTime, "both hosts to forget the connection", func() error {
			for _, h := range o.Hosts {
				out, err := h.Exec(t.Context(), "ovs-appctl", "dpctl/dump-conntrack")
				if err != nil {
					return err
				}
				for line := range strings.Lines(out) {
					if strings.HasPrefix(line, "tcp,") && strings.Contains(line, c2.V4().String()) {
						return fmt.Errorf("%s has %s", h.Name, line)
					}
				}
			}
			return nil
		})
	})

	t.Run("through the hosts", func(t *testing.T) {
		client := netip.MustParseAddr("198.51.100.1") // of the outside, on the way to the hosts
		o.SNAT("acme", "internet")
		forward("internet", "tcp", "8090", c2)
		for _, h := range o.Hosts {
			o.SeenAs(o.Outside.Workload, "tcp", netip.AddrPortFrom(h.InternetAddr(), 8090), 10, client)
		}
	})
}
