package intent

import (
	"net/netip"
	"strings"
)

// Peer is a foreign VTEP, such as a Linux vxlan device or a hardware switch, with
// machines of a network behind it. It speaks VXLAN with the network's VNI.
type Peer struct {
	Tenant  string     `json:"tenant"`
	Network string     `json:"network"`
	Name    string     `json:"name"`
	ID      ID         `json:"id"`
	VTEP    netip.Addr `json:"vtep"` // where its tunnels end, IPv4; never a host's VTEP
}

// Ref returns the peer's name with its network and tenant.
func (p Peer) Ref() PeerRef { return PeerRef{p.Tenant, p.Network, p.Name} }

// Validate checks everything about p that can be checked without other objects. The
// store checks whether its address is free.
func (p Peer) Validate() error {
	if err := p.Ref().Validate(); err != nil {
		return err
	}
	if err := validateID(p.ID); err != nil {
		return err
	}
	return validateVTEP(p.VTEP)
}

// PeerRef names a peer: acme/web/tor1.
type PeerRef struct {
	Tenant, Network, Peer string
}

// String returns the reference as users write it.
func (r PeerRef) String() string { return r.Tenant + "/" + r.Network + "/" + r.Peer }

// NetworkRef returns the reference of the network that the peer is part of.
func (r PeerRef) NetworkRef() NetworkRef { return NetworkRef{r.Tenant, r.Network} }

// ParsePeerRef parses TENANT/NETWORK/PEER.
func ParsePeerRef(s string) (PeerRef, error) {
	p := strings.Split(s, "/")
	if len(p) != 3 {
		return PeerRef{}, Invalidf("%q is no name of a peer", s).WithHint("name a peer as TENANT/NETWORK/PEER, such as acme/web/tor1")
	}
	r := PeerRef{p[0], p[1], p[2]}
	return r, r.Validate()
}

// Validate checks the names in the reference.
func (r PeerRef) Validate() error {
	if err := r.NetworkRef().Validate(); err != nil {
		return err
	}
	return ValidateName("peer", r.Peer)
}
