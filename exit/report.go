package exit

import (
	"context"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
)

// Reports to the controller: the uplinks that exist, and what tenants must not reach.

// reportUplinks passes the ports of uplinks to the controller if they have changed.
func (r *Reconciler) reportUplinks(ctx context.Context, c Config) {
	at := map[string]ovsdb.Interface{}
	for _, i := range r.deps.Switch.Interfaces(r.set.Bridge) {
		if i.Uplink != "" && i.OFPort > 0 {
			at[i.Uplink] = i
		}
	}
	uplinks := map[string]controller.Uplink{}
	for _, e := range c.Externals {
		via := viaBridge + e.Bridge
		if e.Kind == intent.ExternalHost {
			via = viaHost
		}
		i, ok := at[via]
		if !ok {
			continue
		}
		u := controller.Uplink{OFPort: of.PortNo(i.OFPort)}
		if e.Kind == intent.ExternalHost {
			u.MAC = uplinkMAC
		}
		uplinks[e.Name] = u
	}
	if r.reportedUplinks == nil || !maps.Equal(uplinks, r.reportedUplinks) {
		r.deps.Controller.SetUplinks(ctx, uplinks)
		r.reportedUplinks = uplinks
	}
}

// reportSurroundings passes the addresses that tenants must not reach, and the forwards in
// force, to the controller if they have changed.
func (r *Reconciler) reportSurroundings(ctx context.Context, c Config) {
	if !c.StoreKnown {
		return
	}
	own, err := r.deps.Host.OwnAddrs()
	if err != nil {
		r.log.Warn("cannot read this host's addresses", "error", err)
		return
	}
	own = withoutGateways(own, c.Externals)
	now := controller.Surroundings{Addresses: own, Store: c.Store, Forwards: r.inForce()}
	if r.reportedSurroundings == nil || !reflect.DeepEqual(now, *r.reportedSurroundings) {
		r.deps.Controller.SetSurroundings(ctx, now)
		r.reportedSurroundings = &now
	}
}

// withoutGateways removes from own the gateway addresses of externals of kind host, which
// this host has only for them.
func withoutGateways(own []netip.Addr, externals []intent.External) []netip.Addr {
	return slices.DeleteFunc(own, func(a netip.Addr) bool {
		return slices.ContainsFunc(externals, func(e intent.External) bool {
			return e.Kind == intent.ExternalHost && e.Gateway == a
		})
	})
}
