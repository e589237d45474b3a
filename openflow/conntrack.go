package openflow

import "net/netip"

// Tuple is one direction of a tracked connection. A zero field stands for any
// value.
type Tuple struct {
	Src, Dst         netip.Addr
	Proto            uint8  // IP protocol; needed for ports and ICMP
	SrcPort, DstPort uint16 // TCP, UDP, SCTP
	// ICMP only; Open vSwitch needs Src and Dst too.
	ICMPID             uint16
	ICMPType, ICMPCode uint8
}

// Connections selects tracked connections: those in a zone whose two directions match
// Orig and Reply. Both zero: all of the zone.
type Connections struct {
	Zone        uint16
	Orig, Reply Tuple
}
