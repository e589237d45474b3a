package underlay

// With a real NIC (one end of a veth), its neighbour in another namespace, and a
// private Open vSwitch.

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

func TestMain(m *testing.M) { os.Exit(ovstest.Main(m)) }

// lab is a host with a NIC, and a neighbour.
type lab struct {
	t         *testing.T
	ovs       *ovstest.Switch
	db        *ovsdb.DB
	state     string
	neighbour string // namespace
	log       bytes.Buffer
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, ovs: ovstest.Start(t), state: t.TempDir(), neighbour: ovstest.Netns(t, "peer")}
	db, err := ovsdb.Connect(ovstest.Context(t), ovsdb.Config{Socket: l.ovs.Socket, Timeout: 3 * time.Second})
	must(t, err)
	l.db = db
	t.Cleanup(db.Close)

	ovstest.IP(t, "link", "add", "u1", "mtu", "1600", "type", "veth", "peer", "name", "up1", "mtu", "1600", "netns", l.neighbour)
	t.Cleanup(func() { exec.Command("ip", "link", "del", "u1").Run() })
	must(t, hostnet.SetReceiveOffloads("u1", map[string]bool{"rx-gro": true})) // as real cards have it
	for _, c := range []string{
		"-n " + l.neighbour + " link set up1 up",
		"-n " + l.neighbour + " addr add 192.0.2.254/24 dev up1",
		"-n " + l.neighbour + " addr add 2001:db8::fe/64 dev up1 nodad",
		"link set lo up",
		"link set u1 up",
		"addr add 192.0.2.1/24 brd + dev u1",
		"addr add 192.0.2.2/24 dev u1 label u1:two",
		"addr add 198.51.100.1/30 dev u1 noprefixroute",
		"addr add 2001:db8::1/64 dev u1 nodad",
		"route add 198.51.100.0/30 dev u1 proto kernel scope link src 198.51.100.1",
		"route add default via 192.0.2.254 dev u1 proto static mtu 1550",
		"route add 10.0.0.0/8 via 198.51.100.2 dev u1 metric 50",
		"route add 203.0.113.0/24 via 192.0.2.254 dev u1 table 77",
		"-6 route add default via 2001:db8::fe dev u1",
		"-6 route add 2001:db8:77::/48 via 2001:db8::fe dev u1 metric 7",
	} {
		ovstest.IP(t, strings.Fields(c)...)
	}
	l.ovs.Until("the IPv6 address has its local route", func() bool { return strings.Contains(l.show("u1"), "local 2001:db8::1 ") })
	return l
}

// underlay returns a new one, as after a start of the daemon.
func (l *lab) underlay() *Underlay {
	return New(Config{StateDir: l.state, Switch: l.db, Log: slog.New(slog.NewTextHandler(&l.log, nil))})
}

// show prints what must be as before: addresses, routes and settings.
func (l *lab) show(link string) string {
	l.t.Helper()
	var b strings.Builder
	for _, args := range [][]string{{"addr", "show", link}, {"route", "show", "table", "all", "dev", link}, {"-6", "route", "show", "table", "all", "dev", link}} {
		for _, line := range strings.Split(ovstest.IP(l.t, args...), "\n") {
			// The kernel's own address, and what comes with it, is made anew each time.
			if !strings.Contains(line, "fe80:") && !strings.Contains(line, "ff00::") && !strings.Contains(line, "valid_lft") {
				b.WriteString(strings.ReplaceAll(line, " nodad", "") + "\n")
			}
		}
	}
	offloads, err := hostnet.ReadReceiveOffloads(link)
	must(l.t, err)
	fmt.Fprintln(&b, offloads)
	for _, s := range slices.Sorted(maps.Keys(takenSettings)) {
		v, err := hostnet.Sysctl(s, link)
		must(l.t, err)
		b.WriteString(string(s) + "=" + v + "\n")
	}
	return strings.TrimSpace(b.String())
}

