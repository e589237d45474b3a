package controller

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/router"
)

// This file is what the router does beyond the uplinks of externals of kind bridge:
// it asks for neighbours there, keeps the gateway known, and tells of addresses
// that have come to this host. Beyond that of kind host is the host itself.

// outside is what the controller tells the router of uplinks.
type outside struct {
	uplinks map[uint32]uplinkState // by the external's VNI
}

// uplinkState is an uplink and the addresses that this host answers for there.
type uplinkState struct {
	port      of.PortNo
	vlan      uint16 // 0: none
	gateway   netip.Addr
	addresses map[netip.Addr]int // how often each is still to be announced
}

// setUplink replaces an external.
func (r *routing) setUplink(old, now *pipeline.ExternalView) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old != nil && (now == nil || now.External.VNI() != old.External.VNI()) {
		r.edit(old.External.VNI(), func(u *uplinkState) { u.port = 0 })
		delete(r.segments, old.External.VNI())
	}
	if now != nil && now.External.Kind == intent.ExternalBridge {
		r.edit(now.External.VNI(), func(u *uplinkState) {
			u.port, u.gateway, u.vlan = now.OFPort, now.External.Gateway, now.External.VLAN
		})
		r.segments[now.External.VNI()] = segment{vni: now.External.VNI(), mtu: now.External.MTU} // what is too large for it
	}
}

// setAddress takes in an address that has come to this host, or left it.
func (r *routing) setAddress(old, now *pipeline.AddressView) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := old != nil && old.Here && old.External.Kind == intent.ExternalBridge
	is := now != nil && now.Here && now.External.Kind == intent.ExternalBridge
	same := was && is && old.External.VNI() == now.External.VNI() && old.Router == now.Router
	if was && !same {
		r.edit(old.External.VNI(), func(u *uplinkState) { delete(u.addresses, old.Address) })
	}
	if is && !same {
		r.edit(now.External.VNI(), func(u *uplinkState) { u.addresses[now.Address] = announceTimes })
	}
}

// edit changes the state of one uplink. The caller holds mu.
func (r *routing) edit(vni uint32, change func(*uplinkState)) {
	u, ok := r.uplinks[vni]
	if !ok {
		u.addresses = map[netip.Addr]int{}
	}
	change(&u)
	if u.port == 0 && len(u.addresses) == 0 {
		delete(r.uplinks, vni)
		return
	}
	r.uplinks[vni] = u
}

// ask returns the question for a neighbour beyond an uplink, in the name of an address
// of this host; nil: there is no uplink, or no address to ask with.
func (u uplinkState) ask(mac intent.MAC, target netip.Addr) []of.PacketOut {
	var sender netip.Addr
	for a := range u.addresses {
		if !sender.IsValid() || a.Less(sender) {
			sender = a
		}
	}
	if u.port == 0 || !sender.IsValid() {
		return nil
	}
	return u.out(packet.Ask(mac, sender, target))
}

func (u uplinkState) out(frame []byte) []of.PacketOut {
	return []of.PacketOut{{Packet: frame, InPort: of.PortController, Actions: pipeline.ToUplink(u.port, u.vlan)}}
}

// askOutside asks for a neighbour beyond an external's uplink.
func (r *routing) askOutside(vni uint32, target netip.Addr) []of.PacketOut {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.uplinks[vni].ask(r.mac, target)
}

// sayOutside returns what is to be said on all uplinks without being asked: announcements
// that are left, and, if gateways is set, questions for the gateways.
func (r *routing) sayOutside(gateways bool) []of.PacketOut {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []of.PacketOut
	for _, u := range r.uplinks {
		if u.port == 0 {
			continue
		}
		fresh := false
		for a, left := range u.addresses {
			if left > 0 {
				out = append(out, u.out(packet.Announce(r.mac, a))...)
				fresh = fresh || left == announceTimes
				u.addresses[a] = left - 1
			}
		}
		if gateways || fresh {
			out = append(out, u.ask(r.mac, u.gateway)...)
		}
	}
	return out
}

// isOutside says whether a VNI stands for an external.
func isOutside(vni uint32) bool { return vni >= intent.VNIReserved }

// speakOutside says what is due on the uplinks.
func (r *Router) speakOutside(now time.Time) []of.PacketOut {
	if now.Sub(r.announced) < announceEvery {
		return nil
	}
	r.announced = now
	gateways := now.Sub(r.gatewaysAsked) >= gatewayEvery
	if gateways {
		r.gatewaysAsked = now
	}
	return r.routing.sayOutside(gateways)
}

// complainOutside tells a sender outside what is wrong with its packet. The packet has
// been translated to a port by now, and so is what is said about it: on its way out
// the connection tracker makes it speak of, and come from, the external address.
func (r *Router) complainOutside(in of.PacketIn, what packet.Problem) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	at := pipeline.PlaceOf(in.Metadata)
	to, _ := r.routing.segment(at.Network)
	if frame := p.Error(what, to.mtu, intent.GatewayMAC, p.Dst); frame != nil {
		return []of.PacketOut{pipeline.ToOutside(at.Tenant, frame)}, nil
	}
	return nil, nil
}

// open lets a fragment in, and if it is the first one begins its connection before.
func (r *Router) open(in of.PacketIn) ([]of.PacketOut, error) {
	p, err := packet.ParseIP(in.Packet)
	if err != nil {
		return nil, err
	}
	enter := pipeline.EnterAgain(in)
	if opener := p.Opener(); opener != nil {
		return []of.PacketOut{pipeline.Open(in, opener), enter}, nil
	}
	return []of.PacketOut{enter}, nil
}

// answerOutside sends the packets on that waited for an answer from beyond an uplink.
func (r *Router) answerOutside(in of.PacketIn) ([]of.PacketOut, error) {
	n, err := packet.ParseNeighbour(in.Packet)
	if err != nil {
		return nil, err
	}
	if !n.Answer {
		return nil, fmt.Errorf("a question of %s where an answer was expected", n.Sender)
	}
	var out []of.PacketOut
	for _, p := range r.questions.Release(router.Neighbour{VNI: pipeline.PlaceOf(in.Metadata).Network, Addr: n.Target}) {
		out = append(out, pipeline.LeaveAgain(p))
	}
	return out, nil
}
