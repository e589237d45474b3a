package controller

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// This file holds the facts of externals and NAT, and which objects a fact concerns.

// natFacts are what world was told of externals and NAT, but for what is a tenant's.
type natFacts struct {
	externalsLeft map[string]string           // externals that are left out, and why
	externals     map[string]*intent.External // never changed, only replaced: views of earlier states point to them
	uplinks       map[string]Uplink           // by external
	surroundings  Surroundings
	guarded       intent.GuardUpdate
	zones         map[string]uint16 // in use, by zoneName
}

// natObjects are the kinds of objects of externals and NAT.
type natObjects struct {
	externals *kind[string, pipeline.ExternalView]
	addresses *kind[addressRef, pipeline.AddressView]
	tenantNAT *kind[string, pipeline.TenantView]
	snats     *kind[intent.SNATRef, pipeline.SNATView]
	floatings *kind[intent.FloatingRef, pipeline.FloatingView]
	forwards  *kind[intent.ForwardRef, pipeline.ForwardView]
	guards    *kind[string, pipeline.GuardView] // one, named ""

	// left are addresses of ports that were here when the connections of their
	// tenant were last judged.
	left map[string]map[netip.Addr]bool
	// suspects are the tenants whose connections are to be judged.
	suspects map[string]bool
}

// tenantNAT is what a tenant has of NAT.
type tenantNAT struct {
	snats     map[string]intent.SNAT // by external
	floatings map[intent.FloatingRef]intent.Floating
	forwards  map[intent.ForwardRef]intent.Forward
	taken     map[takenKey]netip.Addr // addresses that hosts have taken from pools
	own       map[string]netip.Addr   // those of this host, by external

	floatingAt map[outerKey]intent.FloatingRef // by address
	targets    map[intent.PortRef]int          // how many floatings and forwards lead to a port
}

// takenKey is a host that has an address of an external.
type takenKey struct{ external, host string }

// outerKey is an address of an external.
type outerKey struct {
	external string
	addr     netip.Addr
}

// addressRef is an address of an external that a tenant uses.
type addressRef struct {
	tenant string
	outerKey
}

// String returns the reference for people.
func (r addressRef) String() string { return r.addr.String() + " of " + r.tenant + " on " + r.external }

func newNATFacts() natFacts {
	return natFacts{externals: map[string]*intent.External{}, uplinks: map[string]Uplink{}, zones: map[string]uint16{}}
}

func newTenantNAT() tenantNAT {
	return tenantNAT{
		snats:      map[string]intent.SNAT{},
		floatings:  map[intent.FloatingRef]intent.Floating{},
		forwards:   map[intent.ForwardRef]intent.Forward{},
		taken:      map[takenKey]netip.Addr{},
		own:        map[string]netip.Addr{},
		floatingAt: map[outerKey]intent.FloatingRef{},
		targets:    map[intent.PortRef]int{},
	}
}

