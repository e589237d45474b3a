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

// Telling the controller what leads out, and what tenants must not reach.

// tellUplinks tells the controller by which ports externals are reached.
func (r *Reconciler) tellUplinks(ctx context.Context, c Config) {
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
	if r.told == nil || !maps.Equal(uplinks, r.told) {
		r.deps.Controller.SetUplinks(ctx, uplinks)
		r.told = uplinks
	}
}

// tellSurroundings tells the controller what tenants must not reach.
func (r *Reconciler) tellSurroundings(ctx context.Context, c Config) {
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
	if r.toldAround == nil || !reflect.DeepEqual(now, *r.toldAround) {
		r.deps.Controller.SetSurroundings(ctx, now)
		r.toldAround = &now
	}
}

// withoutGateways leaves out the addresses that this host has for externals of kind
// host: those are the externals' own.
func withoutGateways(own []netip.Addr, externals []intent.External) []netip.Addr {
	return slices.DeleteFunc(own, func(a netip.Addr) bool {
		return slices.ContainsFunc(externals, func(e intent.External) bool {
			return e.Kind == intent.ExternalHost && e.Gateway == a
		})
	})
}
