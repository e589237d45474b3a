package nat_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
)

// ovloom finds what the host uplink needs of the host, sets it only on request, and
// leaves nothing behind.
func TestWayOutThroughTheHost(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 1})
	outside, err := o.NewOutside(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := o.Hosts[0]
	in := func(args ...string) string { t.Helper(); return o.Exec(h, args...) }
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	c1 := o.Plug(h, "acme/web/c1")
	in("nft", "add table inet firewall; add chain inet firewall pass { type filter hook forward priority 0; policy drop; }")
	o.Run("external", "add", "internet", "--host")
	o.Run("nat", "snat", "add", "acme")

	o.Warns(h, "does not forward IPv4 packets", true)
	o.Warns(h, "chain inet firewall pass", true)
	if got := strings.TrimSpace(in("cat", "/proc/sys/net/ipv4/ip_forward")); got != "0" {
		t.Errorf("ip_forward is %s: ovloom set it unasked", got)
	}
	if _, err := c1.Ping(t.Context(), lab.InternetServer); err == nil {
		t.Error("the internet answers through a host that does not forward")
	}
	o.Run("status", "--fix")
	o.Warns(h, "tenants cannot leave", false)
	o.Reaches(c1, lab.InternetServer)

	t.Run("a forward listens on the host's own address", func(t *testing.T) {
		overlay.Serve(t, c1.Workload)
		o.Run("nat", "forward", "add", "acme", "--tcp", "8080", "--to", fmt.Sprintf("acme/web/c1:%d", overlay.ServerPort))
		client := netip.MustParseAddr("198.51.100.1") // the outside's, on the way to the host
		lab.Eventually(t, overlay.PollTime, "an answer to the outside", func() error {
			who, err := overlay.AskWho(outside.Workload, "tcp", netip.AddrPortFrom(h.InternetAddr(), 8080), 10)
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
		lab.Eventually(t, overlay.PollTime, "the host's service", func() error {
			out, err := h.Exec(t.Context(), "cat", "/proc/net/tcp6", "/proc/net/tcp")
			if err == nil && !strings.Contains(out, ":08AE") {
				err = errors.New(out)
			}
			return err
		})
		o.Run("nat", "forward", "add", "acme", "--tcp", "2222", "--to", fmt.Sprintf("acme/web/c1:%d", overlay.ServerPort))
		o.Warns(h, "tcp port 2222 is not forwarded", true)
		if out := in("nft", "list", "table", "ip", "ovloom"); strings.Contains(out, "2222") || !strings.Contains(out, "8080") {
			t.Errorf("the table is\n%s", out)
		}
	})

	t.Run("a prefix that is allowed", func(t *testing.T) {
		own := h.InternetAddr()
		if _, err := c1.Ping(t.Context(), own); err == nil {
			t.Error("the host answers its tenant")
		}
		o.Run("external", "set", "internet", "--allow", own.String()+"/32")
		o.Reaches(c1, own)
		o.Run("external", "set", "internet", "--no-allow", own.String()+"/32")
		lab.Eventually(t, overlay.PollTime, "the host to be out of reach again", func() error {
			if _, err := c1.Ping(t.Context(), own); err == nil {
				return errors.New("it answers")
			}
			return nil
		})
	})

	o.Run("external", "delete", "internet", "--cascade")
	lab.Eventually(t, overlay.PollTime, "nothing to be left on the host", func() error {
		rules, links := in("nft", "list", "ruleset"), in("ip", "-o", "link")+in("ip", "-o", "addr")
		// The interface of a port may be called ovl0f2b715781e2.
		if strings.Contains(rules, "table ip ovloom") || regexp.MustCompile(`\b`+intent.HostUplink+`\b`).MatchString(links) {
			return errors.New(rules + links)
		}
		return nil
	})
	if rules := in("nft", "list", "ruleset"); !strings.Contains(rules, "chain pass") {
		t.Errorf("the host's own rules are gone:\n%s", rules)
	}
}
