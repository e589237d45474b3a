package agent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// run runs an agent until the test ends; the switch reports its interfaces to it.
func run(t *testing.T, a *Agent, f *fakeHost) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	until(t, "the links", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.links != nil })
	a.Switched(f.Interfaces(""))
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 500 {
		if cond() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// plugged returns a running agent with acme/web/c1 plugged.
func plugged(t *testing.T, r api.PlugRequest) (*Agent, *fakeHost) {
	t.Helper()
	a, f := newHost(t)
	f.links["tap0"] = 3
	r.Ref = c1
	_, err := a.Plug(t.Context(), r)
	must(t, err)
	run(t, a, f)
	a.Told(f.snapshot())
	f.took()
	return a, f
}

func (f *fakeHost) snapshot() intent.SpanUpdate {
	f.mu.Lock()
	defer f.mu.Unlock()
	return intent.SpanUpdate{Tenant: "acme", Snapshot: &intent.Snapshot{
		Networks: slices.Collect(maps.Values(f.networks)), Ports: slices.Collect(maps.Values(f.ports))}}
}

func (f *fakeHost) lose(name string) {
	f.mu.Lock()
	delete(f.links, name)
	f.mu.Unlock()
	f.tellLinks()
}

func stateOf(a *Agent, name string) State { return a.States()[name] }

func TestPortThatTheSwitchLostIsPutBack(t *testing.T) {
	for name, r := range map[string]api.PlugRequest{if1: {Netns: "c1", Ifname: "eth0"}, "tap0": {Tap: "tap0"}} {
		t.Run(name, func(t *testing.T) {
			a, f := plugged(t, r)
			must(t, f.DelPort(t.Context(), "br-int", name))
			f.took()
			a.Switched(f.Interfaces(""))
			until(t, "put back", func() bool { _, on := f.PortBridge(name); return on })
			until(t, "the repair is reported", func() bool { return len(a.cfg.Repairs.Entries()) == 1 })
		})
	}
}

func TestPortThatWasDeletedIsNotPutBack(t *testing.T) {
	a, f := plugged(t, api.PlugRequest{Netns: "c1", Ifname: "eth0"})
	a.Told(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: f.ports[c1], Deleted: true}}})
	must(t, f.DelPort(t.Context(), "br-int", if1))
	a.Switched(f.Interfaces(""))
	until(t, "the fault is reported", func() bool { return strings.Contains(stateOf(a, if1).What, "deleted") })
	if _, on := f.PortBridge(if1); on {
		t.Error("put back")
	}
}

func TestCausesAreNamed(t *testing.T) {
	t.Run("namespace", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{Netns: "c1", Ifname: "eth0"})
		f.ended = true
		f.lose(if1)
		until(t, "the fault is reported", func() bool {
			return stateOf(a, if1).Down && strings.Contains(stateOf(a, if1).What, "network namespace it was plugged into (c1) has ended")
		})
		select {
		case <-a.Changed():
		case <-time.After(time.Second):
			t.Error("nothing was reported")
		}
		must(t, a.Unplug(t.Context(), c1))
		if len(a.States()) != 0 {
			t.Errorf("left: %v", a.States())
		}
	})
	t.Run("process", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{PID: 4711, Ifname: "eth0"})
		f.ended = true
		f.lose(if1)
		until(t, "the fault is reported", func() bool {
			return strings.Contains(stateOf(a, if1).What, "container or process (4711) it was plugged into has ended")
		})
	})
	t.Run("link", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{Netns: "c1", Ifname: "net1", NoDefaultRoute: true})
		f.lose(if1)
		until(t, "the fault is reported", func() bool { return stateOf(a, if1).What == "interface "+if1+" was deleted" })
		if do := stateOf(a, if1).Do; !strings.Contains(do, "ovloom port plug acme/web/c1 --netns c1 --ifname net1 --no-default-route") {
			t.Errorf("to do: %s", do)
		}
	})
	t.Run("tap", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{Tap: "tap0"})
		f.lose("tap0")
		until(t, "the fault is reported", func() bool { return stateOf(a, "tap0").What == "interface tap0 was deleted" })
		f.mu.Lock()
		f.links["tap0"] = 99 // created again
		f.mu.Unlock()
		f.took()
		f.tellLinks()
		until(t, "taken again", func() bool { return slices.Contains(f.took(), "add port tap0") })
		until(t, "right again", func() bool { return len(a.States()) == 0 })
		if r, _ := a.records.get(uuid1); r.IfIndex != 99 {
			t.Errorf("on record: %+v", r)
		}
	})
	t.Run("tap renamed", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{Tap: "tap0"})
		f.mu.Lock()
		index := f.links["tap0"]
		f.mu.Unlock()
		f.deliver(hostnet.Change{Links: []hostnet.LinkState{{Name: "vnet7", Index: index, Kind: "tuntap", Up: true, Inside: -1}}})
		until(t, "the fault is reported", func() bool { return stateOf(a, "tap0").What == "interface tap0 was deleted" })
		f.deliver(hostnet.Change{Links: []hostnet.LinkState{{Name: "tap0", Index: index, Kind: "tuntap", Up: true, Inside: -1}}})
		until(t, "right again", func() bool { return len(a.States()) == 0 })
	})
	t.Run("tap down", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{Tap: "tap0"})
		f.down["tap0"] = true
		f.tellLinks()
		until(t, "the fault is reported", func() bool { return stateOf(a, "tap0").Down && strings.Contains(stateOf(a, "tap0").What, "is down") })
	})
	t.Run("plugged by others", func(t *testing.T) {
		a, f := plugged(t, api.PlugRequest{Tap: "tap0"})
		f.switched["tap5"] = ovsdb.Interface{UUID: "5", Name: "tap5", IfaceID: "x"}
		a.Switched(f.Interfaces(""))
		until(t, "the fault is reported", func() bool { return stateOf(a, "tap5").What == "interface tap5 was deleted" })
		delete(f.switched, "tap5")
		a.Switched(f.Interfaces(""))
		until(t, "forgotten", func() bool { return len(a.States()) == 0 })
	})
}

