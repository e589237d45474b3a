package intent

import (
	"net/netip"
	"strings"
)

// The lengths of prefix that a subnet can have. A longer IPv4 prefix than /30
// has no room for a gateway and a port.
const (
	PrefixMin4 = 8
	PrefixMax4 = 30
	PrefixMin6 = 32
	PrefixMax6 = 126
)

// noSubnet lists prefixes that no subnet may overlap: these addresses have another
// meaning to every IP stack, so ports could not use them.
var noSubnet = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::/32"), "loopback, unspecified and mapped"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// ParsePrefix parses the prefix of a subnet such as 10.0.0.0/24 or fd00:1::/64
// and checks that a network can have it.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, Invalidf("subnet %q is malformed", s).WithHint("write a prefix such as 10.0.0.0/24 or fd00:1::/64")
	}
	return p, validatePrefix(p)
}

// ParseAddr parses an IPv4 or IPv6 address without a zone.
func ParseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		hint := "write an address such as 10.0.0.5 or fd00:1::5"
		if addr, _, ok := strings.Cut(s, "/"); ok {
			if a, err := netip.ParseAddr(addr); err == nil {
				hint = "leave out the prefix length: " + a.String()
			}
		}
		return netip.Addr{}, Invalidf("address %q is malformed", s).WithHint("%s", hint)
	}
	return a, validateAddr(a)
}

// validateAddr refuses alternative forms of an address, so that one address has one
// form.
func validateAddr(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return Invalidf("an address is empty").WithHint("write an address such as 10.0.0.5 or fd00:1::5")
	case a.Zone() != "":
		return Invalidf("address %s has a zone", a).WithHint("write %s", a.WithZone(""))
	case a.Is4In6():
		return Invalidf("address %s is an IPv4 address written as IPv6", a).WithHint("write %s", a.Unmap())
	}
	return nil
}

func validatePrefix(p netip.Prefix) error {
	if !p.IsValid() {
		return Invalidf("a subnet's prefix is empty").WithHint("write a prefix such as 10.0.0.0/24 or fd00:1::/64")
	}
	if a := p.Addr(); a.Is4In6() {
		return Invalidf("subnet %s is an IPv4 prefix written as IPv6", p).WithHint("write it as IPv4, such as 10.0.0.0/24")
	}
	family, least, most := "IPv4", PrefixMin4, PrefixMax4
	if p.Addr().Is6() {
		family, least, most = "IPv6", PrefixMin6, PrefixMax6
	}
	if p.Bits() < least || p.Bits() > most {
		return Invalidf("subnet %s has a prefix of %d bits", p, p.Bits()).WithHint("an %s subnet has between /%d and /%d", family, least, most)
	}
	if p != p.Masked() {
		return Invalidf("subnet %s has bits set behind its prefix", p).WithHint("write %s", p.Masked())
	}
	for _, no := range noSubnet {
		if no.prefix.Overlaps(p) {
			return Invalidf("subnet %s is %s address space (%s)", p, no.what, no.prefix).WithHint("choose private addresses, such as 10.0.0.0/24 or fd00:1::/64")
		}
	}
	return nil
}

// Overlap returns the first pair of prefixes, one of each list, that overlap.
func Overlap(a, b []Subnet) (one, other netip.Prefix, found bool) {
	for _, x := range a {
		for _, y := range b {
			if x.Prefix.Overlaps(y.Prefix) {
				return x.Prefix, y.Prefix, true
			}
		}
	}
	return netip.Prefix{}, netip.Prefix{}, false
}
