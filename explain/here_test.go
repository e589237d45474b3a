package explain

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
)

// fakeController has port acme/web/a and its flows.
type fakeController struct {
	down  error
	asked int // the number of requests for notes
}

func (c *fakeController) Status(context.Context) (controller.Status, error) {
	return controller.Status{Ports: []controller.PortStatus{
		{Interface: controller.Interface{Name: "ovl1", OFPort: 2}, Ref: intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, Known: true},
		{Interface: controller.Interface{Name: "ovl2"}, Ref: intent.PortRef{Tenant: "acme", Network: "web", Port: "down"}, Known: true},
	}}, c.down
}

func (c *fakeController) Objects(context.Context) (map[pipeline.Cookie]string, error) {
	return map[pipeline.Cookie]string{}, nil
}

func (c *fakeController) Notes(context.Context, map[pipeline.Cookie]bool) (controller.Notes, error) {
	c.asked++
	return controller.Notes{}, nil
}

// learnedFlows are flows that a switch has learned.
type learnedFlows struct {
	macs []intent.MAC
	err  error
}

func (l *learnedFlows) Tunnel() of.PortNo { return 1 }
func (l *learnedFlows) Flows(context.Context, ofconn.FlowFilter) (list []of.FlowStats, err error) {
	for _, m := range l.macs {
		list = append(list, of.FlowStats{Flow: of.Flow{Match: of.MatchOf(of.EthDst(m))}})
	}
	return list, l.err
}

func newHere(text string) (*Here, *fakeController, *learnedFlows) {
	c, l := &fakeController{}, &learnedFlows{}
	return &Here{Host: "host1", VTEP: netip.MustParseAddr("172.31.0.1"), Bridge: "br-int", Controller: c, Connection: l,
		Interfaces: func() []ovsdb.Interface {
			return []ovsdb.Interface{{Name: "ex-patch", Uplink: "bridge:br-ex", OFPort: 9}}
		},
		Externals: func(context.Context) ([]intent.External, error) { return nil, errors.New("no copy") },
		Call:      func(context.Context, string, ...string) (string, error) { return text, nil },
		Log:       slog.New(slog.DiscardHandler)}, c, l
}

// A trace through the local switch knows the ports there, leaves out what it cannot read, and
// requests the notes of an object once.
func TestTraceHere(t *testing.T) {
	h, c, _ := newHere(recorded(t)["arp"])
	r := Request{Port: &intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, Packet: "arp"}
	hop, err := h.Trace(t.Context(), r)
	if err != nil || len(hop.Steps) < 3 {
		t.Fatalf("%+v, %v", hop, err)
	}
	if c.asked == 0 || c.asked > len(hop.Steps) {
		t.Errorf("asked for notes %d times in %d steps", c.asked, len(hop.Steps))
	}
	r.Port.Port = "elsewhere"
	if _, err := h.Trace(t.Context(), r); err == nil {
		t.Error("a port that is not plugged here is traced")
	}
	c.down = intent.Unavailablef("it hangs")
	if _, err := h.Trace(t.Context(), r); !errors.Is(err, c.down) {
		t.Errorf("%v, want %v", err, c.down)
	}
}

func TestUplinksInWords(t *testing.T) {
	if a := uplink(ovsdb.Interface{Name: "p", Uplink: "bridge:br-ex"}); a.Bridge != "br-ex" || a.Uplink != "bridge br-ex" {
		t.Errorf("%+v", a)
	}
	if a := uplink(ovsdb.Interface{Name: "ovl-ext", Uplink: "host"}); a.Bridge != "" || !strings.Contains(a.Uplink, "(ovl-ext)") {
		t.Errorf("%+v", a)
	}
}

func TestRoomToLearn(t *testing.T) {
	h, _, l := newHere("")
	known, other := intent.MAC{2, 0, 0, 0, 0, 1}, intent.MAC{2, 0, 0, 0, 0, 2}
	l.macs = []intent.MAC{known}
	for _, c := range []struct {
		mac   intent.MAC
		limit uint32
		want  bool
	}{{other, 2, true}, {other, 1, false}, {known, 1, true}} {
		if got := h.room(t.Context(), 7, c.limit, c.mac); got != c.want {
			t.Errorf("room for %s beyond %d: %v", c.mac, c.limit, got)
		}
	}
	l.err = errors.New("no switch")
	if h.room(t.Context(), 7, 2, other) {
		t.Error("a disconnected switch has room")
	}
}

// A host that is asked for its part of a trace answers with the same error or hop as in a trace
// of its own.
func TestHops(t *testing.T) {
	var result intent.TraceHop
	var failure error
	remote := Hops{Host: "host2", Here: func(_ context.Context, r Request) (intent.TraceHop, error) {
		result.Host = r.Packet
		return result, failure
	}}
	var down error
	h := Hops{Host: "host1", Here: func(context.Context, Request) (intent.TraceHop, error) { return intent.TraceHop{Host: "here"}, nil },
		Down: func() error { return down },
		Ask: func(ctx context.Context, host, topic string, body json.RawMessage) (json.RawMessage, error) {
			if host != "host2" || topic != Topic {
				return nil, errors.New("asked " + host + " for " + topic)
			}
			return json.Marshal(remote.Answer(ctx, body))
		}}
	hop := func(host string) (intent.TraceHop, error) { return h.Hop(t.Context(), host, Request{Packet: "icmp"}) }
	if got, err := hop("host1"); got.Host != "here" || err != nil {
		t.Errorf("here: %+v, %v", got, err)
	}
	if got, err := hop("host2"); got.Host != "icmp" || err != nil {
		t.Errorf("there: %+v, %v", got, err)
	}
	failure = intent.NotFoundf("port acme/web/c1 is not plugged").WithHint("plug it")
	if _, err := hop("host2"); intent.KindOf(err) != intent.NotFound || !strings.Contains(err.Error(), "not plugged") {
		t.Errorf("there, an error of ours: %v", err)
	}
	failure = errors.New("broken pipe")
	if _, err := hop("host2"); intent.KindOf(err) != intent.Unavailable || !strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("there, another error: %v", err)
	}
	down = intent.Unavailablef("the store does not answer")
	if _, err := hop("host2"); err != down {
		t.Errorf("without a store: %v", err)
	}
	if _, err := hop("host1"); err != nil {
		t.Errorf("here without a store: %v", err)
	}
	if _, err := json.Marshal(remote.Answer(t.Context(), json.RawMessage("{"))); err != nil {
		t.Error(err)
	}
}
