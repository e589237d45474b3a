package ofp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/ovloom/ovloom/openflow"
)

// This file cuts tracked connections.

// Properties of NXT_CT_FLUSH, and those within a tuple.
const (
	ctOrig  = 0
	ctReply = 1
	ctZone  = 2

	ctSrc      = 0
	ctDst      = 1
	ctSrcPort  = 2
	ctDstPort  = 3
	ctICMPID   = 4
	ctICMPType = 5
	ctICMPCode = 6
)

// IP protocols whose tuples have an id instead of ports.
const (
	protoICMP   = 1
	protoICMPv6 = 58
)

// AppendCTFlush appends a message that cuts the connections c. A whole zone is
// flushed with NXT_CT_FLUSH_ZONE, which all versions of Open vSwitch know; anything
// narrower with NXT_CT_FLUSH, which came with 3.1. There is no reply. The error says
// that Open vSwitch could not do what c asks.
func AppendCTFlush(b []byte, xid uint32, c openflow.Connections) ([]byte, error) {
	if c.Orig == (openflow.Tuple{}) && c.Reply == (openflow.Tuple{}) {
		b, start := beginNicira(b, nxtCTFlushZone, xid)
		b = append(b, 0, 0, 0, 0, 0, 0)
		return mustEnd(binary.BigEndian.AppendUint16(b, c.Zone), start), nil
	}
	// One protocol stands for both directions.
	proto := c.Orig.Proto
	if proto == 0 {
		proto = c.Reply.Proto
	}
	for _, t := range [...]openflow.Tuple{c.Orig, c.Reply} {
		if err := checkTuple(t, proto); err != nil {
			return b, err
		}
	}
	b, start := beginNicira(b, nxtCTFlush, xid)
	b = append(b, proto, 0, 0, 0, 0, 0, 0, 0)
	b = appendTuple(b, ctOrig, c.Orig, proto)
	b = appendTuple(b, ctReply, c.Reply, proto)
	return mustEnd(appendUint16Property(b, ctZone, c.Zone), start), nil
}

// checkTuple refuses a tuple that the switch would read as a wider one.
func checkTuple(t openflow.Tuple, proto uint8) error {
	icmp := proto == protoICMP || proto == protoICMPv6
	switch {
	case t.Proto != 0 && t.Proto != proto:
		return fmt.Errorf("ofp: ct flush: protocols %d and %d in one connection", t.Proto, proto)
	case t.Src.IsValid() && t.Dst.IsValid() && t.Src.Unmap().Is4() != t.Dst.Unmap().Is4():
		return fmt.Errorf("ofp: ct flush: %s and %s are not of one IP version", t.Src, t.Dst)
	case proto == 0 && (t.SrcPort != 0 || t.DstPort != 0):
		return fmt.Errorf("ofp: ct flush: ports without a protocol")
	case icmp && (t.SrcPort != 0 || t.DstPort != 0):
		return fmt.Errorf("ofp: ct flush: protocol %d has no ports", proto)
	case !icmp && (t.ICMPID != 0 || t.ICMPType != 0 || t.ICMPCode != 0):
		return fmt.Errorf("ofp: ct flush: protocol %d has no ICMP fields", proto)
	case (t.ICMPID != 0 || t.ICMPType != 0 || t.ICMPCode != 0) && !(t.Src.IsValid() && t.Dst.IsValid()):
		return fmt.Errorf("ofp: ct flush: ICMP fields need both addresses")
	}
	return nil
}

// appendTuple appends one direction, or nothing if it is open.
func appendTuple(b []byte, kind uint16, t openflow.Tuple, proto uint8) []byte {
	t.Proto = 0
	if t == (openflow.Tuple{}) {
		return b
	}
	b, start := beginNested(b, kind)
	b = appendTupleAddr(b, ctSrc, t.Src)
	b = appendTupleAddr(b, ctDst, t.Dst)
	if proto == protoICMP || proto == protoICMPv6 {
		if t.ICMPID != 0 || t.ICMPType != 0 || t.ICMPCode != 0 {
			b = appendUint16Property(b, ctICMPID, t.ICMPID)
			b = append(b, 0, ctICMPType, 0, 5, t.ICMPType, 0, 0, 0)
			b = append(b, 0, ctICMPCode, 0, 5, t.ICMPCode, 0, 0, 0)
		}
	} else {
		if t.SrcPort != 0 {
			b = appendUint16Property(b, ctSrcPort, t.SrcPort)
		}
		if t.DstPort != 0 {
			b = appendUint16Property(b, ctDstPort, t.DstPort)
		}
	}
	return endProperty(b, start)
}

// appendTupleAddr appends an address, IPv4 mapped into IPv6, or nothing if it is
// open.
func appendTupleAddr(b []byte, kind uint16, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	b, start := beginProperty(b, kind)
	a16 := a.As16()
	return endProperty(append(b, a16[:]...), start)
}
