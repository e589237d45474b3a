package hostnet

// What Plug configures on both ends of a pair. Each step checks first, so that a
// correct port is left alone.

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// configure sets up both ends as in the spec.
func configure(ctx context.Context, name string, p PlugSpec, ns netns.NsHandle, inside *netlink.Handle) (Plugged, error) {
	host, err := netlink.LinkByName(name)
	if err != nil {
		return Plugged{}, fmt.Errorf("read interface %s: %w", name, err)
	}
	peer, err := inside.LinkByName(p.IfName)
	if err != nil {
		return Plugged{}, fmt.Errorf("read interface %s in %s: %w", p.IfName, p.Target, err)
	}
	result := Plugged{HostIf: name, IfIndex: host.Attrs().Index}
	steps := []struct {
		what string
		do   func() (bool, error)
	}{
		{"name the port on its end on the host", func() (bool, error) { return setAlias(host, p.Alias) }},
		{"set its MAC", func() (bool, error) { return setMAC(inside, peer, p.MAC) }},
		{"switch its checksum offload off", func() (bool, error) { return p.checksumsOff(ns) }},
		{"allow IPv6 on it", func() (bool, error) { return p.allowIPv6(ns) }},
		{"set its addresses", func() (bool, error) { return p.setAddrs(ns, inside, peer) }},
		{"set its MTU", func() (bool, error) { return setMTUs(host, inside, peer, p.MTU) }},
		{"bring it up", func() (bool, error) { return setUp(inside, peer) }},
		{"keep the host apart from it", func() (bool, error) { return false, p.beforeUp() }},
		{"bring up its end on the host", func() (bool, error) { return setUp(pkgHandle, host) }},
		{"set its default routes", func() (changed bool, err error) {
			changed, result.Elsewhere, err = p.setDefaultRoutes(inside, peer)
			return changed, err
		}},
	}
	for _, s := range steps {
		err := ctx.Err()
		if err == nil {
			var changed bool
			changed, err = s.do()
			if changed {
				result.Changed, result.Did = true, append(result.Did, s.what)
			}
		}
		if err != nil {
			return result, fmt.Errorf("interface %s in %s: %s: %w", p.IfName, p.Target, s.what, err)
		}
	}
	return result, nil
}

func (p PlugSpec) beforeUp() error {
	if p.BeforeUp == nil {
		return nil
	}
	return p.BeforeUp()
}

func setAlias(l netlink.Link, alias string) (bool, error) {
	if alias == "" || l.Attrs().Alias == alias {
		return false, nil
	}
	return true, netlink.LinkSetAlias(l, alias)
}

func setMAC(h *netlink.Handle, l netlink.Link, mac intent.MAC) (bool, error) {
	if mac.IsZero() || [6]byte(l.Attrs().HardwareAddr) == mac {
		return false, nil
	}
	return true, h.LinkSetHardwareAddr(l, mac[:])
}

// setMTUs gives both ends of a pair the MTU. No end may send more than the other
// accepts, so the inside end shrinks first and grows last.
func setMTUs(host netlink.Link, inside *netlink.Handle, peer netlink.Link, mtu int) (changed bool, err error) {
	ends := []func() (bool, error){
		func() (bool, error) { return setMTU(inside, peer, mtu) },
		func() (bool, error) { return setMTU(pkgHandle, host, mtu) },
	}
	if mtu > peer.Attrs().MTU {
		slices.Reverse(ends)
	}
	for _, set := range ends {
		c, err := set()
		changed = changed || c
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}

func setMTU(h *netlink.Handle, l netlink.Link, mtu int) (bool, error) {
	if mtu == 0 || l.Attrs().MTU == mtu {
		return false, nil
	}
	if err := h.LinkSetMTU(l, mtu); err != nil {
		return false, fmt.Errorf("set the MTU of %s to %d: %w", l.Attrs().Name, mtu, err)
	}
	return true, nil
}

func setUp(h *netlink.Handle, l netlink.Link) (bool, error) {
	if l.Attrs().Flags&net.FlagUp != 0 {
		return false, nil
	}
	if err := h.LinkSetUp(l); err != nil {
		return false, fmt.Errorf("bring up %s: %w", l.Attrs().Name, err)
	}
	return true, nil
}

// setAddrs adds missing addresses to the interface and removes unwanted ones that Plug
// added before. Other addresses stay: a workload may have addresses of its own.
func (p PlugSpec) setAddrs(ns netns.NsHandle, h *netlink.Handle, l netlink.Link) (changed bool, err error) {
	before, err := addrsOf(h, l)
	if err != nil {
		return false, err
	}
	held := map[netip.Prefix]bool{}
	var drop []netlink.Addr
	for _, a := range before {
		held[prefixOf(a.IPNet)] = true
		if slices.Contains(p.OldAddrs, prefixOf(a.IPNet)) && !slices.Contains(p.Addrs, prefixOf(a.IPNet)) {
			drop = append(drop, a)
		}
	}
	for _, want := range p.Addrs {
		if held[want] {
			continue
		}
		// The store gives an address to one port only. Duplicate address detection
		// would block an IPv6 address for up to two seconds (RFC 4862, 5.4).
		if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(want), Flags: unix.IFA_F_NODAD}); err != nil {
			return changed, fmt.Errorf("%s: %w", want, err)
		}
		changed = true
	}
	if len(drop) == 0 {
		return changed, nil
	}
	// Without this the kernel deletes a subnet's other addresses with its first one.
	err = inNamespace(ns, func() error {
		_, err := SetSysctl(promoteSecondaries, p.IfName, "1")
		return err
	})
	if err != nil {
		return changed, err
	}
	for _, a := range drop {
		if err := h.AddrDel(l, &netlink.Addr{IPNet: a.IPNet}); err != nil && !gone(err) {
			return changed, fmt.Errorf("delete %s: %w", prefixOf(a.IPNet), err)
		}
		changed = true
	}
	return changed, nil
}

