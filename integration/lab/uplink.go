package lab

// This file puts the underlay's NIC into a bridge of Open vSwitch, as an operator does on the
// userspace datapath if the controller does not.

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// uplinkBridge holds the underlay's NIC if Config.NICInBridge is set, and its internal port has
// the VTEP's address.
const uplinkBridge = "br-phy"

// bridgeNIC makes the bridge.
func (h *Host) bridgeNIC(ctx context.Context) error {
	if _, err := h.Vsctl(ctx, "--may-exist", "add-br", uplinkBridge, "--",
		"set", "Bridge", uplinkBridge, "datapath_type="+Datapath(), "fail_mode=standalone", fmt.Sprintf("other_config:hwaddr=02:be:ff:00:00:%02x", h.VTEP.As4()[3]), "--",
		"--may-exist", "add-port", uplinkBridge, UnderlayNIC); err != nil {
		return err
	}
	at, err := openNetNS(h.netns)
	if err != nil {
		return err
	}
	defer at.close()
	link, err := at.LinkByName(UnderlayNIC)
	if err != nil {
		return err
	}
	addrs, err := at.AddrList(link, 0)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := at.AddrDel(link, &a); err != nil {
			return fmt.Errorf("move the underlay's address: %w", err)
		}
	}
	return h.addressBridge(ctx)
}

// addressBridge sets the VTEP's address on the bridge's internal port as soon as the port
// exists: each ovs-vswitchd makes a new one.
func (h *Host) addressBridge(ctx context.Context) error {
	at, err := openNetNS(h.netns)
	if err != nil {
		return err
	}
	defer at.close()
	return pollOften(ctx, uplinkBridge+" to be there", func() error {
		link, err := at.LinkByName(uplinkBridge)
		if err != nil {
			return err
		}
		if addrs, err := at.AddrList(link, 0); err != nil || len(addrs) > 0 {
			return err
		}
		if err := at.addAddr(uplinkBridge, h.Underlay); err != nil {
			return err
		}
		return at.setUp(uplinkBridge)
	})
}

// both runs two functions concurrently.
func both(ctx context.Context, one, two func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return one(ctx) })
	g.Go(func() error { return two(ctx) })
	return g.Wait()
}
