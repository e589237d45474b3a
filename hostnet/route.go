package hostnet

// Routes through an interface.

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// Route is a route through an interface. Two with the same Dst, Table, Metric and
// TOS exclude each other.
type Route struct {
	Dst      netip.Prefix `json:"dst"`                // 0.0.0.0/0 or ::/0 for the default
	Gateway  netip.Addr   `json:"gateway,omitzero"`   // of the same family
	Source   netip.Addr   `json:"source,omitzero"`    // preferred source address
	Table    int          `json:"table,omitempty"`    // RT_TABLE_*: 254 main
	Metric   int          `json:"metric,omitempty"`   // the lower is preferred
	TOS      int          `json:"tos,omitempty"`      //
	Protocol int          `json:"protocol,omitempty"` // RTPROT_*: who made it
	Scope    int          `json:"scope,omitempty"`    // RT_SCOPE_*
	OnLink   bool         `json:"on_link,omitempty"`  // the gateway is reached though no subnet holds it

	// Metrics of the path; 0 where unset.
	MTU      int  `json:"mtu,omitempty"`
	MTULock  bool `json:"mtu_lock,omitempty"`
	AdvMSS   int  `json:"advmss,omitempty"`
	HopLimit int  `json:"hoplimit,omitempty"`
	InitCwnd int  `json:"initcwnd,omitempty"`
	InitRwnd int  `json:"initrwnd,omitempty"`
}

// String returns the route much as ip(8) does.
func (r Route) String() string {
	s := r.Dst.String()
	if r.Gateway.IsValid() {
		s += " via " + r.Gateway.String()
	}
	if r.Table != unix.RT_TABLE_MAIN {
		s += fmt.Sprintf(" table %d", r.Table)
	}
	if r.Metric != 0 {
		s += fmt.Sprintf(" metric %d", r.Metric)
	}
	return s
}

// PutRoute makes the route go through the interface, whichever interface it used
// before.
func PutRoute(link string, r Route) error {
	l, err := mustLink(link)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(r.netlink(l)); err != nil {
		return fmt.Errorf("route %s through %s: %w", r, link, err)
	}
	return nil
}

// readRoutes returns the routes that were added to an interface, without those that the
// kernel adds and deletes with its addresses.
func readRoutes(l netlink.Link, addrs []Addr) ([]Route, error) {
	var all []Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		// An unspecified table means all of them.
		list, err := dump(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return nil, fmt.Errorf("read routes of %s: %w", l.Attrs().Name, err)
		}
		for _, n := range list {
			r, mine, err := newRoute(l, n)
			if err != nil {
				return nil, err
			}
			if mine && !fromAddress(r, addrs) {
				all = append(all, r)
			}
		}
	}
	// A gateway can be used only when there is a route to it.
	slices.SortStableFunc(all, func(a, b Route) int {
		return cmp.Compare(b2i(a.Gateway.IsValid()), b2i(b.Gateway.IsValid()))
	})
	return all, nil
}

// newRoute returns the route as a value, and whether it goes through l and was added by
// people or daemons. It fails with a Conflict for a route through l with attributes
// that Route cannot hold: moved, it would be another route.
func newRoute(l netlink.Link, n netlink.Route) (r Route, mine bool, err error) {
	index := l.Attrs().Index
	mine = n.LinkIndex == index
	for _, hop := range n.MultiPath {
		mine = mine || hop.LinkIndex == index
	}
	if !mine || n.Table == unix.RT_TABLE_LOCAL || n.Type != unix.RTN_UNICAST {
		return Route{}, false, nil
	}
	r = Route{
		Dst:      prefixOf(n.Dst),
		Gateway:  addrOf(n.Gw),
		Source:   addrOf(n.Src),
		Table:    n.Table,
		Metric:   n.Priority,
		TOS:      n.Tos,
		Protocol: int(n.Protocol),
		Scope:    int(n.Scope),
		OnLink:   n.Flags&int(netlink.FLAG_ONLINK) != 0,
		MTU:      n.MTU,
		MTULock:  n.MTULock,
		AdvMSS:   n.AdvMSS,
		HopLimit: n.Hoplimit,
		InitCwnd: n.InitCwnd,
		InitRwnd: n.InitRwnd,
	}
	again := r.netlink(l)
	n.Flags &= int(netlink.FLAG_ONLINK)
	if !again.Equal(n) || n.Congctl != "" || n.Window != 0 || n.Features != 0 || n.RtoMin != 0 || n.QuickACK != 0 {
		return Route{}, true, intent.Conflictf("route %s through %s has parts that ovloom cannot move (several next hops, encapsulation…): %s", r, l.Attrs().Name, n).
			WithHint("remove the route, or move the interface by hand")
	}
	return r, true, nil
}

// netlink returns the route through l. Its Dst is set for default routes too.
func (r Route) netlink(l netlink.Link) *netlink.Route {
	n := &netlink.Route{
		LinkIndex: l.Attrs().Index,
		Dst:       ipNet(r.Dst),
		Gw:        r.Gateway.AsSlice(),
		Src:       r.Source.AsSlice(),
		Table:     r.Table,
		Priority:  r.Metric,
		Tos:       r.TOS,
		Protocol:  netlink.RouteProtocol(r.Protocol),
		Scope:     netlink.Scope(r.Scope),
		Type:      unix.RTN_UNICAST,
		MTU:       r.MTU,
		MTULock:   r.MTULock,
		AdvMSS:    r.AdvMSS,
		Hoplimit:  r.HopLimit,
		InitCwnd:  r.InitCwnd,
		InitRwnd:  r.InitRwnd,
	}
	if r.OnLink {
		n.Flags = int(netlink.FLAG_ONLINK)
	}
	return n
}

// fromAddress reports whether the kernel added the route for one of the addresses, and
// will add it again wherever the address moves. Network managers that switch that off
// (NoRoute) add routes that look the same.
func fromAddress(r Route, addrs []Addr) bool {
	if r.Protocol != unix.RTPROT_KERNEL {
		return false
	}
	if r.Dst.Addr().IsLinkLocalUnicast() && r.Dst.Addr().Is6() || r.Dst.Addr().IsMulticast() {
		return true
	}
	for _, a := range addrs {
		subnet := a.Prefix
		if a.Peer.IsValid() {
			subnet = a.Peer
		}
		if !a.NoRoute && subnet.Masked() == r.Dst {
			return true
		}
	}
	return false
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
