package integration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
)

// warned waits for a warning that has the words, or for its end.
func (o *overlay) warned(h *lab.Host, words string, want bool) {
	o.t.Helper()
	lab.Eventually(o.t, pollTime, fmt.Sprintf("a warning of %q to be there: %v", words, want), func() error {
		all := o.status(h).Warnings
		found := slices.ContainsFunc(all, func(w api.Warning) bool { return strings.Contains(w.What, words) })
		if found != want {
			return fmt.Errorf("warnings: %+v", all)
		}
		return nil
	})
}

// The way out through the host needs things of the host that ovloom finds, and sets
// only when it is told to; it leaves nothing behind.
func TestWayOutThroughTheHost(t *testing.T) {
	o := newOverlay(t, lab.Config{Hosts: 1})
	outside, err := o.NewOutside(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[0]
	in := func(args ...string) string {
		t.Helper()
		out, err := h.Exec(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	o.run("tenant", "add", "acme")
	o.run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	c1 := o.plug(h, "acme/web/c1")
	in("nft", "add table inet firewall; add chain inet firewall pass { type filter hook forward priority 0; policy drop; }")
	o.run("external", "add", "internet", "--host")
	o.run("nat", "snat", "add", "acme")

	o.warned(h, "does not forward IPv4 packets", true)
	o.warned(h, "chain inet firewall pass", true)
	if got := strings.TrimSpace(in("cat", "/proc/sys/net/ipv4/ip_forward")); got != "0" {
		t.Errorf("ip_forward is %s, and nobody was asked", got)
	}
	if _, err := c1.Ping(t.Context(), lab.InternetServer); err == nil {
		t.Error("the internet answers through a host that does not forward")
	}
	o.run("status", "--fix")
	o.warned(h, "tenants cannot leave", false)
	o.reaches(c1, lab.InternetServer)

	t.Run("a forward listens on the host's own address", func(t *testing.T) {
		tellTale(t, c1.Workload)
		o.run("nat", "forward", "add", "acme", "--tcp", "8080", "--to", fmt.Sprintf("acme/web/c1:%d", natPort))
		client := netip.MustParseAddr("198.51.100.1") // the outside's, on the way to the host
		lab.Eventually(t, pollTime, "an answer to the outside", func() error {
			who, err := askWho(outside.Workload, "tcp", netip.AddrPortFrom(h.InternetAddr(), 8080), 10)
			if err == nil && who.Addr() != client {
				err = fmt.Errorf("the port sees %s", who)
			}
			return err
		})
	})

	t.Run("what the host serves itself is not taken away", func(t *testing.T) {
		if _, err := h.Start(t.Context(), "service", "busybox", "nc", "-l", "-p", "2222", "-e", "echo", "the host"); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, pollTime, "the host's service", func() error {
			out, err := h.Exec(t.Context(), "cat", "/proc/net/tcp6", "/proc/net/tcp")
			if err == nil && !strings.Contains(out, ":08AE") {
				err = errors.New(out)
			}
			return err
		})
		o.run("nat", "forward", "add", "acme", "--tcp", "2222", "--to", fmt.Sprintf("acme/web/c1:%d", natPort))
		o.warned(h, "tcp port 2222 is not forwarded", true)
		if out := in("nft", "list", "table", "ip", "ovloom"); strings.Contains(out, "2222") || !strings.Contains(out, "8080") {
			t.Errorf("the table is\n%s", out)
		}
	})

	t.Run("a prefix that is allowed", func(t *testing.T) {
		own := h.InternetAddr()
		if _, err := c1.Ping(t.Context(), own); err == nil {
			t.Error("the host answers its tenant")
		}
		o.run("external", "set", "internet", "--allow", own.String()+"/32")
		o.reaches(c1, own)
		o.run("external", "set", "internet", "--no-allow", own.String()+"/32")
		lab.Eventually(t, pollTime, "the host to be out of reach again", func() error {
			if _, err := c1.Ping(t.Context(), own); err == nil {
				return errors.New("it answers")
			}
			return nil
		})
	})

	o.run("external", "delete", "internet", "--cascade")
	lab.Eventually(t, pollTime, "nothing to be left on the host", func() error {
		rules, links := in("nft", "list", "ruleset"), in("ip", "-o", "link")+in("ip", "-o", "addr")
		if strings.Contains(rules, "table ip ovloom") || strings.Contains(links, "ovl0") {
			return errors.New(rules + links)
		}
		return nil
	})
	if rules := in("nft", "list", "ruleset"); !strings.Contains(rules, "chain pass") {
		t.Errorf("the host's own rules are gone:\n%s", rules)
	}
}
