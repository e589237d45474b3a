package host_test

// A host's life: registered, gone, removed, leaving, and cut short while it
// starts.

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// network is what the kernel of a host knows about its addresses, routes and
// cards, and the bridges of its switch.
func network(o *overlay.Overlay, h *lab.Host) string {
	o.T.Helper()
	nic := o.Exec(h, "ip", "-o", "link", "show", lab.UnderlayNIC)
	bridges, err := overlay.OVS(o.T.Context(), h).VSwitch.ListBridges()
	if err != nil {
		o.T.Fatal(err)
	}
	return o.Exec(h, "ip", "-o", "addr") + o.Exec(h, "ip", "route") + nic + strings.Join(bridges, "\n")
}

func TestHostThatIsGone(t *testing.T) {
	o := overlay.New(t, lab.Config{Hosts: 2})
	first, second := o.Hosts[0], o.Hosts[1]
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(first, "acme/web/c1"), o.Plug(second, "acme/web/c2")
	o.Reaches(a, b.V4())

	var hosts []intent.HostState
	o.Get(second, &hosts, "host", "list")
	if len(hosts) != 2 {
		t.Fatalf("%d hosts: %+v", len(hosts), hosts)
	}
	for i, h := range o.Hosts {
		if got := hosts[i]; got.Name != h.Name || got.VTEP != h.VTEP || !got.Alive || got.Applied == 0 || got.UnderlayMTU != 1600 || got.Datapath != "netdev" || got.ID == 0 {
			t.Errorf("host list shows %+v", got)
		}
	}
	var shown api.Host
	if o.Get(first, &shown, "host", "show", "host2"); !slices.Equal(shown.Users, []string{"binding acme/web/c2 on host2"}) || !shown.Alive {
		t.Errorf("host show shows %+v", shown)
	}
	if out := o.Run("host", "list"); !strings.Contains(out, "HOST") || !strings.Contains(out, second.VTEP.String()) || strings.Count(out, "alive") != 2 {
		t.Errorf("host list prints\n%s", out)
	}
	refused(o, first, 4, overlay.Words("host host2 is in use", "used by its running ovloomd", "ovloom host leave"), "host", "remove", "host2")

	aboutSecond := func() int { // the flows about the first host itself stay
		return strings.Count(o.Dump(first), fmt.Sprintf("cookie=%#x", uint64(pipeline.MakeCookie(pipeline.KindHost, hosts[1].ID))))
	}
	if aboutSecond() == 0 {
		t.Error("host1 has no flows about host2")
	}

	if err := second.Ovloomd.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	lab.Eventually(t, overlay.PollTime, "host2 to count as gone", func() error { return o.HostAlive("host2", false) })
	if took := time.Since(killed); took < 3*time.Second || took > 13*time.Second {
		t.Errorf("host2 counted as gone after %v, its lease is 10 s", took)
	}
	if out := o.Run("host", "list"); strings.Count(out, "gone") != 1 {
		t.Errorf("host list prints\n%s", out)
	}
	o.Reaches(a, b.V4()) // its switch goes on

	refused(o, first, 4, overlay.Words("host host2 is in use", "used by binding acme/web/c2 on host2", "--cascade"), "host", "remove", "host2")
	if err := o.HostAlive("host2", false); err != nil {
		t.Errorf("after a refused remove: %v", err)
	}
	want := "binding acme/web/c2 on host2 will be deleted\nhost host2 will be deleted\n2 objects deleted"
	if out := o.Run("host", "remove", "host2", "--cascade"); out != want {
		t.Errorf("removing the host says\n%s", out)
	}
	refused(o, first, 3, overlay.Words("host host2 does not exist"), "host", "show", "host2")
	lab.Eventually(t, overlay.PollTime, "host1 to forget host2's VTEP", func() error {
		if n := aboutSecond(); n != 0 {
			return fmt.Errorf("%d flows", n)
		}
		return nil
	})
	o.StoreIsSound()

	// It was not gone for good: it registers again and takes its port back.
	if _, err := second.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Reaches(a, b.V4())
	if err := o.HostAlive("host2", true); err != nil {
		t.Error(err)
	}
	o.StoreIsSound()
}

