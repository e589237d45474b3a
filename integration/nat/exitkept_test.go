package nat_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// What other programs change of the host uplink is put back, and whatever cuts it off is
// reported: packets are probed, not causes.
func TestWayOutIsKeptAndTried(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1, AllowLog: []string{"put back"}})
	if _, err := o.NewOutside(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[0]
	in := func(args ...string) string { t.Helper(); return o.Exec(h, args...) }
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	c1 := o.Plug(h, "acme/web/c1")
	in("sysctl", "-qw", "net.ipv4.ip_forward=1")
	o.Run("external", "add", "internet", "--host")
	o.Run("nat", "snat", "add", "acme")
	o.Reaches(c1, lab.InternetServer)
	probe := func(want string) {
		t.Helper()
		lab.Eventually(t, overlay.PollTime, "the probe to be "+want, func() error {
			if u := o.Status(h).Uplinks; len(u) != 1 || u[0].Probe != want {
				return fmt.Errorf("uplinks: %+v", u)
			}
			return nil
		})
	}
	probe("passed")
	drops := o.Status(h).Drops

	cut := func(do, undo, words string) {
		t.Helper()
		in("sh", "-c", do)
		o.Warns(h, words, true)
		probe("dropped")
		if _, err := c1.Ping(t.Context(), lab.InternetServer); err == nil {
			t.Errorf("after %s the internet answers", do)
		}
		if undo == "" {
			o.Run("status", "--fix")
		} else {
			in("sh", "-c", undo)
		}
		o.Warns(h, "tenants cannot leave", false)
		probe("passed")
		o.Reaches(c1, lab.InternetServer)
	}
	const chain = "nft add table inet firewalld; nft add chain inet firewalld deny; nft add rule inet firewalld deny reject;" +
		"nft add chain inet firewalld pass '{ type filter hook forward priority 10; }'; nft add rule inet firewalld pass jump deny"
	cut(chain, "nft delete table inet firewalld", `rule "reject" of nftables chain inet firewalld deny`)
	cut(chain, "", "nftables chain inet firewalld deny")
	in("nft", "delete", "table", "inet", "firewalld")
	cut("iptables -A FORWARD -j REJECT", "", "nftables chain ip filter FORWARD")
	in("iptables", "-F", "FORWARD")
	if now := o.Status(h).Drops; fmt.Sprint(reasons(now)) != fmt.Sprint(reasons(drops)) {
		t.Errorf("trying the way counts as %v, before %v", now, drops)
	}

	for _, do := range []string{
		"nft flush ruleset", "nft delete table ip ovloom", "ip addr del 100.64.0.1/32 dev lo", "ip route del 100.64.0.0/16 dev ovl0", "ip link set ovl0 down",
	} {
		before := repaired(o, h)
		in("sh", "-c", do)
		lab.Eventually(t, overlay.PollTime, do+" to be put back and told", func() error {
			if now := repaired(o, h); now == before {
				return fmt.Errorf("repairs: %+v", o.Status(h).Repairs)
			}
			return nil
		})
		o.Reaches(c1, lab.InternetServer)
	}
	// Whether the host forwards is its own affair.
	in("sysctl", "-qw", "net.ipv4.ip_forward=0")
	o.Warns(h, "does not forward IPv4 packets", true)
	if got := strings.TrimSpace(in("cat", "/proc/sys/net/ipv4/ip_forward")); got != "0" {
		t.Errorf("ip_forward is %s: ovloom set it unasked", got)
	}
}

// repaired returns how often the host uplink was put back.
func repaired(o *overlay.Overlay, h *lab.Host) (n int) {
	for _, r := range o.Status(h).Repairs {
		if strings.HasPrefix(r.What, "host uplink") {
			n += r.Times
		}
	}
	return n
}

// reasons returns why packets were dropped, without how many.
// reasons are those of drops, but for what machines send by themselves from time to time.
func reasons(list []api.Drop) (names []string) {
	for _, d := range list {
		if d.Reason != "no-ipv6" {
			names = append(names, d.Reason)
		}
	}
	return names
}
