package intent

import (
	"errors"
	"net/netip"
	"strings"
)

// External is a network outside the overlay. Tenants reach it by NAT only.
type External struct {
	Name   string       `json:"name"`
	ID     ID           `json:"id"`
	Number uint8        `json:"number"` // identifies it inside a switch; 0: not chosen yet
	Kind   ExternalKind `json:"kind"`

	// Subnet holds the addresses that NAT translates to. It is IPv4. Of kind host it is
	// a range of ovloom's own, which each host masquerades; of kind bridge it is the
	// real subnet of the segment behind the bridge.
	Subnet  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway"` // kind host: the host itself; kind bridge: the router of the subnet

	// Kind bridge only.
	Bridge string    `json:"bridge,omitempty"` // the bridge's name on each host that has one
	VLAN   uint16    `json:"vlan,omitempty"`   // of the segment on the bridge; 0: untagged
	Pool   AddrRange `json:"pool,omitzero"`    // the addresses that ovloom may use
	MTU    int       `json:"mtu,omitempty"`    // bytes of IP packet; 0: 1500

	// Allow lists exceptions to the guard: prefixes of host addresses, VTEPs, store
	// endpoints, or other tenants' NAT addresses that tenants may reach.
	Allow []netip.Prefix `json:"allow,omitempty"`

	// Underlay says whether tenants may reach the networks that tunnels run in, besides
	// the addresses of hosts and VTEPs there. Kind host only. It is empty, and allows
	// access, in an external older than the option.
	Underlay UnderlayAccess `json:"underlay,omitempty"`
}

// UnderlayAccess says whether tenants may reach the underlay through an External.
type UnderlayAccess string

// The values of UnderlayAccess.
const (
	UnderlayDeny  UnderlayAccess = "deny" // the default of new externals
	UnderlayAllow UnderlayAccess = "allow"
)

// ParseUnderlayAccess parses a user's choice.
func ParseUnderlayAccess(s string) (UnderlayAccess, error) {
	u := UnderlayAccess(s)
	if u != UnderlayDeny && u != UnderlayAllow {
		return "", Invalidf("underlay %q is neither %s nor %s", s, UnderlayDeny, UnderlayAllow).
			WithHint("%s keeps tenants from the network that tunnels run in", UnderlayDeny)
	}
	return u, nil
}

// ExternalKind is how packets leave through an External.
type ExternalKind string

// The kinds of External.
const (
	ExternalHost   ExternalKind = "host"   // through the host's own routing
	ExternalBridge ExternalKind = "bridge" // through a bridge to a provider's segment
)

const (
	// VLANMax is the highest VLAN that a segment can have (IEEE 802.1Q).
	VLANMax = 4094

	// ExternalNumberMax is the highest number, and so the largest number of externals
	// in an overlay.
	ExternalNumberMax = 255
	// ExternalMTUDefault is the default MTU of an external, in bytes.
	ExternalMTUDefault = 1500
	// HostUplink is the interface through which externals of kind host reach the host's
	// own routing.
	HostUplink = "ovl0"
)

// DefaultHostRange is the default range of addresses for externals of kind host (RFC
// 6598: shared address space).
var DefaultHostRange = netip.MustParsePrefix("100.64.0.0/16")

// The lengths of the subnet of an external.
const (
	externalPrefixMin = 8
	externalPrefixMax = 29
)

// VNI returns the number that stands for the external where packets carry their
// network's VNI: it is never seen on the wire.
func (e External) VNI() uint32 { return VNIReserved + uint32(e.Number) }

// SharesSegment reports whether packets from e and from another external arrive the
// same way, so that only addresses tell them apart: all externals of kind host do, and
// externals with the same bridge and VLAN.
func (e External) SharesSegment(other External) bool {
	return e.SharesUplink(other) && e.VLAN == other.VLAN
}

// SharesUplink reports whether e is reached through the same port as another external:
// all externals of kind host are, and externals with the same bridge.
func (e External) SharesUplink(other External) bool {
	return e.Kind == other.Kind && e.Bridge == other.Bridge
}

