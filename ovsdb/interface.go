package ovsdb

// Interfaces as the controller sees them, and ovloom's marks on them.

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/ovloom/ovloom/intent"
)

// Keys of an interface's external_ids.
const (
	keyIfaceID    = "iface-id"          // which port it is; set by the program that plugs it
	keyGeneration = "ovloom-generation" // generation of this host's claim in force when it was bound
	keyInstalled  = "ovloom-installed"  // "true": the port's flows are in the switch
	keyIfIndex    = "ovloom-ifindex"    // index of the network device given to AddPort
	keyPort       = "ovloom-port"       // name of the port given to AddPort
)

// Interface is an interface of a bridge, as last read.
type Interface struct {
	UUID   string // of the row
	Name   string
	Type   string // "" for a system interface, else internal, vxlan, afxdp…
	Bridge string

	// Set by the program that plugged it, and by ovloom.
	IfaceID    string // external_ids:iface-id; "" if there is none
	PluggedFor string // external_ids:ovloom-port; "" if ovloom did not plug it
	Generation uint64 // external_ids:ovloom-generation; 0 if there is none
	Installed  bool   // external_ids:ovloom-installed
	IfIndex    int    // external_ids:ovloom-ifindex; 0 if there is none
	Uplink     string // Uplink.Via, if EnsureUplinks added it

	// Set by ovs-vswitchd; out of date while it does not run.
	OFPort   int    // OpenFlow port; 0 not yet known, -1 when it could not be opened
	Error    string // why it could not be opened; ""
	MTU      int    // bytes of IP packet; 0 if unknown
	LinkUp   bool
	MACInUse string // as aa:bb:cc:dd:ee:ff; "" if unknown
}

// Interfaces returns the interfaces of a bridge by name, except its local one. It reads
// the replica, so it works while ovsdb-server is down.
func (db *DB) Interfaces(bridge string) []Interface {
	v := db.view()
	b, ok := v.bridge(bridge)
	if !ok {
		return nil
	}
	var all []Interface
	for _, i := range v.interfacesOf(b) {
		if i.Name == bridge {
			continue
		}
		n := newInterface(i, bridge)
		if v.patched(i) {
			n.Error = ""
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b Interface) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// patched reports whether an interface is one end of a working patch. Open vSwitch may
// leave an error there from the time when the other end was missing.
func (v view) patched(i *interfaceRow) bool {
	if i.Type != "patch" {
		return false
	}
	other, ok := v.iface(i.Options["peer"])
	return ok && patchWorks(*i, other)
}

// patchWorks reports whether two interfaces are the ends of a patch, and both open.
func patchWorks(a, b interfaceRow) bool {
	return a.Type == "patch" && b.Type == "patch" && a.Options["peer"] == b.Name && b.Options["peer"] == a.Name &&
		value(a.OFPort) > 0 && value(b.OFPort) > 0
}

// PortBridge returns the bridge that has a port of that name. It reads the replica, so it
// works while ovsdb-server is down.
func (db *DB) PortBridge(name string) (bridge string, ok bool) {
	_, b, ok := db.view().port(name)
	return b.Name, ok
}

func newInterface(i *interfaceRow, bridge string) Interface {
	// ovloom writes only numbers; anything else counts as no generation.
	generation, _ := strconv.ParseUint(i.ExternalIDs[keyGeneration], 10, 64)
	index, _ := strconv.Atoi(i.ExternalIDs[keyIfIndex])
	return Interface{
		IfIndex:    index,
		UUID:       i.UUID,
		Name:       i.Name,
		Type:       i.Type,
		Bridge:     bridge,
		IfaceID:    i.ExternalIDs[keyIfaceID],
		PluggedFor: i.ExternalIDs[keyPort],
		Generation: generation,
		Installed:  i.ExternalIDs[keyInstalled] == "true",
		Uplink:     i.ExternalIDs[keyUplink],
		OFPort:     value(i.OFPort),
		Error:      value(i.Error),
		MTU:        value(i.MTU),
		LinkUp:     value(i.LinkState) == "up",
		MACInUse:   value(i.MACInUse),
	}
}

// SetInstalled notes on an interface whether its port's flows are installed.
func (db *DB) SetInstalled(ctx context.Context, uuid string, on bool) error {
	c := keyChange{uuid: uuid, set: map[string]string{}}
	c.setOrDrop(keyInstalled, "true", on)
	return db.changeKeys(ctx, "mark interface installed", []keyChange{c})
}

// SetGeneration notes on an interface the generation of this host's claim; 0 removes the
// note.
func (db *DB) SetGeneration(ctx context.Context, uuid string, generation uint64) error {
	c := keyChange{uuid: uuid, set: map[string]string{}}
	c.setOrDrop(keyGeneration, strconv.FormatUint(generation, 10), generation != 0)
	return db.changeKeys(ctx, "mark interface with its generation", []keyChange{c})
}

// keyChange sets and removes keys in external_ids of one interface.
type keyChange struct {
	uuid string
	set  map[string]string
	drop []string
}

func (c *keyChange) setOrDrop(key, value string, set bool) {
	if set {
		c.set[key] = value
	} else {
		c.drop = append(c.drop, key)
	}
}

// changeKeys writes the changes that the row does not show already.
func (db *DB) changeKeys(ctx context.Context, what string, changes []keyChange) error {
	ifaces := rows[interfaceRow](db.view(), tableInterface)
	var ops []ovsdb.Operation
	var gone []error
	for _, c := range changes {
		i := ifaces[c.uuid]
		if i == nil {
			gone = append(gone, intent.NotFoundf("%s: interface row %s is gone", what, c.uuid))
			continue
		}
		var m []ovsdb.Mutation
		if set := missing(i.ExternalIDs, c.set); len(set) > 0 {
			m = append(m, putKeys("external_ids", set)...)
		}
		for _, key := range c.drop {
			if _, there := i.ExternalIDs[key]; there {
				m = append(m, dropKeys("external_ids", key)...)
			}
		}
		if len(m) > 0 {
			ops = append(ops, mutate(tableInterface, c.uuid, m...))
		}
	}
	if len(ops) == 0 {
		return errors.Join(gone...)
	}
	results, err := db.transact(ctx, what, ops...)
	if err != nil {
		return errors.Join(append(gone, err)...)
	}
	for n, op := range ops {
		if results[n].Count == 0 {
			gone = append(gone, intent.NotFoundf("%s: interface row %v is gone", what, op.Where[0].Value))
		}
	}
	return errors.Join(gone...)
}

// WaitOFPort waits until ovs-vswitchd has given the interface an OpenFlow port. It
// fails with a Conflict that says why if ovs-vswitchd cannot open the interface,
// with NotFound if there is no such interface, and with Unavailable when ctx ends,
// or after the DB's timeout.
func (db *DB) WaitOFPort(ctx context.Context, name string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	var port int
	err := db.await(ctx, "ovs-vswitchd to open "+name, func(v view) (bool, error) {
		i, ok := v.iface(name)
		if !ok {
			return false, intent.NotFoundf("no bridge has an interface %s", name)
		}
		if e := value(i.Error); e != "" {
			return false, intent.Conflictf("Open vSwitch cannot use interface %s: %s", name, e).
				WithHint("see whether the device exists, and for a tunnel whether another one has the same UDP port")
		}
		port = value(i.OFPort)
		return port > 0, nil
	})
	return port, err
}
