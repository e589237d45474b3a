package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/router"
)

// Router does what a gateway does and flows cannot: it tells senders what is wrong
// with their packets, fragments packets that are too large, and asks for neighbours
// that nobody knows, while it holds the packets for them. It works beside the
// controller, which tells it what it must know.
type Router struct {
	routing *routing
	log     *slog.Logger
	send    func(context.Context, ...of.PacketOut) error

	announcing map[uint32]time.Time // by VNI: when the gateway was taken over from another host
	questions  *router.Questions[of.PacketIn]

	announced, gatewaysAsked time.Time // when the uplinks were last looked after

	tooLargePackets, tooLargeBytes atomic.Uint64
}

const (
	askAgain      = 500 * time.Millisecond
	askUntil      = 1500 * time.Millisecond // then the address is unreachable
	askTick       = 100 * time.Millisecond
	announceAfter = time.Second // after a host became the gateway of peers; its flows are in place then
	asksMax       = 1024        // addresses asked for at a time
	heldMax       = 2048        // packets, in all
	heldEach      = 16          // packets for one address
	sendLimit     = 2 * time.Second
)

// Router returns the router of the host. send puts packets into the switch.
func (c *Controller) Router(send func(context.Context, ...of.PacketOut) error) *Router {
	return &Router{routing: c.world.routing, log: c.log, send: send,
		announcing: map[uint32]time.Time{}, questions: router.NewQuestions[of.PacketIn](router.Limits{Asked: asksMax, Held: heldMax, Each: heldEach})}
}

// Run takes in packets until ctx ends.
func (r *Router) Run(ctx context.Context, packets <-chan of.PacketIn) {
	ticker := time.NewTicker(askTick)
	defer ticker.Stop()
	for {
		var out []of.PacketOut
		select {
		case <-ctx.Done():
			return
		case p := <-packets:
			out = r.receive(p, time.Now())
		case now := <-ticker.C:
			out = append(r.remind(now), r.speakOutside(now)...)
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

// receive returns what is to be sent because of a packet.
func (r *Router) receive(in of.PacketIn, now time.Time) []of.PacketOut {
	if len(in.Userdata) == 0 {
		return nil
	}
	cause := pipeline.Cause(in.Userdata[0])
	out, err := r.handle(cause, in, now)
	if err != nil {
		r.log.Debug("cannot handle a packet", "cause", cause.String(), "error", err)
	}
	return out
}

func (r *Router) handle(cause pipeline.Cause, in of.PacketIn, now time.Time) ([]of.PacketOut, error) {
	switch cause {
	case pipeline.CauseExpired:
		return r.complain(in, packet.Expired)
	case pipeline.CauseGateway:
		return r.complain(in, packet.NoPort)
	case pipeline.CauseNoRoute:
		return r.complain(in, packet.NoRoute)
	case pipeline.CauseUnreachable:
		return r.complain(in, packet.HostUnreachable)
	case pipeline.CauseOversize:
		r.tooLargePackets.Add(1)
		r.tooLargeBytes.Add(uint64(len(in.Packet)))
		return r.tooLarge(in)
	case pipeline.CauseQuestion:
		return r.question(in, now)
	case pipeline.CauseAnswer:
		return r.answer(in)
	case pipeline.CauseUplinkAsk:
		return r.question(in, now)
	case pipeline.CauseUplinkAnswer:
		return r.answerOutside(in)
	case pipeline.CauseFragment:
		return r.open(in)
	case pipeline.CauseSolicitation:
		return r.advertise(in)
	}
	return nil, nil
}

// complain tells the sender of a packet what is wrong with it.
func (r *Router) complain(in of.PacketIn, what packet.Problem) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	at := pipeline.PlaceOf(in.Metadata)
	if at.Outside() {
		return r.complainOutside(in, what)
	}
	from, ok := r.routing.segment(at.Source)
	if !ok {
		return nil, fmt.Errorf("a packet from network %d, which is not known", at.Source)
	}
	gateway, ok := from.gateway(p.Src)
	switch what {
	case packet.NoPort:
		gateway = p.Dst
		if p.Proto != protoTCP && p.Proto != protoUDP && p.Proto != protoSCTP {
			what = packet.NoProtocol
		}
		if p.Proto == protoICMP || p.Proto == protoICMPv6 {
			return nil, nil // it is spoken, but this is no ping
		}
	default:
		if !ok {
			return nil, nil // no gateway of this family
		}
	}
	to, _ := r.routing.segment(at.Network)
	return r.back(at, p.Error(what, to.mtu, r.mac(at), gateway)), nil
}

// Protocols in IP packets (IANA).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// mac returns the MAC under which the gateway speaks to where a packet came from: to
// other hosts under the host's own.
func (r *Router) mac(at pipeline.Place) intent.MAC {
	if at.FromTunnel && !at.FromPeer {
		own, _ := r.routing.self()
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
		_, tunnel := r.routing.self()
		return []of.PacketOut{{Packet: frame, Actions: []of.Action{
			of.Set(of.FieldTunID, uint64(at.Source)), of.SetAddr(of.FieldTunDst, at.TunnelSource), of.Output{Port: tunnel}}}}
	default:
		return []of.PacketOut{{Packet: frame, Actions: []of.Action{of.Output{Port: at.InPort}}}}
	}
}

// TooLarge returns how many packets that were larger than the MTU of the network that they
// go to have come to the router.
func (r *Router) TooLarge() (packets, bytes uint64) {
	return r.tooLargePackets.Load(), r.tooLargeBytes.Load()
}

// tooLarge fragments a packet, or says how large it may be.
func (r *Router) tooLarge(in of.PacketIn) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	if p.DontFragment || p.Src.Is6() {
		return r.complain(in, packet.TooBig)
	}
	at := pipeline.PlaceOf(in.Metadata)
	to, ok := r.routing.segment(at.Network)
	if !ok {
		return nil, fmt.Errorf("a packet to network %d, which is not known", at.Network)
	}
	frames, err := p.Fragments(to.mtu)
	if err != nil {
		return nil, err
	}
	var out []of.PacketOut
	for _, f := range frames {
		out = append(out, pipeline.SendOn(in, f))
	}
	return out, nil
}

// question holds a packet, and asks for its next hop unless that was asked for just
// now.
func (r *Router) question(in of.PacketIn, now time.Time) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	at := pipeline.PlaceOf(in.Metadata)
	hop := at.Hop4
	if p.Src.Is6() {
		hop = at.Hop6
	}
	key := router.Neighbour{VNI: at.Network, Addr: hop}
	q, fresh := r.questions.Ask(key, at.Tenant, now)
	if q == nil {
		return nil, fmt.Errorf("the tenant has its share of %d addresses that are asked for", asksMax)
	}
	r.questions.Hold(q, in)
	if fresh {
		return r.ask(key, q, now), nil
	}
	return nil, nil
}