func (w *world) newNATObjects() natObjects {
	return natObjects{
		left:     map[string]map[netip.Addr]bool{},
		suspects: map[string]bool{},
		externals: (&kind[string, pipeline.ExternalView]{
			cookie: pipeline.KindExternal, compare: strings.Compare, view: w.externalView,
			idOf:   func(name string) intent.ID { return w.externals[name].ID },
			same:   func(a, b *pipeline.ExternalView) bool { return reflect.DeepEqual(a, b) },
			id:     func(v *pipeline.ExternalView) intent.ID { return v.External.ID },
			flows:  func(v *pipeline.ExternalView, emit pipeline.Emit) { pipeline.External(w.sw, v, emit) },
			meters: func(v *pipeline.ExternalView) []of.Meter { return pipeline.ExternalMeters(w.sw, v) },
			learned: func(v *pipeline.ExternalView) []pipeline.Cookie {
				return []pipeline.Cookie{pipeline.MakeCookie(pipeline.KindLearnedExternal, v.External.ID)}
			},
			behind: func(v *pipeline.ExternalView) of.PortNo { return v.OFPort },
			stale: func(old, now *pipeline.ExternalView) bool {
				return old.OFPort != now.OFPort || old.External.Number != now.External.Number
			},
			changed: func(_ string, old, now *pipeline.ExternalView) { w.routing.setUplink(old, now) },
		}).ready(),
		addresses: (&kind[addressRef, pipeline.AddressView]{
			cookie: pipeline.KindAddress, compare: compareAddresses, view: w.addressView,
			idOf: func(ref addressRef) intent.ID {
				return pipeline.AddressID(w.externals[ref.external].Number, ref.addr)
			},
			same: func(a, b *pipeline.AddressView) bool { return reflect.DeepEqual(a, b) },
			id: func(v *pipeline.AddressView) intent.ID {
				return pipeline.AddressID(v.External.Number, v.Address)
			},
			flows:   func(v *pipeline.AddressView, emit pipeline.Emit) { pipeline.Address(w.sw, v, emit) },
			changed: func(_ addressRef, old, now *pipeline.AddressView) { w.routing.setAddress(old, now) },
		}).ready(),
		tenantNAT: (&kind[string, pipeline.TenantView]{
			cookie: pipeline.KindTenant, compare: strings.Compare, view: w.tenantNATView, idOf: w.tenantID,
			same:    func(a, b *pipeline.TenantView) bool { return reflect.DeepEqual(a, b) },
			id:      func(v *pipeline.TenantView) intent.ID { return v.Tenant.ID },
			flows:   func(v *pipeline.TenantView, emit pipeline.Emit) { pipeline.TenantNAT(w.sw, v, emit) },
			meters:  func(v *pipeline.TenantView) []of.Meter { return pipeline.TenantMeters(w.sw, v) },
			changed: func(tenant string, _, _ *pipeline.TenantView) { w.suspect(tenant) },
		}).ready(),
		snats: (&kind[intent.SNATRef, pipeline.SNATView]{
			cookie: pipeline.KindSNAT, compare: compareSNATs, view: w.snatView,
			idOf:    func(ref intent.SNATRef) intent.ID { return w.tenants[ref.Tenant].nat.snats[ref.External].ID },
			same:    func(a, b *pipeline.SNATView) bool { return *a == *b },
			id:      func(v *pipeline.SNATView) intent.ID { return v.SNAT.ID },
			flows:   pipeline.SNAT,
			changed: func(ref intent.SNATRef, _, _ *pipeline.SNATView) { w.suspect(ref.Tenant) },
		}).ready(),
		floatings: (&kind[intent.FloatingRef, pipeline.FloatingView]{
			cookie: pipeline.KindFloating, compare: compareFloatings, view: w.floatingView,
			idOf:    func(ref intent.FloatingRef) intent.ID { return w.tenants[ref.Tenant].nat.floatings[ref].ID },
			same:    func(a, b *pipeline.FloatingView) bool { return *a == *b },
			id:      func(v *pipeline.FloatingView) intent.ID { return v.Floating.ID },
			flows:   pipeline.Floating,
			changed: func(ref intent.FloatingRef, _, _ *pipeline.FloatingView) { w.suspect(ref.Tenant) },
		}).ready(),
		forwards: (&kind[intent.ForwardRef, pipeline.ForwardView]{
			cookie: pipeline.KindForward, compare: compareForwards, view: w.forwardView,
			idOf:    func(ref intent.ForwardRef) intent.ID { return w.tenants[ref.Tenant].nat.forwards[ref].ID },
			same:    func(a, b *pipeline.ForwardView) bool { return *a == *b },
			id:      func(v *pipeline.ForwardView) intent.ID { return v.Forward.ID },
			flows:   func(v *pipeline.ForwardView, emit pipeline.Emit) { pipeline.Forward(w.sw, v, emit) },
			changed: func(ref intent.ForwardRef, _, _ *pipeline.ForwardView) { w.suspect(ref.Tenant) },
		}).ready(),
		guards: (&kind[string, pipeline.GuardView]{
			cookie: pipeline.KindGuard, compare: strings.Compare, view: w.guardView,
			idOf: func(string) intent.ID { return 0 },
			closed: func() *pipeline.GuardView { // what restricts fails closed
				return &pipeline.GuardView{Denials: []pipeline.Denial{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Reason: pipeline.ReasonHostAddress}}}
			},
			same:  func(a, b *pipeline.GuardView) bool { return reflect.DeepEqual(a, b) },
			id:    func(*pipeline.GuardView) intent.ID { return 0 },
			flows: pipeline.Guard,
		}).ready(),
	}
}

// setExternals replaces the list of externals.
func (w *world) setExternals(list []intent.External) {
	list, w.externalsLeft = singleExternals(list)
	next := make(map[string]*intent.External, len(list))
	for _, e := range list {
		if old := w.externals[e.Name]; old != nil && reflect.DeepEqual(*old, e) {
			next[e.Name] = old
		} else {
			next[e.Name] = &e
		}
	}
	w.touchExternals()
	changed := !maps.Equal(next, w.externals)
	w.externals = next
	if changed {
		w.touchOutside()
	}
}