// wantBefore checks that the host is as it was, and that nothing is left.
func (l *lab) wantBefore(before string) {
	l.t.Helper()
	if after := ovstest.Settle(before, func() string { return l.show("u1") }); after != before {
		l.t.Errorf("before:\n%s\n\nafter:\n%s", before, after)
	}
	if hostnet.LinkExists("br-phy") || l.ovs.VsctlNoWait("list-br") != "" {
		l.t.Errorf("bridge br-phy is left")
	}
	if _, err := os.Stat(l.state + "/" + journalName); !os.IsNotExist(err) {
		l.t.Errorf("the journal is left (%v)", err)
	}
}

func (l *lab) wantReachable() {
	l.t.Helper()
	for _, c := range [][]string{{"192.0.2.1"}, {"192.0.2.2"}, {"2001:db8::1"}} {
		l.ovs.Until("the neighbour reaches "+c[0], func() bool {
			return exec.Command("ip", "netns", "exec", l.neighbour, "ping", "-c", "1", "-W", "1", c[0]).Run() == nil
		})
	}
}

func must(t testing.TB, err error) {
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

func TestTakeAndReturn(t *testing.T) {
	l := newLab(t)
	ctx := ovstest.Context(t)
	l.wantReachable()
	before := l.show("u1")
	u := l.underlay()
	vtep := netip.MustParseAddr("192.0.2.1")

	wantError(t, u.Check(vtep), intent.Conflict, "192.0.2.1", "u1", "netdev", "--take-nic u1", "br-phy", "host leave")
	must(t, u.Take(ctx, "u1"))
	must(t, u.Check(vtep))
	if nic, err := u.Taken(); nic != "u1" || err != nil {
		t.Errorf("taken: %q, %v", nic, err)
	}
	after := l.show("br-phy")
	for _, w := range []string{
		"mtu 1600", "192.0.2.1/24 brd 192.0.2.255", "192.0.2.2/24", "br-phy:two", "198.51.100.1/30", "2001:db8::1/64",
		"default via 192.0.2.254 proto static mtu 1550", "10.0.0.0/8 via 198.51.100.2 metric 50",
		"203.0.113.0/24 via 192.0.2.254 table 77", "default via 2001:db8::fe", "2001:db8:77::/48 via 2001:db8::fe metric 7",
		"198.51.100.0/30 proto kernel scope link src 198.51.100.1",
	} {
		if !strings.Contains(after, w) {
			t.Errorf("br-phy has no %q:\n%s", w, after)
		}
	}
	if nic := l.show("u1"); strings.Contains(nic, "inet") || strings.Contains(nic, " via ") || !strings.Contains(nic, "rx-gro:false") {
		t.Errorf("u1 has kept something:\n%s", nic)
	}
	// The neighbour heard of the new MAC without asking.
	mac := l.ovs.VsctlNoWait("get", "interface", "br-phy", "mac_in_use")
	l.ovs.Until("the neighbour knows the MAC of br-phy", func() bool {
		known := func(a string) bool {
			return strings.Contains(ovstest.IP(t, "-n", l.neighbour, "neigh", "show", a), strings.Trim(mac, `"`))
		}
		return known("192.0.2.1") && known("192.0.2.2") && known("2001:db8::1")
	})
	if strings.Contains(ovstest.IP(t, "link", "show", "u1"), strings.Trim(mac, `"`)) {
		t.Errorf("br-phy has the MAC of u1")
	}
	l.wantReachable()

	l.log.Reset()
	writes := l.db.State().Writes
	must(t, u.Take(ctx, "u1"))
	must(t, l.underlay().Keep(ctx))
	must(t, l.underlay().Recover(ctx))
	if n := l.db.State().Writes - writes; n != 0 || l.log.Len() != 0 || l.show("br-phy") != after {
		t.Errorf("taking again wrote %d times and logged %q", n, l.log.String())
	}
	wantError(t, u.Take(ctx, "lo"), intent.Conflict, "u1 is in br-phy already")

	// A neighbour that has it wrong is told again, and not after the return.
	wrong := func() {
		t.Helper()
		ovstest.IP(t, "-n", l.neighbour, "neigh", "replace", "192.0.2.1", "lladdr", "02:00:00:00:00:99", "dev", "up1", "nud", "reachable")
	}
	knows := func(mac string) bool {
		return strings.Contains(ovstest.IP(t, "-n", l.neighbour, "neigh", "show", "192.0.2.1"), mac)
	}
	wrong()
	l.ovs.Until("the neighbour is told again", func() bool {
		must(t, u.Announce(ctx))
		return knows(strings.Trim(mac, `"`))
	})

	must(t, u.Return(ctx))
	l.wantBefore(before)
	l.wantReachable()
	wrong()
	must(t, u.Announce(ctx))
	if !knows("02:00:00:00:00:99") {
		t.Error("the addresses of a NIC that is not taken are announced")
	}
	ovstest.IP(t, "-n", l.neighbour, "neigh", "del", "192.0.2.1", "dev", "up1")
	must(t, u.Return(ctx))
	if nic, err := u.Taken(); nic != "" || err != nil {
		t.Errorf("taken after the return: %q, %v", nic, err)
	}
}

// stopAt makes an underlay whose n-th step is never begun: what is called then ends
// there as if the process had been killed. It returns whether there was such a step.
func (l *lab) stopAt(n int, call func(*Underlay) error) (stopped string) {
	u := l.underlay()
	u.before = func(what string) {
		if n--; n < 0 {
			stopped = what
			u.mu.Unlock() // the deferred call unlocks what the process's end would
			u.mu.Lock()
			runtime.Goexit()
		}
	}
	done := make(chan error, 1)
	go func() {
		finished := false
		var err error
		defer func() {
			if !finished {
				err = nil
			}
			done <- err
		}()
		err = call(u)
		finished = true
	}()
	must(l.t, <-done)
	return stopped
}

func TestTakeCutShortIsUndone(t *testing.T) {
	l := newLab(t)
	before := l.show("u1")
	for n := 0; ; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		what := l.stopAt(n, func(u *Underlay) error { return u.Take(ctx, "u1") })
		if what == "" {
			if n < 20 {
				t.Errorf("taking has only %d steps", n)
			}
			must(t, l.underlay().Return(ctx))
			l.wantBefore(before)
			cancel()
			return
		}
		must(t, l.underlay().Recover(ctx))
		l.wantBefore(before)
		if t.Failed() {
			t.Fatalf("after a stop before step %d: %s", n, what)
		}
		cancel()
	}
}

