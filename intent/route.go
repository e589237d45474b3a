package intent

import (
	"net/netip"
	"slices"
	"strings"
)

// RouteHopsMax is the largest number of next hops of one route.
const RouteHopsMax = 16

// Route is a static route of a tenant: packets to Prefix that match none of the
// tenant's own subnets go to a next hop. Several next hops share the connections
// (equal-cost multipath, RFC 2992).
type Route struct {
	Tenant string       `json:"tenant"`
	Prefix netip.Prefix `json:"prefix"`
	ID     ID           `json:"id"`
	Via    []netip.Addr `json:"via"` // ascending; each in a subnet of one of the tenant's networks
}

// Ref returns the route's reference.
func (r Route) Ref() RouteRef { return RouteRef{r.Tenant, r.Prefix} }

// Validate checks everything about r that can be checked without other objects. The
// store checks whether its next hops are in the tenant's networks.
func (r Route) Validate() error {
	if err := r.Ref().Validate(); err != nil {
		return err
	}
	if err := validateID(r.ID); err != nil {
		return err
	}
	switch {
	case len(r.Via) == 0:
		return Invalidf("route %s of tenant %s has no next hop", r.Prefix, r.Tenant).WithHint("name one, such as --via 10.0.1.7")
	case len(r.Via) > RouteHopsMax:
		return Invalidf("route %s of tenant %s has %d next hops", r.Prefix, r.Tenant, len(r.Via)).WithHint("at most %d", RouteHopsMax)
	}
	for i, a := range r.Via {
		if err := validateAddr(a); err != nil {
			return err
		}
		if a.Is4() != r.Prefix.Addr().Is4() {
			return Invalidf("next hop %s is not of the family of %s", a, r.Prefix).WithHint("route IPv4 via IPv4, and IPv6 via IPv6")
		}
		if slices.Contains(r.Via[:i], a) {
			return Invalidf("next hop %s is named twice", a).WithHint("name each once")
		}
	}
	return nil
}

// RouteRef names a route of a tenant by its prefix: acme, 10.9.0.0/16.
type RouteRef struct {
	Tenant string
	Prefix netip.Prefix
}

// String returns the reference for people.
func (r RouteRef) String() string { return r.Tenant + " " + r.Prefix.String() }

// Validate checks the tenant's name and the prefix.
func (r RouteRef) Validate() error {
	if err := ValidateName("tenant", r.Tenant); err != nil {
		return err
	}
	return validateDestination(r.Prefix)
}

// ParseDestination parses the prefix of a route, such as 10.9.0.0/16, 10.9.0.1/32 or
// 0.0.0.0/0. A plain address means a prefix of that address alone.
func ParseDestination(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "/") {
		if err := validateAddr(a); err != nil {
			return netip.Prefix{}, err
		}
		p := netip.PrefixFrom(a, a.BitLen())
		return p, validateDestination(p)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, Invalidf("destination %q is malformed", s).WithHint("write a prefix such as 10.9.0.0/16, fd00:9::/48 or 0.0.0.0/0")
	}
	return p, validateDestination(p)
}

func validateDestination(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return Invalidf("the destination is empty").WithHint("write a prefix such as 10.9.0.0/16, fd00:9::/48 or 0.0.0.0/0")
	case p.Addr().Is4In6():
		return Invalidf("destination %s is an IPv4 prefix written as IPv6", p).WithHint("write it as IPv4, such as 10.9.0.0/16")
	case p != p.Masked():
		return Invalidf("destination %s has bits set behind its prefix", p).WithHint("write %s", p.Masked())
	case p.Bits() == 0:
		return nil
	}
	for _, no := range noSubnet {
		if no.prefix.Contains(p.Addr()) && no.prefix.Bits() <= p.Bits() {
			return Invalidf("destination %s is %s address space (%s)", p, no.what, no.prefix).WithHint("it is never routed: choose another")
		}
	}
	return nil
}