// movedVTEP is what another host logs when a VTEP's address goes from a card to br-phy or
// back, which have MACs of their own.
const movedVTEP = `tunnel neighbour claimed by another MAC`

func TestHostLeaves(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 2, AllowLog: []string{
		`Connection reset by peer`, // a daemon that ends while Open vSwitch sends to it
		movedVTEP,
	}})
	o := overlay.Of(l, t)
	first, second := l.Hosts[0], l.Hosts[1]
	// More than one address and route, so that there is something to get wrong.
	o.Exec(second, "ip", "addr", "add", "172.31.0.77/24", "dev", lab.UnderlayNIC)
	o.Exec(second, "ip", "route", "add", "192.0.2.0/24", "via", first.VTEP.String(), "metric", "50")
	before := map[*lab.Host]string{first: network(o, first), second: network(o, second)}
	if err := l.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Run("tenant", "add", "acme")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24")
	a, b := o.Plug(first, "acme/web/c1"), o.Plug(second, "acme/web/c2")
	o.Reaches(a, b.V4())
	if network(o, second) == before[second] {
		t.Fatal("ovloomd has changed nothing that could be given back")
	}

	refused(o, first, 4, overlay.Words("is in use", "used by host host2", "let those hosts leave first"), "host", "leave", "--cascade")
	refused(o, second, 4, overlay.Words("host host2 is in use", "used by port acme/web/", "--cascade"), "host", "leave")
	o.Reaches(a, b.V4())
	plan := o.RunOn(second, "host", "leave", "--cascade", "--dry-run")
	for _, step := range []string{"unplug port acme/web/", "delete bridge br-int", "give back eth1", "remove host host2"} {
		if !strings.Contains(plan, "to do: "+step) {
			t.Errorf("the plan of leaving lacks %q:\n%s", step, plan)
		}
	}
	o.Reaches(a, b.V4())

	out := o.RunOn(second, "host", "leave", "--cascade")
	if want := strings.ReplaceAll(plan, "to do: ", "done: "); out != want {
		t.Errorf("leaving says\n%s\nand planned\n%s", out, plan)
	}
	left(o, second, before[second])
	gone(o, b)
	var hosts []intent.HostState
	if o.Get(first, &hosts, "host", "list"); len(hosts) != 1 || hosts[0].Name != "host1" {
		t.Errorf("hosts after one left: %+v", hosts)
	}
	var p api.Port
	if o.Get(first, &p, "port", "show", "acme/web/c2"); p.Host != "" || len(p.Claims) > 0 {
		t.Errorf("a port of the host that left is still bound: %+v", p)
	}
	o.StoreIsSound()

	// It can come back, and the last one can leave too.
	if _, err := second.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := o.PlugExisting(second, "acme/web/c2")
	o.Reaches(a, again.V4())
	for _, h := range []*lab.Host{second, first} {
		o.RunOn(h, "host", "leave", "--cascade")
		left(o, h, before[h])
	}
}

// left checks that a host is as it was before ovloomd ever started there.
func left(o *overlay.Overlay, h *lab.Host, before string) {
	o.T.Helper()
	if err := h.Ovloomd.Wait(o.T.Context()); err != nil {
		o.T.Errorf("ovloomd of %s did not end well: %v", h.Name, err)
	}
	h.Ovloomd = nil // its end is no surprise
	if after := network(o, h); after != before {
		o.T.Errorf("%s is not as it was: before\n%s\nafter\n%s", h.Name, before, after)
	}
}

