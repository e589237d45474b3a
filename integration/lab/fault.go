package lab

// This file breaks the underlay.

import "fmt"

// LinkDown pulls the cable out of the host's underlay NIC: the NIC loses its
// carrier and keeps its addresses.
func (h *Host) LinkDown() error { return h.setCable(false) }

// LinkUp plugs the cable in again.
func (h *Host) LinkUp() error { return h.setCable(true) }

// setCable works on the far end of the NIC's veth, in the underlay's namespace.
func (h *Host) setCable(up bool) error {
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
	nic, err := here.LinkByName(UnderlayNIC)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", UnderlayNIC, h.Name, err)
	}
	peer, err := there.LinkByIndex(nic.Attrs().ParentIndex)
	if err != nil {
		return fmt.Errorf("find the far end of %s of %s: %w", UnderlayNIC, h.Name, err)
	}
	set := there.LinkSetDown
	if up {
		set = there.LinkSetUp
	}
	if err := set(peer); err != nil {
		return fmt.Errorf("set the underlay link of %s: %w", h.Name, err)
	}
	return nil
}
