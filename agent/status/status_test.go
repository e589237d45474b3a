package status

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/repair"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

var (
	c1 = intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}
	c2 = intent.PortRef{Tenant: "acme", Network: "web", Port: "c2"}
)

// bed is a host in which tests stand for all parts. In its zero value, all is well.
type bed struct {
	hangs bool // controller and switch do not answer

	mu     sync.Mutex
	filter ofconn.FlowFilter // of the last request for flows; guarded by mu

	status  controller.Status
	objects map[pipeline.Cookie]string
	flows   []of.FlowStats
	states  map[string]agent.State
	under   agent.Underlay
	onBr    []ovsdb.Interface
	leftOut []store.LeftOut
	trial   cluster.Trial
	down    map[string]error // "store", "openflow", "ovsdb", "bridges", "card", "apart"
	limited map[uint32]datapath.Penalty
}

func (b *bed) wait(ctx context.Context) error {
	if b.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (b *bed) Status(ctx context.Context) (controller.Status, error) { return b.status, b.wait(ctx) }
func (b *bed) Objects(context.Context) (map[pipeline.Cookie]string, error) {
	return b.objects, nil
}

func (b *bed) Notes(context.Context, map[pipeline.Cookie]bool) (controller.Notes, error) {
	return controller.Notes{}, nil
}

func (b *bed) Compare(context.Context) ([]of.Mod, []string, error) {
	return []of.Mod{&of.FlowMod{Command: of.FlowAdd, Flow: of.Flow{Priority: 7}}}, []string{"two flows with one key"}, nil
}

func (b *bed) Flows(ctx context.Context, filter ofconn.FlowFilter) ([]of.FlowStats, error) {
	b.mu.Lock()
	b.filter = filter
	b.mu.Unlock()
	return slices.Clone(b.flows), b.wait(ctx)
}

func (b *bed) MeterStats(context.Context) ([]of.MeterStats, error) { return nil, nil }
func (b *bed) Version(context.Context) (ovsdb.Version, error) {
	return ovsdb.Version{OVS: "3.1.0"}, nil
}
func (b *bed) Interfaces(string) []ovsdb.Interface { return b.onBr }
func (b *bed) LeftOut() []store.LeftOut            { return b.leftOut }
func (b *bed) NextTrial() (cluster.Trial, bool)    { return b.trial, !b.trial.Next.IsZero() }
func (b *bed) Underlay(netip.Addr) agent.Underlay  { return b.under }
func (b *bed) States() map[string]agent.State      { return maps.Clone(b.states) }

func (b *bed) fault(of string) func() error { return func() error { return b.down[of] } }

// link is a connection of the bed.
type link struct {
	*bed
	name string
}

func (l link) Down() error { return l.down[l.name] }
func (l link) State() (bool, time.Time, error) {
	return l.down[l.name] == nil, time.Unix(1000, 0), l.down[l.name]
}

// database is the bed's, and reports its state as package ovsdb does.
type database struct{ *bed }

func (d database) State() ovsdb.State {
	return ovsdb.State{Connected: d.down["ovsdb"] == nil, LastError: d.down["ovsdb"]}
}

func (b *bed) host() *Host {
	return New(Config{
		Host: intent.Host{Name: "host1", Version: "1.0", VTEP: netip.MustParseAddr("192.0.2.1"), Datapath: "netdev"}, Bridge: "br-int",
		Store: "embedded", OVSDB: "db.sock", OpenFlow: "br-int.mgmt", Started: time.Now(),
		Controller: b, Switch: link{b, "openflow"}, Database: database{b}, Follows: b, Presence: link{b, "store"}, Agent: b,
		BridgesFault: b.fault("bridges"), CardFault: b.fault("card"), ApartFault: b.fault("apart"),
		Exits:     func() exit.Status { return exit.Status{Uplinks: []api.Uplink{{External: "internet"}}} },
		Penalties: func() map[uint32]datapath.Penalty { return b.limited },
		Cache: func(ctx context.Context) (datapath.CacheStats, error) {
			return datapath.CacheStats{Hits: 9}, b.wait(ctx)
		},
		Repairs:  func() []repair.Entry { return []repair.Entry{{What: "flows changed by another program", Times: 2}} },
		TooLarge: func() (uint64, uint64) { return 3, 4500 },
	})
}

func TestStatusOfAHost(t *testing.T) {
	b := &bed{
		status: controller.Status{Connected: true, Flows: 80, Tenants: []controller.TenantStatus{{Name: "acme", Applied: 7}, {Name: "globex", Applied: 9}},
			Ports: []controller.PortStatus{
				{Interface: controller.Interface{Name: "ovl1", OFPort: 4, Installed: true}, Ref: c1, Known: true, InForce: true},
				{Interface: controller.Interface{Name: "ovl2", OFPort: 5, Installed: true}, Ref: c2, Known: true, InForce: true}}},
		states: map[string]agent.State{"ovl2": {Port: "acme/web/c2", What: "its link is down", Down: true, Do: "set it up"}, "ovl3": {Port: "acme/web/c3", What: "the switch lost it"}},
		under:  agent.Underlay{Interface: "eth1", MTU: 1600},
	}
	s, err := b.host().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Host != "host1" || s.OVSVersion != "3.1.0" || s.Revision != 9 || len(s.Tenants) != 2 || s.Flows != 80 || s.Underlay.MTU != 1600 || s.Cache == nil || s.Cache.Hits != 9 || len(s.Stale) != 0 {
		t.Errorf("status %+v", s)
	}
	want := []api.BoundPort{
		{Port: "acme/web/c1", Interface: "ovl1", OFPort: 4, Up: true},
		{Port: "acme/web/c2", Interface: "ovl2", OFPort: 5, Fault: "its link is down"},
		{Port: "acme/web/c3", Interface: "ovl3", Fault: "the switch lost it"}}
	if !slices.Equal(s.Ports, want) {
		t.Errorf("ports %+v, want %+v", s.Ports, want)
	}
	for _, c := range s.Connections {
		if !c.Connected || c.Error != "" {
			t.Errorf("connection %+v", c)
		}
	}
	if len(s.Drops) != 1 || s.Drops[0].Packets != 3 || len(s.Uplinks) != 1 || len(s.Repairs) != 1 || s.LeftOut == nil {
		t.Errorf("drops %+v, uplinks %+v, repairs %+v, left out %+v", s.Drops, s.Uplinks, s.Repairs, s.LeftOut)
	}
	if len(s.Warnings) != 2 {
		t.Errorf("warnings %+v", s.Warnings)
	}
}

// While the switch hangs, a status returns soon, with what was known last, and says so.
func TestStatusWhileOthersHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bed{status: controller.Status{Connected: true, Flows: 80}}
		h := b.host()
		if _, err := h.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.hangs = true
		began := time.Now()
		s, err := h.Status(t.Context())
		if err != nil || time.Since(began) != partPatience || s.Flows != 80 || s.Cache == nil {
			t.Errorf("%+v, %v after %s", s, err, time.Since(began))
		}
		var parts []string
		for _, p := range s.Stale {
			parts = append(parts, p.Part)
		}
		if want := []string{"controller", "drops", "cache"}; !slices.Equal(parts, want) {
			t.Errorf("stale %q, want %q", parts, want)
		}
		if len(s.Warnings) != 2 || !strings.HasPrefix(s.Warnings[0].What, "ports and flows: as of ") {
			t.Errorf("warnings %+v", s.Warnings)
		}
		s, err = b.host().Status(t.Context())
		if err != nil || s.Cache != nil || len(s.Warnings) == 0 || !strings.HasPrefix(s.Warnings[0].What, "no answer yet about ports and flows") {
			t.Errorf("never answered: %+v, %v", s, err)
		}
		time.Sleep(partLife)
	})
}