// Who asks for the hosts as soon as ovloomd answers finds this one among them.
func TestHostsRightAfterTheStart(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 1})
	if err := l.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := overlay.Of(l, t)
	var hosts []intent.HostState
	if o.Get(l.Hosts[0], &hosts, "host", "list"); len(hosts) != 1 || hosts[0].Name != "host1" || !hosts[0].Alive {
		t.Errorf("hosts: %+v", hosts)
	}
}

// Daemons that cannot work here refuse to start, and touch nothing.
func TestStartsThatAreRefused(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 1})
	o := overlay.Of(l, t)
	h := l.Hosts[0]
	if _, err := h.Ovloom(t.Context(), "--help"); err != nil { // the programs are built by now
		t.Fatal(err)
	}
	refuses := func(flags []string, words ...string) {
		t.Helper()
		before := network(o, h) + o.Exec(h, "ovs-vsctl", "show") + o.Exec(h, "ovs-vsctl", "list", "bridge")
		_, err := h.Exec(t.Context(), append([]string{filepath.Join(lab.Programs(), "ovloomd")}, flags...)...)
		overlay.MustFail(t, err, 4, words...)
		if after := network(o, h) + o.Exec(h, "ovs-vsctl", "show") + o.Exec(h, "ovs-vsctl", "list", "bridge"); after != before {
			t.Errorf("the host was changed: before\n%s\nafter\n%s", before, after)
		}
	}

	t.Run("the userspace datapath without leave to take the card", func(t *testing.T) {
		flags := h.OvloomdFlags()
		i := slices.Index(flags, "--take-nic")
		refuses(slices.Delete(flags, i, i+2), h.VTEP.String(), "eth1", "outside Open vSwitch", "--take-nic eth1")
	})
	t.Run("a bridge without an owner", func(t *testing.T) {
		o.Exec(h, "ovs-vsctl", "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=netdev")
		flow := "cookie=0x5,table=7,priority=9,ip,actions=drop"
		o.Exec(h, "ovs-ofctl", "add-flow", "unix:"+h.MgmtSock("br-int"), flow)
		flows := o.Dump(h)
		refuses(h.OvloomdFlags(), "bridge br-int exists and was not made by ovloom", "--bridge", "del-br br-int")
		if after := o.Dump(h); after != flows || !strings.Contains(after, "cookie=0x5") {
			t.Errorf("flows before\n%s\nafter\n%s", flows, after)
		}
	})
	t.Run("OVN's bridge", func(t *testing.T) {
		o.Exec(h, "ovs-vsctl", "set", "bridge", "br-int", "external_ids:ct-zone-lp1=3")
		refuses(h.OvloomdFlags(), "bridge br-int belongs to OVN", "--bridge")
	})
	t.Run("where OVN would make its bridge", func(t *testing.T) {
		o.Exec(h, "ovs-vsctl", "del-br", "br-int", "--", "set", "Open_vSwitch", ".", "external_ids:ovn-remote=tcp:192.0.2.1:6642")
		refuses(h.OvloomdFlags(), "bridge br-int belongs to OVN", "ovn-remote")
	})
}

