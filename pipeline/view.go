package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Switch is what flows depend on in the local switch.
type Switch struct {
	VXLANPort of.PortNo // the flow-based tunnel port

	// KernelDatapath: Linux's own datapath handles packets. It has no keys for the
	// flags and option types of neighbour discovery, so Open vSwitch refuses the flow
	// that turns a solicitation into an advertisement.
	KernelDatapath bool

	// NoMeters: the datapath has no meters, as with some kernels. Then shares are not
	// enforced.
	NoMeters bool
}

// NetworkView is a network as this host sees it.
type NetworkView struct {
	Network intent.Network
	VRF     uint32       // of its tenant
	Local   []of.PortNo  // ports of the network on this switch, ascending
	VTEPs   []netip.Addr // other hosts that have ports of the network, ascending
	Peers   []netip.Addr // VTEPs of the network's peers, ascending

	// Routed lists the destinations of static routes through the network: addresses
	// that may live behind MACs unknown to the store. Ascending; empty unless the
	// network is open.
	Routed []netip.Prefix

	// Elected: of all hosts, this one is the gateway of the network's peers. If every
	// host were, the peers would take each packet from the gateway for a move of its
	// MAC.
	Elected bool
	// MTU is the MTU of the network's ports, in bytes, if routed packets may be larger;
	// else 0.
	MTU int
}

// gateways returns the addresses of the network's gateways.
func (n NetworkView) gateways() []netip.Addr {
	var list []netip.Addr
	for _, s := range n.Network.Subnets {
		if s.Gateway.IsValid() {
			list = append(list, s.Gateway)
		}
	}
	return list
}

// open reports whether MACs and addresses unknown to the store may be part of the
// network.
func (n NetworkView) open() bool { return n.Network.Learning || len(n.Peers) > 0 }

// PeerView is a peer as this host sees it. It is the whole input of the peer's flows.
type PeerView struct {
	Peer intent.Peer
	VNI  uint32 // of its network
	VRF  uint32
}

// PortView is a port as this host sees it. It is the whole input of the port's
// flows: equal views make equal flows.
type PortView struct {
	Port    intent.Port
	Network *intent.Network

	// Peers: the network has peers, so a MAC or address that is not the port's may live
	// behind a peer.
	Peers bool

	// OFPort is the port's interface on this switch, or 0.
	OFPort of.PortNo
	// InForce: this host's binding is the one in force. If not, OFPort may not send.
	InForce bool
	// Elsewhere: another host has claimed the port, and this host's interface lost it.
	// Neither InForce nor Elsewhere: the port is unclaimed, or this host's claim has
	// not come back from the store yet.
	Elsewhere bool
	// VTEP is the host where the port is in force, if it is another one.
	VTEP netip.Addr

	VRF uint32

	Reached bool // from outside: it has a floating address, or a forward leads to it

	// Penalty: the port creates too many cached flows. Its packets pass a meter first.
	Penalty bool

	Hops   []netip.Addr   // its addresses that are next hops of routes, ascending
	Routed []netip.Prefix // the destinations of those routes: what is behind the port, ascending
}

// RouteView is a static route as this host sees it.
type RouteView struct {
	Route intent.Route
	VRF   uint32
	Hops  []Hop // next hops in networks of the tenant, in the route's order

	// Zone is the tenant's conntrack zone if any of its ports is reached from outside;
	// else 0.
	Zone uint16
}

// Hop is a next hop, and the VNI of the network that it is in.
type Hop struct {
	Addr netip.Addr
	VNI  uint32
}

// bound reports whether the port can be reached at all.
func (p PortView) bound() bool { return p.local() || p.VTEP.IsValid() }

// local reports whether the port is in force on this switch.
func (p PortView) local() bool { return p.OFPort != 0 && p.InForce }

// open reports whether MACs and addresses unknown to the store may be part of the
// port's network.
func (p PortView) open() bool { return p.Network.Learning || p.Peers }

// managed reports whether the network assigns the ports' addresses of a family. A
// network without subnets assigns none.
func managed(n *intent.Network) bool { return len(n.Subnets) > 0 }

// hasFamily reports whether ports of the network may use IPv4 or IPv6 at all.
func hasFamily(n *intent.Network, is6 bool) bool {
	if !managed(n) {
		return true
	}
	for _, s := range n.Subnets {
		if s.Prefix.Addr().Is6() == is6 {
			return true
		}
	}
	return false
}

// addrs4 returns the port's IPv4 addresses.
func (p PortView) addrs4() []netip.Addr {
	var v4 []netip.Addr
	for _, a := range p.Port.Addrs {
		if a.Is4() {
			v4 = append(v4, a)
		}
	}
	return v4
}

// addrs6 returns the port's IPv6 addresses: those it was given and, where the
// network has an IPv6 subnet, the link-local one that hosts form from their MAC.
func (p PortView) addrs6() []netip.Addr {
	var v6 []netip.Addr
	for _, a := range p.Port.Addrs {
		if a.Is6() {
			v6 = append(v6, a)
		}
	}
	if managed(p.Network) && hasFamily(p.Network, true) {
		v6 = append(v6, linkLocal(p.Port.MAC))
	}
	return v6
}

// linkLocal returns the address that a host forms from its MAC (RFC 4291,
// appendix A: modified EUI-64).
func linkLocal(m intent.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80,
		8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
