package hostnet

// Interfaces of the host as plain values.

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// Link is an interface of the host with everything that can be moved to another one.
type Link struct {
	Name    string  `json:"name"`
	MAC     string  `json:"mac"` // as aa:bb:cc:dd:ee:ff
	MTU     int     `json:"mtu"` // bytes of IP packet
	Up      bool    `json:"up"`
	Promisc bool    `json:"promisc,omitempty"` // set to receive frames of every MAC
	Kind    string  `json:"kind,omitempty"`    // veth, bridge, vlan…; "device" for hardware
	Master  string  `json:"master,omitempty"`  // the bridge or bond that it is part of
	Addrs   []Addr  `json:"addrs,omitempty"`   // in the order to add them: a primary address before its secondaries
	Routes  []Route `json:"routes,omitempty"`  // without those that come with an address, in an order to add them
}

// ReadLink returns the current state of an interface. It fails with NotFound if it does
// not exist, and with a Conflict if it has a route that cannot be moved.
func ReadLink(name string) (Link, error) {
	l, err := mustLink(name)
	if err != nil {
		return Link{}, err
	}
	a := l.Attrs()
	link := Link{
		Name:    a.Name,
		MAC:     a.HardwareAddr.String(),
		MTU:     a.MTU,
		Up:      a.Flags&net.FlagUp != 0,
		Promisc: a.RawFlags&unix.IFF_PROMISC != 0,
		Kind:    l.Type(),
		Master:  linkName(a.MasterIndex),
	}
	if link.Addrs, err = readAddrs(l); err != nil {
		return Link{}, err
	}
	link.Routes, err = readRoutes(l, link.Addrs)
	return link, err
}

// LinkExists reports whether the host has an interface of that name.
func LinkExists(name string) bool {
	l, err := linkByName(name)
	return err == nil && l != nil
}

// LinkIndex returns the index of an interface; it fails with NotFound if it does not
// exist.
func LinkIndex(name string) (int, error) {
	l, err := mustLink(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, nil
}

// LinkByMAC returns the name of the interface of a kind that has a MAC address, or "".
func LinkByMAC(mac, kind string) string {
	list, err := dump(netlink.LinkList)
	if err != nil {
		return ""
	}
	for _, l := range list {
		if l.Attrs().HardwareAddr.String() == mac && l.Type() == kind {
			return l.Attrs().Name
		}
	}
	return ""
}

// SetUp brings an interface up.
func SetUp(name string) error {
	l, err := mustLink(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// PromiscOff makes an interface receive frames of its own MAC only.
func PromiscOff(name string) error {
	l, err := mustLink(name)
	if err != nil {
		return err
	}
	if err := netlink.SetPromiscOff(l); err != nil {
		return fmt.Errorf("switch off promiscuous mode of %s: %w", name, err)
	}
	return nil
}

// pkgHandle works in the namespace of the calling thread.
var pkgHandle = &netlink.Handle{}

// linkByName returns nil if the interface does not exist.
func linkByName(name string) (netlink.Link, error) { return linkAt(pkgHandle, name) }

func linkAt(h *netlink.Handle, name string) (netlink.Link, error) {
	l, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read interface %s: %w", name, err)
	}
	return l, nil
}

func mustLink(name string) (netlink.Link, error) {
	l, err := linkByName(name)
	if err == nil && l == nil {
		return nil, intent.NotFoundf("interface %s does not exist on this host", name).WithHint("see `ip link`")
	}
	return l, err
}

// linkName returns the name of the interface with an index, or "".
func linkName(index int) string {
	if index == 0 {
		return ""
	}
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return ""
	}
	return l.Attrs().Name
}

// deleteLink deletes an interface; one that is gone is no error.
func deleteLink(name string) error {
	l, err := linkByName(name)
	if err != nil || l == nil {
		return err
	}
	if err := netlink.LinkDel(l); err != nil && !gone(err) {
		return fmt.Errorf("delete interface %s: %w", name, err)
	}
	return nil
}

// dump repeats a listing that was interrupted by another process's change: it could
// lack entries that existed throughout.
func dump[T any](list func() ([]T, error)) (all []T, err error) {
	for range 10 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

func ipNet(p netip.Prefix) *net.IPNet {
	a := p.Addr()
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(p.Bits(), a.BitLen())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addrOf(n.IP), ones)
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
