package ovsdb

// Reading the replica. Rows are shared with the replica, so nothing here changes them.

import (
	"slices"

	"github.com/ovn-kubernetes/libovsdb/cache"
)

// view reads the newest replica; it goes on working when the connection is lost.
type view struct {
	replica *cache.TableCache
	schema  string
}

func (db *DB) view() view {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.session == nil {
		return view{}
	}
	return view{db.session.replica, db.session.schema}
}

// root returns the one row of Open_vSwitch.
func (v view) root() (rootRow, bool) {
	for _, r := range rows[rootRow](v, tableRoot) {
		return *r, true
	}
	return rootRow{}, false
}

// bridge returns the bridge with a name.
func (v view) bridge(name string) (bridgeRow, bool) {
	for _, b := range rows[bridgeRow](v, tableBridge) {
		if b.Name == name {
			return *b, true
		}
	}
	return bridgeRow{}, false
}

// port returns the port with a name, and its bridge.
func (v view) port(name string) (portRow, bridgeRow, bool) {
	for _, p := range rows[portRow](v, tablePort) {
		if p.Name != name {
			continue
		}
		for _, b := range rows[bridgeRow](v, tableBridge) {
			if slices.Contains(b.Ports, p.UUID) {
				return *p, *b, true
			}
		}
	}
	return portRow{}, bridgeRow{}, false
}

// iface returns the interface with a name; the schema makes names unique.
func (v view) iface(name string) (interfaceRow, bool) {
	for _, i := range rows[interfaceRow](v, tableInterface) {
		if i.Name == name {
			return *i, true
		}
	}
	return interfaceRow{}, false
}

// interfacesOf returns the interfaces of a bridge's ports, in no particular order.
func (v view) interfacesOf(b bridgeRow) []*interfaceRow {
	ports := rows[portRow](v, tablePort)
	ifaces := rows[interfaceRow](v, tableInterface)
	var found []*interfaceRow
	for _, uuid := range b.Ports {
		// A port or interface may be missing: a read can come between two rows of one
		// update.
		if p := ports[uuid]; p != nil {
			for _, uuid := range p.Interfaces {
				if i := ifaces[uuid]; i != nil {
					found = append(found, i)
				}
			}
		}
	}
	return found
}

// rows returns a table by UUID, for reading only.
func rows[R any](v view, table string) map[string]*R {
	if v.replica == nil {
		return nil
	}
	all := v.replica.Table(table).RowsShallow()
	typed := make(map[string]*R, len(all))
	for uuid, m := range all {
		typed[uuid] = any(m).(*R)
	}
	return typed
}