// ask asks everybody in the network for an address.
func (r *Router) ask(key router.Neighbour, q *router.Question[of.PacketIn], now time.Time) []of.PacketOut {
	q.Asked = now
	if isOutside(key.VNI) {
		return r.routing.askOutside(key.VNI, key.Addr)
	}
	own, _ := r.routing.self()
	return []of.PacketOut{pipeline.Flood(key.VNI, q.VRF, packet.Ask(own, netip.IPv4Unspecified(), key.Addr))}
}

// remind asks again for what nobody answered, and gives up what nobody answers.
func (r *Router) remind(now time.Time) []of.PacketOut {
	out := append(r.routing.takeSayings(), r.announce(now)...)
	for key, q := range r.questions.All() {
		switch {
		case now.Sub(q.Since) >= askUntil:
			for _, in := range r.questions.Release(key) {
				if isOutside(key.VNI) {
					continue // translated already: nobody could tell whose it was
				}
				told, err := r.complain(in, packet.HostUnreachable)
				if err != nil {
					r.log.Debug("cannot tell that an address is unreachable", "address", key.Addr, "error", err)
				}
				out = append(out, told...)
			}
		case now.Sub(q.Asked) >= askAgain:
			out = append(out, r.ask(key, q, now)...)
		}
	}
	return out
}

// announce tells peers where their gateway is now: else they would go on sending to
// the host that was it before, until their ARP entries age.
func (r *Router) announce(now time.Time) []of.PacketOut {
	for _, vni := range r.routing.takeGained() {
		r.announcing[vni] = now
	}
	var out []of.PacketOut
	for vni, since := range r.announcing {
		if now.Sub(since) < announceAfter {
			continue
		}
		delete(r.announcing, vni)
		s, ok := r.routing.segment(vni)
		if !ok || !s.elected {
			continue // it went on to another host
		}
		for _, n := range s.subnets {
			if n.Gateway.IsValid() {
				out = append(out, pipeline.ToPeers(vni, packet.Announce(intent.GatewayMAC, n.Gateway)))
			}
		}
	}
	return out
}

// answer sends the packets on that waited for an answer: the switch has learned it
// already.
func (r *Router) answer(in of.PacketIn) ([]of.PacketOut, error) {
	n, err := packet.ParseNeighbour(in.Packet)
	if err != nil || !n.Answer {
		return nil, err
	}
	var out []of.PacketOut
	for _, p := range r.questions.Release(router.Neighbour{VNI: pipeline.PlaceOf(in.Metadata).Network, Addr: n.Target}) {
		out = append(out, pipeline.LookAgain(p))
	}
	return slices.Clip(out), nil
}

// advertise answers for a gateway where the switch cannot.
func (r *Router) advertise(in of.PacketIn) ([]of.PacketOut, error) {
	n, err := packet.ParseNeighbour(in.Packet)
	if err != nil || n.Answer {
		return nil, err
	}
	at := pipeline.PlaceOf(in.Metadata)
	return r.back(at, n.Answer6(r.mac(at))), nil
}