func TestReturnCutShortIsFinished(t *testing.T) {
	l := newLab(t)
	before := l.show("u1")
	for n := 0; ; n++ {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		must(t, l.underlay().Take(ctx, "u1"))
		what := l.stopAt(n, func(u *Underlay) error { return u.Return(ctx) })
		if n == 0 { // before the journal said so: nothing has changed
			must(t, l.underlay().Recover(ctx))
			must(t, l.underlay().Return(ctx))
		}
		must(t, l.underlay().Recover(ctx))
		l.wantBefore(before)
		if t.Failed() {
			t.Fatalf("after a stop before step %d: %s", n, what)
		}
		cancel()
		if what == "" {
			return
		}
	}
}

func TestKeepAfterVSwitchdWasKilled(t *testing.T) {
	l := newLab(t)
	ctx := ovstest.Context(t)
	before := l.show("u1")
	u := l.underlay()
	must(t, u.Take(ctx, "u1"))
	taken := l.show("br-phy")
	l.ovs.KillVswitchd()
	if now := l.show("br-phy"); !strings.Contains(now, "192.0.2.1/24") || !strings.Contains(now, "default via 192.0.2.254") {
		t.Errorf("the interface did not outlive ovs-vswitchd:\n%s", now)
	}
	l.ovs.StartVswitchd()
	l.wantReachable()

	l.ovs.KillVswitchd()
	ovstest.IP(t, "link", "delete", "br-phy") // as a clean end of ovs-vswitchd does
	wantError(t, u.Check(netip.MustParseAddr("192.0.2.1")), intent.Unavailable, "192.0.2.1", "ovs-vswitchd")
	l.ovs.StartVswitchd()
	must(t, u.Keep(ctx))
	strip := func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest } // the index is new
	if now := ovstest.Settle(strip(taken), func() string { return strip(l.show("br-phy")) }); now != strip(taken) {
		t.Errorf("before:\n%s\n\nafter:\n%s", taken, now)
	}
	l.wantReachable()
	must(t, u.Return(ctx))
	l.wantBefore(before)
}

