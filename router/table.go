package router

import (
	"net/netip"
	"sync"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Table is what a Router must know of the overlay. Its methods may be called by several
// goroutines: the controller writes it, the router reads it.
type Table struct {
	mu       sync.RWMutex
	tunnel   of.PortNo
	mac      intent.MAC         // this host's as a router
	networks map[uint32]Network // by VNI; those of externals of kind bridge included
	elected  []uint32           // networks whose peers this host became the gateway of
	uplinks  map[uint32]uplink  // by the external's VNI

	announcements []of.PacketOut // of ports, to be sent
}

// Network is what the router must know of a network to speak as its gateway.
type Network struct {
	Name    intent.NetworkRef // zero: it stands for an external
	VNI     uint32
	Subnets []intent.Subnet
	MTU     int  // of its ports, in bytes
	Elected bool // this host is the gateway of the network's peers
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{networks: map[uint32]Network{}, uplinks: map[uint32]uplink{}}
}

// SetTunnel takes in the number of the switch's tunnel port.
func (t *Table) SetTunnel(p of.PortNo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tunnel = p
}

// SetMAC takes in the MAC that this host has as a router.
func (t *Table) SetMAC(m intent.MAC) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mac = m
}

// SetNetwork replaces a network; nil: there is, or was, none.
func (t *Table) SetNetwork(old, now *Network) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old != nil && t.networks[old.VNI].Name == old.Name { // else another has its VNI by now
		delete(t.networks, old.VNI)
	}
	if now != nil {
		t.networks[now.VNI] = *now
		if now.Elected && (old == nil || !old.Elected) {
			t.elected = append(t.elected, now.VNI)
		}
	}
}

// takeElected returns the networks whose peers this host became the gateway of since
// the last call.
func (t *Table) takeElected() []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	elected := t.elected
	t.elected = nil
	return elected
}

func (t *Table) network(vni uint32) (Network, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, ok := t.networks[vni]
	return n, ok
}

// self returns this host's MAC as a router, and the tunnel's port.
func (t *Table) self() (intent.MAC, of.PortNo) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mac, t.tunnel
}

// gateway returns the gateway that speaks to an address: that of its subnet or, to
// what lies behind a port, any of its family.
func (n Network) gateway(to netip.Addr) (netip.Addr, bool) {
	var any netip.Addr
	for _, s := range n.Subnets {
		switch {
		case s.Prefix.Contains(to):
			return s.Gateway, s.Gateway.IsValid()
		case !any.IsValid() && s.Gateway.Is4() == to.Is4():
			any = s.Gateway
		}
	}
	return any, any.IsValid()
}