func (w *world) setUplinks(uplinks map[string]Uplink) {
	if !maps.Equal(uplinks, w.uplinks) {
		w.uplinks = uplinks
		w.touchOutside()
	}
}

func (w *world) setSurroundings(s Surroundings) {
	w.surroundings = s
	w.nat.guards.touch("")
}

// setGuarded takes in what all hosts keep tenants from.
func (w *world) setGuarded(u intent.GuardUpdate) {
	w.guarded = u
	w.nat.guards.touch("")
}

// setZones replaces the zones that may be used.
func (w *world) setZones(zones map[string]uint16) {
	if maps.Equal(zones, w.zones) {
		return
	}
	for _, t := range w.tenants {
		if name := zoneName(t.Tenant); zones[name] != w.zones[name] {
			w.touchNAT(t)
			w.touchRoutes(t)
		}
	}
	w.zones = zones
}

// touchOutside touches all that depends on externals, uplinks or this host.
func (w *world) touchOutside() {
	w.touchExternals()
	w.nat.guards.touch("")
	for _, t := range w.tenants {
		w.touchNAT(t) // with uplinks, the address that a port begins connections with changes, too
		w.touchWidths(t)
	}
}

func (w *world) touchExternals() {
	for name := range w.externals {
		w.nat.externals.touch(name)
	}
}

// touchNAT touches all that a tenant has of NAT.
func (w *world) touchNAT(t *tenant) {
	w.nat.tenantNAT.touch(t.Name)
	for external, s := range t.nat.snats {
		w.nat.snats.touch(s.Ref())
		w.touchAddress(t, external, s.Address)
	}
	for ref, f := range t.nat.floatings {
		w.nat.floatings.touch(ref)
		w.touchAddress(t, ref.External, f.Address)
	}
	for ref, f := range t.nat.forwards {
		w.nat.forwards.touch(ref)
		w.touchAddress(t, ref.External, f.Address)
	}
	for k, a := range t.nat.taken {
		w.touchAddress(t, k.external, a)
	}
}

func (w *world) touchAddress(t *tenant, external string, a netip.Addr) {
	if a.IsValid() {
		w.nat.addresses.touch(addressRef{t.Name, outerKey{external, a}})
	}
}

// touchTarget touches the NAT that depends on where a port is.
func (w *world) touchTarget(t *tenant, ref intent.PortRef) {
	if t.nat.targets[ref] == 0 {
		return
	}
	for r, f := range t.nat.floatings {
		if r.PortRef == ref {
			w.nat.floatings.touch(r)
			w.touchAddress(t, r.External, f.Address)
		}
	}
	for r, f := range t.nat.forwards {
		if f.To == ref {
			w.touchForwards(t, r.External)
		}
	}
}

// touchForwards touches all forwards of an external: which host answers for their
// address depends on all of them.
func (w *world) touchForwards(t *tenant, external string) {
	for r, f := range t.nat.forwards {
		if r.External == external {
			w.nat.forwards.touch(r)
			w.touchAddress(t, external, f.Address)
		}
	}
}

