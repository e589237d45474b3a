package ovsdb

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/intent"
)

// columns are the columns of a bridge that EnsureBridge sets.
const columns = "name,datapath_type,fail_mode,protocols,mcast_snooping_enable,other_config,external_ids,controller"

func bridgeText(s *ovstest.Switch, bridge string) string {
	return s.VsctlNoWait("--columns="+columns, "list", "bridge", bridge) + "\n" +
		s.VsctlNoWait("--columns=name,type,options", "list", "interface", "vx0")
}

const wantBridgeText = `name                : br-int
datapath_type       : netdev
fail_mode           : secure
protocols           : [OpenFlow10, OpenFlow13, OpenFlow14, OpenFlow15]
mcast_snooping_enable: false
other_config        : {disable-in-band="true"}
external_ids        : {ovloom=host1, ovloom-version=test}
controller          : []
name                : vx0
type                : vxlan
options             : {dst_port="4789", key=flow, remote_ip=flow}`

func TestBridgeIsMadeOnce(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	if got := bridgeText(s, "br-int"); got != wantBridgeText {
		t.Errorf("got\n%s\nwant\n%s", got, wantBridgeText)
	}
	if l := log.take(); !strings.Contains(l, "bridge made") {
		t.Errorf("logged %s", l)
	}
	if out := s.Ofctl("show", "br-int"); !strings.Contains(out, "1(vx0)") {
		t.Errorf("ovs-vswitchd has not made it: %s", out)
	}
	n := writes(db, func() { must(t, db.EnsureBridge(ctx, brInt)) })
	again, _ := connect(t, s)
	n += writes(again, func() { must(t, again.EnsureBridge(ctx, brInt)) })
	if l := log.take(); n != 0 || l != "" {
		t.Errorf("the second time: %d transactions, logged %s", n, l)
	}
}

func TestBridgeIsRepaired(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	for _, c := range []struct{ name, command, says string }{
		{"fail mode", "set-fail-mode br-int standalone", "fail_mode was"},
		{"protocols", "set bridge br-int protocols=OpenFlow13", "OpenFlow15"},
		{"multicast snooping", "set bridge br-int mcast_snooping_enable=true", "mcast_snooping_enable"},
		{"in-band", "remove bridge br-int other_config disable-in-band", "disable-in-band"},
		{"version", "set bridge br-int external_ids:ovloom-version=older", "ovloom-version"},
		{"options of the tunnel", "set interface vx0 options:remote_ip=192.0.2.9", "options of vx0"},
		{"option too many", "set interface vx0 options:csum=true", "csum"},
		{"type of the tunnel", "set interface vx0 type=geneve", "type of vx0"},
		{"tunnel port deleted", "del-port br-int vx0", "port vx0 was missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log.take()
			s.VsctlNoWait(strings.Fields(c.command)...)
			if bridgeTextOrNone(s) == wantBridgeText {
				t.Fatal("the command changed nothing")
			}
			awaitWatch(t, db.Watch(), "the change", func() bool { return len(repairs(db)) > 0 })
			must(t, db.EnsureBridge(ctx, brInt))
			if got := bridgeText(s, "br-int"); got != wantBridgeText {
				t.Errorf("got\n%s\nwant\n%s", got, wantBridgeText)
			}
			if l := log.take(); !strings.Contains(l, "bridge repaired") || !strings.Contains(l, c.says) {
				t.Errorf("logged %s", l)
			}
			if n := writes(db, func() { must(t, db.EnsureBridge(ctx, brInt)) }); n != 0 {
				t.Errorf("repaired again")
			}
		})
	}
	t.Run("additions by others stay", func(t *testing.T) {
		s.VsctlNoWait("set", "bridge", "br-int", "external_ids:note=hello", "other_config:mac-table-size=9")
		must(t, db.EnsureBridge(ctx, brInt))
		if got := bridgeText(s, "br-int"); !strings.Contains(got, "note=hello") || !strings.Contains(got, `mac-table-size="9"`) {
			t.Errorf("got\n%s", got)
		}
	})
}

