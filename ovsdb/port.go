package ovsdb

// Ports for workloads, added to and deleted from a bridge.

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/ovloom/ovloom/intent"
)

// PortSpec is a port as it should be.
type PortSpec struct {
	Name    string // name of the port, its interface and the network device
	Type    string // "" for a network device of the host, else internal, afxdp…
	IfaceID string // external_ids:iface-id; "": none

	// PluggedFor names the port for when no store knows it any more; it becomes
	// external_ids:ovloom-port. "": none.
	PluggedFor string

	// Generation is the generation of the claim that binds the interface. 0: unknown.
	Generation uint64

	Options    map[string]string // exactly these
	MTURequest int               // bytes of IP packet; 0: the device's own MTU

	// IfIndex is the index of the network device, as hostnet.Plug returns it. When a
	// device is deleted and recreated under the same name, ovs-vswitchd keeps the dead one
	// and shows no error; the changed index tells AddPort to recreate the port. 0: not
	// checked.
	IfIndex int
}

// AddPort adds the port to the bridge, or changes what differs; it writes nothing when
// nothing differs. It returns once the database has the port; WaitOFPort waits for
// ovs-vswitchd. It fails with NotFound if there is no such bridge, and with a Conflict if
// another bridge has a port of that name.
func (db *DB) AddPort(ctx context.Context, bridge string, p PortSpec) error {
	if err := checkIfName(p.Name); err != nil {
		return err
	}
	v, err := db.ready(ctx)
	if err != nil {
		return fmt.Errorf("add port %s: %w", p.Name, err)
	}
	b, ok := v.bridge(bridge)
	if !ok {
		return intent.NotFoundf("bridge %s does not exist", bridge)
	}
	ids := map[string]string{}
	if p.IfaceID != "" {
		ids[keyIfaceID] = p.IfaceID
	}
	if p.PluggedFor != "" {
		ids[keyPort] = p.PluggedFor
	}
	if p.IfIndex != 0 {
		ids[keyIfIndex] = strconv.Itoa(p.IfIndex)
	}
	if p.Generation != 0 {
		ids[keyGeneration] = strconv.FormatUint(p.Generation, 10)
	}
	port, on, exists := v.port(p.Name)
	iface, _ := v.iface(p.Name)
	switch {
	case exists && on.Name != bridge:
		return intent.Conflictf("port %s is on bridge %s already", p.Name, on.Name).
			WithHint("remove it there: ovs-vsctl del-port %s %s", on.Name, p.Name)
	case exists && (iface.Type != p.Type || stale(iface, p)):
		// Use two transactions, and wait until the first is applied: otherwise
		// ovs-vswitchd sees one change in which the port stays, and keeps the dead device.
		if err := db.transactApplied(ctx, "delete stale port "+p.Name, mutate(tableBridge, b.UUID, dropRef("ports", port.UUID))); err != nil {
			return err
		}
		db.log.Info("stale port deleted", "bridge", bridge, "port", p.Name)
	case exists:
		return db.changePort(ctx, iface, p, ids)
	}
	ops := insertPort("new", wantedPort{name: p.Name, ifType: p.Type, options: p.Options, mtu: p.MTURequest}, ids)
	ops = append(ops, mutate(tableBridge, b.UUID, addRef("ports", "new")))
	if _, err := db.transact(ctx, "add port "+p.Name, ops...); err != nil {
		return err
	}
	db.log.Info("port added", "bridge", bridge, "port", p.Name, "iface-id", p.IfaceID)
	return nil
}

// stale reports whether the port was created for a device that no longer exists.
func stale(i interfaceRow, p PortSpec) bool {
	return p.IfIndex != 0 && i.ExternalIDs[keyIfIndex] != strconv.Itoa(p.IfIndex)
}

// changePort writes what differs in a port's interface.
func (db *DB) changePort(ctx context.Context, i interfaceRow, p PortSpec, ids map[string]string) error {
	var ops []ovsdb.Operation
	columns := ovsdb.Row{}
	if !maps.Equal(i.Options, p.Options) {
		columns["options"] = mapOf(p.Options)
	}
	if p.MTURequest > 0 && value(i.MTURequest) != p.MTURequest {
		columns["mtu_request"] = p.MTURequest
	}
	if len(columns) > 0 {
		ops = append(ops, update(tableInterface, i.UUID, columns))
	}
	if m := missing(i.ExternalIDs, ids); len(m) > 0 {
		ops = append(ops, mutate(tableInterface, i.UUID, putKeys("external_ids", m)...))
	}
	if len(ops) == 0 {
		return nil
	}
	if _, err := db.transact(ctx, "change port "+p.Name, ops...); err != nil {
		return err
	}
	db.log.Info("port changed", "port", p.Name)
	return nil
}

// DelPort deletes a port from the bridge and waits until ovs-vswitchd has released its
// device. It returns nil if the bridge has no such port.
func (db *DB) DelPort(ctx context.Context, bridge, name string) error {
	v, err := db.ready(ctx)
	if err != nil {
		return fmt.Errorf("delete port %s: %w", name, err)
	}
	port, on, ok := v.port(name)
	if !ok || on.Name != bridge {
		return nil
	}
	if err := db.transactApplied(ctx, "delete port "+name, mutate(tableBridge, on.UUID, dropRef("ports", port.UUID))); err != nil {
		return err
	}
	db.log.Info("port deleted", "bridge", bridge, "port", name)
	return nil
}
