package intent

import "net/netip"

// UnderlayMTUMin is the smallest MTU of an underlay, in bytes: it leaves MTUMin for the
// packets inside.
const UnderlayMTUMin = MTUMin + VXLANOverhead

// Datapath types of a host's Open vSwitch.
const (
	DatapathSystem = "system" // in the kernel
	DatapathNetdev = "netdev" // in ovs-vswitchd
)

// ParseVTEP parses the address where a host's tunnels end.
func ParseVTEP(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, Invalidf("VTEP address %q is malformed", s).WithHint("write an IPv4 address, such as 192.0.2.1")
	}
	return a, validateVTEP(a)
}

// Validate checks everything about h that can be checked without other objects.
func (h Host) Validate() error {
	if err := ValidateName("host", h.Name); err != nil {
		return err
	}
	if err := validateID(h.ID); err != nil {
		return err
	}
	if err := validateVTEP(h.VTEP); err != nil {
		return err
	}
	if h.UnderlayMTU != 0 && (h.UnderlayMTU < UnderlayMTUMin || h.UnderlayMTU > 65535) {
		return Invalidf("underlay MTU %d is out of range", h.UnderlayMTU).WithHint("choose between %d and 65535 bytes", UnderlayMTUMin)
	}
	switch h.Datapath {
	case "", DatapathSystem, DatapathNetdev:
		return nil
	}
	return Invalidf("datapath type %q does not exist", h.Datapath).WithHint("choose %s or %s", DatapathSystem, DatapathNetdev)
}

func validateVTEP(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return Invalidf("the VTEP address is missing").WithHint("give the IPv4 address that the other hosts reach")
	case a.Is4In6():
		return Invalidf("VTEP address %s is an IPv4 address written as IPv6", a).WithHint("write %s", a.Unmap())
	case a.Is6():
		return Invalidf("VTEP address %s is IPv6", a).WithHint("tunnels run over IPv4 only, for now: give an IPv4 address")
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Invalidf("VTEP address %s is no address that other hosts reach", a).WithHint("give its IPv4 address on the underlay")
	}
	return nil
}
