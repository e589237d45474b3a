package controller

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// This file holds what concerns externals and NAT: the facts, the views made of
// them, and which objects a fact concerns.

// natFacts are what world was told of externals and NAT, but for what is a tenant's.
type natFacts struct {
	externals    map[string]*intent.External // never changed, only replaced: views of earlier states point to them
	uplinks      map[string]Uplink           // by external
	surroundings Surroundings
	zones        map[string]uint16 // in use, by zoneName
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
			same:  func(a, b *pipeline.ExternalView) bool { return reflect.DeepEqual(a, b) },
			id:    func(v *pipeline.ExternalView) intent.ID { return v.External.ID },
			flows: func(v *pipeline.ExternalView, emit pipeline.Emit) { pipeline.External(w.sw, v, emit) },
			learned: func(v *pipeline.ExternalView) []pipeline.Cookie {
				return []pipeline.Cookie{pipeline.MakeCookie(pipeline.KindLearnedExternal, v.External.ID)}
			},
			stale: func(old, now *pipeline.ExternalView) bool {
				return old.OFPort != now.OFPort || old.External.Number != now.External.Number
			},
			changed: func(_ string, old, now *pipeline.ExternalView) { w.routing.setUplink(old, now) },
		}).ready(),
		addresses: (&kind[addressRef, pipeline.AddressView]{
			cookie: pipeline.KindAddress, compare: compareAddresses, view: w.addressView,
			same: func(a, b *pipeline.AddressView) bool { return reflect.DeepEqual(a, b) },
			id: func(v *pipeline.AddressView) intent.ID {
				return pipeline.AddressID(v.External.Number, v.Address)
			},
			flows:   pipeline.Address,
			changed: func(_ addressRef, old, now *pipeline.AddressView) { w.routing.setAddress(old, now) },
		}).ready(),
		tenantNAT: (&kind[string, pipeline.TenantView]{
			cookie: pipeline.KindTenant, compare: strings.Compare, view: w.tenantNATView,
			same:    func(a, b *pipeline.TenantView) bool { return reflect.DeepEqual(a, b) },
			id:      func(v *pipeline.TenantView) intent.ID { return v.Tenant.ID },
			flows:   pipeline.TenantNAT,
			changed: func(tenant string, _, _ *pipeline.TenantView) { w.suspect(tenant) },
		}).ready(),
		snats: (&kind[intent.SNATRef, pipeline.SNATView]{
			cookie: pipeline.KindSNAT, compare: compareSNATs, view: w.snatView,
			same:    func(a, b *pipeline.SNATView) bool { return *a == *b },
			id:      func(v *pipeline.SNATView) intent.ID { return v.SNAT.ID },
			flows:   pipeline.SNAT,
			changed: func(ref intent.SNATRef, _, _ *pipeline.SNATView) { w.suspect(ref.Tenant) },
		}).ready(),
		floatings: (&kind[intent.FloatingRef, pipeline.FloatingView]{
			cookie: pipeline.KindFloating, compare: compareFloatings, view: w.floatingView,
			same:    func(a, b *pipeline.FloatingView) bool { return *a == *b },
			id:      func(v *pipeline.FloatingView) intent.ID { return v.Floating.ID },
			flows:   pipeline.Floating,
			changed: func(ref intent.FloatingRef, _, _ *pipeline.FloatingView) { w.suspect(ref.Tenant) },
		}).ready(),
		forwards: (&kind[intent.ForwardRef, pipeline.ForwardView]{
			cookie: pipeline.KindForward, compare: compareForwards, view: w.forwardView,
			same:    func(a, b *pipeline.ForwardView) bool { return *a == *b },
			id:      func(v *pipeline.ForwardView) intent.ID { return v.Forward.ID },
			flows:   pipeline.Forward,
			changed: func(ref intent.ForwardRef, _, _ *pipeline.ForwardView) { w.suspect(ref.Tenant) },
		}).ready(),
		guards: (&kind[string, pipeline.GuardView]{
			cookie: pipeline.KindGuard, compare: strings.Compare, view: w.guardView,
			same:  func(a, b *pipeline.GuardView) bool { return slices.Equal(a.Denials, b.Denials) },
			id:    func(*pipeline.GuardView) intent.ID { return 0 },
			flows: pipeline.Guard,
		}).ready(),
	}
}