// changeNAT takes in an object of NAT.
func (w *world) changeNAT(t *tenant, c intent.Change) {
	n := &t.nat
	w.nat.tenantNAT.touch(t.Name)
	had, reached := n.any(), len(n.targets) > 0
	defer func() {
		if n.any() != had {
			w.touchWidths(t) // packets from outside may be too large
		}
		if reached != (len(n.targets) > 0) {
			w.touchRoutes(t) // what takes them may be an answer
		}
	}()
	switch o := c.Object.(type) {
	case intent.SNAT:
		w.touchAddress(t, o.External, n.snats[o.External].Address)
		w.ownAddress(t.Name, o.External, n.snats[o.External].Address, -1)
		delete(n.snats, o.External)
		if !c.Deleted {
			n.snats[o.External] = o
			w.ownAddress(t.Name, o.External, o.Address, +1)
			w.touchAddress(t, o.External, o.Address)
		}
		for _, s := range n.snats { // which of several counts
			w.nat.snats.touch(s.Ref())
		}
		w.nat.snats.touch(o.Ref())
	case intent.Floating:
		ref := o.Ref()
		if old, ok := n.floatings[ref]; ok {
			w.touchAddress(t, ref.External, old.Address)
			w.ownAddress(t.Name, ref.External, old.Address, -1)
			w.reach(n, ref.PortRef, -1)
			delete(n.floatings, ref)
			if at := (outerKey{ref.External, old.Address}); n.floatingAt[at] == ref {
				delete(n.floatingAt, at)
			}
		}
		if !c.Deleted {
			n.floatings[ref] = o
			n.floatingAt[outerKey{ref.External, o.Address}] = ref
			w.reach(n, ref.PortRef, +1)
			w.ownAddress(t.Name, ref.External, o.Address, +1)
			w.touchAddress(t, ref.External, o.Address)
		}
		w.nat.floatings.touch(ref)
		if n.targets[ref.PortRef] > 1 || c.Deleted { // which of the port's addresses its connections begin with
			for other := range n.floatings {
				if other.PortRef == ref.PortRef {
					w.nat.floatings.touch(other)
				}
			}
		}
	case intent.Forward:
		ref := o.Ref()
		if old, ok := n.forwards[ref]; ok {
			w.touchAddress(t, ref.External, old.Address)
			w.ownAddress(t.Name, ref.External, old.Address, -1)
			w.reach(n, old.To, -1)
			delete(n.forwards, ref)
		}
		if !c.Deleted {
			n.forwards[ref] = o
			w.ownAddress(t.Name, ref.External, o.Address, +1)
			w.reach(n, o.To, +1)
		}
		w.nat.forwards.touch(ref)
		w.touchForwards(t, ref.External)
	case intent.NATAddress:
		w.senders.touch(t.Name)
		k := takenKey{o.External, o.Host}
		w.touchAddress(t, o.External, n.taken[k])
		w.ownAddress(t.Name, o.External, n.taken[k], -1)
		delete(n.taken, k)
		if o.Host == w.self {
			delete(n.own, o.External)
		}
		if !c.Deleted {
			n.taken[k] = o.Address
			w.ownAddress(t.Name, o.External, o.Address, +1)
			if o.Host == w.self {
				n.own[o.External] = o.Address
			}
			w.touchAddress(t, o.External, o.Address)
		}
		for _, s := range n.snats {
			w.nat.snats.touch(s.Ref())
		}
	}
}

// reach counts what leads to a port.
func (w *world) reach(n *tenantNAT, ref intent.PortRef, by int) {
	was := n.targets[ref]
	if n.targets[ref] += by; n.targets[ref] == 0 {
		delete(n.targets, ref)
	}
	if (was > 0) != (n.targets[ref] > 0) {
		w.ports.touch(ref)
	}
}

// snapshotNAT takes in the NAT of a snapshot.
func (w *world) snapshotNAT(t *tenant, s *intent.Snapshot) {
	for _, o := range s.SNATs {
		w.take(t, intent.Change{Object: o})
	}
	for _, o := range s.Floatings {
		w.take(t, intent.Change{Object: o})
	}
	for _, o := range s.Forwards {
		w.take(t, intent.Change{Object: o})
	}
	for _, o := range s.NATAddresses {
		w.take(t, intent.Change{Object: o})
	}
}

// any says whether the tenant has any NAT.
func (n *tenantNAT) any() bool { return len(n.snats)+len(n.floatings)+len(n.forwards) > 0 }

func (w *world) tenantID(name string) intent.ID { return w.tenants[name].ID }

// zoneNames returns for whom zones are needed.
func (w *world) zoneNames() map[string]bool {
	names := map[string]bool{}
	for _, t := range w.tenants {
		if t.ID != 0 && t.nat.any() {
			names[zoneName(t.Tenant)] = true
		}
	}
	return names
}

// zone returns the zone of a tenant that has NAT; 0: it has none yet.
func (w *world) zone(t *tenant) uint16 {
	if t == nil || t.ID == 0 || !t.nat.any() || w.tenantLeft(t) != "" {
		return 0
	}
	return w.zones[zoneName(t.Tenant)]
}

// uplink returns an external, and its port here; 0: none.
func (w *world) uplink(external string) (*intent.External, Uplink) {
	return w.externals[external], w.uplinks[external]
}

// routerMAC returns this host's own MAC.
func (w *world) routerMAC() intent.MAC { return intent.RouterMAC(w.known[w.self].ID) }

func compareAddresses(a, b addressRef) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.external, b.external), a.addr.Compare(b.addr))
}

func compareSNATs(a, b intent.SNATRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.External, b.External))
}

func compareFloatings(a, b intent.FloatingRef) int {
	return cmp.Or(comparePorts(a.PortRef, b.PortRef), cmp.Compare(a.External, b.External))
}

func compareForwards(a, b intent.ForwardRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.External, b.External),
		cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}
