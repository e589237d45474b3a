package agent

import (
	"context"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

func TestPlugAndUnplug(t *testing.T) {
	a, f := newHost(t)
	res, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
	must(t, err)
	if res.Interface != if1 || res.MTU != 1550 {
		t.Errorf("plugged: %+v", res)
	}
	wantList(t, f.took(), "make "+if1, "add port "+if1)
	_, err = a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
	must(t, err)
	wantList(t, f.took(), "add port "+if1) // which writes nothing when all is right
	_, err = a.Plug(t.Context(), api.PlugRequest{Ref: c1, Tap: "tap0"})
	wantKind(t, err, intent.Conflict)
	wantList(t, f.took())

	must(t, a.Unplug(t.Context(), c1))
	wantList(t, f.took(), "delete port "+if1, "delete "+if1)
	wantKind(t, a.Unplug(t.Context(), c1), intent.NotFound)
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	a, f := newHost(t)
	_, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
	must(t, err)
	dir := strings.TrimSuffix(a.records.dir, "/"+recordsName)
	again := f.agent(t, dir)
	rec, ok := again.records.get(uuid1)
	if !ok || rec.Netns != "c1" || rec.Addrs[0].String() != "10.0.0.2/24" || rec.Gateways[0].String() != "10.0.0.1" || rec.IfIndex == 0 {
		t.Errorf("remembered: %+v", rec)
	}
	must(t, again.Unplug(t.Context(), c1))
	if left := f.agent(t, dir).records.all(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestPlugIsUndone(t *testing.T) {
	a, f := newHost(t)
	f.addErr = errFake
	if _, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"}); err == nil {
		t.Fatal("no error")
	}
	wantList(t, f.took(), "make "+if1, "release 1", "delete "+if1)
	if len(a.records.all()) != 0 {
		t.Error("a record is left")
	}

	// The earlier plug stays.
	f.addErr = nil
	_, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
	must(t, err)
	f.took()
	f.addErr = errFake
	if _, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"}); err == nil {
		t.Fatal("no error")
	}
	wantList(t, f.took())
	if len(a.records.all()) != 1 {
		t.Error("the record is gone")
	}
}

func TestPlugLooksBeforeItChanges(t *testing.T) {
	for name, c := range map[string]struct {
		tap    string
		change func(*fakeHost)
	}{
		"no such interface":            {"tap9", func(f *fakeHost) {}},
		"interface that is refused":    {"tap0", func(f *fakeHost) { f.tapErr = intent.Conflictf("a network card") }},
		"interface on another bridge":  {"tap0", func(f *fakeHost) { f.switched["tap0"] = ovsdb.Interface{Name: "tap0", Bridge: "br-phy"} }},
		"interface that holds tunnels": {"eth1", func(f *fakeHost) {}},
		"interface of another port": {"tap0", func(f *fakeHost) {
			f.switched["tap0"] = ovsdb.Interface{Name: "tap0", Bridge: "br-int", IfaceID: "other", PluggedFor: "acme/web/c9"}
		}},
		"the bridge's own interface": {"br-int", func(f *fakeHost) { f.links["br-int"] = 4 }},
		"tunnel port": {"vx0", func(f *fakeHost) {
			f.switched["vx0"] = ovsdb.Interface{Name: "vx0", Bridge: "br-int", Type: "vxlan"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, f := newHost(t)
			f.links["tap0"], f.links["eth1"] = 3, 2
			c.change(f)
			if _, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Tap: c.tap}); err == nil {
				t.Fatal("plugged")
			}
			wantList(t, f.took())
			if len(a.records.all()) != 0 {
				t.Error("a record is left")
			}
		})
	}
}

func TestPlugTap(t *testing.T) {
	a, f := newHost(t)
	f.links["tap0"] = 3
	f.readyErr = errFake
	if _, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Tap: "tap0"}); err == nil {
		t.Fatal("no error")
	}
	wantList(t, f.took(), "ready tap0 mtu 1550", "restore tap0", "release 1")
	f.readyErr, f.addErr = nil, errFake
	if _, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Tap: "tap0"}); err == nil {
		t.Fatal("no error")
	}
	wantList(t, f.took(), "ready tap0 mtu 1550", "restore tap0", "release 2")
	f.addErr = nil
	_, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Tap: "tap0"})
	must(t, err)
	wantList(t, f.took(), "ready tap0 mtu 1550", "add port tap0")
	must(t, a.Unplug(t.Context(), c1))
	wantList(t, f.took(), "delete port tap0")
}

