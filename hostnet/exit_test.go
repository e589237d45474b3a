package hostnet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

func testExit() Exit {
	prefix := netip.MustParsePrefix
	return Exit{
		Link:      "exit0",
		Subnets:   []intent.Subnet{{Prefix: prefix("100.64.0.0/16"), Gateway: netip.MustParseAddr("100.64.0.1")}},
		Forbidden: []netip.Prefix{prefix("172.31.0.1/32"), prefix("172.31.0.3/32")},
		Denied:    []netip.Prefix{prefix("192.0.2.9/32"), prefix("169.254.0.0/16")},
		Walls:     []Wall{{From: prefix("100.64.0.0/16"), To: []netip.Prefix{prefix("172.31.0.0/24"), prefix("172.31.0.0/25")}}},
		Allowed:   []netip.Prefix{prefix("172.31.0.9/32"), prefix("192.0.2.0/28")},
		Forwards:  []ExitForward{{Protocol: intent.TCP, Port: 8080, To: netip.MustParseAddrPort("100.64.0.7:8080")}},
	}
}

func out(t *testing.T, name string, args ...string) string {
	t.Helper()
	b, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, b)
	}
	return string(b)
}

func TestExitIsMadeAndRemoved(t *testing.T) {
	addLink(t, "exit0")
	ctx := ovstest.Context(t)
	e := testExit()
	for range 2 { // the second time changes nothing
		must(t, EnsureExit(ctx, e))
		wantText(t, out(t, "ip", "-o", "addr", "show", "dev", "lo"), "100.64.0.1/32")
		wantText(t, out(t, "ip", "route", "show", "dev", "exit0"), "100.64.0.0/16", "src 100.64.0.1")
		if got := out(t, "ip", "-o", "-4", "addr", "show", "dev", "exit0"); got != "" {
			t.Errorf("tunnels could end at\n%s", got)
		}
		wantText(t, out(t, "nft", "list", "table", "ip", "ovloom_exit0"),
			`ip saddr 100.64.0.0/16 oifname != "exit0" masquerade`, "tcp dport 8080 dnat to 100.64.0.7:8080", `ip saddr 100.64.0.0/16 oifname "exit0" ct status dnat snat to 100.64.0.1`,
			`oifname "exit0" ct status dnat accept`, `iifname "exit0" ip option lsrr exists counter`, `iifname "exit0" ip option ssrr exists counter`,
			`ip saddr 100.64.0.0/16 oifname != "exit0" meta l4proto { tcp, udp } masquerade to :`, "ct state invalid counter", `ct timeout set "overlay_tcp"`,
			"ip daddr 172.31.0.9 accept", "ip daddr @forbidden counter", "ip daddr 192.0.2.0/28 accept", "ip daddr @denied counter",
			"elements = { 172.31.0.1, 172.31.0.3 }", "169.254.0.0/16", "ip saddr 100.64.0.0/16 ip daddr @beyond0 counter", "elements = { 172.31.0.0/24 }")
	}
	e.Subnets[0] = intent.Subnet{Prefix: netip.MustParsePrefix("198.18.0.0/24"), Gateway: netip.MustParseAddr("198.18.0.1")}
	e.Forwards, e.Walls = nil, nil
	must(t, EnsureExit(ctx, e))
	if got := out(t, "ip", "-o", "-4", "addr", "show", "dev", "lo"); strings.Contains(got, "100.64") || !strings.Contains(got, "198.18.0.1/32") {
		t.Errorf("addresses are\n%s", got)
	}
	if got := out(t, "ip", "route", "show", "dev", "exit0"); strings.Contains(got, "100.64") || !strings.Contains(got, "198.18.0.0/24") {
		t.Errorf("routes are\n%s", got)
	}
	if got := out(t, "nft", "list", "ruleset"); strings.Contains(got, "100.64") || strings.Contains(got, "8080") {
		t.Errorf("old rules stay:\n%s", got)
	}
	own, err := OwnAddrs()
	must(t, err)
	if len(own) != 1 || own[0] != netip.MustParseAddr("198.18.0.1") {
		t.Errorf("own addresses %v", own)
	}
	for range 2 {
		must(t, RemoveExit(ctx, "exit0"))
	}
	if got := out(t, "nft", "list", "ruleset") + out(t, "ip", "-o", "addr", "show", "dev", "lo"); strings.Contains(got, "ovloom") || strings.Contains(got, "exit0") {
		t.Errorf("left behind:\n%s", got)
	}
}

func TestExitTableOfTheUsualInterface(t *testing.T) {
	e := testExit()
	e.Link = intent.HostUplink
	wantText(t, e.rules(PortRange{}, shortTimeouts), "table ip ovloom {")
}