// setExternals replaces the list of externals.
func (w *world) setExternals(list []intent.External) {
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

// setZones replaces the zones that may be used.
func (w *world) setZones(zones map[string]uint16) {
	if maps.Equal(zones, w.zones) {
		return
	}
	for _, t := range w.tenants {
		if name := zoneName(t.Tenant); zones[name] != w.zones[name] {
			w.touchNAT(t)
		}
	}
	w.zones = zones
}

// touchOutside touches all that depends on externals, uplinks or this host.
func (w *world) touchOutside() {
	w.touchExternals()
	w.nat.guards.touch("")
	for _, t := range w.tenants {
		w.touchNAT(t)
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
	had := n.any()
	defer func() {
		if n.any() != had {
			w.touchWidths(t) // packets from outside may be too large
		}
	}()
	switch o := c.Object.(type) {
	case intent.SNAT:
		w.touchAddress(t, o.External, n.snats[o.External].Address)
		delete(n.snats, o.External)
		if !c.Deleted {
			n.snats[o.External] = o
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
			n.target(ref.PortRef, -1)
			delete(n.floatings, ref)
			if at := (outerKey{ref.External, old.Address}); n.floatingAt[at] == ref {
				delete(n.floatingAt, at)
			}
		}
		if !c.Deleted {
			n.floatings[ref] = o
			n.floatingAt[outerKey{ref.External, o.Address}] = ref
			n.target(ref.PortRef, +1)
			w.touchAddress(t, ref.External, o.Address)
		}
		w.nat.floatings.touch(ref)
	case intent.Forward:
		ref := o.Ref()
		if old, ok := n.forwards[ref]; ok {
			w.touchAddress(t, ref.External, old.Address)
			n.target(old.To, -1)
			delete(n.forwards, ref)
		}
		if !c.Deleted {
			n.forwards[ref] = o
			n.target(o.To, +1)
		}
		w.nat.forwards.touch(ref)
		w.touchForwards(t, ref.External)
	case intent.NATAddress:
		k := takenKey{o.External, o.Host}
		w.touchAddress(t, o.External, n.taken[k])
		delete(n.taken, k)
		if o.Host == w.self {
			delete(n.own, o.External)
		}
		if !c.Deleted {
			n.taken[k] = o.Address
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

// target counts what leads to a port.
func (n *tenantNAT) target(ref intent.PortRef, by int) {
	if n.targets[ref] += by; n.targets[ref] == 0 {
		delete(n.targets, ref)
	}
}

// snapshotNAT takes in the NAT of a snapshot.
func (w *world) snapshotNAT(t *tenant, s *intent.Snapshot) {
	for _, o := range s.SNATs {
		w.changeNAT(t, intent.Change{Object: o})
	}
	for _, o := range s.Floatings {
		w.changeNAT(t, intent.Change{Object: o})
	}
	for _, o := range s.Forwards {
		w.changeNAT(t, intent.Change{Object: o})
	}
	for _, o := range s.NATAddresses {
		w.changeNAT(t, intent.Change{Object: o})
	}
}

// any says whether the tenant has any NAT.
func (n *tenantNAT) any() bool { return len(n.snats)+len(n.floatings)+len(n.forwards) > 0 }

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
	if t == nil || t.ID == 0 || !t.nat.any() {
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

func (w *world) externalView(name string) *pipeline.ExternalView {
	e, up := w.uplink(name)
	if e == nil {
		return nil
	}
	v := &pipeline.ExternalView{External: *e, OFPort: up.OFPort, NextMAC: up.MAC, Router: w.routerMAC(), Lead: true}
	for _, other := range w.externals {
		if e.Kind == intent.ExternalHost && other.Kind == intent.ExternalHost && other.Number < e.Number {
			v.Lead = false
		}
	}
	if e.Kind == intent.ExternalBridge && w.widest() > e.MTU {
		v.MTU = e.MTU
	}
	return v
}

// widerOutside says whether what comes in for a tenant may be larger than an MTU.
func (w *world) widerOutside(t *tenant, mtu int) bool {
	if !t.nat.any() {
		return false
	}
	for _, e := range w.externals {
		from := e.MTU
		if e.Kind == intent.ExternalHost { // the host's end of it is as wide as a port without an MTU of its own
			from = intent.Network{}.PortMTU(w.known[w.self].UnderlayMTU)
		}
		if from > mtu {
			return true
		}
	}
	return false
}

// widest returns the largest MTU of the networks here.
func (w *world) widest() int {
	most := 0
	for _, t := range w.tenants {
		for _, n := range t.networks {
			if n.known {
				most = max(most, w.portMTU(n))
			}
		}
	}
	return most
}

func (w *world) addressView(ref addressRef) *pipeline.AddressView {
	t := w.tenants[ref.tenant]
	e, up := w.uplink(ref.external)
	zone := w.zone(t)
	if e == nil || zone == 0 {
		return nil
	}
	used, here := w.usesAddress(t, e, ref.addr)
	if !used {
		return nil
	}
	return &pipeline.AddressView{Address: ref.addr, External: e, VRF: t.VRF, Zone: zone, Here: here && up.OFPort != 0, Router: w.routerMAC()}
}

// usesAddress says whether a tenant uses an external address, and whether it is this
// host that answers for it.
func (w *world) usesAddress(t *tenant, e *intent.External, a netip.Addr) (used, here bool) {
	if ref, ok := t.nat.floatingAt[outerKey{e.Name, a}]; ok {
		return true, w.here(ref.PortRef)
	}
	if s, ok := t.nat.snats[e.Name]; ok && s.Address == a {
		return true, true // kind host: everywhere
	}
	for k, taken := range t.nat.taken {
		if k.external == e.Name && taken == a {
			return true, k.host == w.self
		}
	}
	for r, f := range t.nat.forwards {
		if r.External == e.Name && f.Address == a {
			return true, w.forwardsHere(t, e)
		}
	}
	return false, false
}

// here says whether a port is in force and plugged on this host.
func (w *world) here(ref intent.PortRef) bool {
	_, inForce := w.claim(ref)
	return inForce && w.local[ref] != 0
}

// forwardsHere says whether this host answers for the address of a tenant's forwards:
// every host for its own of kind host; of kind bridge the one that has the target
// of the oldest forward.
func (w *world) forwardsHere(t *tenant, e *intent.External) bool {
	if e.Kind == intent.ExternalHost {
		return true
	}
	var oldest intent.Forward
	for r, f := range t.nat.forwards {
		if r.External != e.Name || oldest.ID != 0 && f.ID > oldest.ID {
			continue
		}
		if n := t.networks[f.To.Network]; n != nil && len(n.claims[f.To.Port]) > 0 {
			oldest = f
		}
	}
	return oldest.ID != 0 && w.here(oldest.To)
}

func (w *world) tenantNATView(name string) *pipeline.TenantView {
	t := w.tenants[name]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	v := &pipeline.TenantView{Tenant: t.Tenant, Zone: zone, Out: w.wayOfAnswers(t)}
	for _, n := range t.networks {
		if !n.known {
			continue
		}
		for _, s := range n.intent.Subnets {
			if s.Prefix.Addr().Is4() {
				v.Subnets = append(v.Subnets, s.Prefix)
			}
		}
	}
	slices.SortFunc(v.Subnets, comparePrefixes)
	return v
}

// wayOfAnswers returns the VNI of an external that the tenant is reached by: that of
// its oldest forward, or any.
func (w *world) wayOfAnswers(t *tenant) uint32 {
	var oldest intent.Forward
	vni := uint32(intent.VNIReserved)
	for ref, f := range t.nat.forwards {
		if e := w.externals[ref.External]; e != nil && (oldest.ID == 0 || f.ID < oldest.ID) {
			oldest, vni = f, e.VNI()
		}
	}
	return vni
}

func (w *world) snatView(ref intent.SNATRef) *pipeline.SNATView {
	t := w.tenants[ref.Tenant]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	s, ok := t.nat.snats[ref.External]
	e, up := w.uplink(ref.External)
	if !ok || e == nil {
		return nil
	}
	for _, other := range t.nat.snats {
		if other.ID < s.ID {
			return nil // the store gives a tenant one at a time; this will go
		}
	}
	v := &pipeline.SNATView{SNAT: s, VNI: e.VNI(), VRF: t.VRF, Zone: zone}
	if up.OFPort != 0 {
		v.Address = w.snatAddress(t, e)
	}
	return v
}

// snatAddress returns what a tenant is translated to here; not valid: nothing yet.
func (w *world) snatAddress(t *tenant, e *intent.External) netip.Addr {
	if e.Kind == intent.ExternalHost {
		return t.nat.snats[e.Name].Address
	}
	return t.nat.own[e.Name]
}

func (w *world) floatingView(ref intent.FloatingRef) *pipeline.FloatingView {
	t := w.tenants[ref.Tenant]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	f, ok := t.nat.floatings[ref]
	e, up := w.uplink(ref.External)
	inner := w.inner(ref.PortRef)
	if !ok || e == nil || up.OFPort == 0 || !inner.IsValid() || !w.here(ref.PortRef) {
		return nil
	}
	return &pipeline.FloatingView{Floating: f, VNI: e.VNI(), VRF: t.VRF, Zone: zone, Inner: inner}
}

// inner returns the first IPv4 address of a port; not valid: it has none.
func (w *world) inner(ref intent.PortRef) netip.Addr {
	_, _, p, ok := w.find(ref)
	if !ok {
		return netip.Addr{}
	}
	for _, a := range p.Addrs {
		if a.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

func (w *world) forwardView(ref intent.ForwardRef) *pipeline.ForwardView {
	t := w.tenants[ref.Tenant]
	zone := w.zone(t)
	if zone == 0 {
		return nil
	}
	f, ok := t.nat.forwards[ref]
	e, up := w.uplink(ref.External)
	inner := w.inner(f.To)
	if !ok || e == nil || !inner.IsValid() {
		return nil
	}
	v := &pipeline.ForwardView{Forward: f, VRF: t.VRF, Zone: zone, Inner: inner, Only: true,
		Entry: up.OFPort != 0 && w.forwardsHere(t, e), Here: w.here(f.To)}
	if !v.Entry && !v.Here {
		return nil
	}
	for other := range t.nat.forwards {
		if other != ref && other.External == ref.External && other.Protocol == ref.Protocol {
			v.Only = false
		}
	}
	return v
}

// hostForwards returns the forwards of externals of kind host that begin here, in order.
func (w *world) hostForwards() []intent.Forward {
	var list []intent.Forward
	for ref, v := range w.nat.forwards.done {
		if e := w.externals[ref.External]; v.Entry && e != nil && e.Kind == intent.ExternalHost {
			list = append(list, v.Forward)
		}
	}
	slices.SortFunc(list, func(a, b intent.Forward) int { return compareForwards(a.Ref(), b.Ref()) })
	return list
}

// guardView lists what tenants must not reach. Of several reasons for one prefix the
// first one counts.
func (w *world) guardView(string) *pipeline.GuardView {
	if len(w.externals) == 0 {
		return nil
	}
	reasons := map[netip.Prefix]pipeline.Reason{}
	deny := func(p netip.Prefix, why pipeline.Reason) {
		if p.IsValid() && p.Addr().Is4() && reasons[p.Masked()] == 0 {
			reasons[p.Masked()] = why
		}
	}
	denyOne := func(a netip.Addr, why pipeline.Reason) { deny(netip.PrefixFrom(a, a.BitLen()), why) }
	for _, h := range w.known {
		denyOne(h.VTEP, pipeline.ReasonVTEP)
	}
	for _, t := range w.tenants {
		for _, n := range t.networks {
			for _, p := range n.peers {
				denyOne(p.VTEP, pipeline.ReasonVTEP)
			}
		}
	}
	for _, a := range w.surroundings.Store {
		denyOne(a, pipeline.ReasonStore)
	}
	deny(netip.MustParsePrefix("0.0.0.0/8"), pipeline.ReasonHostAddress) // RFC 1122: this host
	for _, a := range w.surroundings.Addresses {
		denyOne(a, pipeline.ReasonHostAddress)
	}
	for _, e := range w.externals {
		if e.Kind == intent.ExternalHost {
			denyOne(e.Gateway, pipeline.ReasonHostAddress)
			deny(e.Subnet, pipeline.ReasonForeignNAT)
			continue
		}
		for _, p := range rangePrefixes(e.Pool) {
			deny(p, pipeline.ReasonForeignNAT)
		}
	}
	v := &pipeline.GuardView{}
	for _, p := range slices.SortedFunc(maps.Keys(reasons), comparePrefixes) {
		v.Denials = append(v.Denials, pipeline.Denial{Prefix: p, Reason: reasons[p]})
	}
	return v
}

// rangePrefixes returns the fewest prefixes that make up a range of IPv4 addresses,
// ascending.
func rangePrefixes(r intent.AddrRange) []netip.Prefix {
	var list []netip.Prefix
	if !r.First.Is4() || !r.Last.Is4() {
		return nil
	}
	for a := r.First; r.Contains(a); {
		bits := 32
		last := a
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1)
			end := lastOf(wider)
			if wider.Masked().Addr() != a || !r.Contains(end) {
				break
			}
			bits, last = bits-1, end
		}
		list = append(list, netip.PrefixFrom(a, bits))
		a = last.Next()
	}
	return list
}

// lastOf returns the last address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// natRules returns what the connections of a tenant are held against; false if it has
// no zone.
func (w *world) natRules(t *tenant) (natRules, bool) {
	r := natRules{zone: w.zone(t), snat: map[netip.Addr]bool{}, floating: map[netip.Addr]netip.Addr{},
		forwards: map[forwardKey]netip.AddrPort{}, targets: map[forwardKey]bool{}}
	if r.zone == 0 {
		return r, false
	}
	r.left = maps.Clone(w.nat.left[t.Name])
	for external, s := range t.nat.snats {
		if v := w.nat.snats.done[intent.SNATRef{Tenant: t.Name, External: external}]; v != nil {
			r.limit = s.MaxConnections
			if v.Address.IsValid() {
				r.snat[v.Address] = true
			}
		}
	}
	for ref := range t.nat.floatings {
		if v := w.nat.floatings.done[ref]; v != nil {
			r.floating[v.Floating.Address] = v.Inner
		}
	}
	for ref := range t.nat.forwards {
		if v := w.nat.forwards.done[ref]; v != nil {
			proto, target := v.Forward.Protocol.Number(), netip.AddrPortFrom(v.Inner, v.Forward.ToPort)
			if v.Entry {
				r.forwards[forwardKey{proto, netip.AddrPortFrom(v.Forward.Address, v.Forward.Port)}] = target
			}
			if v.Here {
				r.targets[forwardKey{proto, target}] = true
			}
		}
	}
	return r, true
}

// suspect says that connections of a tenant may have to end, or its limit to change.
func (w *world) suspect(tenant string) { w.nat.suspects[tenant] = true }

func (w *world) suspectAll() {
	for name := range w.tenants {
		w.suspect(name)
	}
}

// portLeft remembers the addresses of a port that was here, or forgets those of one
// that is.
func (w *world) portLeft(tenant string, old, now *pipeline.PortView) {
	if t := w.tenants[tenant]; t == nil || !t.nat.any() {
		delete(w.nat.left, tenant)
		return
	}
	if old != nil && old.InForce && old.OFPort != 0 {
		w.leave(tenant, old.Port.Addrs)
	}
	left := w.nat.left[tenant]
	if now != nil && now.InForce && now.OFPort != 0 {
		for _, a := range now.Port.Addrs {
			delete(left, a)
		}
	}
	if len(left) > 0 {
		w.suspect(tenant)
	}
}

// leftUnseen takes the ports that are on other hosts for ones that were here: before
// the first judgement nobody knows.
func (w *world) leftUnseen(t *tenant) {
	for name, n := range t.networks {
		for port := range n.ports {
			ref := intent.PortRef{Tenant: t.Name, Network: name, Port: port}
			if v := w.ports.done[ref]; v != nil && v.VTEP.IsValid() {
				w.leave(t.Name, v.Port.Addrs)
			}
		}
	}
}

// leave remembers addresses of ports that were here.
func (w *world) leave(tenant string, addrs []netip.Addr) {
	if w.nat.left[tenant] == nil {
		w.nat.left[tenant] = map[netip.Addr]bool{}
	}
	for _, a := range addrs {
		w.nat.left[tenant][a] = true
	}
}

// forgive forgets addresses of ports that were here: their connections were cut.
func (w *world) forgive(tenant string, left map[netip.Addr]bool) {
	maps.DeleteFunc(w.nat.left[tenant], func(a netip.Addr, _ bool) bool { return left[a] })
	if len(w.nat.left[tenant]) == 0 {
		delete(w.nat.left, tenant)
	}
}

// judged says that a tenant's connections and its limit are as they must be.
func (w *world) judged(tenant string, left map[netip.Addr]bool) {
	w.forgive(tenant, left)
	delete(w.nat.suspects, tenant)
}

// addressDue is an address of an external of kind bridge that this host is to take,
// or to give back.
type addressDue struct {
	tenant, external string
	due              bool
}

// natAddressesDue returns what is due of all tenants.
func (w *world) natAddressesDue() []addressDue {
	var list []addressDue
	for _, name := range slices.Sorted(maps.Keys(w.tenants)) {
		list = append(list, w.addressesDue(w.tenants[name])...)
	}
	return list
}

// addressesDue compares the addresses that this host has for a tenant with those that it
// needs: one if it has a port of the tenant, which leaves by an external of kind
// bridge that has an uplink here.
func (w *world) addressesDue(t *tenant) []addressDue {
	var list []addressDue
	needed := func(external string) bool {
		_, ok := t.nat.snats[external]
		e, up := w.uplink(external)
		return ok && e != nil && e.Kind == intent.ExternalBridge && up.OFPort != 0 && w.hasPorts(t)
	}
	for _, external := range slices.Sorted(maps.Keys(t.nat.snats)) {
		if needed(external) && !t.nat.own[external].IsValid() {
			list = append(list, addressDue{t.Name, external, true})
		}
	}
	for _, external := range slices.Sorted(maps.Keys(t.nat.own)) {
		if !needed(external) {
			list = append(list, addressDue{t.Name, external, false})
		}
	}
	return list
}

// hasPorts says whether any port of a tenant is here.
func (w *world) hasPorts(t *tenant) bool {
	for name := range t.networks {
		if m := w.members[intent.NetworkRef{Tenant: t.Name, Network: name}]; m != nil && len(m.local) > 0 {
			return true
		}
	}
	return false
}

// holdsAddress says whether this host has an address of a pool for a tenant: until it
// was given back, the tenant concerns this host.
func (w *world) holdsAddress(tenant string) bool {
	t := w.tenants[tenant]
	if t == nil {
		return false
	}
	return len(t.nat.own) > 0
}

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
