package hostnet

// Tests in real namespaces; the test process itself is in one of its own.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

func TestMain(m *testing.M) { os.Exit(ovstest.Main(m)) }

const uuid = "6f5902ac-237b-4ca5-b3c7-1b2f1a9b1a01"

func spec(ns string) PlugSpec {
	return PlugSpec{
		Port:          uuid,
		Alias:         "acme/web/c1",
		Target:        Target{Netns: ns},
		MAC:           intent.MAC{2, 0, 0, 0, 0, 5},
		Addrs:         []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24"), netip.MustParsePrefix("fd00::5/64")},
		Gateways:      []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		MTU:           1450,
		TXChecksumOff: true,
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, kind intent.Kind, words ...string) {
	t.Helper()
	if intent.KindOf(err) != kind {
		t.Fatalf("got error %v of kind %q, want kind %q", err, intent.KindOf(err), kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func wantText(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// addLink makes an interface that is up and has a carrier.
func addLink(t *testing.T, name string) {
	t.Helper()
	ovstest.IP(t, "link", "add", name, "type", "veth", "peer", "name", name+"-peer")
	t.Cleanup(func() { ovstest.IP(t, "link", "del", name) })
	ovstest.IP(t, "link", "set", name+"-peer", "up")
	ovstest.IP(t, "link", "set", name, "up")
}

func noHostEnd(t *testing.T) {
	t.Helper()
	if LinkExists(HostIfName(uuid)) {
		t.Errorf("interface %s exists", HostIfName(uuid))
	}
}

// Before the host's end carries packets, its caller is asked, and can refuse.
func TestPlugAsksBeforeTheHostHearsThePort(t *testing.T) {
	ns := ovstest.Netns(t, "beforeup")
	ctx := context.Background()
	name := HostIfName(uuid)
	s := spec(ns)
	var then string
	s.BeforeUp = func() error {
		then = ovstest.IP(t, "link", "show", name)
		return nil
	}
	_, err := Plug(ctx, s)
	must(t, err)
	if !strings.Contains(then, "state DOWN") {
		t.Errorf("the host's end while its caller was asked:\n%s", then)
	}
	wantText(t, ovstest.IP(t, "link", "show", name), "state UP")
	must(t, Unplug(ctx, uuid))

	refused := errors.New("refused")
	s.BeforeUp = func() error { return refused }
	if _, err := Plug(ctx, s); !errors.Is(err, refused) {
		t.Errorf("plugged against its caller's will: %v", err)
	}
	noHostEnd(t)
}

func TestPlug(t *testing.T) {
	ns := ovstest.Netns(t, "plug")
	ctx := context.Background()
	made, err := Plug(ctx, spec(ns))
	must(t, err)
	if !made.Changed || made.HostIf != HostIfName(uuid) || len(made.HostIf) != 15 || made.IfIndex == 0 {
		t.Errorf("plugged as %+v", made)
	}
	wantText(t, ovstest.IP(t, "-n", ns, "-d", "addr", "show", "eth0"), "02:00:00:00:00:05", "mtu 1450", "10.0.0.5/24", "fd00::5/64", "state UP")
	wantText(t, ovstest.IP(t, "-n", ns, "route"), "default via 10.0.0.1 dev eth0")
	wantText(t, ovstest.IP(t, "-n", ns, "-6", "route"), "default via fd00::1 dev eth0")
	wantText(t, ovstest.IP(t, "link", "show", made.HostIf), "mtu 1450", "state UP", "alias acme/web/c1")
	offloads, err := exec.Command("ip", "netns", "exec", ns, "ethtool", "-k", "eth0").CombinedOutput()
	must(t, err)
	wantText(t, string(offloads), "tx-checksumming: off", "tx-tcp-segmentation: off", "tx-tcp6-segmentation: off")

	again, err := Plug(ctx, spec(ns))
	must(t, err)
	if again.Changed || again.IfIndex != made.IfIndex {
		t.Errorf("plugged again: %+v, first %+v", again, made)
	}

	ovstest.IP(t, "-n", ns, "addr", "del", "10.0.0.5/24", "dev", "eth0")
	ovstest.IP(t, "-n", ns, "link", "set", "eth0", "mtu", "1300")
	again, err = Plug(ctx, spec(ns))
	must(t, err)
	if !again.Changed || again.IfIndex != made.IfIndex {
		t.Errorf("repaired: %+v, first %+v", again, made)
	}
	wantText(t, ovstest.IP(t, "-n", ns, "addr", "show", "eth0"), "10.0.0.5/24", "mtu 1450")
	wantText(t, ovstest.IP(t, "-n", ns, "route"), "default via 10.0.0.1 dev eth0")

	must(t, Unplug(ctx, uuid))
	must(t, Unplug(ctx, uuid))
	noHostEnd(t)
}

func TestPlugByPathAndProcess(t *testing.T) {
	ns := ovstest.Netns(t, "by")
	c := exec.Command("ip", "netns", "exec", ns, "sleep", "60")
	must(t, c.Start())
	defer func() { c.Process.Kill(); c.Wait() }()
	own, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	ovstest.Until(t, "the process is in its namespace", func() bool {
		l, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", c.Process.Pid))
		return err == nil && l != own
	})
	for name, target := range map[string]Target{"path": {Netns: "/run/netns/" + ns}, "process": {PID: c.Process.Pid}} {
		t.Run(name, func(t *testing.T) {
			s := spec("")
			s.Target = target
			_, err := Plug(context.Background(), s)
			must(t, err)
			wantText(t, ovstest.IP(t, "-n", ns, "addr", "show", "eth0"), "10.0.0.5/24")
			must(t, Unplug(context.Background(), uuid))
		})
	}
}

func TestPlugIsRefused(t *testing.T) {
	ns, other := ovstest.Netns(t, "a"), ovstest.Netns(t, "b")
	ovstest.IP(t, "-n", other, "link", "add", "eth0", "type", "bridge")
	leftover := t.TempDir() + "/leftover"
	must(t, os.WriteFile(leftover, nil, 0o600))
	for _, c := range []struct {
		name   string
		change func(*PlugSpec)
		kind   intent.Kind
		words  string
	}{
		{"namespace that does not exist", func(p *PlugSpec) { p.Target.Netns = "nowhere" }, intent.NotFound, "ip netns list"},
		{"file that is no namespace", func(p *PlugSpec) { p.Target.Netns = leftover }, intent.NotFound, "no network namespace"},
		{"process that does not exist", func(p *PlugSpec) { p.Target = Target{PID: 1 << 30} }, intent.NotFound, "lsns -t net"},
		{"process of the host", func(p *PlugSpec) { p.Target = Target{PID: os.Getpid()} }, intent.Conflict, "host's own"},
		{"namespace and process", func(p *PlugSpec) { p.Target.PID = os.Getpid() }, intent.Invalid, "one of them"},
		{"no namespace", func(p *PlugSpec) { p.Target = Target{} }, intent.Invalid, "no network namespace"},
		{"interface name taken", func(p *PlugSpec) { p.Target.Netns = other }, intent.Conflict, "--ifname"},
		{"interface name too long", func(p *PlugSpec) { p.IfName = "abcdefghijklmnop" }, intent.Invalid, "15"},
		{"MTU too small for IPv6", func(p *PlugSpec) { p.MTU = 1000 }, intent.Invalid, "1280"},
		{"two gateways of a family", func(p *PlugSpec) { p.Gateways = append(p.Gateways, p.Gateways[0]) }, intent.Invalid, "gateways"},
		{"no port", func(p *PlugSpec) { p.Port = "" }, intent.Invalid, "id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := spec(ns)
			c.change(&s)
			_, err := Plug(context.Background(), s)
			wantError(t, err, c.kind, c.words)
			noHostEnd(t)
		})
	}
}

func TestPlugElsewhereIsRefused(t *testing.T) {
	here, there := ovstest.Netns(t, "here"), ovstest.Netns(t, "there")
	_, err := Plug(context.Background(), spec(here))
	must(t, err)
	_, err = Plug(context.Background(), spec(there))
	wantError(t, err, intent.Conflict, "plugged already", "unplug it first")
	// Deleting a namespace deletes its end of the pair, and with it the host's end.
	must(t, Unplug(context.Background(), uuid))
	_, err = Plug(context.Background(), spec(there))
	must(t, err)
	must(t, Unplug(context.Background(), uuid))
}

func TestPlugLeavesNothingWhenItFails(t *testing.T) {
	ns := ovstest.Netns(t, "fail")
	s := spec(ns)
	s.Gateways = []netip.Addr{netip.MustParseAddr("224.0.0.1")} // no kernel accepts it as a gateway
	_, err := Plug(context.Background(), s)
	if err == nil {
		t.Fatal("plugged with a multicast gateway")
	}
	wantText(t, err.Error(), "default routes", "224.0.0.1")
	noHostEnd(t)
	if out := ovstest.IP(t, "-n", ns, "-br", "link"); strings.Contains(out, "eth0") {
		t.Errorf("left in the namespace: %s", out)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Plug(ctx, spec(ns)); err == nil {
		t.Fatal("plugged though the context had ended")
	}
	noHostEnd(t)
}

func TestPlugBesidesAnotherDefaultRoute(t *testing.T) {
	ns := ovstest.Netns(t, "route")
	ovstest.IP(t, "-n", ns, "link", "add", "other", "type", "bridge")
	ovstest.IP(t, "-n", ns, "link", "set", "other", "up")
	ovstest.IP(t, "-n", ns, "route", "add", "default", "dev", "other")
	made, err := Plug(context.Background(), spec(ns))
	must(t, err)
	defer Unplug(context.Background(), uuid)
	if v4 := netip.MustParseAddr("10.0.0.1"); len(made.Elsewhere) != 1 || made.Elsewhere[v4] != "through other" {
		t.Errorf("default routes left to others: %v", made.Elsewhere)
	}
	wantText(t, ovstest.IP(t, "-n", ns, "-6", "route"), "default via fd00::1 dev eth0")
	if out := ovstest.IP(t, "-n", ns, "route"); strings.Contains(out, "via 10.0.0.1") {
		t.Errorf("a second default route:\n%s", out)
	}
}

func TestPlugAgainIsExact(t *testing.T) {
	ns := ovstest.Netns(t, "exact")
	ctx := context.Background()
	old := spec(ns)
	_, err := Plug(ctx, old)
	must(t, err)
	defer Unplug(ctx, uuid)
	ovstest.IP(t, "-n", ns, "addr", "add", "10.0.0.77/24", "dev", "eth0")
	ovstest.IP(t, "-n", ns, "addr", "add", "192.0.2.7/32", "dev", "eth0")
	ovstest.IP(t, "-n", ns, "route", "add", "198.51.100.0/24", "via", "10.0.0.9")

	now := old
	now.OldAddrs, now.OldGateways, now.OnlyExisting = old.Addrs, old.Gateways, true
	now.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.6/24"), netip.MustParsePrefix("fd00::6/64")}
	now.Gateways = []netip.Addr{netip.MustParseAddr("10.0.0.254")}
	now.MTU = 1300
	_, err = Plug(ctx, now)
	must(t, err)
	addrs, routes := ovstest.IP(t, "-n", ns, "addr", "show", "eth0"), ovstest.IP(t, "-n", ns, "route")
	wantText(t, addrs, "10.0.0.6/24", "fd00::6/64", "10.0.0.77/24", "192.0.2.7/32", "mtu 1300")
	wantText(t, routes, "default via 10.0.0.254 dev eth0", "198.51.100.0/24 via 10.0.0.9")
	wantText(t, ovstest.IP(t, "link", "show", HostIfName(uuid)), "mtu 1300")
	for _, text := range []string{"10.0.0.5/24", "fd00::5/64"} {
		if strings.Contains(addrs, text) {
			t.Errorf("old address %s is left:\n%s", text, addrs)
		}
	}
	if six := ovstest.IP(t, "-n", ns, "-6", "route"); strings.Contains(six, "default") || strings.Contains(routes, "via 10.0.0.1 ") {
		t.Errorf("old default routes are left:\n%s%s", routes, six)
	}
	if again, err := Plug(ctx, now); err != nil || again.Changed {
		t.Errorf("plugged once more: %+v, %v", again, err)
	}
}

func TestPlugOpensNamespacesOnly(t *testing.T) {
	fifo := t.TempDir() + "/fifo"
	must(t, unix.Mkfifo(fifo, 0o600))
	for _, path := range []string{fifo, "/dev/null", "/proc/self/ns/mnt", "/proc/self/status", t.TempDir()} {
		s := spec("")
		s.Target = Target{Netns: path}
		_, err := Plug(context.Background(), s)
		wantError(t, err, intent.NotFound, path, "no network namespace")
		noHostEnd(t)
	}
}

func TestPlugWhereIPv6IsOff(t *testing.T) {
	ns := ovstest.Netns(t, "v6")
	out, err := exec.Command("ip", "netns", "exec", ns, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6").CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	_, err = Plug(context.Background(), spec(ns))
	must(t, err)
	wantText(t, ovstest.IP(t, "-n", ns, "addr", "show", "eth0"), "fd00::5/64")
	must(t, Unplug(context.Background(), uuid))
}

func TestPlugWithGatewayOutsideItsSubnet(t *testing.T) {
	ns := ovstest.Netns(t, "onlink")
	s := spec(ns)
	s.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}
	s.Gateways = []netip.Addr{netip.MustParseAddr("169.254.1.1")}
	_, err := Plug(context.Background(), s)
	must(t, err)
	wantText(t, ovstest.IP(t, "-n", ns, "route"), "default via 169.254.1.1 dev eth0 onlink")
	must(t, Unplug(context.Background(), uuid))
}

func TestTap(t *testing.T) {
	ovstest.IP(t, "tuntap", "add", "tap7", "mode", "tap")
	defer ovstest.IP(t, "link", "del", "tap7")
	tap, err := CheckTap("tap7", false)
	must(t, err)
	if tap.Name != "tap7" || tap.IfIndex == 0 || tap.MTU != 1500 || tap.Up {
		t.Errorf("tap %+v", tap)
	}
	undo, err := ReadyTap(tap, 1450)
	must(t, err)
	wantText(t, ovstest.IP(t, "link", "show", "tap7"), "mtu 1450", "UP")
	must(t, undo())
	if out := ovstest.IP(t, "link", "show", "tap7"); strings.Contains(out, "UP") || !strings.Contains(out, "mtu 1500") {
		t.Errorf("not put back: %s", out)
	}
	_, err = CheckTap("tap8", false)
	wantError(t, err, intent.NotFound, "tap8", "ip link")
	_, err = CheckTap("lo", true)
	wantError(t, err, intent.Conflict, "loopback")

	ovstest.IP(t, "addr", "add", "192.0.2.7/24", "dev", "tap7")
	_, err = CheckTap("tap7", false)
	wantError(t, err, intent.Conflict, "192.0.2.7/24", "--force")
	_, err = CheckTap("tap7", true)
	must(t, err)
	ovstest.IP(t, "link", "set", "tap7", "up")
	ovstest.IP(t, "route", "add", "default", "dev", "tap7")
	_, err = CheckTap("tap7", true)
	wantError(t, err, intent.Conflict, "default route")
	ovstest.IP(t, "addr", "flush", "dev", "tap7")
	ovstest.IP(t, "route", "flush", "default")

	ovstest.IP(t, "link", "add", "virbr7", "type", "bridge")
	defer ovstest.IP(t, "link", "del", "virbr7")
	_, err = CheckTap("virbr7", false)
	wantError(t, err, intent.Conflict, "bridge", "--force")
	ovstest.IP(t, "link", "set", "tap7", "master", "virbr7")
	_, err = CheckTap("tap7", true)
	wantError(t, err, intent.Conflict, "virbr7", "nomaster")
	ovstest.IP(t, "tuntap", "add", "tun7", "mode", "tun")
	defer ovstest.IP(t, "link", "del", "tun7")
	_, err = CheckTap("tun7", false)
	wantError(t, err, intent.Conflict, "tun device")
}

func TestDefaultVTEP(t *testing.T) {
	_, err := DefaultVTEP()
	wantError(t, err, intent.NotFound, "no default route", "--vtep")

	for _, l := range []string{"u1", "u2"} {
		addLink(t, l)
		ovstest.IP(t, "link", "set", l, "mtu", "1600")
	}
	ovstest.IP(t, "route", "add", "default", "dev", "u1")
	_, err = DefaultVTEP()
	wantError(t, err, intent.NotFound, "u1", "no IPv4 address")

	ovstest.IP(t, "addr", "add", "192.0.2.7/24", "dev", "u1")
	a, err := DefaultVTEP()
	if err != nil || a.String() != "192.0.2.7" {
		t.Errorf("got %v, %v", a, err)
	}
	mtu, name, err := UnderlayMTU(a)
	if err != nil || mtu != 1600 || name != "u1" {
		t.Errorf("underlay MTU %d, %s, %v", mtu, name, err)
	}
	_, _, err = UnderlayMTU(netip.MustParseAddr("192.0.2.8"))
	wantError(t, err, intent.NotFound, "192.0.2.8")

	ovstest.IP(t, "addr", "add", "192.0.2.8/24", "dev", "u1") // a secondary address is no alternative
	if a, err = DefaultVTEP(); err != nil || a.String() != "192.0.2.7" {
		t.Errorf("with a secondary address: %v, %v", a, err)
	}
	ovstest.IP(t, "addr", "add", "198.51.100.7/24", "dev", "u1")
	_, err = DefaultVTEP()
	wantError(t, err, intent.Invalid, "192.0.2.7", "198.51.100.7", "--vtep")
	ovstest.IP(t, "route", "replace", "default", "dev", "u1", "src", "198.51.100.7")
	if a, err = DefaultVTEP(); err != nil || a.String() != "198.51.100.7" {
		t.Errorf("with a preferred source: %v, %v", a, err)
	}

	ovstest.IP(t, "addr", "add", "203.0.113.7/24", "dev", "u2")
	ovstest.IP(t, "route", "append", "default", "dev", "u2", "metric", "100")
	if a, err = DefaultVTEP(); err != nil || a.String() != "198.51.100.7" {
		t.Errorf("with a worse route: %v, %v", a, err)
	}
	ovstest.IP(t, "route", "replace", "default", "nexthop", "dev", "u1", "nexthop", "dev", "u2")
	_, err = DefaultVTEP()
	wantError(t, err, intent.Invalid, "u1", "u2", "--vtep")
}

func TestReadLinkAndPutItBack(t *testing.T) {
	addLink(t, "n1")
	for _, a := range [][]string{
		{"192.0.2.1/24", "label", "n1:1"}, {"192.0.2.2/24"}, {"10.9.0.1/32"}, {"10.8.0.1", "peer", "10.8.0.2/32"},
		{"2001:db8::1/64", "nodad"}, {"198.51.100.1/24", "noprefixroute"}, {"2001:db8:1::1/64", "nodad", "valid_lft", "9000", "preferred_lft", "8000"},
	} {
		ovstest.IP(t, append([]string{"addr", "add", "dev", "n1"}, a...)...)
	}
	for _, r := range [][]string{
		{"203.0.113.0/24", "via", "192.0.2.254", "metric", "7", "mtu", "lock", "1400"},
		{"198.51.100.0/24", "proto", "kernel", "scope", "link", "src", "198.51.100.1"}, // as NetworkManager adds it
		{"10.1.0.0/16", "via", "192.0.2.254", "table", "1000"},
		{"10.2.0.0/16", "via", "10.77.0.1", "onlink", "src", "192.0.2.2", "initcwnd", "20"},
		{"2001:db8:ff::/48", "via", "2001:db8::fe"},
		{"default", "via", "192.0.2.254", "proto", "static"},
	} {
		args := append([]string{"route", "add"}, r...)
		if strings.Contains(r[0], ":") {
			args = append([]string{"-6"}, args...)
		}
		ovstest.IP(t, append(args, "dev", "n1")...)
	}
	ovstest.Until(t, "the IPv6 addresses have their local routes", func() bool {
		return strings.Contains(show(t, "n1"), "local 2001:db8::1 ") && strings.Contains(show(t, "n1"), "local 2001:db8:1::1 ")
	})
	before := show(t, "n1")
	link, err := ReadLink("n1")
	must(t, err)
	for i := len(link.Addrs) - 1; i >= 0; i-- {
		must(t, DelAddr("n1", link.Addrs[i]))
		must(t, DelAddr("n1", link.Addrs[i]))
	}
	ovstest.IP(t, "link", "set", "n1", "down") // removes all routes
	ovstest.IP(t, "link", "set", "n1", "up")
	for range 2 {
		for _, a := range link.Addrs {
			must(t, AddAddr("n1", a))
		}
		for _, r := range link.Routes {
			must(t, PutRoute("n1", r))
		}
	}
	if after := ovstest.Settle(before, func() string { return show(t, "n1") }); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// show prints the addresses and routes of an interface, without timers.
func show(t *testing.T, link string) string {
	t.Helper()
	var keep []string
	for _, l := range strings.Split(ovstest.IP(t, "addr", "show", link)+"\n"+ovstest.IP(t, "route", "show", "table", "all", "dev", link)+
		"\n"+ovstest.IP(t, "-6", "route", "show", "table", "all", "dev", link), "\n") {
		if l = strings.TrimSpace(l); !strings.HasPrefix(l, "valid_lft") && !strings.Contains(l, "fe80:") && !strings.Contains(l, " expires ") {
			keep = append(keep, strings.ReplaceAll(strings.ReplaceAll(l, " dynamic", ""), " nodad", ""))
		}
	}
	return strings.Join(keep, "\n")
}

func TestRoutesThatCannotBeMoved(t *testing.T) {
	for _, l := range []string{"m1", "m2"} {
		addLink(t, l)
	}
	ovstest.IP(t, "route", "add", "10.0.0.0/8", "nexthop", "dev", "m1", "nexthop", "dev", "m2")
	_, err := ReadLink("m1")
	wantError(t, err, intent.Conflict, "10.0.0.0/8", "next hops")
	_, err = ReadLink("m9")
	wantError(t, err, intent.NotFound, "m9")
}

func TestSysctlOfAnInterface(t *testing.T) {
	addLink(t, "s1.7") // the dot is part of the name
	for i, want := range []bool{true, false} {
		if changed, err := SetSysctl(ARPIgnore, "s1.7", "8"); err != nil || changed != want {
			t.Errorf("time %d: changed %v, %v", i, changed, err)
		}
	}
	if v, err := Sysctl(ARPIgnore, "s1.7"); err != nil || v != "8" {
		t.Errorf("got %q, %v", v, err)
	}
	if v, err := Sysctl("ipv4/no_such_setting", "s1.7"); err != nil || v != "" {
		t.Errorf("got %q, %v", v, err)
	}
}
