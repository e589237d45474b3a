package hostnet

// What Plug makes true on both ends of a pair. Each step looks first, so that a
// port that is right already is left alone.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/intent"
)

// configure makes both ends as the spec wants them.
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
		{"add its addresses", func() (bool, error) { return addMissing(inside, peer, p.Addrs) }},
		{"bring it up", func() (bool, error) { return setMTUAndUp(inside, peer, p.MTU) }},
		{"bring up its end on the host", func() (bool, error) { return setMTUAndUp(pkgHandle, host, p.MTU) }},
		{"add its default routes", func() (bool, error) { return p.addDefaultRoutes(inside, peer) }},
	}
	for _, s := range steps {
		err := ctx.Err()
		if err == nil {
			var changed bool
			changed, err = s.do()
			result.Changed = result.Changed || changed
		}
		if err != nil {
			return result, fmt.Errorf("interface %s in %s: %s: %w", p.IfName, p.Target, s.what, err)
		}
	}
	return result, nil
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

func setMTUAndUp(h *netlink.Handle, l netlink.Link, mtu int) (changed bool, err error) {
	if mtu != 0 && l.Attrs().MTU != mtu {
		if err := h.LinkSetMTU(l, mtu); err != nil {
			return false, fmt.Errorf("set the MTU of %s to %d: %w", l.Attrs().Name, mtu, err)
		}
		changed = true
	}
	if l.Attrs().Flags&net.FlagUp != 0 {
		return changed, nil
	}
	if err := h.LinkSetUp(l); err != nil {
		return changed, fmt.Errorf("bring up %s: %w", l.Attrs().Name, err)
	}
	return true, nil
}

// addMissing adds the addresses that the interface lacks. Others that it has stay:
// a workload may hold addresses of its own.
func addMissing(h *netlink.Handle, l netlink.Link, want []netip.Prefix) (changed bool, err error) {
	have, err := dump(func() ([]netlink.Addr, error) { return h.AddrList(l, netlink.FAMILY_ALL) })
	if err != nil {
		return false, fmt.Errorf("read addresses: %w", err)
	}
	held := map[netip.Prefix]bool{}
	for _, a := range have {
		held[prefixOf(a.IPNet)] = true
	}
	for _, p := range want {
		if held[p] {
			continue
		}
		// The store gives an address to one port only. Looking for a duplicate would
		// keep an IPv6 address from being used for up to two seconds (RFC 4862, 5.4).
		if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}); err != nil {
			return changed, fmt.Errorf("%s: %w", p, err)
		}
		changed = true
	}
	return changed, nil
}

// addDefaultRoutes makes a default route through each gateway.
func (p PlugSpec) addDefaultRoutes(h *netlink.Handle, l netlink.Link) (changed bool, err error) {
	for _, gw := range p.Gateways {
		family, all := unix.AF_INET, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gw.Is6() {
			family, all = unix.AF_INET6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		have, err := dump(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(family, &netlink.Route{LinkIndex: l.Attrs().Index}, netlink.RT_FILTER_OIF)
		})
		if err != nil {
			return changed, fmt.Errorf("read routes: %w", err)
		}
		there := false
		for _, r := range have {
			there = there || r.Gw.Equal(gw.AsSlice()) && prefixOf(r.Dst) == all
		}
		if there {
			continue
		}
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(all), Gw: gw.AsSlice()}
		if !p.onLink(gw) {
			r.Flags = int(netlink.FLAG_ONLINK)
		}
		err = h.RouteAdd(r)
		if errors.Is(err, syscall.EEXIST) {
			return changed, intent.Conflictf("%s has a default route already, so none through %s was added", p.Target, gw).
				WithHint("remove it, or plug the port without a gateway")
		}
		if err != nil {
			return changed, fmt.Errorf("through %s: %w", gw, err)
		}
		changed = true
	}
	return changed, nil
}

// onLink says whether an address is inside one of the port's subnets.
func (p PlugSpec) onLink(a netip.Addr) bool {
	for _, s := range p.Addrs {
		if s.Contains(a) {
			return true
		}
	}
	return false
}

// allowIPv6 undoes what container engines do to interfaces of a namespace that they
// believe to have no IPv6: without that the kernel refuses the address.
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

// checksumsOff makes the inside end leave no checksum to a card.
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
