package ovsdb

// Uplinks of the integration bridge: internal ports into the host's own routing, and patch
// ports to other bridges.

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/ovloom/ovloom/intent"
)

// Uplink is a port of the integration bridge by which packets leave the overlay.
type Uplink struct {
	// Name is the name of the port, and for an internal port of the host's interface.
	Name string
	// Via is the value of Interface.Uplink for the port.
	Via string
	// Bridge is the bridge at the other end of a pair of patch ports; "": the port is an
	// internal one.
	Bridge string

	// For an internal port.
	MAC string // as aa:bb:cc:dd:ee:ff
	MTU int    // bytes of IP packet
}

// keyUplink in external_ids marks a port as an uplink of ovloom's; on the other end of a
// patch it holds the name of the port on the integration bridge.
const (
	keyUplink    = "ovloom-uplink"
	keyUplinkEnd = "ovloom-uplink-of"
)

// Outer is the name of the patch port on the other bridge.
func (u Uplink) Outer() string { return u.Name + "-out" }

// EnsureUplinks makes the bridge's uplinks exactly these, on both bridges: it adds what is
// missing, repairs what differs, and removes uplinks that an earlier call added and that
// are no longer wanted. It writes nothing when nothing differs.
//
// An uplink whose other bridge does not exist, or belongs to another datapath, is skipped,
// and its fault is returned by the uplink's name. On the other bridge, only the patch port
// is ever changed.
func (db *DB) EnsureUplinks(ctx context.Context, bridge string, want []Uplink) (faults map[string]error, err error) {
	v, err := db.ready(ctx)
	if err != nil {
		return nil, fmt.Errorf("ensure the uplinks of bridge %s: %w", bridge, err)
	}
	b, ok := v.bridge(bridge)
	if !ok {
		if len(want) == 0 {
			return nil, nil
		}
		return nil, intent.NotFoundf("bridge %s does not exist", bridge)
	}
	faults = map[string]error{}
	var ops []ovsdb.Operation
	var what []string
	keep := map[string]string{} // the ports that stay, and the bridges they are on
	for n, u := range want {
		if err := db.mayUplink(v, b, u); err != nil {
			faults[u.Name] = err
			continue
		}
		for _, end := range u.ends(bridge) {
			keep[end.port.name] = end.bridge
			more, changed := ensureEnd(v, end, fmt.Sprintf("uplink%d%s", n, end.side))
			ops, what = append(ops, more...), append(what, changed...)
		}
	}
	for _, p := range v.uplinkPorts(bridge) {
		if keep[p.port.Name] != p.on.Name {
			ops = append(ops, mutate(tableBridge, p.on.UUID, dropRef("ports", p.port.UUID)))
			what = append(what, fmt.Sprintf("port %s of bridge %s is not wanted any more", p.port.Name, p.on.Name))
		}
	}
	if len(ops) == 0 {
		return faults, nil
	}
	if err := db.transactApplied(ctx, "change the uplinks of bridge "+bridge, ops...); err != nil {
		return faults, err
	}
	db.log.Info("uplinks changed", "bridge", bridge, "changed", what)
	return faults, nil
}

// uplinkEnd is one port of an uplink as it should be.
type uplinkEnd struct {
	bridge string
	side   string // distinguishes the ends within a transaction
	port   wantedPort
	mac    string
	ids    map[string]string
}

func (u Uplink) ends(bridge string) []uplinkEnd {
	inner := uplinkEnd{bridge: bridge, side: "in", ids: map[string]string{keyUplink: u.Via}}
	if u.Bridge == "" {
		inner.port = wantedPort{name: u.Name, ifType: "internal", mtu: u.MTU}
		inner.mac = u.MAC
		return []uplinkEnd{inner}
	}
	inner.port = wantedPort{name: u.Name, ifType: "patch", options: map[string]string{"peer": u.Outer()}}
	return []uplinkEnd{inner, {
		bridge: u.Bridge, side: "out",
		port: wantedPort{name: u.Outer(), ifType: "patch", options: map[string]string{"peer": u.Name}},
		ids:  map[string]string{keyUplinkEnd: bridge + "/" + u.Name},
	}}
}

// mayUplink refuses an uplink that cannot work.
func (db *DB) mayUplink(v view, b bridgeRow, u Uplink) error {
	for _, end := range u.ends(b.Name) {
		port, on, ok := v.port(end.port.name)
		if !ok {
			continue
		}
		i, _ := v.iface(port.Name)
		if _, ours := i.ExternalIDs[keyUplink]; on.Name == b.Name && !ours {
			return intent.Conflictf("port %s of bridge %s was not made by ovloom", port.Name, on.Name).
				WithHint("remove it: ovs-vsctl del-port %s %s", on.Name, port.Name)
		}
		if on.Name != end.bridge && i.ExternalIDs[keyUplinkEnd] != b.Name+"/"+u.Name {
			return intent.Conflictf("port %s is on bridge %s already", port.Name, on.Name).
				WithHint("remove it there: ovs-vsctl del-port %s %s", on.Name, port.Name)
		}
	}
	if u.Bridge == "" {
		return nil
	}
	other, ok := v.bridge(u.Bridge)
	switch {
	case !ok:
		return intent.NotFoundf("bridge %s does not exist on this host", u.Bridge).
			WithHint("make it, with the card that leads outside: ovs-vsctl add-br %s", u.Bridge)
	case u.Bridge == b.Name:
		return intent.Invalidf("bridge %s is the integration bridge", u.Bridge).WithHint("name the one that leads outside, such as br-ex")
	case other.DatapathType != b.DatapathType && !(isKernel(other) && isKernel(b)):
		return intent.Conflictf("bridge %s has datapath type %q and bridge %s %q: no packet gets from one to the other",
			u.Bridge, other.DatapathType, b.Name, b.DatapathType).
			WithHint("give it the same: ovs-vsctl set bridge %s datapath_type=%s", u.Bridge, b.DatapathType)
	}
	return nil
}

