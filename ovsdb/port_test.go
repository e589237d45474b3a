package ovsdb

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

// addVeth makes a veth whose other end is in a namespace, both up, and returns its index.
func addVeth(t *testing.T, name, ns string) int {
	t.Helper()
	ovstest.IP(t, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", ns)
	ovstest.IP(t, "-n", ns, "addr", "add", "10.0.0.5/24", "dev", "eth0")
	ovstest.IP(t, "-n", ns, "link", "set", "eth0", "up")
	ovstest.IP(t, "link", "set", name, "up")
	index, _, _ := strings.Cut(ovstest.IP(t, "-o", "link", "show", name), ":")
	n := numbers(index)
	return n[0]
}

func TestInterfacesAndMarks(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	if got := db.Interfaces("br-int"); got != nil {
		t.Errorf("without a bridge: %v", got)
	}
	must(t, db.EnsureBridge(ctx, brInt))
	watch := db.Watch()
	drain(t, watch)

	// Another program plugs an interface.
	s.VsctlNoWait("add-port", "br-int", "p1", "--", "set", "interface", "p1", "type=internal", "external_ids:iface-id=acme/web/c1")
	var p1 Interface
	awaitWatch(t, watch, "the interface with its OpenFlow port", func() bool {
		for _, i := range db.Interfaces("br-int") {
			if i.Name == "p1" && i.OFPort > 0 && i.MACInUse != "" {
				p1 = i
			}
		}
		return p1.Name != ""
	})
	if p1.IfaceID != "acme/web/c1" || p1.Type != "internal" || p1.Bridge != "br-int" || p1.Installed || p1.Generation != 0 || p1.Error != "" {
		t.Errorf("got %+v", p1)
	}
	if names := interfaceNames(db); names != "p1 vx0" {
		t.Errorf("interfaces %s", names)
	}

	must(t, db.SetInstalled(ctx, p1.UUID, true))
	must(t, db.SetGeneration(ctx, p1.UUID, 1<<63+7))
	// What was written can be read immediately.
	if i := db.Interfaces("br-int")[0]; !i.Installed || i.Generation != 1<<63+7 || i.IfaceID != "acme/web/c1" {
		t.Errorf("got %+v", i)
	}
	if out := s.VsctlNoWait("get", "interface", "p1", "external_ids"); out != `{iface-id="acme/web/c1", ovloom-generation="9223372036854775815", ovloom-installed="true"}` {
		t.Errorf("external_ids %s", out)
	}
	n := writes(db, func() {
		must(t, db.SetInstalled(ctx, p1.UUID, true))
		must(t, db.SetGeneration(ctx, p1.UUID, 1<<63+7))
	})
	if n != 0 {
		t.Errorf("%d transactions without a change", n)
	}
	must(t, db.SetGeneration(ctx, p1.UUID, 8))
	must(t, db.SetInstalled(ctx, p1.UUID, false))
	if i := db.Interfaces("br-int")[0]; i.Installed || i.Generation != 8 {
		t.Errorf("got %+v", i)
	}

	const nobody = "00000000-0000-0000-0000-000000000001"
	wantError(t, db.SetInstalled(ctx, nobody, true), intent.NotFound, nobody)

	s.VsctlNoWait("set", "interface", "p1", "external_ids:ovloom-generation=soon")
	awaitWatch(t, watch, "the changed mark", func() bool {
		i, _ := db.view().iface("p1")
		return i.ExternalIDs[keyGeneration] == "soon"
	})
	if i := db.Interfaces("br-int")[0]; i.Generation != 0 {
		t.Errorf("generation %d from a mark that is not a number", i.Generation)
	}
	s.VsctlNoWait("del-port", "br-int", "p1")
	awaitWatch(t, watch, "the deletion", func() bool { return interfaceNames(db) == "vx0" })
}

func interfaceNames(db *DB) string {
	var names []string
	for _, i := range db.Interfaces("br-int") {
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

func TestAddPort(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	spec := PortSpec{Name: "p1", Type: "internal", IfaceID: "uuid-1", PluggedFor: "acme/web/c1", MTURequest: 1400}
	wantError(t, db.AddPort(ctx, "br-int", spec), intent.NotFound, "br-int")
	must(t, db.EnsureBridge(ctx, brInt))
	must(t, db.AddPort(ctx, "br-int", spec))
	port, err := db.WaitOFPort(ctx, "p1")
	must(t, err)
	if port < 1 {
		t.Errorf("OpenFlow port %d", port)
	}
	if out := s.VsctlNoWait("--columns=name,type,external_ids,mtu_request", "list", "interface", "p1"); out != `name                : p1
type                : internal
external_ids        : {iface-id=uuid-1, ovloom-port="acme/web/c1"}
mtu_request         : 1400` {
		t.Errorf("got\n%s", out)
	}
	s.Until("ovs-vswitchd has written all columns of the port", func() bool {
		for _, i := range db.Interfaces("br-int") {
			if i.Name == "p1" && i.MTU == 1400 && i.PluggedFor == "acme/web/c1" {
				return true
			}
		}
		return false
	})
	if n := writes(db, func() { must(t, db.AddPort(ctx, "br-int", spec)) }); n != 0 {
		t.Errorf("%d transactions the second time", n)
	}
	spec.IfaceID, spec.MTURequest = "uuid-2", 1300
	must(t, db.AddPort(ctx, "br-int", spec))
	if again, err := db.WaitOFPort(ctx, "p1"); err != nil || again != port {
		t.Errorf("port %d became %d (%v)", port, again, err)
	}
	if out := s.VsctlNoWait("get", "interface", "p1", "external_ids:iface-id", "mtu_request"); out != "uuid-2\n1300" {
		t.Errorf("got %s", out)
	}

	must(t, db.EnsureBridge(ctx, Bridge{Name: "br-two", Datapath: DatapathNetdev, VXLANPort: "vx1", VXLANUDPPort: 4790}))
	wantError(t, db.AddPort(ctx, "br-two", spec), intent.Conflict, "p1", "br-int", "del-port")
	must(t, db.DelPort(ctx, "br-two", "p1")) // it does not exist
	if interfaceNames(db) != "p1 vx0" {
		t.Errorf("interfaces %s", interfaceNames(db))
	}
	must(t, db.DelPort(ctx, "br-int", "p1"))
	must(t, db.DelPort(ctx, "br-int", "p1"))
	if interfaceNames(db) != "vx0" {
		t.Errorf("interfaces %s", interfaceNames(db))
	}
	_, err = db.WaitOFPort(ctx, "p1")
	wantError(t, err, intent.NotFound, "p1")
	wantError(t, db.AddPort(ctx, "br-int", PortSpec{Name: "0123456789abcdef"}), intent.Invalid, "16 bytes")
}

func TestPortWithoutItsDevice(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	must(t, db.AddPort(ctx, "br-int", PortSpec{Name: "absent"}))
	_, err := db.WaitOFPort(ctx, "absent")
	wantError(t, err, intent.Conflict, "absent", "No such device")
	if i := db.Interfaces("br-int")[0]; i.OFPort != -1 || i.Error == "" {
		t.Errorf("got %+v", i)
	}
}

// received returns the number of packets that a port received.
func received(s *ovstest.Switch, port string) string {
	_, after, _ := strings.Cut(s.Ofctl("dump-ports", "br-int", port), "rx pkts=")
	n, _, _ := strings.Cut(after, ",")
	return n
}

// hears reports whether the switch receives a frame that the namespace sends.
func hears(s *ovstest.Switch, ns string) bool {
	before := received(s, "p1")
	exec.Command("ip", "netns", "exec", ns, "ping", "-c", "1", "-W", "0.2", "10.0.0.9").Run()
	return received(s, "p1") != before
}

func TestStaleVethIsReplaced(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	ns := ovstest.Netns(t, "stale")
	must(t, db.EnsureBridge(ctx, brInt))
	spec := PortSpec{Name: "p1", IfaceID: "uuid-1", IfIndex: addVeth(t, "p1", ns)}
	t.Cleanup(func() { exec.Command("ip", "link", "del", "p1").Run() })
	must(t, db.AddPort(ctx, "br-int", spec))
	_, err := db.WaitOFPort(ctx, "p1")
	must(t, err)
	s.Until("the port works", func() bool { return hears(s, ns) })
	if n := writes(db, func() { must(t, db.AddPort(ctx, "br-int", spec)) }); n > 0 {
		t.Errorf("%d transactions for a port that is right", n)
	}

	ovstest.IP(t, "link", "del", "p1")
	s.Until("ovs-vswitchd noticed", func() bool { return strings.Contains(s.VsctlNoWait("get", "interface", "p1", "link_state"), "down") })
	spec.IfIndex = addVeth(t, "p1", ns)
	s.Until("ovs-vswitchd noticed", func() bool { return strings.Contains(s.VsctlNoWait("get", "interface", "p1", "link_state"), "up") })
	if hears(s, ns) {
		t.Log("this Open vSwitch finds the new device by itself")
	}
	log.take()
	must(t, db.AddPort(ctx, "br-int", spec))
	_, err = db.WaitOFPort(ctx, "p1")
	must(t, err)
	s.Until("the port works again", func() bool { return hears(s, ns) })
	if l := log.take(); !strings.Contains(l, "stale port deleted") {
		t.Errorf("logged %s", l)
	}
	if n := writes(db, func() { must(t, db.AddPort(ctx, "br-int", spec)) }); n > 0 {
		t.Errorf("%d transactions for a port that is right", n)
	}
}

func TestWithoutVswitchd(t *testing.T) {
	s := ovstest.StartDB(t)
	db, err := Connect(ovstest.Context(t), Config{Socket: "unix:" + s.Socket, Timeout: 200 * time.Millisecond})
	must(t, err)
	t.Cleanup(db.Close)
	start := time.Now()
	wantError(t, db.EnsureBridge(context.Background(), brInt), intent.Unavailable, "ovs-vswitchd")
	wantError(t, db.EnsureBridge(context.Background(), brInt), intent.Unavailable, "ovs-vswitchd")
	must(t, db.AddPort(context.Background(), "br-int", PortSpec{Name: "p1", Type: "internal"}))
	_, err = db.WaitOFPort(context.Background(), "p1")
	wantError(t, err, intent.Unavailable, "p1")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	if types := db.datapathTypes(); len(types) != 0 {
		t.Errorf("datapath types %v", types)
	}
	s.StartVswitchd()
	db.timeout = 5 * time.Second
	must(t, db.EnsureBridge(context.Background(), brInt))
	if _, err := db.WaitOFPort(context.Background(), "p1"); err != nil {
		t.Error(err)
	}
	if types := strings.Join(db.datapathTypes(), " "); !strings.Contains(types, DatapathNetdev) {
		t.Errorf("datapath types %s", types)
	}
}

// datapathTypes returns the types that ovs-vswitchd was built with, sorted.
func (db *DB) datapathTypes() []string {
	root, _ := db.view().root()
	return slices.Sorted(slices.Values(root.DatapathTypes))
}
