package ovsdb

// The integration bridge: created in one transaction, and repaired when another program or
// a person changed it.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/ovloom/ovloom/intent"
)

// Bridge is the integration bridge as it should be.
type Bridge struct {
	Name     string // such as br-int
	Datapath string // DatapathSystem or DatapathNetdev

	VXLANPort    string     // name of the one tunnel port; "": vx0
	VXLANUDPPort int        // 0: 4789 (RFC 7348)
	VTEP         netip.Addr // source address of tunnel packets; invalid: the route's choice

	// Prefixes lists, by OpenFlow table, the fields that the table matches by prefix:
	// ip_src, ip_dst, ipv6_src, ipv6_dst, at most three. Open vSwitch then unwildcards
	// only the bits that it needs, so datapath flows stay wide (ovs-vswitchd.conf.db(5),
	// Flow_Table: prefixes).
	Prefixes map[int][]string
}

const (
	failSecure     = "secure"
	failStandalone = "standalone"
)

// localOFPort is OFPP_LOCAL, the local port of every bridge.
const localOFPort = 65534

// wantProtocols: ovloom speaks OpenFlow 1.5; the other versions are for ovs-ofctl.
var wantProtocols = []string{"OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"}

// EnsureBridge creates the bridge and its VXLAN port, or repairs what differs and logs the
// repairs. It writes nothing when nothing differs. It returns when ovs-vswitchd has both,
// or fails:
//
//   - Conflict: the bridge, or a port of that name, belongs to another system, or
//     ovs-vswitchd refuses the port (another tunnel has the same UDP port);
//   - Unavailable: ovsdb-server or ovs-vswitchd does not answer in time;
//   - Invalid: b makes no sense.
func (db *DB) EnsureBridge(ctx context.Context, b Bridge) error {
	_, err := db.ensureBridge(ctx, b, false)
	return err
}

func (db *DB) ensureBridge(ctx context.Context, b Bridge, keep bool) (changed []string, err error) {
	b = b.withDefaults()
	if err := b.validate(); err != nil {
		return nil, err
	}
	w := b.wanted()
	// The notes are read before the view, so that a note written in between is not
	// reported as missing.
	w.ours, w.notes = true, db.keptNotes(b.Name)
	v, err := db.ready(ctx)
	if err != nil {
		return nil, fmt.Errorf("ensure bridge %s: %w", b.Name, err)
	}
	if err := db.mayEnsure(v, w, keep); err != nil {
		return nil, err
	}
	if old, ok := v.bridge(b.Name); !keep && ok && old.ExternalIDs[keyOwner] == db.owner {
		db.rememberBridge(b.Name, false)
		w.notes = db.keptNotes(b.Name)
	}
	if changed, err = db.ensure(ctx, v, w, keep); err != nil {
		return changed, err
	}
	db.rememberBridge(b.Name, true)
	if now, ok := db.view().bridge(b.Name); ok && len(now.Controller) > 0 {
		err = controllerFault(b.Name)
	}
	return changed, errors.Join(err, db.awaitBridge(ctx, b))
}

// awaitBridge waits until ovs-vswitchd has a bridge and its tunnel port.
func (db *DB) awaitBridge(ctx context.Context, b Bridge) error {
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	if err := db.awaitLocal(limited, b.Name); err != nil {
		if e := new(intent.Error); b.Datapath == DatapathSystem && errors.As(err, &e) && e.Kind == intent.Unavailable {
			// ovs-vswitchd only logs this.
			e.Hint = "see whether ovs-vswitchd runs, and whether the kernel has the openvswitch module (modprobe openvswitch); without it use --datapath netdev"
		}
		return err
	}
	_, err := db.WaitOFPort(limited, b.VXLANPort)
	return err
}