// isKernel reports whether a bridge is of the kernel's datapath; "" means that datapath
// too.
func isKernel(b bridgeRow) bool { return b.DatapathType == "" || b.DatapathType == DatapathSystem }

// ensureEnd returns the operations that make one end as wanted, and describes what they
// change.
func ensureEnd(v view, end uplinkEnd, uuidName string) (ops []ovsdb.Operation, what []string) {
	b, _ := v.bridge(end.bridge)
	port, on, exists := v.port(end.port.name)
	if exists && on.Name != end.bridge {
		ops = append(ops, mutate(tableBridge, on.UUID, dropRef("ports", port.UUID)), mutate(tableBridge, b.UUID, addRef("ports", port.UUID)))
		what = append(what, fmt.Sprintf("port %s was on bridge %s", port.Name, on.Name))
	}
	if !exists {
		ops = insertPort(uuidName, end.port, end.ids)
		if end.mac != "" {
			ops[0].Row["mac"] = end.mac
		}
		ops = append(ops, mutate(tableBridge, b.UUID, addRef("ports", uuidName)))
		return ops, []string{"port " + end.port.name + " of bridge " + end.bridge + " was missing"}
	}
	i, ok := v.iface(end.port.name)
	if !ok {
		return ops, what
	}
	columns := ovsdb.Row{}
	if i.Type != end.port.ifType {
		columns["type"] = end.port.ifType
	}
	if !maps.Equal(i.Options, end.port.options) {
		columns["options"] = mapOf(end.port.options)
	}
	if end.port.mtu > 0 && value(i.MTURequest) != end.port.mtu {
		columns["mtu_request"] = end.port.mtu
	}
	if end.mac != "" && value(i.MAC) != end.mac {
		columns["mac"] = end.mac
	}
	if len(columns) > 0 {
		ops = append(ops, update(tableInterface, i.UUID, columns))
		what = append(what, fmt.Sprintf("port %s differed in %v", end.port.name, slices.Sorted(maps.Keys(columns))))
	}
	if m := missing(i.ExternalIDs, end.ids); len(m) > 0 {
		ops = append(ops, mutate(tableInterface, i.UUID, putKeys("external_ids", m)...))
		what = append(what, fmt.Sprintf("external_ids of port %s lacked %v", end.port.name, m))
	}
	return ops, what
}

// uplinkPort is a port that EnsureUplinks added.
type uplinkPort struct {
	port portRow
	on   bridgeRow
}

// uplinkPorts returns both ends of the uplinks of a bridge.
func (v view) uplinkPorts(bridge string) []uplinkPort {
	var found []uplinkPort
	for _, b := range rows[bridgeRow](v, tableBridge) {
		for _, i := range v.interfacesOf(*b) {
			_, inner := i.ExternalIDs[keyUplink]
			of := i.ExternalIDs[keyUplinkEnd]
			if b.Name == bridge && inner || len(of) > len(bridge) && of[:len(bridge)+1] == bridge+"/" {
				if p, on, ok := v.port(i.Name); ok {
					found = append(found, uplinkPort{p, on})
				}
			}
		}
	}
	return found
}

// SetBridgeNote keeps a text on a bridge of ovloom's, in external_ids, for as long as the
// bridge lives; "" removes it. The key is prefixed with ovloom-.
func (db *DB) SetBridgeNote(ctx context.Context, bridge, key, text string) error {
	v, err := db.ready(ctx)
	if err != nil {
		return fmt.Errorf("note %s on bridge %s: %w", key, bridge, err)
	}
	b, ok := v.bridge(bridge)
	if !ok {
		return intent.NotFoundf("bridge %s does not exist", bridge)
	}
	// Write the record first, because the row is repaired from it. Until the row shows the
	// note, a repair leaves it out.
	defer db.writeNote(bridge, key)()
	db.remember(bridge, func(r *record) {
		r.UUID = b.UUID
		r.setNote(key, text)
	})
	key = noteKey(key)
	old, there := b.ExternalIDs[key]
	var m []ovsdb.Mutation
	switch {
	case text == "" && there:
		m = dropKeys("external_ids", key)
	case text != "" && (!there || old != text):
		m = putKeys("external_ids", map[string]string{key: text})
	default:
		return nil
	}
	what := "note " + key + " on bridge " + bridge
	if _, err = db.transact(ctx, what, mutate(tableBridge, b.UUID, m...)); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	return db.await(limited, what+" to be read back", func(v view) (bool, error) {
		now, ok := v.bridge(bridge)
		return !ok || now.UUID != b.UUID || now.ExternalIDs[key] == text, nil
	})
}

// BridgeNote returns the text that SetBridgeNote wrote, or "", even if the text was wiped
// off the bridge. It fails with Unavailable if the bridge was not read yet.
func (db *DB) BridgeNote(bridge, key string) (string, error) {
	b, ok := db.view().bridge(bridge)
	if !ok {
		return "", intent.Unavailablef("bridge %s was not read yet", bridge)
	}
	if text, ok := b.ExternalIDs[noteKey(key)]; ok {
		return text, nil
	}
	return db.notesOf(bridge)[key], nil
}

// notePrefix is the prefix of notes' keys in external_ids.
const notePrefix = "ovloom-"

func noteKey(key string) string { return notePrefix + key }