func TestKeepAfterTheHostStarted(t *testing.T) {
	l := newLab(t)
	ctx := ovstest.Context(t)
	before := l.show("u1")
	must(t, l.underlay().Take(ctx, "u1"))
	// At its start the host gives the NIC its addresses, whatever the database says;
	// here with one more.
	l.ovs.KillVswitchd()
	for _, c := range []string{
		"addr add 192.0.2.1/24 brd + dev u1", "addr add 203.0.113.9/24 dev u1", "route add 10.77.0.0/16 via 203.0.113.1 dev u1",
	} {
		ovstest.IP(t, strings.Fields(c)...)
	}
	l.ovs.StartVswitchd()
	must(t, l.underlay().Recover(ctx))
	must(t, l.underlay().Keep(ctx))
	if now := l.show("br-phy"); !strings.Contains(now, "203.0.113.9/24") || !strings.Contains(now, "10.77.0.0/16 via 203.0.113.1") || !strings.Contains(now, "192.0.2.2/24") {
		t.Errorf("not all is on br-phy:\n%s", now)
	}
	if nic := l.show("u1"); strings.Contains(nic, "inet") {
		t.Errorf("u1 has kept something:\n%s", nic)
	}
	l.wantReachable()
	must(t, l.underlay().Return(ctx))
	ovstest.IP(t, "route", "del", "10.77.0.0/16")
	ovstest.IP(t, "addr", "del", "203.0.113.9/24", "dev", "u1")
	l.wantBefore(before)
}

func TestTakeThatFailsChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*lab)
		kind    intent.Kind
		words   string
		bridges string
	}{
		"bridge of someone else": {func(l *lab) { l.ovs.VsctlNoWait("add-br", "br-phy") }, intent.Conflict, "not made by ovloom", "br-phy"},
		"NIC in another bridge": {func(l *lab) {
			l.ovs.VsctlNoWait("add-br", "br-ext", "--", "set", "bridge", "br-ext", "datapath_type=netdev", "--", "add-port", "br-ext", "u1")
		}, intent.Conflict, "br-ext", "br-ext"},
		"ovs-vswitchd down": {func(l *lab) { l.ovs.KillVswitchd() }, intent.Unavailable, "ovs-vswitchd", ""},
		"ovsdb-server down": {func(l *lab) { l.ovs.KillDB() }, intent.Unavailable, "ovsdb-server", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c.prepare(l)
			if c.bridges == "br-ext" {
				l.ovs.Until("ovs-vswitchd has the NIC", func() bool { return strings.Contains(l.show("u1"), "PROMISC") })
			}
			before := l.show("u1")
			err := l.underlay().Take(ovstest.Context(t), "u1")
			wantError(t, err, c.kind, c.words)
			if now := ovstest.Settle(before, func() string { return l.show("u1") }); now != before {
				t.Errorf("before:\n%s\n\nafter:\n%s", before, now)
			}
			if c.bridges != "" && l.ovs.VsctlNoWait("list-br") != c.bridges {
				t.Errorf("bridges: %s", l.ovs.VsctlNoWait("list-br"))
			}
			if c.kind == intent.Conflict { // of the others, the database's part is left for Recover
				if _, err := os.Stat(l.state + "/" + journalName); !os.IsNotExist(err) {
					t.Errorf("the journal is left (%v)", err)
				}
			}
		})
	}
}

