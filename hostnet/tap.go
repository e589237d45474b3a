package hostnet

// Interfaces that another program made, such as the tap of a VM, as ports.

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/ovloom/ovloom/intent"
)

// Tap is an interface made by another program, as CheckTap found it.
type Tap struct {
	Name    string
	IfIndex int
	MTU     int // bytes of IP packet
	Up      bool

	ChecksumsLeft bool // the guest may leave checksums to it: see TapsLeavingChecksums
}

// CheckTap refuses an interface that must not become a port. It changes nothing. With
// any it accepts other kinds than taps and veths, and interfaces with addresses; but
// never the loopback, a member of a bridge or bond, or an interface with a default
// route of the host. It fails with NotFound if there is none of that name, else with a
// Conflict.
func CheckTap(name string, any bool) (Tap, error) {
	l, err := linkByName(name)
	if err != nil {
		return Tap{}, err
	}
	if l == nil {
		return Tap{}, intent.NotFoundf("interface %s does not exist on this host", name).WithHint("see `ip link`")
	}
	a := l.Attrs()
	if a.Flags&net.FlagLoopback != 0 {
		return Tap{}, intent.Conflictf("interface %s is the loopback", name).WithHint("name the tap of a VM")
	}
	// Interfaces on the kernel's datapath have ovs-system as their master, which this
	// one may have already.
	if master := linkName(a.MasterIndex); master != "" && master != "ovs-system" {
		return Tap{}, intent.Conflictf("interface %s is part of %s", name, master).
			WithHint("take it out: ip link set %s nomaster", name)
	}
	for _, v6 := range []bool{false, true} {
		routes, err := defaultRoutes(pkgHandle, v6)
		if err != nil {
			return Tap{}, err
		}
		if slices.ContainsFunc(routes, func(r netlink.Route) bool { return goesThrough(r, a.Index) }) {
			return Tap{}, intent.Conflictf("the default route of this host goes through interface %s: as a port it would cut the host off", name).
				WithHint("name the tap of a VM")
		}
	}
	if !any {
		if err := ordinaryTap(l); err != nil {
			return Tap{}, err
		}
	}
	left, _ := leavesChecksums(l) // no reason to refuse it
	return Tap{Name: name, IfIndex: a.Index, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, ChecksumsLeft: left}, nil
}

func goesThrough(r netlink.Route, index int) bool {
	return r.LinkIndex == index || slices.ContainsFunc(r.MultiPath, func(hop *netlink.NexthopInfo) bool { return hop.LinkIndex == index })
}

// ordinaryTap refuses interfaces with addresses, and all but taps and veths.
func ordinaryTap(l netlink.Link) error {
	name := l.Attrs().Name
	kind := l.Type()
	if t, ok := l.(*netlink.Tuntap); ok && t.Mode == netlink.TUNTAP_MODE_TUN {
		kind = "tun"
	}
	switch kind {
	case "veth", "tuntap":
	case "tun":
		return intent.Conflictf("interface %s is a tun device, which carries no Ethernet frames", name).
			WithHint("make it a tap: ip tuntap add %s mode tap", name)
	case "device":
		return intent.Conflictf("interface %s is a network card, neither a tap nor a veth", name).
			WithHint("name the tap of a VM, or give --force if a card of its own shall be this port")
	default:
		return intent.Conflictf("interface %s is a %s, neither a tap nor a veth", name, kind).
			WithHint("name the tap of a VM, or give --force if this shall be the port")
	}
	list, err := addrsOf(pkgHandle, l)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	var addrs []string
	for _, a := range list {
		if p := prefixOf(a.IPNet); !p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() {
			addrs = append(addrs, p.String())
		}
	}
	if len(addrs) > 0 {
		return intent.Conflictf("interface %s has addresses of this host: %s", name, strings.Join(addrs, ", ")).
			WithHint("the addresses of a port belong into its workload: remove them (ip addr flush dev %s), or give --force", name)
	}
	return nil
}

// ReadyTap sets the MTU of an interface, in bytes of IP packet (0: unchanged), and
// brings it up. The returned function undoes that.
func ReadyTap(t Tap, mtu int) (undo func() error, err error) {
	undo = func() error { return nil }
	l, err := linkByName(t.Name)
	if err != nil {
		return undo, err
	}
	if l == nil || l.Attrs().Index != t.IfIndex {
		return undo, intent.NotFoundf("interface %s does not exist any more", t.Name)
	}
	undo = func() error {
		var err error
		if !t.Up {
			err = netlink.LinkSetDown(l)
		}
		if mtu != 0 && mtu != t.MTU && err == nil {
			err = netlink.LinkSetMTU(l, t.MTU)
		}
		if err != nil && !gone(err) {
			return fmt.Errorf("put interface %s back as it was: %w", t.Name, err)
		}
		return nil
	}
	if _, err = setMTU(pkgHandle, l, mtu); err == nil {
		_, err = setUp(pkgHandle, l)
	}
	return undo, err
}