// CheckBridge fails where EnsureBridge would, as far as the database alone shows. It
// changes nothing and does not ask ovs-vswitchd.
func (db *DB) CheckBridge(ctx context.Context, b Bridge) error {
	b = b.withDefaults()
	if err := b.validate(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	if _, err := db.live(limited); err != nil {
		return fmt.Errorf("look at bridge %s: %w", b.Name, err)
	}
	return db.mayEnsure(db.view(), b.wanted(), false)
}

// DeleteBridge deletes a bridge of ovloom's with its ports. It fails with a Conflict if
// the bridge is not ovloom's, and returns nil if there is no such bridge.
func (db *DB) DeleteBridge(ctx context.Context, name string) error {
	v, err := db.ready(ctx)
	if err != nil {
		return fmt.Errorf("delete bridge %s: %w", name, err)
	}
	b, ok := v.bridge(name)
	if !ok {
		return nil
	}
	if err := db.checkOwner(v, b, false); err != nil {
		return err
	}
	root, _ := v.root()
	// The server garbage-collects ports and interfaces that no row refers to.
	if err := db.transactApplied(ctx, "delete bridge "+name, mutate(tableRoot, root.UUID, dropRef("bridges", b.UUID))); err != nil {
		return err
	}
	db.remember(name, func(r *record) { *r = record{} })
	db.log.Info("bridge deleted", "bridge", name)
	return nil
}

func (b Bridge) validate() error {
	for _, n := range []string{b.Name, b.VXLANPort} {
		if err := checkIfName(n); err != nil {
			return err
		}
	}
	switch {
	case b.Datapath != DatapathSystem && b.Datapath != DatapathNetdev:
		return intent.Invalidf("datapath type %q is unknown", b.Datapath).WithHint("%s or %s", DatapathSystem, DatapathNetdev)
	case b.VXLANUDPPort < 1 || b.VXLANUDPPort > 65535:
		return intent.Invalidf("UDP port %d is out of range", b.VXLANUDPPort).WithHint("1 to 65535, usually 4789")
	case b.VXLANPort == b.Name:
		return intent.Invalidf("%q is the name of both the bridge and its VXLAN port", b.Name).WithHint("choose two names")
	}
	return nil
}

func (b Bridge) withDefaults() Bridge {
	b.VXLANPort = orDefault(b.VXLANPort, "vx0")
	if b.VXLANUDPPort == 0 {
		b.VXLANUDPPort = 4789
	}
	return b
}

// wanted returns what the database should hold of the bridge.
func (b Bridge) wanted() wantedBridge {
	// The flow sets the remote address and the VNI of each packet.
	options := map[string]string{"remote_ip": "flow", "key": "flow", "dst_port": strconv.Itoa(b.VXLANUDPPort)}
	if b.VTEP.IsValid() {
		options["local_ip"] = b.VTEP.String()
	}
	return wantedBridge{
		name:     b.Name,
		datapath: b.Datapath,
		failMode: failSecure,
		other:    map[string]string{"disable-in-band": "true"},
		prefixes: b.Prefixes,
		port:     wantedPort{name: b.VXLANPort, ifType: "vxlan", options: options},
	}
}

// checkIfName refuses a name that Linux does not accept for an interface.
func checkIfName(name string) error {
	if name == "" || len(name) > 15 {
		return intent.Invalidf("interface name %q has %d bytes", name, len(name)).WithHint("1 to 15")
	}
	for _, r := range name {
		if r <= ' ' || r == '/' || r > '~' {
			return intent.Invalidf("interface name %q has the character %q", name, r).WithHint("use letters, digits, dot and hyphen")
		}
	}
	return nil
}

// wantedBridge is what ensure makes true of a bridge.
type wantedBridge struct {
	name     string
	datapath string
	failMode string
	other    map[string]string // keys of other_config
	localMTU int               // of the local port; 0: ovs-vswitchd's choice
	port     wantedPort        // besides the local port
	prefixes map[int][]string  // by OpenFlow table
	ours     bool              // the integration bridge, which no other program changes
	notes    map[string]string // in external_ids, by the key given to SetBridgeNote
}

// wantedPort is a port with one interface, as it should be.
type wantedPort struct {
	name    string
	ifType  string
	options map[string]string // exactly these
	mtu     int               // requested MTU; 0: none
}

// ready waits for the connection and returns a view in which the root row exists.
func (db *DB) ready(ctx context.Context) (view, error) {
	limited, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	if _, err := db.live(limited); err != nil {
		return view{}, err
	}
	if _, ok := db.view().root(); !ok {
		// A new database has no root row until `ovs-vsctl init` inserts it. The row sets a
		// column because libovsdb leaves out an empty row altogether.
		empty := ovsdb.Row{"external_ids": mapOf(nil)}
		if _, err := db.transact(ctx, "initialise the database", insert(tableRoot, "", empty)); err != nil {
			return view{}, err
		}
	}
	return db.view(), nil
}

// mayEnsure refuses a bridge that ensure must not change.
func (db *DB) mayEnsure(v view, w wantedBridge, keep bool) error {
	root, _ := v.root()
	b, exists := v.bridge(w.name)
	if exists {
		if err := db.checkOwner(v, b, keep); err != nil {
			return err
		}
	} else if ovnClaims(root, w.name) {
		return intent.Conflictf("bridge %s belongs to OVN, whose ovn-controller runs on this host", w.name).
			WithHint("give ovloomd another --bridge, or: ovs-vsctl remove Open_vSwitch . external_ids ovn-remote")
	}
	if _, on, ok := v.port(w.port.name); ok && on.Name != w.name {
		return intent.Conflictf("port %s is on bridge %s already", w.port.name, on.Name).WithHint("choose another name for it")
	}
	return nil
}

// ensure creates or repairs a bridge, and describes what it changed. It does not wait for
// ovs-vswitchd.
func (db *DB) ensure(ctx context.Context, v view, w wantedBridge, keep bool) (what []string, err error) {
	if err := db.mayEnsure(v, w, keep); err != nil {
		return nil, err
	}
	root, _ := v.root()
	b, exists := v.bridge(w.name)
	if !exists {
		if err := db.transactApplied(ctx, "make bridge "+w.name, db.createBridge(root, w)...); err != nil {
			return nil, err
		}
		db.log.Info("bridge made", "bridge", w.name, "datapath", w.datapath, "port", w.port.name)
		return []string{"bridge " + w.name + " was missing"}, nil
	}
	ops, what := db.repairBridge(v, b, w)
	if len(ops) == 0 {
		return nil, nil
	}
	if err := db.transactApplied(ctx, "repair bridge "+w.name, ops...); err != nil {
		return nil, err
	}
	if slices.Contains(what, controllerWasSet) {
		db.droppedController()
	}
	db.log.Info("bridge repaired", "bridge", w.name, "changed", what)
	return what, nil
}

// createBridge returns the transaction that creates a bridge with its ports.
func (db *DB) createBridge(root rootRow, w wantedBridge) []ovsdb.Operation {
	ops := insertPort("local", wantedPort{name: w.name, ifType: "internal", mtu: w.localMTU}, nil)
	ops = append(ops, insertPort("other", w.port, nil)...)
	tables := ovsdb.OvsMap{GoMap: map[any]any{}}
	for _, id := range slices.Sorted(maps.Keys(w.prefixes)) {
		ops = append(ops, insertFlowTable(id, w.prefixes[id]))
		tables.GoMap[id] = ref(flowTableName(id))
	}
	return append(ops,
		insert(tableBridge, "bridge", ovsdb.Row{
			"name":                  w.name,
			"datapath_type":         w.datapath,
			"fail_mode":             w.failMode,
			"protocols":             setOfStrings(wantProtocols),
			"mcast_snooping_enable": false,
			"other_config":          mapOf(w.other),
			"external_ids":          mapOf(db.wantedIDs(w)),
			"ports":                 setOf(ref("local"), ref("other")),
			"flow_tables":           tables,
		}),
		mutate(tableRoot, root.UUID, addRef("bridges", "bridge")))
}

// insertPort creates a port and its interface; other operations refer to the port as
// uuidName.
func insertPort(uuidName string, p wantedPort, ids map[string]string) []ovsdb.Operation {
	row := ovsdb.Row{"name": p.name, "type": p.ifType, "options": mapOf(p.options), "external_ids": mapOf(ids)}
	if p.mtu > 0 {
		row["mtu_request"] = p.mtu
	}
	return []ovsdb.Operation{
		insert(tableInterface, uuidName+"if", row),
		insert(tablePort, uuidName, ovsdb.Row{"name": p.name, "interfaces": setOf(ref(uuidName + "if"))}),
	}
}

const controllerWasSet = "an OpenFlow controller was set"

// repairBridge returns the operations that make b as wanted, and describes what they
// change.
func (db *DB) repairBridge(v view, b bridgeRow, w wantedBridge) (ops []ovsdb.Operation, what []string) {
	columns := ovsdb.Row{}
	if b.DatapathType != w.datapath {
		columns["datapath_type"] = w.datapath
		what = append(what, fmt.Sprintf("datapath_type was %q", b.DatapathType))
	}
	if m := value(b.FailMode); m != w.failMode {
		columns["fail_mode"] = w.failMode
		what = append(what, fmt.Sprintf("fail_mode was %q", m))
	}
	if w.ours && b.STP { // STP would block ports, and so would RSTP
		columns["stp_enable"] = false
		what = append(what, "stp_enable was true")
	}
	if w.ours && b.RSTP {
		columns["rstp_enable"] = false
		what = append(what, "rstp_enable was true")
	}
	if w.ours && len(b.Controller) > 0 && db.mayDropController() {
		columns["controller"] = setOf()
		what = append(what, controllerWasSet)
	}
	if b.McastSnooping {
		columns["mcast_snooping_enable"] = false
		what = append(what, "mcast_snooping_enable was true")
	}
	if len(columns) > 0 {
		ops = append(ops, update(tableBridge, b.UUID, columns))
	}
	var absent []string
	for _, p := range wantProtocols {
		if !slices.Contains(b.Protocols, p) {
			absent = append(absent, p)
		}
	}
	if len(absent) > 0 {
		ops = append(ops, mutate(tableBridge, b.UUID, ovsdb.Mutation{
			Column: "protocols", Mutator: ovsdb.MutateOperationInsert, Value: setOfStrings(absent)}))
		what = append(what, fmt.Sprintf("protocols lacked %v", absent))
	}
	if m := missing(b.OtherConfig, w.other); len(m) > 0 {
		ops = append(ops, mutate(tableBridge, b.UUID, putKeys("other_config", m)...))
		what = append(what, fmt.Sprintf("other_config lacked %v", m))
	}
	if m := missing(b.ExternalIDs, db.wantedIDs(w)); len(m) > 0 {
		ops = append(ops, mutate(tableBridge, b.UUID, putKeys("external_ids", m)...))
		what = append(what, fmt.Sprintf("external_ids lacked %v", m))
	}
	tableOps, tableWhat := repairPrefixes(v, b, w.prefixes)
	ops, what = append(ops, tableOps...), append(what, tableWhat...)
	if w.ours {
		tableOps, tableWhat = repairLimits(v, b, w.prefixes)
		ops, what = append(ops, tableOps...), append(what, tableWhat...)
	}
	for name, p := range map[string]wantedPort{"local": {name: b.Name, ifType: "internal", mtu: w.localMTU}, "other": w.port} {
		portOps, portWhat := repairPort(v, b, name, p)
		ops = append(ops, portOps...)
		what = append(what, portWhat...)
	}
	return ops, what
}

// wantedIDs returns the keys that a bridge's external_ids must hold.
func (db *DB) wantedIDs(w wantedBridge) map[string]string {
	ids := db.mark()
	for key, text := range w.notes {
		ids[noteKey(key)] = text
	}
	return ids
}

func flowTableName(id int) string { return fmt.Sprintf("table%d", id) }

func insertFlowTable(id int, prefixes []string) ovsdb.Operation {
	return insert(tableFlowTable, flowTableName(id), ovsdb.Row{"prefixes": setOfStrings(prefixes)})
}

// repairPrefixes is repairBridge for the Flow_Table settings of b. It leaves tables that
// want does not name alone.
func repairPrefixes(v view, b bridgeRow, want map[int][]string) (ops []ovsdb.Operation, what []string) {
	settings := rows[flowTableRow](v, tableFlowTable)
	for _, id := range slices.Sorted(maps.Keys(want)) {
		row := settings[b.FlowTables[id]]
		switch {
		case row == nil:
			ops = append(ops, insertFlowTable(id, want[id]), mutate(tableBridge, b.UUID, ovsdb.Mutation{
				Column: "flow_tables", Mutator: ovsdb.MutateOperationInsert,
				Value: ovsdb.OvsMap{GoMap: map[any]any{id: ref(flowTableName(id))}}}))
		case !slices.Equal(slices.Sorted(slices.Values(row.Prefixes)), slices.Sorted(slices.Values(want[id]))):
			ops = append(ops, update(tableFlowTable, row.UUID, ovsdb.Row{"prefixes": setOfStrings(want[id])}))
		case row.FlowLimit != nil:
			ops = append(ops, update(tableFlowTable, row.UUID, ovsdb.Row{"flow_limit": setOf()}))
			what = append(what, fmt.Sprintf("flow_tables:%d had flow_limit=%d", id, *row.FlowLimit))
			continue
		default:
			continue
		}
		what = append(what, fmt.Sprintf("flow_tables:%d lacked prefixes=%v", id, want[id]))
	}
	return ops, what
}

// repairLimits removes the flow limits of those tables of b that are not in named: a full
// table refuses flows, or evicts them.
func repairLimits(v view, b bridgeRow, named map[int][]string) (ops []ovsdb.Operation, what []string) {
	settings := rows[flowTableRow](v, tableFlowTable)
	for _, id := range slices.Sorted(maps.Keys(b.FlowTables)) {
		row := settings[b.FlowTables[id]]
		if _, ok := named[id]; ok || row == nil || row.FlowLimit == nil {
			continue
		}
		ops = append(ops, update(tableFlowTable, row.UUID, ovsdb.Row{"flow_limit": setOf()}))
		what = append(what, fmt.Sprintf("flow_tables:%d had flow_limit=%d", id, *row.FlowLimit))
	}
	return ops, what
}

// repairPort is repairBridge for a port of b.
func repairPort(v view, b bridgeRow, uuidName string, p wantedPort) (ops []ovsdb.Operation, what []string) {
	if _, _, ok := v.port(p.name); !ok {
		return append(insertPort(uuidName, p, nil), mutate(tableBridge, b.UUID, addRef("ports", uuidName))),
			[]string{"port " + p.name + " was missing"}
	}
	i, ok := v.iface(p.name)
	if !ok {
		return nil, nil // a port of that name with interfaces of other names is a bond: leave it alone
	}
	columns := ovsdb.Row{}
	if i.Type != p.ifType {
		columns["type"] = p.ifType
		what = append(what, fmt.Sprintf("type of %s was %q", p.name, i.Type))
	}
	if !maps.Equal(i.Options, p.options) {
		columns["options"] = mapOf(p.options)
		what = append(what, fmt.Sprintf("options of %s were %v", p.name, i.Options))
	}
	if old := value(i.MTURequest); p.mtu > 0 && old != p.mtu {
		columns["mtu_request"] = p.mtu
		what = append(what, fmt.Sprintf("mtu_request of %s was %d", p.name, old))
	}
	if len(columns) > 0 {
		ops = append(ops, update(tableInterface, i.UUID, columns))
	}
	return ops, what
}

// awaitLocal waits until ovs-vswitchd has created a bridge.
func (db *DB) awaitLocal(ctx context.Context, bridge string) error {
	return db.await(ctx, "ovs-vswitchd to make bridge "+bridge, func(v view) (bool, error) {
		i, _ := v.iface(bridge)
		if e := value(i.Error); e != "" {
			return false, intent.Conflictf("Open vSwitch cannot make bridge %s: %s", bridge, e).
				WithHint("see the log of ovs-vswitchd")
		}
		return value(i.OFPort) == localOFPort, nil
	})
}
