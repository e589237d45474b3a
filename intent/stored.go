package intent

import (
	"net/netip"
	"slices"
)

// Stored checks an object that was read from the store, or from a cached copy of it: a
// Tenant, Network, Port, Peer, Route, SNAT, Floating, Forward, NATAddress, Binding,
// External or Host. All inputs of flows must be present and within their limits,
// because another program or the disk may have changed them.
//
// Validate refuses more, and may become stricter still: it checks today's requests,
// whereas the store holds what older builds have written.
func Stored(o Object) error { return o.stored() }

func (p Peer) stored() error {
	return firstError(p.Ref().Validate(), storedID(p.ID), validateVTEP(p.VTEP))
}

func (s SNAT) stored() error {
	return firstError(storedNAT(s.Tenant, s.External, s.ID), validateNATAddress(s.Address))
}

func (f Floating) stored() error {
	return firstError(f.PortRef().Validate(), storedNAT(f.Tenant, f.External, f.ID), storedAddr(f.Address), validateNATAddress(f.Address))
}

func (a NATAddress) stored() error {
	return firstError(a.Ref().Validate(), storedAddr(a.Address), validateNATAddress(a.Address))
}

func (p Port) stored() error { return p.Stored() }

func (b Binding) stored() error { return b.Stored() }

func (t Tenant) stored() error {
	if t.VRF == 0 || t.VRF > VRFMax {
		return Invalidf("VRF %d is out of range", t.VRF)
	}
	return firstError(ValidateName("tenant", t.Name), storedID(t.ID))
}

func (n Network) stored() error {
	switch {
	case n.VNI == 0 || n.VNI > VNIMax:
		return Invalidf("VNI %d is out of range", n.VNI)
	case len(n.Subnets) > SubnetsMax:
		return Invalidf("there are %d subnets", len(n.Subnets))
	case n.Unknown != "" && n.Unknown != UnknownDrop && n.Unknown != UnknownFlood:
		return Invalidf("policy %q for unknown unicast does not exist", n.Unknown)
	}
	for i, s := range n.Subnets {
		if err := s.stored(); err != nil {
			return err
		}
		if a, b, found := Overlap(n.Subnets[:i], n.Subnets[i:i+1]); found {
			return Invalidf("subnets %s and %s overlap", a, b)
		}
	}
	return firstError(n.Ref().Validate(), storedID(n.ID), storedMTU(n.MTU))
}

func (s Subnet) stored() error {
	least := PrefixMin4
	if s.Prefix.Addr().Is6() {
		least = PrefixMin6
	}
	switch p := s.Prefix; {
	case !plain(p) || p.Bits() < least:
		return Invalidf("subnet %s is malformed", p)
	case !s.Gateway.IsValid() || s.Gateway.Zone() != "" || !p.Contains(s.Gateway):
		return Invalidf("gateway %s is not in subnet %s", s.Gateway, p)
	}
	return nil
}

// Stored is the function Stored for a port, without an interface value: there may be
// very many.
func (p *Port) Stored() error {
	switch {
	case len(p.Addrs) > AddrsMax:
		return Invalidf("there are %d addresses", len(p.Addrs))
	case !IsUUID(p.UUID):
		return Invalidf("UUID %q is malformed", p.UUID)
	case p.Learn < 0 || p.Learn > LearnMax:
		return Invalidf("learning limit %d is out of range", p.Learn)
	}
	for i, a := range p.Addrs {
		if err := storedAddr(a); err != nil {
			return err
		}
		if slices.Contains(p.Addrs[:i], a) {
			return Invalidf("address %s is there twice", a)
		}
	}
	return firstError(p.Ref().Validate(), storedID(p.ID), p.MAC.Validate())
}

// Stored is the function Stored for a binding.
func (b *Binding) Stored() error {
	if b.Generation == 0 {
		return Invalidf("the claim has no generation")
	}
	return firstError(b.PortRef().Validate(), ValidateName("host", b.Host))
}

