package routing_test

// Ports that come up are announced to their network.

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// An address that is given to another port on another host is reached at once, by
// neighbours that are in no hurry to ask again for its MAC.
func TestAddressGivenToAnotherPort(t *testing.T) {
	o := overlay.New(t, lab.Config{})
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
	addrs := []string{"10.0.0.20", "fd00:1::20"}
	flags := []string{"--ip", addrs[0], "--ip", addrs[1]}
	remote := o.Plug(o.Hosts[0], "acme/web/remote")
	local := o.Plug(o.Hosts[2], "acme/web/local")
	old := o.Plug(o.Hosts[1], "acme/web/old", flags...)
	mac := func(m *overlay.Machine, addr string) string {
		out, err := m.Exec(t.Context(), "ip", "neigh", "show", "to", addr, "dev", "eth0")
		if err != nil {
			t.Error(err)
		}
		return out
	}
	for _, m := range []*overlay.Machine{remote, local} {
		for _, family := range []string{"ipv4", "ipv6"} {
			if _, err := m.Exec(t.Context(), "sysctl", "-q", "-w", "net."+family+".neigh.eth0.base_reachable_time_ms=3600000"); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range addrs {
			o.Reaches(m, netip.MustParseAddr(a))
			if seen := mac(m, a); !strings.Contains(seen, old.Port.MAC.String()) {
				t.Fatalf("%s has %q for %s", m.Port.Ref(), seen, a)
			}
		}
	}

	o.RunOn(old.Host, "port", "unplug", "acme/web/old")
	o.Run("port", "delete", "acme/web/old")
	now := o.Plug(o.Hosts[2], "acme/web/new", flags...)
	for _, m := range []*overlay.Machine{remote, local} {
		for _, a := range addrs {
			lab.Eventually(t, overlay.PollTime, fmt.Sprintf("%s to hear of the new %s", m.Port.Ref(), a), func() error {
				if seen := mac(m, a); !strings.Contains(seen, now.Port.MAC.String()) {
					return fmt.Errorf("it has %q", seen)
				}
				_, err := m.Ping(t.Context(), netip.MustParseAddr(a))
				return err
			})
		}
	}
	// The port itself must not take the announcement for another machine's claim.
	out, err := now.Exec(t.Context(), "ip", "-6", "addr", "show", "dev", "eth0")
	if err != nil || strings.Contains(out, "dadfailed") {
		t.Errorf("the new port's addresses: %v\n%s", err, out)
	}
}
