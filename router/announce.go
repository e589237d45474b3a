package router

import (
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// What the router announces unasked, so that neighbours do not go on sending to an
// address's previous location.

const (
	announceAfter   = time.Second // after a host became the gateway of peers; its flows are in place by then
	announceTimes   = 3           // how often an address that is new on an uplink is announced
	announceEvery   = time.Second
	gatewayEvery    = 30 * time.Second // how often an uplink's gateway is asked for, so that it is known when needed
	announceAtATime = 100              // port announcements per tick: the switch has other work
)

// Arrival is a port that came up on this host, or changed its MAC or address here.
type Arrival struct {
	Port  of.PortNo // of the switch
	VNI   uint32
	VRF   uint32
	MAC   intent.MAC
	Addrs []netip.Addr
}

// Announce announces a port's addresses once to its network, without the port itself:
// neighbours that know an address under another MAC, and peers that know the MAC behind
// another host, would go on sending there. Ports cannot announce themselves: port
// security and the switch's own ARP answers keep others from seeing it.
func (t *Table) Announce(a Arrival) {
	var out []of.PacketOut
	for _, addr := range a.Addrs {
		frame := packet.Announce(a.MAC, addr)
		if addr.Is6() {
			frame = packet.Advertise(a.MAC, addr)
		}
		out = append(out, pipeline.FloodFrom(a.Port, a.VNI, a.VRF, frame))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.announcements = append(t.announcements, out...)
}

// takeAnnouncements returns some of the waiting announcements of ports.
func (t *Table) takeAnnouncements() []of.PacketOut {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.announcements), announceAtATime)
	out := t.announcements[:n:n]
	if t.announcements = t.announcements[n:]; len(t.announcements) == 0 {
		t.announcements = nil
	}
	return out
}

// announcePorts announces ports that have come up.
func (r *Router) announcePorts(time.Time) []of.PacketOut { return r.table.takeAnnouncements() }

// announceGateways announces to peers the new location of their gateway: otherwise they
// would go on sending to the previous host until their ARP entries expire.
func (r *Router) announceGateways(now time.Time) []of.PacketOut {
	for _, vni := range r.table.takeElected() {
		r.takenOver[vni] = now
	}
	var out []of.PacketOut
	for vni, since := range r.takenOver {
		if now.Sub(since) < announceAfter {
			continue
		}
		delete(r.takenOver, vni)
		s, ok := r.table.network(vni)
		if !ok || !s.Elected {
			continue // it moved on to another host
		}
		for _, n := range s.Subnets {
			if n.Gateway.IsValid() {
				out = append(out, pipeline.ToPeers(vni, packet.Announce(intent.GatewayMAC, n.Gateway)))
			}
		}
	}
	return out
}

// announceOnUplinks announces external addresses that are new on this host, and asks at
// intervals for the gateways of uplinks.
func (r *Router) announceOnUplinks(now time.Time) []of.PacketOut {
	if now.Sub(r.announced) < announceEvery {
		return nil
	}
	r.announced = now
	gateways := now.Sub(r.gatewaysAsked) >= gatewayEvery
	if gateways {
		r.gatewaysAsked = now
	}
	return r.table.sayBeyond(gateways)
}
