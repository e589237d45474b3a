package intent

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// SNAT lets the ports of a tenant reach the network beyond an external. A tenant has at
// most one.
type SNAT struct {
	Tenant   string `json:"tenant"`
	External string `json:"external"`
	ID       ID     `json:"id"`

	// Address is the tenant's source address, on all hosts; an external of kind host
	// has one for each tenant. Of kind bridge it is not set: there, each host has an
	// address of its own (NATAddress).
	Address netip.Addr `json:"address,omitzero"`

	// MaxConnections bounds the tenant's connections through NAT on one host; 0:
	// DefaultConnections. See UnlimitedConnections.
	MaxConnections uint32 `json:"max_connections,omitempty"`
}

const (
	// DefaultConnections is how many connections through NAT a tenant may have on one
	// host unless its SNAT says otherwise. It is about half of the source ports that a
	// host has for all tenants towards one server, so that no tenant can take them all.
	DefaultConnections = 16000
	// UnlimitedConnections is the MaxConnections of a SNAT without a bound.
	UnlimitedConnections = math.MaxUint32
)

// Limit returns the bound on the tenant's connections on one host; false: none.
func (n SNAT) Limit() (uint32, bool) {
	switch n.MaxConnections {
	case 0:
		return DefaultConnections, true
	case UnlimitedConnections:
		return 0, false
	}
	return n.MaxConnections, true
}

// Floating gives one port an external address of its own, for both directions.
type Floating struct {
	Tenant   string     `json:"tenant"`
	Network  string     `json:"network"`
	Port     string     `json:"port"`
	ID       ID         `json:"id"`
	External string     `json:"external"` // of kind bridge
	Address  netip.Addr `json:"address"`
}

// Forward forwards one TCP, UDP or SCTP port of an external address to a port:
// 203.0.113.10:8080 to acme/web/c1:80.
type Forward struct {
	Tenant   string     `json:"tenant"`
	External string     `json:"external"`
	Protocol Protocol   `json:"protocol"`
	Port     uint16     `json:"port"` // of the external address
	ID       ID         `json:"id"`
	Address  netip.Addr `json:"address"` // one for all of the tenant's forwards of the external
	To       PortRef    `json:"to"`
	ToPort   uint16     `json:"to_port"`
}

// NATAddress is the address that a host has claimed from the pool of an external of
// kind bridge, as the source address of a tenant's ports there.
type NATAddress struct {
	Tenant   string     `json:"tenant"`
	External string     `json:"external"`
	Host     string     `json:"host"`
	Address  netip.Addr `json:"address"`
}

// Protocol is a transport protocol with ports.
type Protocol string

// The protocols that can be forwarded.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)

// Number returns the protocol's number in IP packets (IANA), or 0.
func (p Protocol) Number() uint8 {
	switch p {
	case TCP:
		return 6
	case UDP:
		return 17
	case SCTP:
		return 132
	}
	return 0
}

// Validate refuses protocols that cannot be forwarded.
func (p Protocol) Validate() error {
	if p.Number() == 0 {
		return Invalidf("protocol %q cannot be forwarded", string(p)).WithHint("choose %s, %s or %s", TCP, UDP, SCTP)
	}
	return nil
}

// SNATRef names the SNAT of a tenant.
type SNATRef struct{ Tenant, External string }

// String returns the reference for people.
func (r SNATRef) String() string { return r.Tenant + " through " + r.External }

// Validate checks the names in the reference.
func (r SNATRef) Validate() error { return validateNAT(r.Tenant, r.External, 0) }

// FloatingRef names the floating address of a port.
type FloatingRef struct {
	PortRef
	External string
}

// String returns the reference for people.
func (r FloatingRef) String() string { return r.PortRef.String() + " on " + r.External }

// ForwardRef names a forward.
type ForwardRef struct {
	Tenant, External string
	Protocol         Protocol
	Port             uint16
}

// String returns the reference for people: acme internet tcp/8080.
func (r ForwardRef) String() string {
	return fmt.Sprintf("%s %s %s/%d", r.Tenant, r.External, r.Protocol, r.Port)
}

// Ref returns the SNAT's reference.
func (s SNAT) Ref() SNATRef { return SNATRef{s.Tenant, s.External} }

// Ref returns the floating address's reference.
func (f Floating) Ref() FloatingRef { return FloatingRef{f.PortRef(), f.External} }

// PortRef returns the port that has the address.
func (f Floating) PortRef() PortRef { return PortRef{f.Tenant, f.Network, f.Port} }

// Ref returns the forward's reference.
func (f Forward) Ref() ForwardRef { return ForwardRef{f.Tenant, f.External, f.Protocol, f.Port} }

// Validate checks everything about s that can be checked without other objects.
func (s SNAT) Validate() error {
	if err := validateNAT(s.Tenant, s.External, s.ID); err != nil {
		return err
	}
	return validateNATAddress(s.Address)
}

// Validate checks everything about f that can be checked without other objects. An
// absent address is still to be chosen.
func (f Floating) Validate() error {
	if err := f.PortRef().Validate(); err != nil {
		return err
	}
	if err := validateNAT(f.Tenant, f.External, f.ID); err != nil {
		return err
	}
	return validateNATAddress(f.Address)
}

// Validate checks everything about f that can be checked without other objects. An
// absent address is still to be chosen.
func (f Forward) Validate() error {
	if err := validateNAT(f.Tenant, f.External, f.ID); err != nil {
		return err
	}
	if err := f.Protocol.Validate(); err != nil {
		return err
	}
	if err := f.To.Validate(); err != nil {
		return err
	}
	switch {
	case f.To.Tenant != f.Tenant:
		return Invalidf("port %s is not of tenant %s", f.To, f.Tenant).WithHint("a tenant forwards to its own ports only")
	case f.Port == 0 || f.ToPort == 0:
		return Invalidf("%s port 0 cannot be forwarded", f.Protocol).WithHint("choose between 1 and 65535")
	}
	return validateNATAddress(f.Address)
}

func validateNAT(tenant, external string, id ID) error {
	if err := ValidateName("tenant", tenant); err != nil {
		return err
	}
	if err := ValidateName("external", external); err != nil {
		return err
	}
	return validateID(id)
}

func validateNATAddress(a netip.Addr) error {
	if !a.IsValid() {
		return nil
	}
	if err := validateAddr(a); err != nil {
		return err
	}
	if !a.Is4() {
		return Invalidf("address %s is IPv6", a).WithHint("NAT is for IPv4 only: give an IPv4 address of the external")
	}
	return nil
}

// ParseTarget parses the target of a forward, TENANT/NETWORK/PORT:NUMBER.
func ParseTarget(s string) (PortRef, uint16, error) {
	name, number, ok := strings.Cut(s, ":")
	if !ok {
		return PortRef{}, 0, Invalidf("target %q has no port number", s).WithHint("write TENANT/NETWORK/PORT:NUMBER, such as acme/web/c1:80")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return PortRef{}, 0, Invalidf("port number %q of target %s is malformed", number, s).WithHint("choose between 1 and 65535")
	}
	ref, err := ParsePortRef(name)
	return ref, uint16(n), err
}
