package intent

import (
	"math"
	"net/netip"
	"slices"
	"strings"
)

// VNIReserved is the first of the VNIs that no network can have: RFC 7348 has 24 bits,
// and ovloom reserves some numbers.
const VNIReserved = 0xfff000

// Limits and defaults of a network.
const (
	VNIMax     = VNIReserved - 1 // the highest VNI of a network
	VRFMax     = 1<<24 - 1       // the highest VRF id of a tenant
	VNIFirst   = 10000           // the lowest VNI that is chosen for a network; lower ones are left to users
	SubnetsMax = 16              // subnets of one network

	MTUMin     = 576  // bytes; every IPv4 host takes packets of this size (RFC 791)
	MTUMin6    = 1280 // bytes, with IPv6 subnets (RFC 8200)
	MTUMax     = 9216 // bytes
	MTUDefault = 1450 // bytes, if the underlay's is not known

	// VXLANOverhead is what a tunnel over IPv4 adds to a packet: inner Ethernet,
	// VXLAN, UDP and IPv4 headers, in bytes.
	VXLANOverhead = 50
)

// VNI returns the VNI of the nth network that was added without one. It wraps around
// after some 16 million, so the caller skips those in use. A freed VNI is not reused at
// once: frames of the old network may still be on their way.
func VNI(n uint64) uint32 {
	return VNIFirst + uint32(n%(VNIMax-VNIFirst+1))
}

// VRF returns the VRF of the nth tenant, which wraps around likewise.
func VRF(n uint64) uint32 { return 1 + uint32(n%VRFMax) }

// WithDefaults returns n with defaults for what can be chosen without the store: each
// subnet's gateway and the policy for unknown unicast.
func (n Network) WithDefaults() Network {
	n.Subnets = slices.Clone(n.Subnets)
	n.EtherTypes = slices.Sorted(slices.Values(n.EtherTypes))
	for i, s := range n.Subnets {
		if !s.Gateway.IsValid() && s.Prefix.IsValid() {
			n.Subnets[i].Gateway = DefaultGateway(s.Prefix)
		}
	}
	switch {
	case n.Unknown != "":
	case n.Learning:
		n.Unknown = UnknownFlood // a MAC is learned only when it speaks; until then frames to it must be flooded
	default:
		n.Unknown = UnknownDrop
	}
	return n
}

// StormDefault is the default number of broadcasts and multicasts that a port may send
// per second; StormUnlimited stands for no bound.
const (
	StormDefault   = 1000
	StormUnlimited = math.MaxUint32
)

// Storm returns how many broadcasts and multicasts per second a port of the network may
// send to the others; false: no bound.
func (n Network) Storm() (perSecond uint32, limited bool) {
	switch n.StormLimit {
	case 0:
		return StormDefault, true
	case StormUnlimited:
		return 0, false
	}
	return n.StormLimit, true
}

// PortMTU returns the MTU of the network's ports in bytes: the network's own or,
// if it has none, what an underlay of the given MTU leaves (0: not known).
func (n Network) PortMTU(underlay int) int {
	switch {
	case n.MTU != 0:
		return n.MTU
	case underlay > VXLANOverhead:
		return underlay - VXLANOverhead
	}
	return MTUDefault
}

// assignable returns nil if a port of n can have address a.
func (n Network) assignable(a netip.Addr) error {
	for _, s := range n.Subnets {
		if s.Prefix.Contains(a) {
			return s.Assignable(a)
		}
	}
	e := Invalidf("address %s is in no subnet of network %s", a, n.Ref())
	if len(n.Subnets) == 0 {
		return e.WithHint("the network has none: leave the address out, or give it a subnet first")
	}
	return e.WithHint("its subnets are %s", n.prefixes())
}

func (n Network) prefixes() string {
	var s []string
	for _, sub := range n.Subnets {
		s = append(s, sub.Prefix.String())
	}
	return strings.Join(s, ", ")
}

// Validate checks t's name and ids.
func (t Tenant) Validate() error {
	if err := ValidateName("tenant", t.Name); err != nil {
		return err
	}
	if t.VRF > VRFMax {
		return Invalidf("VRF %d of tenant %s has more than 24 bits", t.VRF, t.Name)
	}
	return validateID(t.ID)
}

// Validate checks everything about n that can be checked without other objects. Zero
// fields are still to be chosen, and valid.
func (n Network) Validate() error {
	if err := n.Ref().Validate(); err != nil {
		return err
	}
	if err := validateID(n.ID); err != nil {
		return err
	}
	if n.VNI > VNIMax {
		return Invalidf("VNI %d is out of range", n.VNI).WithHint("choose between 1 and %d: those above are ovloom's own", VNIMax)
	}
	switch n.Unknown {
	case "", UnknownDrop, UnknownFlood:
	default:
		return Invalidf("policy %q for unknown unicast does not exist", n.Unknown).WithHint("choose %s or %s", UnknownDrop, UnknownFlood)
	}
	if err := n.validateSubnets(); err != nil {
		return err
	}
	if err := validateEtherTypes(n.EtherTypes); err != nil {
		return err
	}
	return n.validateMTU()
}

func (n Network) validateSubnets() error {
	if len(n.Subnets) > SubnetsMax {
		return Invalidf("network %s has %d subnets", n.Ref(), len(n.Subnets)).WithHint("at most %d", SubnetsMax)
	}
	for i, s := range n.Subnets {
		if err := s.Validate(); err != nil {
			return err
		}
		if a, b, found := Overlap(n.Subnets[:i], n.Subnets[i:i+1]); found {
			return Invalidf("subnets %s and %s of network %s overlap", a, b, n.Ref()).WithHint("choose prefixes without a common address")
		}
	}
	return nil
}

func (n Network) validateMTU() error {
	if n.MTU == 0 {
		return nil
	}
	least, why := MTUMin, ""
	for _, s := range n.Subnets {
		if s.Prefix.Addr().Is6() {
			least, why = MTUMin6, " with IPv6"
		}
	}
	if n.MTU < least || n.MTU > MTUMax {
		return Invalidf("MTU %d is out of range", n.MTU).WithHint("choose between %d and %d bytes%s", least, MTUMax, why)
	}
	return nil
}

func validateID(id ID) error {
	if id > IDMax {
		return Invalidf("object id %d has more than 48 bits", id)
	}
	return nil
}
