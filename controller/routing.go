package controller

import (
	"net/netip"
	"sync"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// routing is what the controller tells the router, which works beside it: a packet
// does not wait while the controller compares 100,000 flows.
type routing struct {
	mu       sync.RWMutex
	tunnel   of.PortNo
	mac      intent.MAC         // this host's as a router
	segments map[uint32]segment // by VNI
	gained   []uint32           // networks whose peers this host became the gateway of
	sayings  []of.PacketOut     // to be sent
	outside
}

// segment is what the router must know of a network to speak as its gateway.
type segment struct {
	name    intent.NetworkRef
	vni     uint32
	vrf     uint32
	subnets []intent.Subnet
	mtu     int  // of its ports, in bytes
	elected bool // this host is the gateway of the network's peers
}

func newRouting() *routing {
	return &routing{segments: map[uint32]segment{}, outside: outside{map[uint32]uplinkState{}}}
}

func (r *routing) setTunnel(p of.PortNo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tunnel = p
}

func (r *routing) setMAC(m intent.MAC) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mac = m
}

// setSegment replaces a network; nil: there is, or was, none.
func (r *routing) setSegment(old, now *segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old != nil && r.segments[old.vni].name == old.name { // else another has its VNI by now
		delete(r.segments, old.vni)
	}
	if now != nil {
		r.segments[now.vni] = *now
		if now.elected && (old == nil || !old.elected) {
			r.gained = append(r.gained, now.vni)
		}
	}
}

// takeGained returns the networks whose peers this host became the gateway of since
// the last call.
func (r *routing) takeGained() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	gained := r.gained
	r.gained = nil
	return gained
}

func (r *routing) segment(vni uint32) (segment, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.segments[vni]
	return s, ok
}

// self returns this host's MAC as a router, and the tunnel's port.
func (r *routing) self() (intent.MAC, of.PortNo) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mac, r.tunnel
}

// gateway returns the gateway that speaks to an address: that of its subnet or, to
// what lies behind a port, any of its family.
func (s segment) gateway(to netip.Addr) (netip.Addr, bool) {
	var any netip.Addr
	for _, n := range s.subnets {
		switch {
		case n.Prefix.Contains(to):
			return n.Gateway, n.Gateway.IsValid()
		case !any.IsValid() && n.Gateway.Is4() == to.Is4():
			any = n.Gateway
		}
	}
	return any, any.IsValid()
}
