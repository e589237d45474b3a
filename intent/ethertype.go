package intent

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// EtherType is the type of an Ethernet frame's content (IEEE 802.3, 3.2.6). Its text is
// four hexadecimal digits, as in 0x88b5.
type EtherType uint16

// The types that every network carries.
const (
	EtherTypeIPv4 EtherType = 0x0800
	EtherTypeARP  EtherType = 0x0806
	EtherTypeIPv6 EtherType = 0x86dd
)

// EtherTypesMax is how many additional types a network can carry.
const EtherTypesMax = 16

// etherTypeMin is the lowest type: a lower value is a length (IEEE 802.3).
const etherTypeMin = 0x0600

// VLANTypes are the types of VLAN tags: 802.1Q, 802.1ad, and those used before 802.1ad.
func VLANTypes() []EtherType { return []EtherType{0x8100, 0x88a8, 0x9100, 0x9200, 0x9300} }

// String returns the type as users write it.
func (e EtherType) String() string { return fmt.Sprintf("0x%04x", uint16(e)) }

// ParseEtherType parses four hexadecimal digits.
func ParseEtherType(s string) (EtherType, error) {
	digits, _ := strings.CutPrefix(strings.ToLower(s), "0x")
	n, err := strconv.ParseUint(digits, 16, 16)
	if err != nil || len(digits) != 4 {
		return 0, Invalidf("Ethernet type %q is malformed", s).WithHint("write four hexadecimal digits, such as 0x88b5")
	}
	return EtherType(n), EtherType(n).Validate()
}

// Validate returns nil if the type can be added to those that every network carries.
func (e EtherType) Validate() error {
	switch {
	case e < etherTypeMin:
		return Invalidf("%s is no Ethernet type", e).WithHint("types are 0x%04x or above: below are lengths", etherTypeMin)
	case slices.Contains(VLANTypes(), e):
		return Invalidf("Ethernet type %s announces a VLAN tag", e).WithHint("to carry VLAN tags: ovloom network set TENANT/NETWORK --vlan-transparent")
	case e == EtherTypeIPv4 || e == EtherTypeARP || e == EtherTypeIPv6:
		return Invalidf("Ethernet type %s need not be given", e).WithHint("every network carries IPv4, IPv6 and ARP")
	}
	return nil
}

// MarshalText returns String.
func (e EtherType) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText parses the output of MarshalText.
func (e *EtherType) UnmarshalText(b []byte) (err error) {
	*e, err = ParseEtherType(string(b))
	return err
}

func validateEtherTypes(list []EtherType) error {
	if len(list) > EtherTypesMax {
		return Invalidf("%d Ethernet types", len(list)).WithHint("at most %d", EtherTypesMax)
	}
	for i, e := range list {
		if err := e.Validate(); err != nil {
			return err
		}
		if slices.Contains(list[:i], e) {
			return Invalidf("Ethernet type %s is given twice", e)
		}
	}
	return nil
}