func TestPlugBesidesADefaultRoute(t *testing.T) {
	a, f := newHost(t)
	f.foreign["10.0.0.1"] = "through eth9"
	res, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth1"})
	must(t, err)
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "through eth9") {
		t.Errorf("notes %q", res.Notes)
	}
	if rec, _ := a.records.get(uuid1); len(rec.Gateways) != 0 {
		t.Errorf("gateways on record: %v", rec.Gateways)
	}
	_, err = a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth1", NoDefaultRoute: true})
	must(t, err)
	if last := f.specsOf[len(f.specsOf)-1]; len(last.Gateways) != 0 {
		t.Errorf("gateways wanted: %v", last.Gateways)
	}
}

func TestPlugTakesNothingUnasked(t *testing.T) {
	a, f := newHost(t)
	f.holder = "host2"
	_, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
	wantKind(t, err, intent.Conflict)
	if err == nil || !strings.Contains(err.Error(), "host2") {
		t.Errorf("error %v", err)
	}
	wantList(t, f.took())
	_, err = a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0", Take: true})
	must(t, err)
	wantList(t, f.took(), "make "+if1, "add port "+if1)
	if g := f.switched[if1].Generation; g != 1 {
		t.Errorf("generation %d on the interface", g)
	}
}

// A claim of this host may have lost to another host's newer one.
func TestTakeClaimsAnew(t *testing.T) {
	a, f := newHost(t)
	r := api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"}
	for _, step := range []struct {
		take       bool
		generation uint64
	}{{false, 1}, {false, 1}, {true, 2}} {
		r.Take = step.take
		_, err := a.Plug(t.Context(), r)
		must(t, err)
		if g := f.switched[if1].Generation; g != step.generation {
			t.Errorf("take %v: generation %d on the interface, want %d", step.take, g, step.generation)
		}
	}
}

// The claims' reconciler waits for the interface of a port that is being plugged, until the
// port is unplugged.
func TestExpectedUntilUnplugged(t *testing.T) {
	a, f := newHost(t)
	a.cfg.Expect = func(_ context.Context, ref intent.PortRef) func(error) {
		f.did("expect %s", ref)
		return func(err error) { f.did("plugged %s", ref) }
	}
	a.cfg.Unexpect = func(_ context.Context, ref intent.PortRef) { f.did("unexpect %s", ref) }
	_, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
	must(t, err)
	must(t, a.Unplug(t.Context(), c1))
	wantList(t, f.took(), "expect acme/web/c1", "make "+if1, "add port "+if1, "plugged acme/web/c1",
		"delete port "+if1, "delete "+if1, "unexpect acme/web/c1")
}

// A port that was unplugged can be deleted: its claim is gone. If the store does not answer,
// the unplug does not wait for that.
func TestUnplugWaitsForTheRelease(t *testing.T) {
	for _, c := range []struct {
		remain int
		err    error
		asked  int
	}{{0, nil, 1}, {3, nil, 4}, {3, intent.Unavailablef("the store does not answer"), 1}} {
		a, f := newHost(t)
		_, err := a.Plug(t.Context(), api.PlugRequest{Ref: c1, Netns: "c1", Ifname: "eth0"})
		must(t, err)
		f.remain, f.bindingsErr = c.remain, c.err
		must(t, a.Unplug(t.Context(), c1))
		if f.asked != c.asked {
			t.Errorf("%+v: the claims were read %d times", c, f.asked)
		}
	}
}

func TestParseRecord(t *testing.T) {
	good := `{"version":1,"port":"` + uuid1 + `","ref":"acme/web/c1","kind":"netns","interface":"` + if1 + `","netns":"c1"}`
	if _, err := parseRecord([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "{}", strings.Replace(good, `"version":1`, `"version":2`, 1), strings.Replace(good, uuid1, "../../etc/x", 1),
		strings.Replace(good, `"netns"`, `"tap"`, 1), strings.Replace(good, if1, "eth0", 1), strings.Replace(good, "acme/web/c1", "acme", 1),
		strings.Replace(good, `"netns":"c1"`, `"pid":3`, 1),
	} {
		if r, err := parseRecord([]byte(bad)); err == nil {
			t.Errorf("%s accepted as %+v", bad, r)
		}
	}
}
