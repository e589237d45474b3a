package ovsdb

// The bridge that holds the underlay's NIC with the userspace datapath: tunnel packets are
// then routed inside ovs-vswitchd, and leave by a port of a bridge.

import (
	"context"
	"fmt"
)

// EnsureUplinkBridge creates a userspace bridge that forwards like a learning switch and
// holds the NIC, and whose own interface has the MAC and the MTU, in bytes of IP packet.
// (The MTU is set because ovs-vswitchd by itself limits that interface to 1500.) Like
// EnsureBridge it is idempotent and fails with the same kinds; it returns when
// ovs-vswitchd has opened the NIC.
func (db *DB) EnsureUplinkBridge(ctx context.Context, bridge, nic, mac string, mtu int) error {
	for _, n := range []string{bridge, nic} {
		if err := checkIfName(n); err != nil {
			return err
		}
	}
	v, err := db.ready(ctx)
	if err != nil {
		return fmt.Errorf("ensure bridge %s: %w", bridge, err)
	}
	_, err = db.ensure(ctx, v, wantedBridge{
		name:     bridge,
		datapath: DatapathNetdev,
		failMode: failStandalone,
		other:    map[string]string{"disable-in-band": "true", "hwaddr": mac},
		localMTU: mtu,
		port:     wantedPort{name: nic},
	}, false)
	if err != nil {
		return err
	}
	db.rememberBridge(bridge, true)
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	if err := db.awaitLocal(limited, bridge); err != nil {
		return err
	}
	_, err = db.WaitOFPort(limited, nic)
	return err
}

// InternalPort returns the datapath type of the bridge that has an internal port of that
// name, which is an interface of the host too; ok is false if there is no such port.
func (db *DB) InternalPort(name string) (datapath string, ok bool) {
	v := db.view()
	if i, ok := v.iface(name); !ok || i.Type != "internal" {
		return "", false
	}
	_, b, ok := v.port(name)
	return b.DatapathType, ok
}
