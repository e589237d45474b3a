package ovsdb

// The bridge that holds the underlay's NIC when the datapath is userspace: tunnel
// packets are routed inside ovs-vswitchd then, and leave by a port of a bridge.

import (
	"context"
	"fmt"
)

// EnsureUplinkBridge makes a userspace bridge that switches like any switch, holds
// the NIC, and whose own interface has the MAC and the MTU, in bytes of IP packet. (By
// itself ovs-vswitchd makes that interface's MTU no larger than 1500.) It is as idempotent as EnsureBridge,
// fails alike, and returns when ovs-vswitchd has opened the NIC.
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

// InternalPort returns the datapath type of the bridge that has an internal port of
// that name, which is an interface of the host too; false if none has.
func (db *DB) InternalPort(name string) (datapath string, ok bool) {
	v := db.view()
	if i, ok := v.iface(name); !ok || i.Type != "internal" {
		return "", false
	}
	_, b, ok := v.port(name)
	return b.DatapathType, ok
}
