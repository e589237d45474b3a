package router

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Router handles packets that the switch hands to ovloomd. Its methods other than
// TooLarge are for one goroutine, Run's.
type Router struct {
	table *Table
	log   *slog.Logger
	send  func(context.Context, ...of.PacketOut) error

	questions *questions[of.PacketIn]

	takenOver     map[uint32]time.Time // by VNI: when the gateway came here from another host
	announced     time.Time            // when addresses were last announced on uplinks
	gatewaysAsked time.Time            // when the gateways of uplinks were last asked for

	tooLargePackets, tooLargeBytes atomic.Uint64
}

const (
	tick      = 100 * time.Millisecond // how often work without a packet is looked for
	sendLimit = 2 * time.Second        // limit for handing packets to the switch
)

// New returns a router that works by a table. send puts packets into the switch.
func New(t *Table, log *slog.Logger, send func(context.Context, ...of.PacketOut) error) *Router {
	return &Router{table: t, log: log, send: send,
		takenOver: map[uint32]time.Time{},
		questions: newQuestions[of.PacketIn](limits{asked: asksMax, held: heldMax, each: heldEach})}
}

// handlers return what is sent in response to a packet, by the cause for which the
// switch handed it up.
var handlers = map[pipeline.Cause]func(r *Router, in of.PacketIn, now time.Time) ([]of.PacketOut, error){
	pipeline.CauseExpired:      (*Router).expired,
	pipeline.CauseGateway:      (*Router).noPort,
	pipeline.CauseNoRoute:      (*Router).noRoute,
	pipeline.CauseUnreachable:  (*Router).unreachable,
	pipeline.CauseOversize:     (*Router).tooLarge,
	pipeline.CauseQuestion:     (*Router).question,
	pipeline.CauseUplinkAsk:    (*Router).question,
	pipeline.CauseAnswer:       (*Router).answer,
	pipeline.CauseUplinkAnswer: (*Router).uplinkAnswer,
	pipeline.CauseSolicitation: (*Router).solicitation,
	pipeline.CauseFragment:     (*Router).fragment,
}

// periodic is the work that is due at each tick.
var periodic = []func(r *Router, now time.Time) []of.PacketOut{
	(*Router).announcePorts,
	(*Router).announceGateways,
	(*Router).askAgain,
	(*Router).announceOnUplinks,
}

// Run handles packets until ctx ends.
func (r *Router) Run(ctx context.Context, packets <-chan of.PacketIn) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		var out []of.PacketOut
		select {
		case <-ctx.Done():
			return
		case p := <-packets:
			out = r.receive(p, time.Now())
		case now := <-ticker.C:
			out = r.due(now)
		}
		if len(out) == 0 {
			continue
		}
		call, cancel := context.WithTimeout(ctx, sendLimit)
		if err := r.send(call, out...); err != nil && ctx.Err() == nil {
			r.log.Debug("cannot send packets", "packets", len(out), "error", err)
		}
		cancel()
	}
}

// receive returns what is sent in response to a packet.
func (r *Router) receive(in of.PacketIn, now time.Time) []of.PacketOut {
	if len(in.Userdata) == 0 {
		return nil
	}
	cause := pipeline.Cause(in.Userdata[0])
	handle := handlers[cause]
	if handle == nil {
		return nil // from a flow of another version of ovloomd
	}
	out, err := handle(r, in, now)
	if err != nil {
		r.log.Debug("cannot handle a packet", "reason", cause.String(), "error", err)
	}
	return out
}

// due returns what is to be sent without a packet that asks for it.
func (r *Router) due(now time.Time) []of.PacketOut {
	var out []of.PacketOut
	for _, f := range periodic {
		out = append(out, f(r, now)...)
	}
	return out
}

// mac returns the gateway's MAC towards a packet's source: towards other hosts it is
// the host's own.
func (r *Router) mac(at pipeline.Place) intent.MAC {
	if at.FromTunnel && !at.FromPeer {
		own, _ := r.table.self()
		return own
	}
	return intent.GatewayMAC
}

// back sends a frame to where a packet came from.
func (r *Router) back(at pipeline.Place, frame []byte) []of.PacketOut {
	switch {
	case frame == nil:
		return nil
	case at.FromTunnel:
		_, tunnel := r.table.self()
		return []of.PacketOut{{Packet: frame, Actions: []of.Action{
			of.Set(of.FieldTunID, uint64(at.Source)), of.SetAddr(of.FieldTunDst, at.TunnelSource), of.Output{Port: tunnel}}}}
	default:
		return []of.PacketOut{{Packet: frame, Actions: []of.Action{of.Output{Port: at.InPort}}}}
	}
}
