package exit

// Ports of the integration bridge that lead out of the overlay.

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

// ports returns the ports that externals need. A tenant leaves by one of kind host on
// every host, by one of kind bridge where there is a bridge of that name. Externals of
// one bridge share a port: the bridge would take the host's MAC on two of its ports for a
// move from one to the other, again and again.
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

// portOf returns the name of the port of the integration bridge that leads to an
// external, of those that there are.
func (r *Reconciler) portOf(e intent.External, all []intent.External) string {
	if e.Kind == intent.ExternalHost {
		return r.set.Link
	}
	return r.bridgePorts(all)[e.Bridge]
}

// bridgePorts names the port of the integration bridge that leads to each bridge of
// externals. A name depends on that of the bridge, so that the port stays whatever
// externals come and go; with -out behind it, it is as long as Linux lets it be.
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
