package router

import (
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// What the router says without being asked, so that neighbours do not go on sending to
// where an address was before.

const (
	announceAfter   = time.Second // after a host became the gateway of peers; its flows are in place then
	announceTimes   = 3           // how often an address that has come to an uplink is announced
	announceEvery   = time.Second
	gatewayEvery    = 30 * time.Second // how often the gateway of an uplink is asked for, so that it is known before it is needed
	announceAtATime = 100              // announcements of ports: the switch has other things to do
)

// Arrival is a port that has come up on this host, or got another MAC or address here.
type Arrival struct {
	Port  of.PortNo // of the switch
	VNI   uint32
	VRF   uint32
	MAC   intent.MAC
	Addrs []netip.Addr
}

// Announce tells a port's network, once, of the port's addresses, and the port itself
// nothing: neighbours that know an address under another MAC, and peers that know the MAC
// behind another host, would go on sending there. Ports cannot tell: port security and
// the switch's own ARP answers keep others from believing them.
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

// takeAnnouncements returns some of the announcements of ports that wait.
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

// announceGateways tells peers where their gateway is now: else they would go on sending
// to the host that was it before, until their ARP entries age.
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
			continue // it went on to another host
		}
		for _, n := range s.Subnets {
			if n.Gateway.IsValid() {
				out = append(out, pipeline.ToPeers(vni, packet.Announce(intent.GatewayMAC, n.Gateway)))
			}
		}
	}
	return out
}

// announceOnUplinks announces external addresses that have come to this host, and now and
// then asks for the gateways of uplinks.
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