func TestNICsThatAreNotTaken(t *testing.T) {
	l := newLab(t)
	ctx := ovstest.Context(t)
	ovstest.IP(t, "link", "add", "lb", "type", "bridge")
	t.Cleanup(func() { ovstest.IP(t, "link", "del", "lb") })
	ovstest.IP(t, "link", "add", "v1", "type", "veth", "peer", "name", "v2")
	t.Cleanup(func() { ovstest.IP(t, "link", "del", "v1") })
	ovstest.IP(t, "link", "set", "v2", "master", "lb")
	u := l.underlay()
	wantError(t, u.Take(ctx, "nic9"), intent.NotFound, "nic9")
	wantError(t, u.Take(ctx, "lo"), intent.Conflict, "lo")
	wantError(t, u.Take(ctx, "lb"), intent.Conflict, "no network card")
	wantError(t, u.Take(ctx, "v2"), intent.Conflict, "part of lb")
	wantError(t, u.Take(ctx, "v1"), intent.Conflict, "down", "ip link set v1 up")
	ovstest.IP(t, "link", "set", "v1", "up")
	wantError(t, u.Take(ctx, "v1"), intent.Conflict, "no IPv4 address")
	wantError(t, u.Check(netip.MustParseAddr("192.0.2.99")), intent.NotFound, "192.0.2.99")
	if l.ovs.VsctlNoWait("list-br") != "" {
		t.Errorf("a bridge was made")
	}
}

func TestDamagedJournal(t *testing.T) {
	u := New(Config{StateDir: t.TempDir()})
	must(t, os.WriteFile(u.path(), []byte(`{"version":1`), 0o600))
	for name, err := range map[string]error{
		"take": u.Take(context.Background(), "u1"), "keep": u.Keep(context.Background()),
		"return": u.Return(context.Background()), "recover": u.Recover(context.Background()),
	} {
		t.Run(name, func(t *testing.T) { wantError(t, err, intent.Conflict, u.path(), "damaged", "delete the file") })
	}
}

// What is changed by hand on the bridge stays so, and another card takes the place of one
// that is gone.
func TestHandsOnTheBridge(t *testing.T) {
	l := newLab(t)
	ctx := ovstest.Context(t)
	must(t, l.underlay().Take(ctx, "u1"))
	u := l.underlay() // of a process that started anew
	ovstest.IP(t, "addr", "del", "198.51.100.1/30", "dev", "br-phy")
	ovstest.IP(t, "addr", "add", "192.0.2.99/24", "dev", "br-phy")
	must(t, u.Keep(ctx))
	if now := l.show("br-phy"); !strings.Contains(now, "192.0.2.99/24") || strings.Contains(now, "198.51.100.1/30") {
		t.Errorf("not as it was changed:\n%s", now)
	}

	ovstest.IP(t, "link", "set", "u1", "down")
	ovstest.IP(t, "link", "set", "u1", "name", "u9")
	defer exec.Command("ip", "link", "del", "u9").Run()
	wantError(t, u.Keep(ctx), intent.NotFound, "u1", "called u9 now", "--take-nic u9")
	must(t, u.Take(ctx, "u9"))
	if nic, err := u.Taken(); nic != "u9" || err != nil {
		t.Errorf("taken: %q, %v", nic, err)
	}
	l.wantReachable()
	must(t, u.Return(ctx))
	if now := l.show("u9"); !strings.Contains(now, "192.0.2.99/24") || !strings.Contains(now, "192.0.2.1/24") || strings.Contains(now, "198.51.100.1/30") {
		t.Errorf("given back:\n%s", now)
	}
}