func TestPrefixesOfTables(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	b := brInt
	b.Prefixes = map[int][]string{60: {"ip_dst", "ipv6_dst"}, 64: {"ipv6_dst"}}
	settings := func() string {
		return s.VsctlNoWait("get", "bridge", "br-int", "flow_tables:60", "flow_tables:64") + "\n" +
			s.VsctlNoWait("--columns=prefixes", "list", "flow_table")
	}
	must(t, db.EnsureBridge(ctx, b))
	if got := settings(); strings.Count(got, "prefixes") != 2 || !strings.Contains(got, "[ip_dst, ipv6_dst]") {
		t.Errorf("got\n%s", got)
	}
	if n := writes(db, func() { must(t, db.EnsureBridge(ctx, b)) }); n != 0 {
		t.Errorf("the second time: %d transactions", n)
	}
	s.VsctlNoWait("--id=@t", "create", "flow_table", "name=theirs", "--", "add", "bridge", "br-int", "flow_tables", "7=@t")
	s.VsctlNoWait("remove", "bridge", "br-int", "flow_tables", "64")
	awaitWatch(t, db.Watch(), "the change", func() bool {
		row, _ := db.view().bridge("br-int")
		_, there := row.FlowTables[64]
		return len(row.FlowTables) == 2 && !there
	})
	log.take()
	must(t, db.EnsureBridge(ctx, b))
	if got := s.VsctlNoWait("get", "bridge", "br-int", "flow_tables"); strings.Count(got, "=") != 3 {
		t.Errorf("got %s", got)
	}
	if l := log.take(); !strings.Contains(l, "flow_tables:64 lacked") {
		t.Errorf("logged %s", l)
	}
}

// bridgeTextOrNone is bridgeText that allows vx0 to be missing.
func bridgeTextOrNone(s *ovstest.Switch) string {
	if !strings.Contains(s.VsctlNoWait("list-ports", "br-int"), "vx0") {
		return ""
	}
	return bridgeText(s, "br-int")
}

// repairs returns the changes that EnsureBridge would make.
func repairs(db *DB) []string {
	v := db.view()
	b, _ := v.bridge("br-int")
	_, what := db.repairBridge(v, b, brInt.withDefaults().wanted())
	return what
}

func TestForeignBridgeIsRefused(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.CheckBridge(ctx, brInt))
	for _, c := range []struct {
		name, commands string
		words          []string
	}{
		{"no mark", "add-br br-int", []string{"br-int", "not made by ovloom", "--bridge", "del-br br-int"}},
		{"OVN's mark", "add-br br-int -- set bridge br-int external_ids:ovn-nb-cfg=7", []string{"OVN"}},
		{"OVN's zones", "add-br br-int -- set bridge br-int external_ids:ct-zone-lp1=3 external_ids:ovloom=host1", []string{"OVN"}},
		{"OVN's controller", "add-br br-int -- set Open_vSwitch . external_ids:ovn-remote=unix:/x", []string{"OVN"}},
		{"OVN's controller before the bridge", "set Open_vSwitch . external_ids:ovn-remote=unix:/x", []string{"OVN", "ovn-remote"}},
		{"Neutron's ports", "add-br br-int -- add-port br-int patch-tun -- set interface patch-tun type=patch options:peer=patch-int", []string{"Neutron"}},
		{"another ovloom", "add-br br-int -- set bridge br-int external_ids:ovloom=host2", []string{"host2", "host1", "--host-name"}},
		{"a controller", "add-br br-int -- set bridge br-int external_ids:ovloom=host1 -- set-controller br-int tcp:127.0.0.1:9", []string{"controller", "del-controller br-int"}},
		{"port on another bridge", "add-br br-x -- add-port br-x vx0", []string{"vx0", "br-x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.VsctlNoWait(strings.Fields(c.commands)...)
			defer func() {
				s.VsctlNoWait("--if-exists", "del-br", "br-int", "--", "--if-exists", "del-br", "br-x", "--", "remove", "Open_vSwitch", ".", "external_ids", "ovn-remote")
			}()
			awaitWatch(t, db.Watch(), "the command", func() bool {
				_, known := db.view().bridge(strings.Fields(c.commands + " x")[1])
				root, _ := db.view().root()
				return known || root.ExternalIDs["ovn-remote"] != ""
			})
			var err error
			n := writes(db, func() { err = db.EnsureBridge(ctx, brInt) })
			wantError(t, err, intent.Conflict, c.words...)
			wantError(t, db.CheckBridge(ctx, brInt), intent.Conflict, c.words...)
			if n != 0 {
				t.Errorf("wrote %d times", n)
			}
			if strings.Contains(c.commands, "add-br br-int") {
				wantError(t, db.DeleteBridge(ctx, "br-int"), intent.Conflict, c.words[0])
				if !strings.Contains(s.VsctlNoWait("list-br"), "br-int") {
					t.Error("the bridge is gone")
				}
			}
		})
		awaitWatch(t, db.Watch(), "the clean-up", func() bool {
			_, a := db.view().bridge("br-int")
			_, b := db.view().bridge("br-x")
			root, _ := db.view().root()
			return !a && !b && len(root.ExternalIDs) == 0
		})
	}
}