// WithDefaults returns e with defaults for what a user may leave out.
func (e External) WithDefaults() External {
	if e.Kind == ExternalHost && !e.Subnet.IsValid() {
		e.Subnet = DefaultHostRange
	}
	if !e.Gateway.IsValid() && e.Subnet.IsValid() {
		e.Gateway = DefaultGateway(e.Subnet)
	}
	if e.Kind == ExternalBridge && e.MTU == 0 {
		e.MTU = ExternalMTUDefault
	}
	return e
}

// Addresses returns the range of addresses that NAT may use.
func (e External) Addresses() AddrRange {
	if e.Kind == ExternalBridge {
		return e.Pool
	}
	s := Subnet{Prefix: e.Subnet, Gateway: e.Gateway}
	return AddrRange{s.First(), s.Last()}
}

// Assignable returns nil if NAT may use address a, and otherwise the reason.
func (e External) Assignable(a netip.Addr) error {
	r := e.Addresses()
	if err := (Subnet{Prefix: e.Subnet, Gateway: e.Gateway}).Assignable(a); err != nil {
		if told := (&Error{}); e.Kind == ExternalBridge && errors.As(err, &told) {
			told.Hint = "choose between " + r.First.String() + " and " + r.Last.String() // the pool's
		}
		return err
	}
	if !r.Contains(a) {
		return Invalidf("address %s is outside the pool of external %s", a, e.Name).WithHint("choose between %s and %s", r.First, r.Last)
	}
	return nil
}

// integrationBridge is the default name of the bridge that ovloomd makes for ports.
const integrationBridge = "br-int"

// Validate checks everything about e that can be checked without other objects.
func (e External) Validate() error {
	if err := ValidateName("external", e.Name); err != nil {
		return err
	}
	if err := validateID(e.ID); err != nil {
		return err
	}
	switch e.Kind {
	case ExternalHost:
		for _, x := range []struct {
			set  bool
			what string
		}{{e.Bridge != "", "bridge"}, {e.VLAN != 0, "VLAN"}, {e.Pool != (AddrRange{}), "pool"}, {e.MTU != 0, "MTU"}} {
			if x.set {
				return Invalidf("external %s goes through the host, and has no %s", e.Name, x.what).
					WithHint("leave it out; an external of a bridge can have one; see: ovloom external add --help")
			}
		}
	case ExternalBridge:
		if err := validateInterface("bridge", e.Bridge); err != nil {
			return err
		}
		if e.Bridge == integrationBridge {
			return Invalidf("bridge %s of external %s is ovloom's own, and leads to no segment outside", e.Bridge, e.Name).
				WithHint("make a bridge with the card that leads outside: ovs-vsctl add-br br-ex -- add-port br-ex CARD")
		}
		if e.VLAN > VLANMax {
			return Invalidf("VLAN %d of external %s is out of range", e.VLAN, e.Name).WithHint("choose between 1 and %d; 0 or nothing: untagged", VLANMax)
		}
	default:
		return Invalidf("kind %q of external %s does not exist", e.Kind, e.Name).WithHint("choose %s or %s", ExternalHost, ExternalBridge)
	}
	if err := e.validateSubnet(); err != nil {
		return err
	}
	if e.Kind == ExternalBridge {
		if err := e.validatePool(); err != nil {
			return err
		}
		if e.MTU != 0 && (e.MTU < MTUMin || e.MTU > MTUMax) {
			return Invalidf("MTU %d is out of range", e.MTU).WithHint("choose between %d and %d bytes", MTUMin, MTUMax)
		}
	}
	if e.Underlay != "" {
		if e.Kind != ExternalHost {
			return Invalidf("external %s does not go through the host and says whether tenants may reach the underlay", e.Name).
				WithHint("leave that out: behind a bridge they have no address of the host's")
		}
		if _, err := ParseUnderlayAccess(string(e.Underlay)); err != nil {
			return err
		}
	}
	for _, p := range e.Allow {
		if err := validateAllowed(p); err != nil {
			return err
		}
	}
	return nil
}

// ParseAllowed parses an entry of Allow: a prefix, or one address.
func ParseAllowed(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, one := netip.ParseAddr(s); one == nil {
		p, err = a.Prefix(a.BitLen()) // without its zone
	}
	if err != nil {
		return netip.Prefix{}, Invalidf("allowed prefix %q is malformed", s).WithHint("write an IPv4 prefix, such as 192.0.2.0/24 or 192.0.2.5/32")
	}
	return p, validateAllowed(p)
}

