package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// This file holds what the flows of externals and NAT are made of. Each view is the
// whole input of its object's flows.

// ExternalView is an external as this host sees it.
type ExternalView struct {
	External intent.External
	OFPort   of.PortNo  // the uplink: the port of this switch that leads there; 0: none
	NextMAC  intent.MAC // kind host: of the interface that the uplink is
	Router   intent.MAC // this host's own

	// Segment is the VNI that stands for what is behind the uplink in packets that come in
	// by it. Externals may share it: there the address alone tells which is meant. Lead says
	// that of those, this one's flows let packets in, and First that of all externals which
	// share the uplink, this one's flows refuse what none of them lets in.
	Segment     uint32
	Lead, First bool
	// MTU is that of the external, in bytes, if routed packets may be larger; else 0.
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

// AddressID is what stands for an external address in cookies: no object of the
// store has it to itself.
func AddressID(external uint8, a netip.Addr) intent.ID {
	return intent.ID(uint64(external)<<32 | vtepBits(a))
}

// TenantView is what NAT must know of a tenant: it exists if the tenant has any NAT.
type TenantView struct {
	Tenant  intent.Tenant
	Zone    uint16
	Out     uint32         // VNI of the external that answers leave by, as long as nothing says another
	Subnets []netip.Prefix // IPv4, of all its networks, ascending
}

// SNATView is the SNAT of a tenant as this host sees it.
type SNATView struct {
	SNAT    intent.SNAT
	VNI     uint32 // of the external
	VRF     uint32
	Zone    uint16
	Address netip.Addr // what is translated to here; not valid: there is none yet, or no uplink
}

// FloatingView is the floating address of a port that is on this switch.
type FloatingView struct {
	Floating intent.Floating
	VNI      uint32 // of the external
	VRF      uint32
	Zone     uint16
	Inner    netip.Addr // of the port

	// Source: of the port's floating addresses, this is the one that its own connections
	// begin with.
	Source bool
}

// ForwardView is a forward whose address is this host's to answer for, or whose target
// is here.
type ForwardView struct {
	Forward intent.Forward
	VRF     uint32
	Zone    uint16
	Inner   netip.Addr // of the target

	Entry bool // this host answers for the address
	Here  bool // the target is here

	// Only: the address has no other forward of the protocol.
	Only bool
	// First: of several, this is the one that has the flows which all need.
	First bool
}

// GuardView lists what tenants must not reach through NAT.
type GuardView struct {
	Denials []Denial

	// Own are this host's addresses, each with the reason why tenants are kept from it, and
	// Forwards the ports of them that its packet filter leads into the overlay. ByHost are
	// the VNIs of the externals by which a tenant may use those.
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

// Denial is a prefix that tenants must not reach. No two of a GuardView have the same
// one, but for different externals.
type Denial struct {
	Prefix netip.Prefix
	Reason Reason
	VNI    uint32 // of the external by which it is denied; 0: by all
}
