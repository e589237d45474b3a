package controller

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// This file makes the views of externals and NAT out of the facts.

func (w *world) externalView(name string) *pipeline.ExternalView {
	e, up := w.uplink(name)
	if e == nil {
		return nil
	}
	v := &pipeline.ExternalView{External: *e, OFPort: up.OFPort, NextMAC: up.MAC, Router: w.routerMAC()}
	v.Segment, v.Lead = w.segment(e)
	v.First = true
	for _, other := range w.externals {
		v.First = v.First && (!other.SharesUplink(*e) || other.Number >= e.Number)
	}
	if e.Kind == intent.ExternalBridge && w.widest() > e.MTU {
		v.MTU = e.MTU
	}
	return v
}

// segment returns the VNI that stands for the segment behind an external, which it may
// share with others, and whether it is the external whose flows let packets in from
// there: that with the lowest number.
func (w *world) segment(e *intent.External) (vni uint32, lead bool) {
	first := e
	for _, other := range w.externals {
		if other.SharesSegment(*e) && other.Number < first.Number {
			first = other
		}
	}
	if e.Kind == intent.ExternalHost {
		return intent.VNIReserved, first == e
	}
	return first.VNI(), first == e
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
	if !used || w.addressLeft(t, ref.outerKey) != "" {
		return nil
	}
	segment, _ := w.segment(e)
	var beside []uint32
	for _, other := range w.externals {
		if other != e && e.Kind == intent.ExternalBridge && other.SharesSegment(*e) {
			beside = append(beside, other.VNI())
		}
	}
	slices.Sort(beside)
	return &pipeline.AddressView{Address: ref.addr, External: e, Segment: segment, Beside: beside, VRF: t.VRF, Zone: zone, Here: here && up.OFPort != 0, Router: w.routerMAC()}
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
		if !n.known || w.networkLeft(t, n) != "" {
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
	return &pipeline.FloatingView{Floating: f, VNI: e.VNI(), VRF: t.VRF, Zone: zone, Inner: inner, Source: w.isSource(t, f)}
}

// isSource says whether a port's own connections begin with a floating address of its:
// with the oldest of those that have an uplink here.
func (w *world) isSource(t *tenant, f intent.Floating) bool {
	// There are few externals, and many floating addresses.
	for external, up := range w.uplinks {
		other, ok := t.nat.floatings[intent.FloatingRef{PortRef: f.PortRef(), External: external}]
		if ok && other.ID < f.ID && w.externals[external] != nil && up.OFPort != 0 {
			return false
		}
	}
	return true
}

// inner returns the first IPv4 address of a port; not valid: it has none.
func (w *world) inner(ref intent.PortRef) netip.Addr {
	t, n, p, ok := w.find(ref)
	if !ok || !w.portUsed(t, n, &p) {
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
	v := &pipeline.ForwardView{Forward: f, VRF: t.VRF, Zone: zone, Inner: inner, Only: true, First: true,
		Entry: up.OFPort != 0 && w.forwardsHere(t, e), Here: w.here(f.To)}
	if !v.Entry && !v.Here {
		return nil
	}
	for other, o := range t.nat.forwards {
		if other != ref && other.External == ref.External && other.Protocol == ref.Protocol {
			v.Only = false
			v.First = v.First && (f.ID < o.ID || !w.inner(o.To).IsValid())
		}
	}
	v.First = v.First && !v.Only
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
	reasons := map[netip.Prefix]pipeline.Reason{} // by every external
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
	for _, a := range w.guarded.VTEPs() {
		denyOne(a, pipeline.ReasonVTEP)
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
	v.Denials = append(v.Denials, w.hostDenials(reasons)...)
	v.Forwards = w.surroundings.Forwards
	for _, a := range w.surroundings.Addresses {
		v.Own = append(v.Own, pipeline.OwnAddress{Address: a, Reason: reasons[netip.PrefixFrom(a, a.BitLen())]})
	}
	for _, e := range w.externals {
		if e.Kind == intent.ExternalHost {
			v.ByHost = append(v.ByHost, e.VNI())
		}
	}
	slices.Sort(v.ByHost)
	return v
}

// hostDenials lists what tenants must not reach by way of a host, under whose address
// their packets would come, besides what they must not reach at all.
func (w *world) hostDenials(besides map[netip.Prefix]pipeline.Reason) (list []pipeline.Denial) {
	for _, name := range slices.Sorted(maps.Keys(w.externals)) {
		e := w.externals[name]
		if e.Kind != intent.ExternalHost {
			continue
		}
		reasons := map[netip.Prefix]pipeline.Reason{}
		for _, a := range w.guarded.HostAddresses() {
			if a.Is4() {
				reasons[netip.PrefixFrom(a, a.BitLen())] = pipeline.ReasonOtherHost
			}
		}
		if e.Underlay == intent.UnderlayDeny {
			for _, p := range w.guarded.Underlays() {
				if p.Addr().Is4() && reasons[p] == 0 {
					reasons[p] = pipeline.ReasonUnderlay
				}
			}
		}
		for _, p := range slices.SortedFunc(maps.Keys(reasons), comparePrefixes) {
			if besides[p] == 0 {
				list = append(list, pipeline.Denial{Prefix: p, Reason: reasons[p], VNI: e.VNI()})
			}
		}
	}
	return list
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