func validateAllowed(p netip.Prefix) error {
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return Invalidf("allowed prefix %s is not IPv4", p).WithHint("write an IPv4 prefix, such as 192.0.2.0/24 or 192.0.2.5/32")
	case p != p.Masked():
		return Invalidf("allowed prefix %s has bits set behind its prefix", p).WithHint("write %s", p.Masked())
	}
	return nil
}

func (e External) validateSubnet() error {
	p := e.Subnet
	switch {
	case !p.IsValid():
		return Invalidf("external %s has no subnet", e.Name).WithHint("give that of the segment, such as --subnet 203.0.113.0/24")
	case !p.Addr().Is4():
		return Invalidf("subnet %s of external %s is IPv6", p, e.Name).WithHint("NAT is for IPv4 only: give an IPv4 subnet")
	case p.Bits() < externalPrefixMin || p.Bits() > externalPrefixMax:
		return Invalidf("subnet %s of external %s has a prefix of %d bits", p, e.Name, p.Bits()).
			WithHint("it has between /%d and /%d", externalPrefixMin, externalPrefixMax)
	}
	if err := validatePrefix(p); err != nil {
		return err
	}
	return Subnet{Prefix: p, Gateway: e.Gateway}.Validate()
}

func (e External) validatePool() error {
	r := e.Pool
	if !r.First.IsValid() || !r.Last.IsValid() {
		return Invalidf("external %s has no pool", e.Name).
			WithHint("give the addresses that no other machine uses, such as --pool 203.0.113.10-203.0.113.200")
	}
	if err := r.Validate(); err != nil {
		return err
	}
	s := Subnet{Prefix: e.Subnet, Gateway: e.Gateway}
	for _, a := range []netip.Addr{r.First, r.Last} {
		if !s.Prefix.Contains(a) || a.Less(s.First()) || s.Last().Less(a) {
			return Invalidf("pool address %s is not one of subnet %s", a, s.Prefix).WithHint("choose between %s and %s", s.First(), s.Last())
		}
	}
	if e.Gateway.IsValid() && r.Contains(e.Gateway) {
		return Invalidf("the pool of external %s contains its gateway %s", e.Name, e.Gateway).WithHint("leave the gateway out of it")
	}
	return nil
}

func validateInterface(what, name string) error {
	switch {
	case name == "":
		return Invalidf("the %s is missing", what).WithHint("name one, such as br-ex")
	case len(name) > 15:
		return Invalidf("%s %q has %d bytes", what, name, len(name)).WithHint("Linux names interfaces with at most 15")
	case strings.ContainsAny(name, "/ \t\n:%") || name == "." || name == "..":
		return Invalidf("%s %q is malformed", what, name).WithHint("name an interface, such as br-ex")
	}
	return nil
}

// AddrRange is the addresses from First to Last, both included; its zero value is
// empty.
type AddrRange struct {
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
}

// ParseAddrRange parses FIRST-LAST, or one address.
func ParseAddrRange(s string) (AddrRange, error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		last = first
	}
	a, err := netip.ParseAddr(first)
	b, err2 := netip.ParseAddr(last)
	if err != nil || err2 != nil {
		return AddrRange{}, Invalidf("address range %q is malformed", s).WithHint("write FIRST-LAST, such as 203.0.113.10-203.0.113.200")
	}
	r := AddrRange{a, b}
	return r, r.Validate()
}

// Validate checks that both ends are of one family and in order.
func (r AddrRange) Validate() error {
	for _, a := range []netip.Addr{r.First, r.Last} {
		if err := validateAddr(a); err != nil {
			return err
		}
	}
	if r.First.Is4() != r.Last.Is4() || r.Last.Less(r.First) {
		return Invalidf("address range %s is malformed", r).WithHint("write the lowest address first, such as 203.0.113.10-203.0.113.200")
	}
	return nil
}

// Contains reports whether the range has the address.
func (r AddrRange) Contains(a netip.Addr) bool {
	return r.First.IsValid() && !a.Less(r.First) && !r.Last.Less(a) && a.Is4() == r.First.Is4()
}

// String returns the range as users write it.
func (r AddrRange) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	return r.First.String() + "-" + r.Last.String()
}