func TestWarnings(t *testing.T) {
	no := errors.New("no answer")
	hinted := intent.NotFoundf("eth1 is gone").WithHint("put it back")
	port := func(change func(*controller.PortStatus)) func(*bed) {
		return func(b *bed) {
			p := controller.PortStatus{Interface: controller.Interface{UUID: "u", Name: "ovl1", IfaceID: "id"}, Ref: c1}
			change(&p)
			b.status.Ports = []controller.PortStatus{p}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*bed)
		want   []string // "what => do", prefixes
	}{
		{"all is well", func(*bed) {}, nil},
		{"the store", func(b *bed) { b.down["store"] = no; b.trial.Next = time.Unix(0, 0); b.trial.Last = "corrupt" },
			[]string{"no answer => see whether the host that runs the store is up; packets keep flowing; it is tried again at 00:00:00Z (the last time: corrupt)"}},
		{"the store, with a remedy", func(b *bed) { b.down["store"] = intent.Unavailablef("%w", hinted) }, []string{" => put it back"}},
		{"the store, with damaged copies", func(b *bed) { b.down["store"] = no; b.status.NoHosts, b.status.NoGuard = true, true },
			[]string{"no answer", "the copy of the list of hosts on disk is damaged", "the copy of what tenants are kept from on disk is damaged"}},
		{"the database", func(b *bed) { b.down["ovsdb"] = no }, []string{"ovsdb-server does not answer: no answer => see whether ovsdb-server runs"}},
		{"the switch", func(b *bed) { b.down["openflow"] = no }, []string{"ovs-vswitchd does not answer: no answer => see whether ovs-vswitchd runs"}},
		{"the bridges", func(b *bed) { b.down["bridges"] = no }, []string{"the bridges cannot be put right: no answer => see the log"}},
		{"the bridges, with advice", func(b *bed) { b.down["bridges"] = hinted }, []string{"the bridges cannot be put right: eth1 is gone => put it back"}},
		{"the card", func(b *bed) { b.down["card"] = hinted }, []string{"eth1 is gone => put it back"}},
		{"the host's network", func(b *bed) { b.down["apart"] = no }, []string{"is not kept apart from its ports, which may reach what the host routes to: no answer => see the log of ovloomd; it tries again every 10 seconds"}},
		{"the underlay", func(b *bed) { b.under = agent.Underlay{Fault: "eth1 is down", Do: "up"} }, []string{"eth1 is down => up"}},
		{"no limit", func(b *bed) { b.status.Tenants = []controller.TenantStatus{{Name: "acme", Unlimited: true}} }, []string{"nothing bounds the connections of tenant acme through NAT"}},
		{"a clash", func(b *bed) { b.status.Clashes = []string{"acme and globex"} }, []string{"acme and globex => change one of them"}},
		{"a flow that the switch refused", func(b *bed) { b.status.LastError = "bad match" }, []string{"the switch could not be brought up to date: bad match"}},
		{"an interface that does not open", port(func(p *controller.PortStatus) { p.Known, p.Error = true, "no such device" }), []string{"Open vSwitch cannot open interface ovl1 of acme/web/c1: no such device"}},
		{"a port that another has", port(func(p *controller.PortStatus) { p.Known, p.Refused = true, "host2 has it" }), []string{"interface ovl1 cannot be used for its port: host2 has it => unplug it here"}},
		{"a port that does not exist", port(func(*controller.PortStatus) {}), []string{"interface ovl1 names a port that does not exist: id => add the port"}},
		{"a port that was deleted", func(b *bed) {
			port(func(*controller.PortStatus) {})(b)
			b.onBr = []ovsdb.Interface{{UUID: "u", Name: "ovl1", PluggedFor: "acme/web/c1"}}
		}, []string{"interface ovl1 was plugged for port acme/web/c1, which was deleted => ovloom port unplug acme/web/c1"}},
		{"a port of which nothing is known yet", port(func(p *controller.PortStatus) { p.Pending = true }), nil},
		{"a port plugged twice", func(b *bed) {
			b.status.Conflicts = []controller.Conflict{{Ref: c1, Claims: []intent.Binding{{Host: "host2"}, {Host: "host1"}}, Interfaces: []string{"ovl1", "tap1"}}}
		}, []string{"port acme/web/c1 is plugged on host2 and host1; host2 has it => unplug it on host1", "several interfaces here name port acme/web/c1: ovl1, tap1"}},
		{"a port that floods", func(b *bed) {
			port(func(p *controller.PortStatus) { p.Known, p.InForce, p.OFPort = true, true, 4 })(b)
			b.limited = map[uint32]datapath.Penalty{4: {Flows: 9000}, 5: {Flows: 9000}}
		}, []string{"port acme/web/c1 sent from or to so many addresses at a time (9000 cached flows)"}},
		{"a port that asks", func(b *bed) {
			port(func(p *controller.PortStatus) { p.Known, p.InForce, p.OFPort = true, true, 4 })(b)
			b.limited = map[uint32]datapath.Penalty{4: {Asked: 5000}}
		}, []string{"port acme/web/c1 sent so many ARP requests or neighbour solicitations (5000 a second)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bed{down: map[string]error{}}
			c.change(b)
			s, err := b.host().Status(t.Context())
			if err != nil || len(s.Warnings) != len(c.want) {
				t.Fatalf("warnings %+v, %v; want %q", s.Warnings, err, c.want)
			}
			for i, w := range s.Warnings {
				if text := w.What + " => " + w.Do; !strings.Contains(text, c.want[i]) || w.Do == "" {
					t.Errorf("warning %q, want %q", text, c.want[i])
				}
			}
		})
	}
}
