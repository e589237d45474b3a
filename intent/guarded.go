package intent

import (
	"net/netip"
	"slices"
)

// Guarded is something that tenants must not reach through a host: the VTEP of a
// tenant's peer, or a host's addresses.
type Guarded struct {
	VTEP netip.Addr `json:"vtep,omitzero"` // of a peer

	Host      string       `json:"host,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the host, IPv4
	Underlay  netip.Prefix `json:"underlay,omitzero"`   // where its tunnels run
}

// GuardUpdate is the complete list of Guarded at one revision of the store.
type GuardUpdate struct {
	Revision int64
	Guarded  []Guarded
}

// VTEPs returns the VTEPs of peers, without duplicates, ascending.
func (u GuardUpdate) VTEPs() []netip.Addr {
	var list []netip.Addr
	for _, g := range u.Guarded {
		if g.VTEP.IsValid() {
			list = append(list, g.VTEP)
		}
	}
	return sortedAddrs(list)
}

// HostAddresses returns the addresses of all hosts, without duplicates, ascending.
func (u GuardUpdate) HostAddresses() []netip.Addr {
	var list []netip.Addr
	for _, g := range u.Guarded {
		list = append(list, g.Addresses...)
	}
	return sortedAddrs(list)
}

// Underlays returns the prefixes where tunnels run, without duplicates.
func (u GuardUpdate) Underlays() []netip.Prefix {
	seen := map[netip.Prefix]bool{}
	var list []netip.Prefix
	for _, g := range u.Guarded {
		if p := g.Underlay.Masked(); g.Underlay.IsValid() && !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

func sortedAddrs(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

func (g Guarded) stored() error {
	if g.VTEP.IsValid() == (g.Host != "") {
		return Invalidf("it is neither of a peer nor of a host")
	}
	if g.VTEP.IsValid() {
		return validateVTEP(g.VTEP)
	}
	for _, a := range g.Addresses {
		if !a.Is4() {
			return Invalidf("address %q of host %s is not one of IPv4", a, g.Host)
		}
	}
	if g.Underlay.IsValid() && !g.Underlay.Addr().Is4() {
		return Invalidf("underlay %s of host %s is not one of IPv4", g.Underlay, g.Host)
	}
	return ValidateName("host", g.Host)
}
