package router

import (
	"net/netip"
	"sync"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Table is a Router's view of the overlay. Its methods may be called by several
// goroutines: the controller writes it, the router reads it.
type Table struct {
	mu       sync.RWMutex
	tunnel   of.PortNo
	mac      intent.MAC         // this host's as a router
	networks map[uint32]Network // by VNI, with externals of kind bridge
	elected  []uint32           // networks for whose peers this host became the gateway
	uplinks  map[uint32]uplink  // by the external's VNI

	announcements []of.PacketOut // of ports, waiting to be sent
}

// Network is what the router needs to act as a network's gateway.
type Network struct {
	Name    intent.NetworkRef // zero: an external
	VNI     uint32
	Subnets []intent.Subnet
	MTU     int  // of its ports, in bytes
	Elected bool // this host is the gateway of the network's peers
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{networks: map[uint32]Network{}, uplinks: map[uint32]uplink{}}
}

// SetTunnel sets the number of the switch's tunnel port.
func (t *Table) SetTunnel(p of.PortNo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tunnel = p
}

// SetMAC sets this host's MAC as a router.
func (t *Table) SetMAC(m intent.MAC) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mac = m
}

// SetNetwork replaces a network; nil: it does not exist.
func (t *Table) SetNetwork(old, now *Network) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old != nil && t.networks[old.VNI].Name == old.Name { // else another network has its VNI by now
		delete(t.networks, old.VNI)
	}
	if now != nil {
		t.networks[now.VNI] = *now
		if now.Elected && (old == nil || !old.Elected) {
			t.elected = append(t.elected, now.VNI)
		}
	}
}

// takeElected returns the networks for whose peers this host became the gateway since
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

// gateway returns the gateway that speaks to an address: its subnet's or, for addresses
// behind a port, any gateway of the family.
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
