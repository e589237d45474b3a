package intent

import (
	"fmt"
	"net"
)

// MAC is an Ethernet address; its zero value means none.
type MAC [6]byte

// GatewayMAC is the address that every gateway of every network shows to ports. It is
// locally administered, and frames never leave a host with it as their source: seen
// from several VTEPs it would make a peer's table flap.
var GatewayMAC = MAC{0x0e, 0x0f, 0x0f, 0x0f, 0x0f, 0x01}

// RouterMAC returns the source address of the packets that a host has routed and that
// leave it: ports do not mistake it for the gateway's.
func RouterMAC(host ID) MAC {
	return MAC{0x0e, 0x0e, byte(host >> 24), byte(host >> 16), byte(host >> 8), byte(host)}
}

// ParseMAC parses a unicast Ethernet address such as 02:00:00:00:00:05.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 {
		return MAC{}, Invalidf("MAC address %q is malformed", s).WithHint("write six hexadecimal bytes, such as 02:00:00:00:00:05")
	}
	m := MAC(hw)
	return m, m.Validate()
}

// Validate checks that m can be the address of one port: unicast, not zero and not a
// router's.
func (m MAC) Validate() error {
	switch {
	case m == MAC{}:
		return Invalidf("MAC address %s is all zeros", m).WithHint("leave it out to have one made")
	case m[0]&1 != 0:
		return Invalidf("MAC address %s is a group address", m).WithHint("the lowest bit of the first byte must be 0, such as 02:00:00:00:00:05")
	case m == GatewayMAC || m[0] == 0x0e && m[1] == 0x0e:
		return Invalidf("MAC address %s is a router's own", m).WithHint("choose one that starts with 02")
	}
	return nil
}

// DerivedMAC returns the MAC of a port that was added without one: locally
// administered, unique as long as fewer than 2^38 object ids were given out.
func DerivedMAC(id ID) MAC {
	return MAC{0x0a | byte(id>>34)&0xf0, byte(id >> 32), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
}

// IsZero reports whether m is absent.
func (m MAC) IsZero() bool { return m == MAC{} }

// String returns m as colon-separated lower-case hexadecimal bytes.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText implements encoding.TextMarshaler; an absent MAC is "".
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}
