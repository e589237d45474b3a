package lab

// This file is the back end in which a host is a network namespace. Both networks are bridges
// in one more namespace, so that no link of a lab ever appears in the machine's own.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The two networks. A lab's namespaces see no other network, so that all labs can use the same
// ones.
var (
	managementNet = netip.MustParsePrefix("172.30.0.0/24")
	underlayNet   = netip.MustParsePrefix("172.31.0.0/24")
)

type namespaces struct{ lab *Lab }

func (n *namespaces) start(ctx context.Context) error {
	wires := n.lab.mark + "-wires"
	if err := addNamed(wires); err != nil {
		return err
	}
	n.lab.wiresNS = filepath.Join(netnsDir, wires)
	n.lab.underlayIf = "underlay"
	// Otherwise the ports of the bridges would send packets from link-local addresses.
	if err := setSysctl(n.lab.wiresNS, "ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return err
	}
	at, err := openNetNS(n.lab.wiresNS)
	if err != nil {
		return err
	}
	defer at.close()
	for name, mtu := range map[string]int{"management": 1500, "underlay": n.lab.config.UnderlayMTU} {
		if err := at.addBridge(name, mtu); err != nil {
			return err
		}
	}
	mgmt, vtep := managementNet.Addr(), underlayNet.Addr()
	for i, h := range n.lab.Hosts {
		mgmt, vtep = mgmt.Next(), vtep.Next()
		h.Mgmt, h.VTEP, h.Underlay = mgmt, vtep, netip.PrefixFrom(vtep, underlayNet.Bits())
		h.netns = filepath.Join(netnsDir, n.hostNS(h))
		if err := addNamed(n.hostNS(h)); err != nil {
			return err
		}
		if err := n.wire(at, h, i+1); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return ctx.Err()
}

func (n *namespaces) hostNS(h *Host) string { return n.lab.mark + "-" + h.Name }

// wire creates the two interfaces of h.
func (n *namespaces) wire(wires *nsHandle, h *Host, number int) error {
	if err := h.quietKernel(); err != nil {
		return err
	}
	at, err := openNetNS(h.netns)
	if err != nil {
		return err
	}
	defer at.close()
	for _, nic := range []struct {
		name, bridge string
		mtu          int
		addr         netip.Prefix
	}{
		{ManagementNIC, "management", 1500, netip.PrefixFrom(h.Mgmt, managementNet.Bits())},
		{UnderlayNIC, "underlay", n.lab.config.UnderlayMTU, h.Underlay},
	} {
		peer := fmt.Sprintf("h%d-%s", number, nic.name)
		if err := at.addVeth(nic.name, nic.mtu, peer, wires); err != nil {
			return err
		}
		if err := wires.enslave(peer, nic.bridge); err != nil {
			return err
		}
		if err := at.addAddr(nic.name, nic.addr); err != nil {
			return err
		}
	}
	return nil
}

func (n *namespaces) command(h *Host, netns string, env, args []string) []string {
	path := h.netns
	if netns != "" {
		path = filepath.Join(netnsDir, netns)
	}
	// Not ip netns exec: that gives each command a mount namespace, and namespaces that the
	// command makes are not visible outside.
	cmd := []string{"nsenter", "--net=" + path, "--", "env"}
	return append(append(cmd, env...), args...)
}

func (n *namespaces) pid(_ *Host, started int, _ string) (int, error) { return started, nil }

func (n *namespaces) addNetNS(_ context.Context, h *Host, workload string) (name, path string, err error) {
	name = n.hostNS(h) + "-" + workload
	return name, filepath.Join(netnsDir, name), addNamed(name)
}

// addNamed makes a namespace like ip netns add.
func addNamed(name string) error {
	err := onOwnThread(func() error {
		if err := shareNamed(); err != nil {
			return err
		}
		ns, err := netns.NewNamed(name)
		if err != nil {
			return err
		}
		defer ns.Close()
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		return fmt.Errorf("add namespace %s: %w", name, err)
	}
	return nil
}

// shareNamed makes the directory of named namespaces a shared mount, like the first ip netns
// add of a machine. If that happened later, it would hide the mounts below, which then could
// not be removed.
func shareNamed() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	share := func() error { return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err := share()
	if errors.Is(err, unix.EINVAL) { // not mounted yet
		if err = unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", netnsDir, err)
	}
	return nil
}

// nsHandle uses netlink in one namespace.
type nsHandle struct {
	ns netns.NsHandle
	*netlink.Handle
}

func openNetNS(path string) (*nsHandle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace %s: %w", path, err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("open netlink in %s: %w", path, err)
	}
	return &nsHandle{ns, h}, nil
}

func (a *nsHandle) close() {
	a.Handle.Close()
	a.ns.Close()
}

func (a *nsHandle) addBridge(name string, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	snooping := false // without a querier, multicast would stop after a while
	if err := a.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("add bridge %s: %w", name, err)
	}
	return a.setUp(name)
}

// addVeth adds a veth pair: name here, peer in the other namespace.
func (a *nsHandle) addVeth(name string, mtu int, peer string, at *nsHandle) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerNamespace, v.PeerMTU = peer, netlink.NsFd(at.ns), uint32(mtu)
	if err := a.LinkAdd(v); err != nil {
		return fmt.Errorf("add veth %s: %w", name, err)
	}
	if err := a.setUp(name); err != nil {
		return err
	}
	return at.setUp(peer)
}

func (a *nsHandle) setUp(name string) error {
	link, err := a.LinkByName(name)
	if err == nil {
		err = a.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func (a *nsHandle) enslave(name, bridge string) error {
	link, err := a.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	master, err := a.LinkByName(bridge)
	if err == nil {
		err = a.LinkSetMaster(link, master)
	}
	if err != nil {
		return fmt.Errorf("put %s on bridge %s: %w", name, bridge, err)
	}
	return nil
}

func (a *nsHandle) addAddr(name string, addr netip.Prefix) error {
	link, err := a.LinkByName(name)
	if err == nil {
		err = a.AddrAdd(link, &netlink.Addr{IPNet: ipNet(addr), Flags: unix.IFA_F_NODAD})
	}
	if err != nil {
		return fmt.Errorf("add %s to %s: %w", addr, name, err)
	}
	return nil
}

func (a *nsHandle) setMAC(name, mac string) error {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	link, err := a.LinkByName(name)
	if err == nil {
		err = a.LinkSetHardwareAddr(link, hw)
	}
	if err != nil {
		return fmt.Errorf("set the address of %s to %s: %w", name, mac, err)
	}
	return nil
}
