package hostnet

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/ovstest"
)

// frameSender returns a function that makes frames arrive on the link, which addLink made.
func frameSender(t *testing.T, link string) func(context.Context, ...[]byte) error {
	t.Helper()
	peer, err := net.InterfaceByName(link + "-peer")
	must(t, err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return func(_ context.Context, frames ...[]byte) error {
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: peer.Index}); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestProbeFindsWhatDropsIt(t *testing.T) {
	addLink(t, "exit0")
	addLink(t, "out0")
	ovstest.IP(t, "addr", "add", "198.51.100.1/24", "dev", "out0")
	ovstest.IP(t, "route", "add", "default", "via", "198.51.100.254")
	ctx := ovstest.Context(t)
	e := testExit()
	must(t, os.WriteFile(forwardingFile, []byte("1"), 0)) // of this namespace
	must(t, EnsureExit(ctx, e))
	t.Cleanup(func() { must(t, RemoveExit(context.WithoutCancel(ctx), "exit0")) })
	send := frameSender(t, "exit0")
	// Whatever happens to the probe, neither it nor an answer leaves the host.
	out(t, "nft", `add table netdev wire; add chain netdev wire in { type filter hook ingress device "out0-peer" priority 0; }; add rule netdev wire in ether type ip counter;`+
		`add chain netdev wire back { type filter hook ingress device "exit0-peer" priority 0; }; add rule netdev wire back ether type ip counter`)
	t.Cleanup(func() { out(t, "nft", "delete table netdev wire") })
	said := func() string {
		t.Helper()
		faults, err := ProbeExit(ctx, e, send)
		must(t, err)
		var all []string
		for _, f := range faults {
			all = append(all, f.What)
		}
		return strings.Join(all, "\n")
	}
	if got := said(); got != "" {
		t.Fatalf("on a host that forwards: %s", got)
	}

	for _, c := range []struct {
		name, do, undo string
		want           string
		fixable        bool
	}{
		{"reject, in a chain that another jumps to",
			"nft add table inet firewalld; nft add chain inet firewalld deny; nft add rule inet firewalld deny reject with icmpx admin-prohibited; nft add chain inet firewalld pass '{ type filter hook forward priority 10; }'; nft add rule inet firewalld pass jump deny",
			"nft delete table inet firewalld", `rule "reject with icmpx admin-prohibited" of nftables chain inet firewalld deny`, true},
		{"policy", "nft add table ip firewall; nft add chain ip firewall pass '{ type filter hook forward priority 0; policy drop; }'",
			"nft delete table ip firewall", "the policy of nftables chain ip firewall pass", true},
		{"before it is forwarded", "nft add table ip firewall; nft add chain ip firewall early '{ type filter hook prerouting priority -150; }'; nft add rule ip firewall early iifname exit0 drop",
			"nft delete table ip firewall", "nftables chain ip firewall early", false},
		{"no forwarding", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1", "does not forward", false},
		{"reverse path", "sysctl -qw net.ipv4.conf.exit0.rp_filter=1; ip route add 100.64.0.0/24 dev out0", "ip route del 100.64.0.0/24 dev out0", "rp_filter", false},
		{"iptables", "iptables -A FORWARD -j REJECT", "iptables -F FORWARD; nft delete table ip filter", "nftables chain ip filter FORWARD", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if program, _, _ := strings.Cut(c.do, " "); program == "iptables" {
				if _, err := exec.LookPath(program); err != nil {
					t.Fatal("iptables is missing: scripts/setup.sh test installs it")
				}
			}
			out(t, "sh", "-c", c.do)
			faults, err := ProbeExit(ctx, e, send)
			must(t, err)
			if len(faults) != 1 || !strings.Contains(faults[0].What, c.want) || faults[0].ByHand == c.fixable {
				t.Errorf("faults %+v", faults)
			}
			if c.fixable {
				_, err := FixExit(ctx, faults)
				must(t, err)
				if got := said(); got != "" {
					t.Errorf("after the repair: %s", got)
				}
			}
			out(t, "sh", "-c", c.undo)
			if got := said(); got != "" {
				t.Errorf("after it is gone: %s", got)
			}
		})
	}
	if got := out(t, "nft", "list", "table", "netdev", "wire"); strings.Count(got, "packets 0 bytes 0") != 2 {
		t.Errorf("something was sent:\n%s", got)
	}
	if got := out(t, "nft", "list", "tables"); strings.Contains(got, "_trace") {
		t.Errorf("tables\n%s", got)
	}
}

func TestWhatOthersChangeOfTheExit(t *testing.T) {
	addLink(t, "exit0")
	ctx := ovstest.Context(t)
	e := testExit()
	must(t, EnsureExit(ctx, e))
	t.Cleanup(func() { must(t, RemoveExit(context.WithoutCancel(ctx), "exit0")) })
	table, err := ExitTable(ctx, "exit0")
	must(t, err)

	var own, other atomic.Int32
	watching, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		done <- WatchExit(watching, "exit0", func(e ExitEvent) {
			if e.Own {
				own.Add(1)
			}
			if e.Other {
				other.Add(1)
			}
		})
	}()
	hears := func(n *atomic.Int32, do string) {
		t.Helper()
		before := n.Load()
		out(t, "sh", "-c", do)
		for end := time.Now().Add(5 * time.Second); n.Load() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no event: %s", do)
			}
		}
	}
	for end := time.Now().Add(5 * time.Second); other.Load() == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		out(t, "nft", "add table ip somebody; delete table ip somebody") // until it listens
	}
	for _, c := range []struct{ do, want string }{
		{"nft flush ruleset", "nftables table ip ovloom_exit0 was missing"},
		{"nft delete table ip ovloom_exit0", "was missing"},
		{"nft flush chain ip ovloom_exit0 forward", "was changed"},
		{"ip addr del 100.64.0.1/32 dev lo", "address 100.64.0.1 of lo was missing"},
		{"ip route del 100.64.0.0/16 dev exit0", "route 100.64.0.0/16 through exit0 was missing"},
		{"ip addr add 192.0.2.77/32 dev exit0", "address 192.0.2.77/32 on exit0"},
		{"ip link set exit0 down", "exit0 was down"},
	} {
		hears(&own, c.do)
		changed, err := ExitChanged(ctx, e, table)
		must(t, err)
		wantText(t, strings.Join(changed, "; "), c.want)
		must(t, EnsureExit(ctx, e))
		if changed, err := ExitChanged(ctx, e, table); err != nil || len(changed) > 0 {
			t.Errorf("after %s was put back: %q, %v", c.do, changed, err)
		}
	}
	hears(&other, "nft add table ip somebody; nft delete table ip somebody")
	hears(&other, "sysctl -qw net.ipv4.ip_forward=0; sysctl -qw net.ipv4.ip_forward=1")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
