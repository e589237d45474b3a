package lab

// This file breaks the networks.

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// LinkDown pulls the cable out of the host's underlay NIC: the NIC loses its
// carrier and keeps its addresses.
func (h *Host) LinkDown() error { return h.setCable(UnderlayNIC, false) }

// LinkUp plugs the cable in again.
func (h *Host) LinkUp() error { return h.setCable(UnderlayNIC, true) }

// ManagementDown pulls the cable out of the host's management NIC: the store is
// out of its reach, or the host out of the store's.
func (h *Host) ManagementDown() error { return h.setCable(ManagementNIC, false) }

// ManagementUp plugs the cable in again.
func (h *Host) ManagementUp() error { return h.setCable(ManagementNIC, true) }

// setCable works on the far end of the NIC's veth.
func (h *Host) setCable(nic string, up bool) error {
	return h.atFarEnd(nic, func(at *nsHandle, peer netlink.Link) error {
		if up {
			return at.LinkSetUp(peer)
		}
		return at.LinkSetDown(peer)
	})
}

// atFarEnd calls fn with the far end of one of the host's NICs, in the namespace
// of the bridges.
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
