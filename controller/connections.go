package controller

import (
	"net/netip"

	of "github.com/ovloom/ovloom/openflow"
)

// natRules is all that a tenant's connections are held against.
type natRules struct {
	zone  uint16
	limit uint32 // of connections; 0: none

	snat     map[netip.Addr]bool // what the tenant is translated to here
	floating map[netip.Addr]netip.Addr
	forwards map[forwardKey]netip.AddrPort // to targets
	targets  map[forwardKey]bool           // that are here, of forwards that begin anywhere

	// left are the addresses of ports that were here: what they began from here cannot
	// go on elsewhere, under another address. What a forward leads to them can.
	left map[netip.Addr]bool
}

// forwardKey is what a forward forwards, or what it forwards to.
type forwardKey struct {
	proto uint8
	at    netip.AddrPort
}

// allow says whether a connection may go on: whether the rules could have made it.
// So one goes on that was made by the tenant's SNAT before its port got a floating
// address; it keeps the translation that it has.
//
// A connection is known by two tuples. The original one is of its first packet before
// translation; the reply one is of an answer before it is translated back. A tenant
// that reaches an address of its own has two connections: one that is translated on
// its way out, and one on its way in. One that came in by another host was translated
// there, and here not at all.
func (r natRules) allow(c of.Connections) bool {
	if c.Reply.Dst == c.Orig.Src && c.Reply.Src == c.Orig.Dst {
		return r.targets[forwardKey{c.Orig.Proto, netip.AddrPortFrom(c.Orig.Dst, c.Orig.DstPort)}]
	}
	if c.Reply.Dst != c.Orig.Src { // its source was translated
		inner, outer := c.Orig.Src, c.Reply.Dst
		if r.left[inner] || !r.snat[outer] && r.floating[outer] != inner {
			return false
		}
	}
	if c.Reply.Src != c.Orig.Dst { // its destination was
		inner, outer := c.Reply.Src, c.Orig.Dst
		at := forwardKey{c.Orig.Proto, netip.AddrPortFrom(outer, c.Orig.DstPort)}
		if r.floating[outer] != inner && r.forwards[at] != netip.AddrPortFrom(inner, c.Reply.SrcPort) {
			return false
		}
	}
	return true
}
