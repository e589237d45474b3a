package router

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// A packet whose next hop's MAC is not known waits here while the router asks for it,
// in the next hop's network or beyond an uplink.

const (
	askEvery = 500 * time.Millisecond  // how often an address is asked for
	askUntil = 1500 * time.Millisecond // after which an address is unreachable
	asksMax  = 1024                    // addresses asked for at a time
	heldMax  = 2048                    // packets in all
	heldEach = 16                      // packets for one address
)

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
	key := neighbour{vni: at.Network, addr: hop}
	q, fresh := r.questions.ask(key, at.Tenant, now)
	if q == nil {
		return nil, fmt.Errorf("the tenant has its share of %d addresses that are asked for", asksMax)
	}
	r.questions.hold(q, in)
	if fresh {
		return r.ask(key, q, now), nil
	}
	return nil, nil
}

// ask sends a question for an address to the whole network.
func (r *Router) ask(key neighbour, q *question[of.PacketIn], now time.Time) []of.PacketOut {
	q.asked = now
	if isExternal(key.vni) {
		return r.table.askBeyond(key.vni, key.addr)
	}
	own, _ := r.table.self()
	return []of.PacketOut{pipeline.Flood(key.vni, q.vrf, packet.Ask(own, netip.IPv4Unspecified(), key.addr))}
}

// askAgain repeats unanswered questions, and gives them up after a while.
func (r *Router) askAgain(now time.Time) []of.PacketOut {
	var out []of.PacketOut
	for key, q := range r.questions.all() {
		switch {
		case now.Sub(q.since) >= askUntil:
			for _, in := range r.questions.release(key) {
				if isExternal(key.vni) {
					continue // its source is translated already: an error could not reach its sender
				}
				errors, err := r.icmpError(in, packet.HostUnreachable)
				if err != nil {
					r.log.Debug("cannot say that an address is unreachable", "address", key.addr, "error", err)
				}
				out = append(out, errors...)
			}
		case now.Sub(q.asked) >= askEvery:
			out = append(out, r.ask(key, q, now)...)
		}
	}
	return out
}

// answer sends on the packets that waited for an answer, which the switch has learned
// already.
func (r *Router) answer(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	n, err := packet.ParseNeighbour(in.Packet)
	if err != nil || !n.Answer {
		return nil, err
	}
	var out []of.PacketOut
	for _, p := range r.questions.release(neighbour{vni: pipeline.PlaceOf(in.Metadata).Network, addr: n.Target}) {
		out = append(out, pipeline.LookAgain(p))
	}
	return slices.Clip(out), nil
}

// uplinkAnswer sends on the packets that waited for an answer from beyond an uplink.
func (r *Router) uplinkAnswer(in of.PacketIn, _ time.Time) ([]of.PacketOut, error) {
	n, err := packet.ParseNeighbour(in.Packet)
	if err != nil {
		return nil, err
	}
	if !n.Answer {
		return nil, fmt.Errorf("a question of %s where an answer was expected", n.Sender)
	}
	var out []of.PacketOut
	for _, p := range r.questions.release(neighbour{vni: pipeline.PlaceOf(in.Metadata).Network, addr: n.Target}) {
		out = append(out, pipeline.LeaveAgain(p))
	}
	return out, nil
}

// isExternal reports whether a VNI stands for an external.
func isExternal(vni uint32) bool { return vni >= intent.VNIReserved }
