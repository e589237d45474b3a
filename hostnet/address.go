package hostnet

// Addresses of an interface.

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Addr is an address of an interface. Two with the same Prefix and Peer are the same
// address.
type Addr struct {
	Prefix    netip.Prefix `json:"prefix"`              // the address with its length
	Peer      netip.Prefix `json:"peer,omitzero"`       // of a point-to-point link
	Broadcast netip.Addr   `json:"broadcast,omitzero"`  // IPv4
	Label     string       `json:"label,omitempty"`     // IPv4; "" for the interface's name
	Scope     int          `json:"scope,omitempty"`     // RT_SCOPE_*: 0 global, 253 link
	NoRoute   bool         `json:"no_route,omitempty"`  // it adds no route to its subnet
	Valid     uint32       `json:"valid,omitempty"`     // lifetime in seconds; 0: for ever
	Preferred uint32       `json:"preferred,omitempty"` // preferred lifetime in seconds; 0: for ever
}

// Same reports whether two are the same address, whatever their attributes.
func (a Addr) Same(b Addr) bool { return a.Prefix == b.Prefix && a.Peer == b.Peer }

// LinkLocal reports whether the kernel adds the address by itself (fe80::).
func (a Addr) LinkLocal() bool { return a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() }

// AddAddr adds an address to an interface; if it is there already, nothing changes.
func AddAddr(link string, a Addr) error {
	l, err := mustLink(link)
	if err != nil {
		return err
	}
	n := &netlink.Addr{
		IPNet:       ipNet(a.Prefix),
		Label:       a.Label,
		Scope:       a.Scope,
		ValidLft:    int(a.Valid),
		PreferedLft: int(a.Preferred),
	}
	if a.Peer.IsValid() {
		n.Peer = ipNet(a.Peer)
	}
	if a.Prefix.Addr().Is4() {
		// Unset would make netlink compute one.
		n.Broadcast = netip.IPv4Unspecified().AsSlice()
		if a.Broadcast.IsValid() {
			n.Broadcast = a.Broadcast.AsSlice()
		}
	} else {
		// The host had the address on this segment before. During duplicate address
		// detection, no tunnel could use it.
		n.Flags |= unix.IFA_F_NODAD
	}
	if a.NoRoute {
		n.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if err := netlink.AddrAdd(l, n); err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("add address %s to %s: %w", a.Prefix, link, err)
	}
	return nil
}

// DelAddr deletes an address from an interface; if it is not there, nothing changes.
func DelAddr(link string, a Addr) error {
	l, err := mustLink(link)
	if err != nil {
		return err
	}
	n := &netlink.Addr{IPNet: ipNet(a.Prefix)}
	if a.Peer.IsValid() {
		n.Peer = ipNet(a.Peer)
	}
	if err := netlink.AddrDel(l, n); err != nil && !gone(err) {
		return fmt.Errorf("delete address %s from %s: %w", a.Prefix, link, err)
	}
	return nil
}

// readAddrs returns the addresses that can be moved, in the order in which to add them,
// without temporary addresses, which the kernel replaces regularly (RFC 8981).
func readAddrs(l netlink.Link) ([]Addr, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("read addresses of %s: %w", l.Attrs().Name, err)
	}
	var v4, v6 []Addr
	for _, n := range list {
		a := Addr{
			Prefix:    prefixOf(n.IPNet),
			Peer:      prefixOf(n.Peer),
			Broadcast: addrOf(n.Broadcast),
			Scope:     n.Scope,
			NoRoute:   n.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
			Valid:     lifetime(n.ValidLft),
			Preferred: lifetime(n.PreferedLft),
		}
		if a.Prefix.Addr().Is6() && n.Flags&unix.IFA_F_TEMPORARY != 0 {
			continue
		}
		if n.Label != l.Attrs().Name {
			a.Label = n.Label
		}
		if a.Prefix.Addr().Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	// The kernel puts a new IPv6 address before the older ones, an IPv4 address
	// after them.
	slices.Reverse(v6)
	return append(v4, v6...), nil
}

// lifetime turns the kernel's "for ever" into 0.
func lifetime(seconds int) uint32 {
	if seconds < 0 || seconds >= math.MaxUint32 {
		return 0
	}
	return uint32(seconds)
}

// gone reports whether a deletion failed because the object did not exist.
func gone(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ESRCH) ||
		errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT)
}
