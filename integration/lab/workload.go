package lab

// This file is a workload: a network namespace in place of a container or VM on a host, and the
// veth by which a test may plug it without ovloom.

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Workload is a network namespace on a host. It has no interface until one
// is plugged.
type Workload struct {
	Name  string
	Host  *Host
	NetNS string // its name on the host, as ovloom port plug --netns takes it
	path  string // of the namespace, for this process
}

// NewWorkload makes a workload. Its name is unique on the host.
func (h *Host) NewWorkload(ctx context.Context, name string) (*Workload, error) {
	netns, path, err := h.lab.back.addNetNS(ctx, h, name)
	if err != nil {
		return nil, fmt.Errorf("%s: add workload %s: %w", h.Name, name, err)
	}
	w := &Workload{Name: name, Host: h, NetNS: netns, path: path}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.workloads = append(h.workloads, w)
	return w, nil
}

// Exec is Host.Exec inside the workload.
func (w *Workload) Exec(ctx context.Context, args ...string) (string, error) {
	return w.Host.execIn(ctx, w.NetNS, args)
}

// Start is Host.Start inside the workload.
func (w *Workload) Start(ctx context.Context, name string, args ...string) (*Process, error) {
	return w.Host.startIn(ctx, w.NetNS, w.Name+"-"+name, args)
}

// InNetNS calls fn on a thread inside the workload. Sockets that fn opens stay there. Fn must
// not start goroutines that open sockets.
func (w *Workload) InNetNS(fn func() error) error { return inNetNS(w.path, fn) }

// Veth is an interface that a test plugs by hand, as libvirt or an operator
// with ovs-vsctl would.
type Veth struct {
	Bridge      string // "": br-int
	HostIf      string // name on the host, at most 15 bytes, unique there
	Ifname      string // name in the workload; "": eth0
	MAC         string // "": the kernel's choice
	Addrs       []netip.Prefix
	MTU         int    // bytes of IP packet; 0: 1450
	InterfaceID string // external_ids:iface-id; "": none
}

// PlugVeth puts a veth into the workload and its other end on a bridge.
func (w *Workload) PlugVeth(ctx context.Context, v Veth) error {
	if v.Bridge == "" {
		v.Bridge = "br-int"
	}
	if err := w.AddVeth(ctx, v); err != nil {
		return err
	}
	add := []string{"add-port", v.Bridge, v.HostIf}
	if v.InterfaceID != "" {
		add = append(add, "--", "set", "Interface", v.HostIf, "external_ids:iface-id="+v.InterfaceID)
	}
	_, err := w.Host.Vsctl(ctx, add...)
	return err
}

// AddVeth puts a veth into the workload, with its other end not plugged.
func (w *Workload) AddVeth(ctx context.Context, v Veth) error {
	if v.Ifname == "" {
		v.Ifname = "eth0"
	}
	if v.MTU == 0 {
		v.MTU = 1450
	}
	host, err := openNetNS(w.Host.netns)
	if err != nil {
		return err
	}
	defer host.close()
	inside, err := openNetNS(w.path)
	if err != nil {
		return err
	}
	defer inside.close()
	if err := host.addVeth(v.HostIf, v.MTU, v.Ifname, inside); err != nil {
		return err
	}
	if v.MAC != "" {
		if err := inside.setMAC(v.Ifname, v.MAC); err != nil {
			return err
		}
	}
	for _, addr := range v.Addrs {
		if err := inside.addAddr(v.Ifname, addr); err != nil {
			return err
		}
	}
	// The userspace datapath forwards frames unchanged: a checksum that the kernel left to an
	// offload would stay wrong.
	_, err = w.Exec(ctx, "ethtool", "-K", v.Ifname, "tx", "off")
	return err
}

// UnplugVeth removes the port from its bridge and deletes the veth.
func (h *Host) UnplugVeth(ctx context.Context, hostIf string) error {
	if _, err := h.Vsctl(ctx, "del-port", hostIf); err != nil {
		return err
	}
	_, err := h.Exec(ctx, "ip", "link", "del", hostIf)
	return err
}

// KnowNeighbour sets the MAC of a neighbour in the workload's kernel, so that it sends no
// requests: it repeats an unanswered request only after a second.
func (w *Workload) KnowNeighbour(ifname string, addr netip.Addr, mac string) error {
	at, err := openNetNS(w.path)
	if err != nil {
		return err
	}
	defer at.close()
	link, err := at.LinkByName(ifname)
	if err != nil {
		return fmt.Errorf("find %s: %w", ifname, err)
	}
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	n := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: addr.AsSlice(), HardwareAddr: hw}
	if err := at.NeighSet(n); err != nil {
		return fmt.Errorf("set the neighbour %s: %w", addr, err)
	}
	return nil
}
