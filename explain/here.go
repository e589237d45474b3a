package explain

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
)

// Controller knows the purpose of the switch's flows; *controller.Controller implements
// it.
type Controller interface {
	Status(ctx context.Context) (controller.Status, error)
	Objects(ctx context.Context) (map[pipeline.Cookie]string, error)
	Notes(ctx context.Context, owners map[pipeline.Cookie]bool) (controller.Notes, error)
}

// Connection is the connection to the local switch; *keeper.Link implements it.
type Connection interface {
	Tunnel() of.PortNo
	Flows(ctx context.Context, filter ofconn.FlowFilter) ([]of.FlowStats, error)
}

// Here is this host, which traces through its own switch, for itself and for other hosts.
// Every field is required.
type Here struct {
	Host   string
	VTEP   netip.Addr
	Bridge string // the integration bridge

	Controller Controller
	Connection Connection

	// Interfaces returns the interfaces of the integration bridge.
	Interfaces func() []ovsdb.Interface
	// Externals returns all externals. Without them a trace lacks their names.
	Externals func(ctx context.Context) ([]intent.External, error)
	// Call and Forward are the fields of Switch.
	Call    func(ctx context.Context, method string, params ...string) (string, error)
	Forward func(p intent.Protocol, from netip.Addr, to netip.AddrPort) (target netip.AddrPort, source netip.Addr, ok bool)

	Log *slog.Logger
}

// Trace returns what this host's switch would do with a packet (see Switch.Trace).
func (h *Here) Trace(ctx context.Context, r Request) (intent.TraceHop, error) {
	status, err := h.Controller.Status(ctx)
	if err != nil {
		return intent.TraceHop{}, err
	}
	objects, err := h.Controller.Objects(ctx)
	if err != nil {
		return intent.TraceHop{}, err
	}
	s := Switch{
		Host: h.Host, VTEP: h.VTEP, Bridge: h.Bridge, Tunnel: h.Connection.Tunnel(),
		Ports: map[of.PortNo]Attached{}, Externals: map[uint32]intent.External{},
		Call:   h.Call,
		Object: func(c pipeline.Cookie) string { return objects[c] },
		Note:   h.notes(ctx),
		Room: func(cookie uint64, limit uint32, mac intent.MAC) bool {
			return h.room(ctx, cookie, limit, mac)
		},
		Forward: h.Forward,
	}
	for _, p := range status.Ports {
		if p.OFPort != 0 {
			s.Ports[p.OFPort] = Attached{Port: p.Ref.String()}
		}
	}
	for _, i := range h.Interfaces() {
		if i.Uplink != "" && i.OFPort > 0 {
			s.Ports[of.PortNo(i.OFPort)] = uplink(i)
		}
	}
	externals, err := h.Externals(ctx)
	if err != nil {
		h.Log.Debug("externals without names in a trace", "error", err)
	}
	for _, e := range externals {
		s.Externals[e.VNI()] = e
	}
	return s.Trace(ctx, r)
}

// uplink describes where an uplink's interface leads.
func uplink(i ovsdb.Interface) Attached {
	if bridge, ok := strings.CutPrefix(i.Uplink, "bridge:"); ok {
		return Attached{Uplink: "bridge " + bridge, Bridge: bridge}
	}
	return Attached{Uplink: fmt.Sprintf("the host's own routing (%s)", i.Name)}
}

// room reports whether the switch has learned a MAC address with a cookie, or may learn
// one more.
func (h *Here) room(ctx context.Context, cookie uint64, limit uint32, mac intent.MAC) bool {
	learned, err := h.Connection.Flows(ctx, ofconn.FlowFilter{Cookie: cookie, CookieMask: ^uint64(0)})
	if err != nil {
		h.Log.Debug("what is learned is not known to a trace", "error", err)
		return false
	}
	if uint32(len(learned)) < limit {
		return true
	}
	for _, f := range learned {
		for _, t := range f.Match.Terms {
			if t.Field == of.FieldEthDst && t.Value == of.BitsOfMAC(mac) {
				return true
			}
		}
	}
	return false
}

// notes returns a function that says what a flow is for. It asks the controller once for
// each object.
func (h *Here) notes(ctx context.Context) func(of.Flow) string {
	known := controller.Notes{}
	return func(f of.Flow) string {
		owner := pipeline.Cookie(f.Cookie)
		if _, asked := known[owner]; !asked {
			notes, err := h.Controller.Notes(ctx, map[pipeline.Cookie]bool{owner: true})
			if err != nil {
				h.Log.Debug("flows without notes in a trace", "error", err)
			}
			known[owner] = notes[owner]
		}
		return known.Of(f)
	}
}