func (r Route) stored() error {
	switch {
	case !plain(r.Prefix):
		return Invalidf("destination %s is malformed", r.Prefix)
	case len(r.Via) == 0 || len(r.Via) > RouteHopsMax:
		return Invalidf("there are %d next hops", len(r.Via))
	}
	for i, a := range r.Via {
		switch {
		case storedAddr(a) != nil || a.Is4() != r.Prefix.Addr().Is4():
			return Invalidf("next hop %s of %s is malformed", a, r.Prefix)
		case slices.Contains(r.Via[:i], a):
			return Invalidf("next hop %s is there twice", a)
		}
	}
	return firstError(ValidateName("tenant", r.Tenant), storedID(r.ID))
}

func (f Forward) stored() error {
	if f.Port == 0 || f.ToPort == 0 || f.To.Tenant != f.Tenant {
		return Invalidf("it leads from port %d to %s:%d", f.Port, f.To, f.ToPort)
	}
	return firstError(storedNAT(f.Tenant, f.External, f.ID), f.Protocol.Validate(), f.To.Validate(), storedAddr(f.Address), validateNATAddress(f.Address))
}

func (e External) stored() error {
	switch {
	case e.Number == 0:
		return Invalidf("it has no number")
	case e.Kind != ExternalHost && e.Kind != ExternalBridge:
		return Invalidf("kind %q does not exist", e.Kind)
	case !plain(e.Subnet) || !e.Subnet.Addr().Is4() || e.Subnet.Bits() < externalPrefixMin || e.Subnet.Bits() > externalPrefixMax:
		return Invalidf("subnet %s is malformed", e.Subnet)
	case !e.Subnet.Contains(e.Gateway):
		return Invalidf("gateway %s is not in subnet %s", e.Gateway, e.Subnet)
	case e.VLAN > VLANMax:
		return Invalidf("VLAN %d is out of range", e.VLAN)
	}
	if e.Kind == ExternalBridge {
		if err := firstError(validateInterface("bridge", e.Bridge), e.Pool.Validate()); err != nil {
			return err
		}
		if !e.Subnet.Contains(e.Pool.First) || !e.Subnet.Contains(e.Pool.Last) {
			return Invalidf("pool %s is not in subnet %s", e.Pool, e.Subnet)
		}
	}
	for _, p := range e.Allow {
		if !plain(p) || !p.Addr().Is4() {
			return Invalidf("allowed prefix %s is malformed", p)
		}
	}
	return firstError(ValidateName("external", e.Name), storedID(e.ID), storedMTU(e.MTU))
}

func (h Host) stored() error {
	if h.UnderlayMTU < 0 || h.UnderlayMTU > 65535 {
		return Invalidf("underlay MTU %d is out of range", h.UnderlayMTU)
	}
	return firstError(ValidateName("host", h.Name), storedID(h.ID), validateVTEP(h.VTEP))
}

func storedNAT(tenant, external string, id ID) error {
	return firstError(ValidateName("tenant", tenant), ValidateName("external", external), storedID(id))
}

// storedID refuses ids that no stored object has: cookies of flows carry them.
func storedID(id ID) error {
	if id == 0 || id > IDMax {
		return Invalidf("id %d is out of range", id)
	}
	return nil
}

// storedMTU refuses values that cannot be a packet's size; 0: none is set.
func storedMTU(mtu int) error {
	if mtu != 0 && (mtu < MTUMin || mtu > 65535) {
		return Invalidf("MTU %d is out of range", mtu)
	}
	return nil
}

// storedAddr refuses addresses that one machine cannot have.
func storedAddr(a netip.Addr) error {
	if err := validateAddr(a); err != nil {
		return err
	}
	if a.IsUnspecified() || a.IsMulticast() {
		return Invalidf("address %s is no machine's", a)
	}
	return nil
}

// plain reports whether a prefix is valid, of one family and without host bits.
func plain(p netip.Prefix) bool { return p.IsValid() && !p.Addr().Is4In6() && p == p.Masked() }

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
