package intent

import (
	"fmt"
	"net/netip"
)

// DefaultGateway returns the default gateway of a subnet: its first address.
func DefaultGateway(p netip.Prefix) netip.Addr { return p.Masked().Addr().Next() }

// First returns the subnet's lowest address besides its network address.
func (s Subnet) First() netip.Addr { return s.Prefix.Masked().Addr().Next() }

// Last returns the subnet's highest address besides its broadcast address, which IPv6
// does not have.
func (s Subnet) Last() netip.Addr {
	a := s.Prefix.Masked().Addr()
	b := a.AsSlice()
	for i := s.Prefix.Bits(); i < a.BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	if last.Is4() {
		return last.Prev()
	}
	return last
}

// Next returns the next assignable address after a, leaving out the gateway; the first
// one follows the last.
func (s Subnet) Next(a netip.Addr) netip.Addr {
	first, last := s.First(), s.Last()
	for range 2 { // the gateway is skipped at most once
		if a.Less(first) || !a.Less(last) {
			a = first
		} else {
			a = a.Next()
		}
		if a != s.Gateway {
			break
		}
	}
	return a
}

// choices describes the addresses that ports can have: without the gateway.
func (s Subnet) choices() string {
	first, last := s.First(), s.Last()
	switch s.Gateway {
	case first:
		first = first.Next()
	case last:
		last = last.Prev()
	}
	switch {
	case last.Less(first):
		return "the subnet has no other: give the network a larger one"
	case first == last:
		return fmt.Sprintf("choose %s", first)
	case first.Less(s.Gateway) && s.Gateway.Less(last):
		return fmt.Sprintf("choose between %s and %s, but not %s", first, last, s.Gateway)
	}
	return fmt.Sprintf("choose between %s and %s", first, last)
}

// Assignable returns nil if a port can have address a of this subnet, and otherwise the
// reason.
func (s Subnet) Assignable(a netip.Addr) error {
	switch {
	case !s.Prefix.Contains(a):
		return Invalidf("address %s is outside subnet %s", a, s.Prefix).WithHint("%s", s.choices())
	case a == s.Gateway:
		return Invalidf("address %s is the gateway of subnet %s", a, s.Prefix).WithHint("%s", s.choices())
	case a == s.Prefix.Masked().Addr():
		return Invalidf("address %s is the network address of subnet %s", a, s.Prefix).WithHint("%s", s.choices())
	case s.Last().Less(a):
		return Invalidf("address %s is the broadcast address of subnet %s", a, s.Prefix).WithHint("%s", s.choices())
	}
	return nil
}

// Validate checks the prefix and, when it is set, the gateway.
func (s Subnet) Validate() error {
	if err := validatePrefix(s.Prefix); err != nil {
		return err
	}
	if !s.Gateway.IsValid() {
		return nil
	}
	if err := validateAddr(s.Gateway); err != nil {
		return err
	}
	gateway := s.Gateway
	s.Gateway = netip.Addr{} // a gateway may well be the gateway
	if err := s.Assignable(gateway); err != nil {
		e := err.(*Error)
		e.What = "gateway " + e.What
		return e
	}
	return nil
}
