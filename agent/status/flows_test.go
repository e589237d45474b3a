package status

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
)

func (b *bed) observer() *Observer {
	return &Observer{Bridge: "br-int", Controller: b, Switch: link{b, "openflow"}, Interfaces: func() []ovsdb.Interface { return b.onBr },
		Hosts: func(context.Context) ([]intent.HostState, error) {
			return []intent.HostState{{Host: intent.Host{Name: "host2", VTEP: netip.MustParseAddr("192.0.2.2")}}}, nil
		},
		Zones: func(context.Context) (map[string]uint16, error) { return map[string]uint16{}, nil },
		Connections: func(context.Context, uint16) ([]string, error) {
			return nil, errors.New("no switch")
		}}
}

// Flows are selected by table or by object, are sorted in the order in which packets meet them,
// and name their objects.
func TestFlows(t *testing.T) {
	port, other := pipeline.MakeCookie(pipeline.KindPort, 5), pipeline.MakeCookie(pipeline.KindPort, 6)
	flow := func(table uint8, priority uint16, c pipeline.Cookie) of.FlowStats {
		return of.FlowStats{Flow: of.Flow{Table: table, Priority: priority, Cookie: uint64(c)}, Packets: uint64(priority)}
	}
	b := &bed{objects: map[pipeline.Cookie]string{port: "port acme/web/c1", other: "port acme/webx/c1"},
		flows: []of.FlowStats{flow(1, 5, port), flow(0, 5, other), flow(0, 7, port), flow(0, 6, pipeline.MakeCookie(pipeline.KindPort, 9))}}
	objects := func(list []api.Flow) (names []string) {
		for _, f := range list {
			names = append(names, f.Table+" "+f.Object)
		}
		return names
	}
	first, second := pipeline.TableByID(0).Name, pipeline.TableByID(1).Name
	for _, c := range []struct {
		name string
		q    api.FlowQuery
		want []string
	}{
		{"all", api.FlowQuery{}, []string{first + " port acme/web/c1", first + " unknown", first + " port acme/webx/c1", second + " port acme/web/c1"}},
		{"of a network", api.FlowQuery{Object: "acme/web"}, []string{first + " port acme/web/c1", second + " port acme/web/c1"}},
	} {
		list, err := b.observer().Flows(t.Context(), c.q)
		if got := objects(list); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	if _, err := b.observer().Flows(t.Context(), api.FlowQuery{Table: second}); err != nil || !slices.Equal(b.filter.Tables, []uint8{1}) {
		t.Errorf("asked the switch for %+v, %v", b.filter, err)
	}
	if _, err := b.observer().Flows(t.Context(), api.FlowQuery{Table: "nowhere"}); intent.KindOf(err) != intent.Invalid {
		t.Errorf("a table that does not exist: %v", err)
	}
	if _, err := b.observer().Flows(t.Context(), api.FlowQuery{Object: "acme/we"}); intent.KindOf(err) != intent.NotFound {
		t.Errorf("an object that has no flows: %v", err)
	}
	diff, err := b.observer().FlowsDiff(t.Context())
	if err != nil || len(diff) != 2 || diff[0] != "two flows with one key" {
		t.Errorf("differences %q, %v", diff, err)
	}
}

func TestConnectionsOfATenant(t *testing.T) {
	o := (&bed{}).observer()
	snap := intent.Snapshot{Tenant: intent.Tenant{Name: "acme", VRF: 3}}
	if list, err := o.TenantConnections(t.Context(), snap); len(list) != 0 || err != nil {
		t.Errorf("of a tenant without NAT here: %v, %v", list, err)
	}
	o.Zones = func(context.Context) (map[string]uint16, error) { return nil, errors.New("no database") }
	if _, err := o.TenantConnections(t.Context(), snap); err == nil {
		t.Error("zones that cannot be read count as none")
	}
}

// The place of a learned MAC is reported by name or, without a name, by address or interface.
func TestLearned(t *testing.T) {
	var flows []of.FlowStats
	for _, text := range []string{
		"table=44,metadata=0x2713/0xffffff,dl_dst=02:00:00:00:00:01 actions=set_field:0x4->reg2",
		"table=44,metadata=0x2713/0xffffff,dl_dst=02:00:00:00:00:02 actions=set_field:0xc0000202->reg3",
		"table=44,metadata=0x2713/0xffffff,dl_dst=02:00:00:00:00:03 actions=set_field:0xc0000209->reg3",
		"table=44,metadata=0x2713/0xffffff,dl_dst=02:00:00:00:00:04 actions=set_field:0x5->reg2",
		"table=44,metadata=0x2713/0xffffff,dl_dst=02:00:00:00:00:05 actions=set_field:0x6->reg2",
		"table=44,metadata=0x2713/0xffffff,dl_dst=02:00:00:00:00:06 actions=set_field:0xc000020a->reg3",
		"table=44,metadata=0x9999/0xffffff,dl_dst=02:00:00:00:00:07 actions=set_field:0x4->reg2",
	} {
		f, err := of.ParseFlow(text)
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, of.FlowStats{Flow: f})
	}
	b := &bed{flows: flows, onBr: []ovsdb.Interface{{Name: "tap1", IfaceID: "u1", OFPort: 4}, {Name: "eth9", OFPort: 5}}}
	snap := intent.Snapshot{Ports: []intent.Port{{Tenant: "acme", Network: "web", Name: "c1", UUID: "u1"}},
		Peers: []intent.Peer{{Tenant: "acme", Network: "web", Name: "lab", VTEP: netip.MustParseAddr("192.0.2.10")}}}
	list, err := b.observer().Learned(t.Context(), snap, intent.Network{Tenant: "acme", Name: "web", VNI: 0x2713})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range list {
		got = append(got, l.Behind)
	}
	want := []string{"a port here", "host host2", "interface eth9", "peer acme/web/lab", "port acme/web/c1", "VTEP 192.0.2.9"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("learned behind %q, want %q", got, want)
	}
}