func TestWhatIsWantedReachesThePlugged(t *testing.T) {
	a, f := plugged(t, api.PlugRequest{Netns: "c1", Ifname: "eth0"})
	f.mu.Lock()
	p, n := f.ports[c1], f.networks[c1.NetworkRef()]
	f.mu.Unlock()
	p.Addrs = []netip.Addr{netip.MustParseAddr("10.0.0.77")}
	a.Told(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: p}}})
	last := func() hostnet.PlugSpec { f.mu.Lock(); defer f.mu.Unlock(); return f.specsOf[len(f.specsOf)-1] }
	until(t, "the address", func() bool { return slices.Equal(last().Addrs, []netip.Prefix{netip.MustParsePrefix("10.0.0.77/24")}) })
	if old := last().OldAddrs; len(old) != 1 || old[0].String() != "10.0.0.2/24" || !last().OnlyExisting {
		t.Errorf("old addresses %v", old)
	}
	n.MTU, n.Subnets[0].Gateway = 1400, netip.MustParseAddr("10.0.0.254")
	a.Told(intent.SpanUpdate{Tenant: "acme", Changes: []intent.Change{{Object: n}}})
	until(t, "MTU and gateway", func() bool { return last().MTU == 1400 && last().Gateways[0].String() == "10.0.0.254" })
	until(t, "the record", func() bool {
		r, _ := a.records.get(uuid1)
		return r.MTU == 1400 && r.Gateways[0].String() == "10.0.0.254" && r.Addrs[0].String() == "10.0.0.77/24"
	})
	if e := a.cfg.Repairs.Entries(); len(e) != 0 {
		t.Errorf("a wanted change counts as a repair: %+v", e)
	}
}

func TestOldPlugsAreTakenOnRecord(t *testing.T) {
	a, f := newHost(t)
	f.links[if1], f.links["tap0"] = 7, 3
	f.switched[if1] = ovsdb.Interface{UUID: "1", Name: if1, IfaceID: uuid1, PluggedFor: "acme/web/c1", IfIndex: 7, Bridge: "br-int"}
	f.switched["tap0"] = ovsdb.Interface{UUID: "2", Name: "tap0", IfaceID: "aa", PluggedFor: "acme/web/vm", IfIndex: 3, Bridge: "br-int"}
	run(t, a, f)
	until(t, "records", func() bool { return len(a.records.all()) == 2 })
	if r, _ := a.records.get(uuid1); r.Kind != KindNetns || r.Netns != "found" || r.Ifname != "eth0" || r.IfIndex != 7 {
		t.Errorf("on record: %+v", r)
	}
	if r, _ := a.records.get("aa"); r.Kind != KindTap || r.Interface != "tap0" || r.IfIndex != 3 {
		t.Errorf("on record: %+v", r)
	}
}

// An underlay NIC that is down, or whose cable is unplugged, is reported even if another
// interface holds the VTEP address.
func TestFaultOfTheUnderlaysCard(t *testing.T) {
	vtep := netip.MustParseAddr("192.0.2.1")
	a := &Agent{cfg: Config{Network: newFakeHost(), Card: func() string { return "eth0" }}, moved: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		records: &records{m: map[string]Record{}}, names: map[int]string{}, inside: map[int]string{}, states: map[string]State{}}
	tell := func(up, carrier bool) hostnet.Change {
		return hostnet.Change{All: true, Links: []hostnet.LinkState{
			{Name: "eth1", Index: 1, Up: true, Carrier: true, Inside: -1}, {Name: "eth0", Index: 2, Up: up, Carrier: carrier, Inside: -1}}}
	}
	for _, c := range []struct {
		up, carrier bool
		fault       string
	}{{true, true, ""}, {false, false, "interface eth0, the underlay's card, is down"}, {true, false, "interface eth0, the underlay's card, has no carrier"}, {true, true, ""}} {
		a.linksChanged(tell(c.up, c.carrier))
		select {
		case <-a.UnderlayChanged():
		default:
			t.Errorf("up %t, carrier %t: no change of the underlay is reported", c.up, c.carrier)
		}
		if u := a.Underlay(vtep); u.Fault != c.fault || (u.Do == "") != (c.fault == "") {
			t.Errorf("up %t, carrier %t: %q, to do: %q", c.up, c.carrier, u.Fault, u.Do)
		}
	}
}
