package ovsdb

// Who owns a bridge. Two systems on one bridge delete each other's flows, so ovloom never
// changes a bridge that lacks its mark.

import (
	"maps"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

// Keys of ovloom's in external_ids of a bridge:
const (
	keyOwner   = "ovloom"         // the owner: Config.Owner
	keyVersion = "ovloom-version" // version of the ovloom that wrote the bridge last
)

// checkOwner refuses a bridge that belongs to another owner, or to another system as well.
// On a bridge known to be ovloom's, a missing mark or a controller is another program's
// change, to be repaired. With keep, an empty bridge that replaced ovloom's while ovloom
// runs is taken too.
func (db *DB) checkOwner(v view, b bridgeRow, keep bool) error {
	if other := foreignSystem(v, b); other != "" {
		return intent.Conflictf("bridge %s belongs to %s", b.Name, other).
			WithHint("give ovloomd another --bridge, or remove that system and then the bridge: ovs-vsctl del-br %s", b.Name)
	}
	known := db.known(b)
	switch owner, marked := b.ExternalIDs[keyOwner]; {
	case !marked && (known || keep && len(b.Ports) <= 1 && len(b.Controller) == 0):
	case !marked:
		return intent.Conflictf("bridge %s exists and was not made by ovloom", b.Name).
			WithHint("give ovloomd another --bridge, or, if nothing uses it, remove it: ovs-vsctl del-br %s", b.Name)
	case owner != db.owner:
		return intent.Conflictf("bridge %s belongs to the ovloom of host %q, and this is %q", b.Name, owner, db.owner).
			WithHint("give ovloomd the old --host-name, or another --bridge; only when nothing is plugged into it any more, remove it: ovs-vsctl del-br %s", b.Name)
	}
	if len(b.Controller) > 0 && !known {
		return intent.Conflictf("bridge %s has an OpenFlow controller set: another system programs it", b.Name).
			WithHint("if that is a left-over: ovs-vsctl del-controller %s", b.Name)
	}
	return nil
}

// foreignSystem names the system that a bridge seems to belong to, or returns "".
func foreignSystem(v view, b bridgeRow) string {
	root, _ := v.root()
	if ovnClaims(root, b.Name) || hasPrefix(b.ExternalIDs, "ovn-") || hasPrefix(b.ExternalIDs, "ct-zone-") || hasPrefix(b.OtherConfig, "ovn-") {
		return "OVN"
	}
	if hasPrefix(b.ExternalIDs, "antrea-") {
		return "Antrea"
	}
	if hasPrefix(b.ExternalIDs, "neutron-") {
		return "Neutron"
	}
	ports := rows[portRow](v, tablePort)
	for _, uuid := range b.Ports {
		p := ports[uuid]
		switch {
		case p == nil:
		case hasPrefix(p.ExternalIDs, "ovn-"):
			return "OVN"
		case p.Name == "patch-tun" || strings.HasPrefix(p.Name, "int-br-"):
			// The patch ports by which Neutron's agent joins its integration bridge
			// to its tunnel and provider bridges.
			return "Neutron"
		}
	}
	return ""
}

// ovnClaims reports whether an ovn-controller on this host takes the name for its
// integration bridge (ovn-controller(8): ovn-remote, ovn-bridge); it would create the
// bridge if it did not exist.
func ovnClaims(root rootRow, bridge string) bool {
	_, runs := root.ExternalIDs["ovn-remote"]
	return runs && bridge == orDefault(root.ExternalIDs["ovn-bridge"], "br-int")
}

// mark returns the keys that mark a bridge as ovloom's.
func (db *DB) mark() map[string]string {
	m := map[string]string{keyOwner: db.owner}
	if db.version != "" {
		m[keyVersion] = db.version
	}
	return m
}

func hasPrefix(m map[string]string, prefix string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(m)), func(k string) bool { return strings.HasPrefix(k, prefix) })
}