func TestExitFaultsAreFoundAndFixed(t *testing.T) {
	addLink(t, "exit0")
	ctx := ovstest.Context(t)
	e := testExit()
	must(t, EnsureExit(ctx, e))
	t.Cleanup(func() { must(t, RemoveExit(context.WithoutCancel(ctx), "exit0")) })
	must(t, os.WriteFile(forwardingFile, []byte("0"), 0)) // of this namespace
	out(t, "nft", "add table inet firewall; add chain inet firewall pass { type filter hook forward priority 0; policy drop; }")
	out(t, "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
	t.Cleanup(func() { out(t, "nft", "delete table inet firewall; delete table ip filter") })

	said := func() string {
		t.Helper()
		faults, err := ExitFaults(ctx, e)
		must(t, err)
		var all []string
		for _, f := range faults {
			all = append(all, f.What)
		}
		return strings.Join(all, "\n")
	}
	wantText(t, said(), "does not forward", "chain inet firewall pass", "chain ip filter FORWARD")
	if before := out(t, "nft", "list", "ruleset"); strings.Contains(before, `iifname "exit0" accept`) {
		t.Errorf("looking changed something:\n%s", before)
	}
	faults, err := ExitFaults(ctx, e)
	must(t, err)
	done, err := FixExit(ctx, faults)
	must(t, err)
	if len(done) != 3 {
		t.Errorf("done: %q", done)
	}
	if left := said(); left != "" {
		t.Errorf("after the repair: %s", left)
	}

	t.Run("a range that is routed elsewhere", func(t *testing.T) {
		addLink(t, "other0")
		ovstest.IP(t, "route", "add", "100.64.0.0/24", "dev", "other0")
		wantText(t, said(), "the host routes 100.64.0.0/16 to interface other0")
		faults, err := ExitFaults(ctx, e)
		must(t, err)
		_, err = FixExit(ctx, faults)
		wantError(t, err, intent.Conflict, "give the external another --range")
	})
}

func TestDroppingChains(t *testing.T) {
	const docker = `{"nftables": [{"metainfo": {"version": "1.0.6"}},
{"table": {"family": "ip", "name": "filter", "handle": 1}},
{"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
{"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 2, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}},
{"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER", "handle": 3}}`
	rule := func(chain, side, link, verdict string) string {
		return fmt.Sprintf(`,{"rule": {"family": "ip", "table": "filter", "chain": %q, "handle": 9, "expr": [`+
			`{"match": {"op": "==", "left": {"meta": {"key": %q}}, "right": %q}}, {"xt": {"type": "match", "name": "comment"}}, {"counter": {}}, {%q: null}]}}`,
			chain, side, link, verdict)
	}
	for _, c := range []struct{ name, doc, want string }{
		{"Docker's", docker + "]}", "ip filter FORWARD"},
		{"one side only", docker + rule("FORWARD", "iifname", "exit0", "accept") + "]}", "ip filter FORWARD"},
		{"another interface", docker + rule("FORWARD", "iifname", "exit0", "accept") + rule("FORWARD", "oifname", "other0", "accept") + "]}", "ip filter FORWARD"},
		{"another verdict", docker + rule("FORWARD", "iifname", "exit0", "drop") + rule("FORWARD", "oifname", "exit0", "drop") + "]}", "ip filter FORWARD"},
		{"both sides", docker + rule("FORWARD", "iifname", "exit0", "accept") + rule("FORWARD", "oifname", "exit0", "accept") + "]}", ""},
		{"Docker's chain for users", docker + rule("DOCKER-USER", "iifname", "exit0", "accept") + rule("DOCKER-USER", "oifname", "exit0", "accept") + "]}", ""},
		{"nothing", `{"nftables": []}`, ""},
	} {
		chains, err := parseDroppingChains([]byte(c.doc), "exit0")
		must(t, err)
		var got []string
		for _, x := range chains {
			got = append(got, x.String())
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzDroppingChains(f *testing.F) {
	f.Add([]byte(`{"nftables": [{"chain": {"family": "ip", "hook": "forward", "policy": "drop"}}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		chains, _ := parseDroppingChains(doc, "exit0")
		for _, c := range chains {
			if c.Hook != "forward" || c.Policy != "drop" {
				t.Errorf("%+v", c)
			}
		}
	})
}

func TestTenantsLeaveFromPortsOfTheirOwn(t *testing.T) {
	for _, c := range []struct{ own, want PortRange }{
		{PortRange{32768, 60999}, PortRange{1024, 32767}}, // Linux's default
		{PortRange{10000, 20000}, PortRange{20001, 65535}},
		{PortRange{20000, 65535}, PortRange{1024, 19999}},
		{PortRange{1024, 40000}, PortRange{40001, 65535}},
		{PortRange{1024, 65535}, PortRange{}},
		{PortRange{1, 65535}, PortRange{}},
		{PortRange{5000, 60000}, PortRange{}}, // too few are left
	} {
		if got := tenantPorts(c.own); got != c.want {
			t.Errorf("the host's own %v: tenants' %v, want %v", c.own, got, c.want)
		}
	}
}