// However far a first start came before it was killed, the next one ends well, and
// everything can be given back.
// While ovs-vswitchd does not make the bridge, the host serves the store, and
// requests about its switch wait.
func TestTheStoreIsServedWhileTheBridgeIsMade(t *testing.T) {
	l := lab.New(t, lab.Config{Hosts: 1, NICInBridge: true, AllowLog: []string{`Unreasonably long .* poll interval`, `faults: .* minor`, `context switches: .* voluntary`, `disk: .* reads`}})
	o := overlay.Of(l, t)
	h := l.Hosts[0]
	w, err := h.NewWorkload(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Vswitchd.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goesOn := sync.OnceValue(func() error { return h.Vswitchd.Signal(unix.SIGCONT) })
	defer goesOn()
	if _, err := h.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Run("tenant", "add", "acme", "--no-wait")
	o.Run("network", "add", "acme/web", "--subnet", "10.0.0.0/24", "--no-wait")
	o.Run("port", "add", "acme/web/c1", "--no-wait")
	plugged := make(chan error, 1)
	go func() {
		_, err := h.Ovloom(t.Context(), "port", "plug", "acme/web/c1", "--netns", w.NetNS)
		plugged <- err
	}()
	if out, err := h.Ovloom(t.Context(), "status", "--timeout", "200ms"); err == nil {
		t.Errorf("the status of a host without bridge: %s", out)
	}
	select {
	case err := <-plugged:
		t.Fatalf("a port was plugged into no bridge: %v", err)
	default:
	}
	if err := goesOn(); err != nil {
		t.Fatal(err)
	}
	if err := <-plugged; err != nil {
		t.Errorf("a port that is plugged while the bridge is made: %v", err)
	}
	if out := o.Run("status"); !strings.Contains(out, "acme/web/c1") {
		t.Errorf("the status:\n%s", out)
	}
}

func TestStartCutShort(t *testing.T) {
	const rounds = 10
	l := lab.New(t, lab.Config{Hosts: 2, AllowLog: []string{
		`cut short; giving it back`, movedVTEP,
		`connection dropped`, `Connection reset by peer`, `dpif.*Dropped . log messages`, // of the killed daemon
	}})
	o := overlay.Of(l, t)
	first, victim := l.Hosts[0], l.Hosts[1]
	if _, err := first.StartOvloomd(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := network(o, victim)
	came := map[string]int{}
	// The first round is not cut short: it shows how long a start takes.
	var takes time.Duration
	for round := range rounds {
		if round > 0 {
			p, err := victim.Start(t.Context(), "ovloomd", append([]string{filepath.Join(lab.Programs(), "ovloomd")}, victim.OvloomdFlags()...)...)
			if err != nil {
				t.Fatal(err)
			}
			victim.Ovloomd = p
			// Every other time in the midst of taking the card, which is short and begins
			// when the journal is written. The moment is what the test is about.
			wait := rand.N(takes)
			if round%2 == 0 {
				lab.Eventually(t, overlay.PollTime, "the journal", func() error {
					_, err := os.Stat(filepath.Join(victim.StateDir(), "underlay.json"))
					return err
				})
				wait = rand.N(takes / 8)
			}
			time.Sleep(wait)
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			came[progress(o, victim)]++
		}
		began := time.Now()
		if _, err := victim.StartOvloomd(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		o.Synced(victim)
		if round == 0 {
			takes = time.Since(began)
			t.Logf("a start takes %v", takes)
		}
		for _, h := range l.Hosts {
			for _, to := range l.Hosts {
				if h == to {
					continue
				}
				lab.Eventually(t, overlay.PollTime, fmt.Sprintf("round %d: %s to reach the VTEP of %s", round, h.Name, to.Name), func() error {
					_, err := h.Ping(t.Context(), to.VTEP)
					return err
				})
			}
		}
		o.RunOn(victim, "host", "leave")
		left(o, victim, before)
	}
	t.Logf("what was there when it was killed: %v", came)
}

// progress says how far a start has come on a host.
func progress(o *overlay.Overlay, h *lab.Host) string {
	o.T.Helper()
	var have []string
	if journal, err := os.ReadFile(filepath.Join(h.StateDir(), "underlay.json")); err == nil {
		_, phase, _ := strings.Cut(string(journal), `"phase": "`)
		phase, _, _ = strings.Cut(phase, `"`)
		have = append(have, "journal says "+phase)
	}
	bridges, err := overlay.OVS(o.T.Context(), h).VSwitch.ListBridges()
	if err != nil {
		o.T.Fatal(err)
	}
	have = append(have, bridges...)
	if strings.Contains(o.Exec(h, "ip", "-o", "-4", "addr", "show", "dev", lab.UnderlayNIC), h.VTEP.String()) {
		have = append(have, "address on the card")
	}
	return strings.Join(have, ", ")
}