func addrsOf(h *netlink.Handle, l netlink.Link) ([]netlink.Addr, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	return list, nil
}

// setDefaultRoutes adds a default route through each gateway, unless the namespace has
// another default route, and deletes unwanted ones that Plug added before.
func (p PlugSpec) setDefaultRoutes(h *netlink.Handle, l netlink.Link) (changed bool, elsewhere map[netip.Addr]string, err error) {
	for _, gw := range slices.Concat(p.OldGateways, p.Gateways) {
		wanted := slices.Contains(p.Gateways, gw)
		routes, err := defaultRoutes(h, gw.Is6())
		if err != nil {
			return changed, elsewhere, err
		}
		there, other := false, ""
		for _, r := range routes {
			switch {
			case r.LinkIndex == l.Attrs().Index && r.Gw.Equal(gw.AsSlice()):
				there = true
				if !wanted {
					if err := h.RouteDel(&r); err != nil && !gone(err) {
						return changed, elsewhere, fmt.Errorf("delete that through %s: %w", gw, err)
					}
					changed = true
				}
			case r.LinkIndex == l.Attrs().Index && slices.ContainsFunc(p.OldGateways, func(old netip.Addr) bool { return r.Gw.Equal(old.AsSlice()) }):
				// Deleted by now: Plug had added it.
			default:
				other = elsewhereOf(h, r)
			}
		}
		if !wanted || there {
			continue
		}
		if other != "" {
			if elsewhere == nil {
				elsewhere = map[netip.Addr]string{}
			}
			elsewhere[gw] = other
			continue
		}
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gw.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(all), Gw: gw.AsSlice()}
		if !p.onLink(gw) {
			r.Flags = int(netlink.FLAG_ONLINK)
		}
		if err := h.RouteAdd(r); err != nil {
			return changed, elsewhere, fmt.Errorf("through %s: %w", gw, err)
		}
		changed = true
	}
	return changed, elsewhere, nil
}

// defaultRoutes returns the default routes of a family in the main table.
func defaultRoutes(h *netlink.Handle, v6 bool) ([]netlink.Route, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	list, err := dump(func() ([]netlink.Route, error) { return h.RouteList(nil, family) })
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	return slices.DeleteFunc(list, func(r netlink.Route) bool {
		return r.Dst != nil && prefixOf(r.Dst).Bits() != 0 || r.Type != unix.RTN_UNICAST
	}), nil
}

// elsewhereOf describes where a default route leads.
func elsewhereOf(h *netlink.Handle, r netlink.Route) string {
	where := "elsewhere"
	if l, err := h.LinkByIndex(r.LinkIndex); err == nil {
		where = "through " + l.Attrs().Name
	}
	if a := addrOf(r.Gw); a.IsValid() {
		where += " to " + a.String()
	}
	return where
}

// onLink reports whether an address is inside one of the port's subnets.
func (p PlugSpec) onLink(a netip.Addr) bool {
	for _, s := range p.Addrs {
		if s.Contains(a) {
			return true
		}
	}
	return false
}

// allowIPv6 undoes what container engines set on interfaces of a namespace without
// IPv6: the kernel would refuse the address.
func (p PlugSpec) allowIPv6(ns netns.NsHandle) (changed bool, err error) {
	for _, a := range p.Addrs {
		if a.Addr().Is6() {
			err = inNamespace(ns, func() error {
				changed, err = SetSysctl(DisableIPv6, p.IfName, "0")
				return err
			})
			return changed, err
		}
	}
	return false, nil
}

// checksumsOff makes the inside end compute checksums itself.
func (p PlugSpec) checksumsOff(ns netns.NsHandle) (changed bool, err error) {
	if !p.TXChecksumOff {
		return false, nil
	}
	err = inNamespace(ns, func() error {
		changed, err = txChecksumsOff(p.IfName)
		return err
	})
	return changed, err
}
