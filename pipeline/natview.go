package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// This file holds the views behind the flows of externals and NAT. Each view is the
// whole input of its object's flows.

// ExternalView is an external as this host sees it.
type ExternalView struct {
	External intent.External
	OFPort   of.PortNo  // the uplink: the port of this switch that leads there; 0: none
	NextMAC  intent.MAC // kind host: of the uplink's interface
	Router   intent.MAC // this host's own

	// Segment is the VNI that stands for the segment behind the uplink in packets that
	// come in by it. Externals may share a segment: there the address alone tells them
	// apart. Lead marks the one external of the segment whose flows admit packets, and
	// First the one external of the uplink whose flows refuse all other packets.
	Segment     uint32
	Lead, First bool
	// MTU is the external's, in bytes, if routed packets may be larger; else 0.
	MTU int
}

// AddressView is an external address that a tenant uses.
type AddressView struct {
	Address  netip.Addr
	External *intent.External
	Segment  uint32   // as in ExternalView
	Beside   []uint32 // VNIs of the other externals of the segment, ascending
	VRF      uint32
	Zone     uint16
	Here     bool       // this host answers for it
	Router   intent.MAC // this host's own
}

// AddressID identifies an external address in cookies: no single object of the store
// owns it.
func AddressID(external uint8, a netip.Addr) intent.ID {
	return intent.ID(uint64(external)<<32 | vtepBits(a))
}

// TenantView is a tenant as NAT sees it. It exists if the tenant has any NAT.
type TenantView struct {
	Tenant  intent.Tenant
	Zone    uint16
	Out     uint32         // VNI of the external that answers leave by, unless another rule decides
	Subnets []netip.Prefix // IPv4, of all its networks, ascending
}

// SNATView is the SNAT of a tenant as this host sees it.
type SNATView struct {
	SNAT    intent.SNAT
	VNI     uint32 // of the external
	VRF     uint32
	Zone    uint16
	Address netip.Addr // the SNAT address; not valid: none yet, or no uplink
}

// FloatingView is the floating address of a port that is on this switch.
type FloatingView struct {
	Floating intent.Floating
	VNI      uint32 // of the external
	VRF      uint32
	Zone     uint16
	Inner    netip.Addr // of the port

	// Source marks, of the port's floating addresses, the one that its own connections
	// use.
	Source bool
}

// ForwardView is a forward whose address this host answers for, or whose target is
// here.
type ForwardView struct {
	Forward intent.Forward
	VRF     uint32
	Zone    uint16
	Inner   netip.Addr // of the target

	Entry bool // this host answers for the address
	Here  bool // the target is here

	// Only: the address has no other forward of the protocol.
	Only bool
	// First marks, of several forwards, the one that has their common flows.
	First bool
}

// GuardView lists what tenants must not reach through NAT.
type GuardView struct {
	Denials []Denial

	// Own are this host's addresses, each with the reason why it is closed to tenants,
	// and Forwards the ports on them that its packet filter forwards into the overlay.
	// ByHost are the VNIs of the externals through which a tenant may use those ports.
	Own      []OwnAddress
	Forwards []HostPort
	ByHost   []uint32
}

// OwnAddress is an address of this host.
type OwnAddress struct {
	Address netip.Addr
	Reason  Reason
}

// HostPort is a port of this host's own addresses.
type HostPort struct {
	Protocol intent.Protocol
	Port     uint16
}

// Denial is a prefix that tenants must not reach. Prefixes in a GuardView are unique
// for each external.
type Denial struct {
	Prefix netip.Prefix
	Reason Reason
	VNI    uint32 // of the external for which it is denied; 0: all
}
