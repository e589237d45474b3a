package exit

// The uplinks' ports on the integration bridge.

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// ports returns the ports that externals need. Externals of kind host have an uplink on
// every host, externals of kind bridge on hosts that have the bridge. All externals of one
// bridge share a port: if the bridge saw the host's MAC on two of its ports, it would learn
// it on one and the other in turn.
func (r *Reconciler) ports(externals []intent.External) []ovsdb.Uplink {
	var list []ovsdb.Uplink
	host := false
	for _, e := range externals {
		host = host || e.Kind == intent.ExternalHost
	}
	names := r.bridgePorts(externals)
	for _, bridge := range slices.Sorted(maps.Keys(names)) {
		list = append(list, ovsdb.Uplink{Name: names[bridge], Via: viaBridge + bridge, Bridge: bridge})
	}
	if host {
		list = append(list, ovsdb.Uplink{Name: r.set.Link, Via: viaHost, MAC: uplinkMAC.String(),
			MTU: intent.Network{}.PortMTU(r.set.UnderlayMTU)})
	}
	return list
}

// portOf returns the name of the port of the integration bridge that leads to e. all are
// all externals.
func (r *Reconciler) portOf(e intent.External, all []intent.External) string {
	if e.Kind == intent.ExternalHost {
		return r.set.Link
	}
	return r.bridgePorts(all)[e.Bridge]
}

// bridgePorts returns the name of the integration bridge's port to each bridge of an
// external. The name is a hash of the bridge's name, so that ports stay when other externals
// come and go; with the suffix -out it is as long as Linux allows.
func (r *Reconciler) bridgePorts(externals []intent.External) map[string]string {
	names, taken := map[string]string{}, map[uint32]bool{}
	bridges := map[string]bool{}
	for _, e := range externals {
		if e.Kind == intent.ExternalBridge {
			bridges[e.Bridge] = true
		}
	}
	const digits = 0x1000
	for _, bridge := range slices.Sorted(maps.Keys(bridges)) {
		h := fnv.New32a()
		h.Write([]byte(bridge))
		n := h.Sum32() % digits
		for taken[n] {
			n = (n + 1) % digits
		}
		taken[n] = true
		names[bridge] = fmt.Sprintf("%s-x%03x", r.set.Bridge, n)
	}
	return names
}
