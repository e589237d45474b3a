package hostnet

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NextHop returns the host's next hop for an address, which is the address itself or a
// router, and its link; no address if the link does not use ARP.
func NextHop(to netip.Addr) (hop netip.Addr, link string, err error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil || len(routes) == 0 {
		return hop, "", fmt.Errorf("find the route to %s: %w", to, err)
	}
	if hop = addrOf(routes[0].Gw); !hop.IsValid() {
		hop = to
	}
	l, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return hop, "", fmt.Errorf("find the route to %s: %w", to, err)
	}
	if l.Attrs().RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK|unix.IFF_POINTOPOINT) != 0 {
		hop = netip.Addr{}
	}
	return hop, l.Attrs().Name, nil
}

// NeighbourMAC returns the MAC in the kernel's neighbour table for an address on a
// link; "" if it is unresolved.
func NeighbourMAC(link string, a netip.Addr) (string, error) {
	l, err := mustLink(link)
	if err != nil {
		return "", err
	}
	list, err := dump(func() ([]netlink.Neigh, error) { return netlink.NeighList(l.Attrs().Index, netlink.FAMILY_ALL) })
	if err != nil {
		return "", fmt.Errorf("read the neighbours on %s: %w", link, err)
	}
	for _, n := range list {
		if addrOf(n.IP) == a && n.State&(unix.NUD_FAILED|unix.NUD_INCOMPLETE) == 0 {
			return n.HardwareAddr.String(), nil
		}
	}
	return "", nil
}
