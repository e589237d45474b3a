package ovsdb

import (
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

// portsText lists the ports of both bridges, as "br-int: a b; br-ex: c".
func portsText(s *ovstest.Switch) string {
	var all []string
	for _, b := range []string{"br-int", "br-ex"} {
		all = append(all, b+": "+strings.Join(strings.Fields(s.VsctlNoWait("list-ports", b)), " "))
	}
	return strings.Join(all, "; ")
}

func TestUplinks(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	s.VsctlNoWait("add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=netdev", "--", "add-port", "br-ex", "theirs", "--", "set", "interface", "theirs", "type=internal")

	host := Uplink{Name: "ovl0", Via: "host", MAC: "0e:0f:00:00:00:01", MTU: 1400}
	campus := Uplink{Name: "br-int-x2", Via: "external:campus", Bridge: "br-ex"}
	ensure := func(want ...Uplink) map[string]error {
		t.Helper()
		faults, err := db.EnsureUplinks(ctx, "br-int", want)
		must(t, err)
		return faults
	}
	awaitWatch(t, db.Watch(), "br-ex to be read", func() bool { _, ok := db.view().bridge("br-ex"); return ok })
	if f := ensure(host, campus); len(f) > 0 {
		t.Fatal(f)
	}
	if got, want := portsText(s), "br-int: br-int-x2 ovl0 vx0; br-ex: br-int-x2-out theirs"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, name := range []string{"ovl0", "br-int-x2"} {
		if _, err := db.WaitOFPort(ctx, name); err != nil {
			t.Error(err)
		}
	}
	via := map[string]string{}
	for _, i := range db.Interfaces("br-int") {
		via[i.Name] = i.Uplink
		if i.Name == "ovl0" && (i.MACInUse != host.MAC || i.MTU != host.MTU) {
			t.Errorf("ovl0 has MAC %s and MTU %d", i.MACInUse, i.MTU)
		}
	}
	if via["ovl0"] != "host" || via["br-int-x2"] != "external:campus" || via["vx0"] != "" {
		t.Errorf("uplinks are %v", via)
	}
	if n := writes(db, func() { ensure(host, campus) }); n != 0 {
		t.Errorf("the second time: %d transactions", n)
	}

	t.Run("changes are put back", func(t *testing.T) {
		s.VsctlNoWait("del-port", "br-ex", "br-int-x2-out", "--", "set", "interface", "ovl0", "mtu_request=900")
		awaitWatch(t, db.Watch(), "the change", func() bool { _, _, ok := db.view().port("br-int-x2-out"); return !ok })
		log.take()
		ensure(host, campus)
		if got, want := portsText(s), "br-int: br-int-x2 ovl0 vx0; br-ex: br-int-x2-out theirs"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if l := log.take(); !strings.Contains(l, "br-int-x2-out of bridge br-ex was missing") || !strings.Contains(l, "mtu_request") {
			t.Errorf("logged %s", l)
		}
	})
	t.Run("an error of the time when the other end was missing is not believed", func(t *testing.T) {
		errorOf := func() (raw, told string) {
			i, _ := db.view().iface("br-int-x2")
			for _, n := range db.Interfaces("br-int") {
				if n.Name == "br-int-x2" {
					told = n.Error
				}
			}
			return value(i.Error), told
		}
		s.VsctlNoWait("--no-wait", "set", "interface", "br-int-x2", "error=old")
		awaitWatch(t, db.Watch(), "the error", func() bool { raw, _ := errorOf(); return raw == "old" })
		if _, told := errorOf(); told != "" {
			t.Errorf("both ends exist, but reported: %q", told)
		}
	})
	t.Run("a bridge that is not there, or of another datapath", func(t *testing.T) {
		faults := ensure(host, campus, Uplink{Name: "br-int-x3", Via: "external:lab", Bridge: "br-lab"})
		wantError(t, faults["br-int-x3"], intent.NotFound, "bridge br-lab does not exist", "ovs-vsctl add-br br-lab")
		s.VsctlNoWait("set", "bridge", "br-ex", "datapath_type=system")
		awaitWatch(t, db.Watch(), "the change", func() bool { b, _ := db.view().bridge("br-ex"); return b.DatapathType == "system" })
		faults = ensure(host, campus)
		wantError(t, faults["br-int-x2"], intent.Conflict, "datapath type")
		s.VsctlNoWait("set", "bridge", "br-ex", "datapath_type=netdev")
		awaitWatch(t, db.Watch(), "the change", func() bool { b, _ := db.view().bridge("br-ex"); return b.DatapathType == "netdev" })
		ensure(host, campus)
	})
	t.Run("a port of others is left alone", func(t *testing.T) {
		s.VsctlNoWait("add-port", "br-int", "br-int-x9", "--", "set", "interface", "br-int-x9", "type=internal")
		awaitWatch(t, db.Watch(), "the port", func() bool { _, _, ok := db.view().port("br-int-x9"); return ok })
		faults := ensure(host, campus, Uplink{Name: "br-int-x9", Via: "external:lab", Bridge: "br-ex"})
		wantError(t, faults["br-int-x9"], intent.Conflict, "was not made by ovloom")
		s.VsctlNoWait("del-port", "br-int", "br-int-x9")
	})
	t.Run("unwanted ports are deleted on both bridges", func(t *testing.T) {
		ensure(host)
		if got, want := portsText(s), "br-int: ovl0 vx0; br-ex: theirs"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		ensure()
		if got, want := portsText(s), "br-int: vx0; br-ex: theirs"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestPatchWorks(t *testing.T) {
	port, none := 3, -1
	inner := interfaceRow{Name: "in", Type: "patch", Options: map[string]string{"peer": "out"}, OFPort: &port}
	outer := interfaceRow{Name: "out", Type: "patch", Options: map[string]string{"peer": "in"}, OFPort: &port}
	if !patchWorks(inner, outer) {
		t.Error("a whole patch does not work")
	}
	for name, broken := range map[string]interfaceRow{
		"the other end leads elsewhere": {Name: "out", Type: "patch", Options: map[string]string{"peer": "x"}, OFPort: &port},
		"the other end is no patch":     {Name: "out", Type: "internal", Options: map[string]string{"peer": "in"}, OFPort: &port},
		"the other end has no port":     {Name: "out", Type: "patch", Options: map[string]string{"peer": "in"}, OFPort: &none},
		"there is no other end":         {},
	} {
		if patchWorks(inner, broken) || patchWorks(broken, inner) {
			t.Errorf("%s, and the patch works", name)
		}
	}
}

func TestBridgeNotes(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	if _, err := db.BridgeNote("br-int", "zones"); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("before there is a bridge: %v", err)
	}
	must(t, db.EnsureBridge(ctx, brInt))
	for _, text := range []string{"acme=1", "acme=1,umbrella=2", ""} {
		must(t, db.SetBridgeNote(ctx, "br-int", "zones", text))
		if got, err := db.BridgeNote("br-int", "zones"); got != text || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, text)
		}
		if n := writes(db, func() { must(t, db.SetBridgeNote(ctx, "br-int", "zones", text)) }); n != 0 {
			t.Errorf("%q again: %d transactions", text, n)
		}
	}
	if got := bridgeText(s, "br-int"); got != wantBridgeText {
		t.Errorf("left behind:\n%s", got)
	}
}
