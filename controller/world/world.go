package world

import (
	"log/slog"
	"net/netip"
	"reflect"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/router"
)

// World is the wanted state: intent, seen from this host. Its methods set facts and
// mark the objects that depend on them; Flush turns the marked objects into mods.
type World struct {
	facts

	classes []intake // in the order in which a snapshot is applied
	classOf map[reflect.Type]intake
	kinds   []objects // in the order in which they are applied

	// Objects, as of the last flush.
	hosts     *kind[string, hostView]
	senders   *kind[string, pipeline.SendersView]
	ports     *kind[intent.PortRef, pipeline.PortView]
	networks  *kind[intent.NetworkRef, pipeline.NetworkView]
	peers     *kind[intent.PeerRef, pipeline.PeerView]
	routes    *kind[intent.RouteRef, pipeline.RouteView]
	externals *kind[string, pipeline.ExternalView]
	addresses *kind[addressRef, pipeline.AddressView]
	tenantNAT *kind[string, pipeline.TenantView]
	snats     *kind[intent.SNATRef, pipeline.SNATView]
	floatings *kind[intent.FloatingRef, pipeline.FloatingView]
	forwards  *kind[intent.ForwardRef, pipeline.ForwardView]
	guards    *kind[string, pipeline.GuardView] // one, named ""

	// Derived from them: where each network's ports are, and how many flows and groups
	// there are, without the base.
	members               map[intent.NetworkRef]*members
	flowCount, groupCount int
	uncounted             bool // changes were applied without compiling them

	hopsMoved map[string]map[netip.Addr]bool // next hops of tenants whose routes changed since the last flush
	table     *router.Table                  // the router's data
	faults    *faults                        // the objects that are left out
	forgotten map[pipeline.Cookie]bool       // flows learned for these are deleted with the next comparison
	moved     map[intent.PortRef]bool        // ports here whose MAC or address changed since TakeMoved

	unchecked map[string]bool                // tenants whose connections or limit may have to change
	departed  map[string]map[netip.Addr]bool // by tenant: addresses of ports that were here when its connections were last checked
}

// facts are a World's inputs.
type facts struct {
	self       string // this host's name
	sw         pipeline.Switch
	hostByName map[string]intent.Host
	tenants    map[string]*tenant
	local      map[intent.PortRef]of.PortNo // interfaces here that carry a port, in force or not
	held       map[intent.PortRef]uint64    // generations of the claims with which those interfaces were plugged
	penalties  map[of.PortNo]bool           // rate-limited switch ports
	unique     unique
	zones      map[string]uint16 // in use, by ZoneName

	externalByName map[string]*intent.External // never changed, only replaced: views of earlier states point to them
	externalsLeft  map[string]string           // externals that are left out, and why
	uplinks        map[string]Uplink           // by external
	surroundings   Surroundings
	guarded        intent.GuardUpdate
}

// New returns the world of the named host. It maintains a router's table, and logs
// which objects it has to leave out; log may be nil.
func New(self string, log *slog.Logger, table *router.Table) *World {
	w := &World{
		facts: facts{
			self:       self,
			hostByName: map[string]intent.Host{},
			tenants:    map[string]*tenant{},
			local:      map[intent.PortRef]of.PortNo{},
			held:       map[intent.PortRef]uint64{},
			unique:     newUnique(),
			zones:      map[string]uint16{},

			externalByName: map[string]*intent.External{},
			uplinks:        map[string]Uplink{},
		},
		classOf:   map[reflect.Type]intake{},
		members:   map[intent.NetworkRef]*members{},
		hopsMoved: map[string]map[netip.Addr]bool{},
		table:     table,
		faults:    newFaults(log),
		forgotten: map[pipeline.Cookie]bool{},
		moved:     map[intent.PortRef]bool{},
		unchecked: map[string]bool{},
		departed:  map[string]map[netip.Addr]bool{},
	}

	// Objects that the store has by tenant. Networks come before their contents.
	declareClass(w, w.tenantClass())
	declareClass(w, w.networkClass())
	declareClass(w, w.portClass())
	declareClass(w, w.bindingClass())
	declareClass(w, w.peerClass())
	declareClass(w, w.routeClass())
	declareClass(w, w.snatClass())
	declareClass(w, w.floatingClass())
	declareClass(w, w.forwardClass())
	declareClass(w, w.natAddressClass())

	// Objects with flows. Ports come before networks, because they determine the
	// networks' members.
	w.hosts = declareKind(w, w.hostKind())
	w.senders = declareKind(w, w.senderKind())
	w.ports = declareKind(w, w.portKind())
	w.networks = declareKind(w, w.networkKind())
	w.peers = declareKind(w, w.peerKind())
	w.routes = declareKind(w, w.routeKind())
	w.externals = declareKind(w, w.externalKind())
	w.addresses = declareKind(w, w.addressKind())
	w.tenantNAT = declareKind(w, w.tenantNATKind())
	w.snats = declareKind(w, w.snatKind())
	w.floatings = declareKind(w, w.floatingKind())
	w.forwards = declareKind(w, w.forwardKind())
	w.guards = declareKind(w, w.guardKind())
	return w
}

// Switch returns the local switch's properties.
func (w *World) Switch() pipeline.Switch { return w.sw }

// SetSwitch sets the local switch's properties. A change concerns every flow: the
// caller has to compare the whole switch afterwards.
func (w *World) SetSwitch(sw pipeline.Switch) {
	w.sw = sw
	w.table.SetTunnel(sw.VXLANPort)
}

// SetPenalties replaces the list of rate-limited switch ports.
func (w *World) SetPenalties(ports map[of.PortNo]bool) {
	for ref, p := range w.local {
		if ports[p] != w.penalties[p] {
			w.ports.touch(ref)
		}
	}
	w.penalties = ports
}

// Recomputed returns a world with the same facts that has compiled everything at once,
// as a new process does.
func (w *World) Recomputed() *World {
	f := New(w.self, nil, router.NewTable())
	f.facts = w.facts
	f.touchEverything()
	f.Settle()
	return f
}

// touchEverything marks all objects.
func (w *World) touchEverything() {
	for name := range w.hostByName {
		w.hosts.touch(name)
	}
	w.touchOutside()
	for _, t := range w.tenants {
		w.touchAll(t)
	}
}
