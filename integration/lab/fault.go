package lab

// This file breaks the networks.

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
)

// LinkDown unplugs the cable of the host's underlay NIC: the NIC loses its carrier and keeps
// its addresses.
func (h *Host) LinkDown() error { return h.setCable(UnderlayNIC, false) }

// LinkUp plugs the cable in again.
func (h *Host) LinkUp() error { return h.setCable(UnderlayNIC, true) }

// ManagementDown unplugs the cable of the host's management NIC: the host cannot reach the
// store or, on the host that runs the store, the others cannot reach it.
func (h *Host) ManagementDown() error { return h.setCable(ManagementNIC, false) }

// ManagementUp plugs the cable in again.
func (h *Host) ManagementUp() error { return h.setCable(ManagementNIC, true) }

// setCable sets the state of the other end of the NIC's veth.
func (h *Host) setCable(nic string, up bool) error {
	return h.atFarEnd(nic, func(at *nsHandle, peer netlink.Link) error {
		if up {
			return at.LinkSetUp(peer)
		}
		return at.LinkSetDown(peer)
	})
}

// SetPathMTU limits packets to and from the host on the underlay, in bytes of IP packet. The
// host's NIC does not know the limit. The bridge lets 4 bytes more pass, because they could be
// a VLAN tag.
func (h *Host) SetPathMTU(mtu int) error {
	return h.atFarEnd(UnderlayNIC, func(at *nsHandle, peer netlink.Link) error { return at.LinkSetMTU(peer, mtu) })
}

// Direction is a direction of a cable.
type Direction string

// The directions, named as in netfilter at the other end of the host's cable.
const (
	FromHost Direction = "ingress"
	ToHost   Direction = "egress"
)

// FilterUDP drops packets to a UDP port in the underlay, in the given directions. Without
// directions it drops nothing.
func (h *Host) FilterUDP(ctx context.Context, port int, ways ...Direction) error {
	return h.filter(ctx, UnderlayNIC, "filter", fmt.Sprintf("udp dport %d drop", port), ways...)
}

// Lossy drops percent of the frames to and from one of the host's NICs, at random; 0: none.
func (h *Host) Lossy(ctx context.Context, nic string, percent int) error {
	ways := []Direction{FromHost, ToHost}
	if percent == 0 {
		ways = nil
	}
	return h.filter(ctx, nic, "lossy", fmt.Sprintf("numgen random mod 100 < %d drop", percent), ways...)
}

// filter sets a rule at the other end of one of the host's NICs; it replaces the rule of the
// same name.
func (h *Host) filter(ctx context.Context, nic, name, rule string, ways ...Direction) error {
	var device string
	err := h.atFarEnd(nic, func(_ *nsHandle, peer netlink.Link) error {
		device = peer.Attrs().Name
		return nil
	})
	if err != nil {
		return err
	}
	table := name + "-" + device
	rules := fmt.Sprintf("add table netdev %s; delete table netdev %s; add table netdev %s;", table, table, table)
	for _, way := range ways {
		rules += fmt.Sprintf(" add chain netdev %s %s { type filter hook %s device %q priority 0; }; add rule netdev %s %s %s;",
			table, way, way, device, table, way, rule)
	}
	args := []string{"nft", rules}
	_, err = run(ctx, args, append([]string{"nsenter", "--net=" + h.lab.wiresNS, "--"}, args...))
	return err
}

// atFarEnd calls fn with the other end of one of the host's NICs, in the namespace of the
// bridges.
func (h *Host) atFarEnd(nic string, fn func(*nsHandle, netlink.Link) error) error {
	here, err := openNetNS(h.netns)
	if err != nil {
		return err
	}
	defer here.close()
	there, err := openNetNS(h.lab.wiresNS)
	if err != nil {
		return err
	}
	defer there.close()
	near, err := here.LinkByName(nic)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", nic, h.Name, err)
	}
	far, err := there.LinkByIndex(near.Attrs().ParentIndex)
	if err == nil {
		err = fn(there, far)
	}
	if err != nil {
		return fmt.Errorf("change the far end of %s of %s: %w", nic, h.Name, err)
	}
	return nil
}
