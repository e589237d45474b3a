package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/digitalocean/go-openvswitch/ovs"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/integration/ovstest"
)

// What ovloom reads of a switch, ovs-ofctl reads as well: each flow of each table to the
// letter.
func TestOfctlReadsTheSameFlows(t *testing.T) {
	o := variety(t)
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

// variety is two hosts with everything that NAT, routing and peers bring.
func variety(t *testing.T) *overlay.Outdoors {
	t.Helper()
	o := overlay.NewOutdoors(t, 2)
	acme := o.Tenant("acme", o.Hosts[0], o.Hosts[1])
	o.Run("network", "set", "acme/web", "--learning")
	o.Run("network", "add", "acme/db", "--subnet", "10.0.2.0/24", "--subnet", "fd00:2::/64")
	o.Plug(o.Hosts[0], "acme/db/c1")
	o.Run("peer", "add", "acme/web/old", "--vtep", "172.31.0.99")
	o.Run("route", "add", "acme", "192.168.0.0/16", "--via", acme[1].V4().String())
	o.SNAT("acme", "internet")
	o.Float(acme[0])
	return o
}

// notRead are the actions that go-openvswitch refuses, and with them the whole flow; learn it
// takes for the last thing that it loads.
var notRead = []string{"check_pkt_larger", "controller", "ct_clear", "goto_table", "group", "learn", "meter", "output:", "pop", "pop_vlan", "push"}

// What ovloom reads of a switch, another project's client reads as well: the same number of
// flows, with the same tables, priorities and cookies. It is spared the actions that it does
// not know. Of matches it leaves out what it does not know, so they are not compared.
func TestAnotherClientReadsTheSameFlows(t *testing.T) {
	o := variety(t)
	met := map[string]bool{}
	for _, h := range o.Hosts {
		client := ovs.New(ovs.Protocols([]string{ovs.ProtocolOpenFlow15}), ovs.Exec(func(command string, args ...string) ([]byte, error) {
			out, err := h.Exec(t.Context(), append([]string{command}, args...)...)
			return []byte(withoutActions(out, met)), err
		}))
		lab.Eventually(t, overlay.PollTime, h.Name+"'s flows to read the same", func() error {
			var ours, theirs []string
			for _, line := range flowLines(o.RunOn(h, "flows", "--raw")) {
				var cookie uint64
				var table, priority int
				match, _ := ovstest.SplitFlow(line)
				for field, into := range map[string]any{"cookie": &cookie, "table": &table, "priority": &priority} {
					if _, after, found := strings.Cut(" "+match, " "+field+"="); found {
						if _, err := fmt.Sscanf(after, "%v", into); err != nil {
							return fmt.Errorf("%s: %w", line, err)
						}
					}
				}
				ours = append(ours, fmt.Sprintf("table=%d priority=%d cookie=%#x", table, priority, cookie))
			}
			flows, err := client.OpenFlow.DumpFlows("br-int")
			if err != nil {
				return err
			}
			for _, f := range flows {
				theirs = append(theirs, fmt.Sprintf("table=%d priority=%d cookie=%#x", f.Table, f.Priority, f.Cookie))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			if len(ours) < 100 {
				return fmt.Errorf("%d flows", len(ours))
			}
			if slices.Equal(ours, theirs) {
				return nil
			}
			return fmt.Errorf("of %d flows only ovloom reads\n%s\nof %d only the other client reads\n%s", len(ours), without(ours, theirs), len(theirs), without(theirs, ours))
		})
	}
	for _, action := range notRead {
		if !met[action] {
			t.Errorf("no flow has %s, which is said not to be read", action)
		}
	}
}

// withoutActions returns a dump without the actions of notRead that go-openvswitch does not
// read, and tells which there were.
func withoutActions(dump string, met map[string]bool) string {
	var out strings.Builder
	for line := range strings.Lines(dump) {
		match, actions := ovstest.SplitFlow(strings.TrimRight(line, "\n"))
		if !strings.Contains(line, "actions=") {
			out.WriteString(line)
			continue
		}
		actions = slices.DeleteFunc(actions, func(action string) bool {
			name := action[:strings.IndexAny(action+"(", ":(")]
			if name == "output" && strings.ContainsFunc(action, unicode.IsUpper) {
				name = "output:" // a register
			}
			met[name] = true
			return slices.Contains(notRead, name)
		})
		if len(actions) == 0 {
			actions = []string{"drop"}
		}
		fmt.Fprintf(&out, "%sactions=%s\n", match, strings.Join(actions, ","))
	}
	return out.String()
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