func TestBridgeThatMakesNoSense(t *testing.T) {
	s := ovstest.StartDB(t)
	db, _ := connect(t, s)
	for name, b := range map[string]Bridge{
		"no name":           {Datapath: DatapathNetdev},
		"long name":         {Name: "br-0123456789abc", Datapath: DatapathNetdev},
		"slash":             {Name: "br/int", Datapath: DatapathNetdev},
		"no datapath":       {Name: "br-int"},
		"port out of range": {Name: "br-int", Datapath: DatapathNetdev, VXLANUDPPort: 65536},
		"one name for two":  {Name: "br-int", Datapath: DatapathNetdev, VXLANPort: "br-int"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, db.EnsureBridge(ovstest.Context(t), b), intent.Invalid) })
	}
}

func TestDeleteBridge(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.DeleteBridge(ctx, "br-int"))
	must(t, db.EnsureBridge(ctx, brInt))
	must(t, db.DeleteBridge(ctx, "br-int"))
	if out := s.VsctlNoWait("list-br") + s.VsctlNoWait("list", "interface"); out != "" {
		t.Errorf("left: %s", out)
	}
	must(t, db.EnsureBridge(ctx, brInt))
}

func TestTwoTunnelsOfOnePort(t *testing.T) {
	s := ovstest.Start(t)
	db, _ := connect(t, s)
	ctx := ovstest.Context(t)
	must(t, db.EnsureBridge(ctx, brInt))
	other := Bridge{Name: "br-two", Datapath: DatapathNetdev, VXLANPort: "vx1"}
	wantError(t, db.EnsureBridge(ctx, other), intent.Conflict, "vx1")
	other.VXLANUDPPort = 4790
	must(t, db.EnsureBridge(ctx, other))
}

func TestUplinkBridge(t *testing.T) {
	s := ovstest.Start(t)
	db, log := connect(t, s)
	ctx := ovstest.Context(t)
	ovstest.IP(t, "link", "add", "nic1", "type", "veth", "peer", "name", "nic1p")
	t.Cleanup(func() { ovstest.IP(t, "link", "del", "nic1") })
	must(t, db.EnsureUplinkBridge(ctx, "br-phy", "nic1", "42:00:00:00:00:01", 1600))
	n := writes(db, func() { must(t, db.EnsureUplinkBridge(ctx, "br-phy", "nic1", "42:00:00:00:00:01", 1600)) })
	if n != 0 {
		t.Errorf("%d transactions the second time", n)
	}
	s.Until("the interface has its MAC and MTU", func() bool {
		out := ovstest.IP(t, "link", "show", "br-phy")
		return strings.Contains(out, "42:00:00:00:00:01") && strings.Contains(out, "mtu 1600")
	})
	if dp, ok := db.InternalPort("br-phy"); dp != DatapathNetdev || !ok {
		t.Errorf("br-phy: %q, %v", dp, ok)
	}
	for _, name := range []string{"nic1", "nowhere"} {
		if dp, ok := db.InternalPort(name); dp != "" || ok {
			t.Errorf("%s: %q, %v", name, dp, ok)
		}
	}
	log.take()
	must(t, db.EnsureUplinkBridge(ctx, "br-phy", "nic1", "42:00:00:00:00:01", 1500))
	if l := log.take(); !strings.Contains(l, "mtu_request of br-phy was 1600") {
		t.Errorf("logged %s", l)
	}
	must(t, db.DeleteBridge(ctx, "br-phy"))
	wantError(t, db.EnsureUplinkBridge(ctx, "br-phy", "nic2", "42:00:00:00:00:01", 1500), intent.Conflict, "nic2", "No such device")
}

func TestKernelDatapathThatIsNotThere(t *testing.T) {
	if _, err := os.Stat("/sys/module/openvswitch"); err == nil {
		t.Log("the kernel has the module: ovs-vswitchd is started without the kernel datapath")
	}
	s := ovstest.Start(t)
	db, err := Connect(ovstest.Context(t), Config{Socket: s.Socket, Owner: "host1", Timeout: 300 * time.Millisecond})
	must(t, err)
	t.Cleanup(db.Close)
	err = db.EnsureBridge(ovstest.Context(t), Bridge{Name: "br-int", Datapath: DatapathSystem})
	wantError(t, err, intent.Unavailable, "br-int", "modprobe openvswitch", "netdev")
}
