package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// What ovloom reads of a switch, ovs-ofctl reads as well: each flow of each table to the
// letter, with everything that NAT, routing and peers bring.
func TestOfctlReadsTheSameFlows(t *testing.T) {
	o := overlay.NewOutdoors(t, 2)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	o.Run("network", "set", "acme/web", "--learning")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24", "--subnet", "fd00:2::/64")
	o.Plug(o.Hosts[0], "acme/db/c1")
	o.Run("peer", "add", "acme/web/old", "--vtep", "172.31.0.99")
	o.Run("route", "add", "acme", "192.168.0.0/16", "--via", acme[1].V4().String())
	o.SNAT("acme", "internet")
	o.Float(acme[0])
	for _, h := range o.Hosts {
		lab.Eventually(t, overlay.PollTime, h.Name+"'s flows to read the same", func() error {
			ours := flowLines(o.RunOn(h, "flows", "--raw"))
			theirs := flowLines(o.Ofctl(h, "dump-flows", "--no-stats", "--no-names", "br-int"))
			if len(ours) < 100 {
				return fmt.Errorf("%d flows", len(ours))
			}
			if slices.Equal(ours, theirs) {
				return nil
			}
			return fmt.Errorf("only ovloom reads\n%s\nonly ovs-ofctl reads\n%s", without(ours, theirs), without(theirs, ours))
		})
	}
}

// flowLines returns the flows of a dump, sorted.
func flowLines(dump string) (flows []string) {
	for line := range strings.Lines(dump) {
		if line = strings.TrimSpace(line); strings.Contains(line, "actions=") {
			flows = append(flows, line)
		}
	}
	slices.Sort(flows)
	return flows
}

// without returns the lines of a that are not in b.
func without(a, b []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) }), "\n")
}
