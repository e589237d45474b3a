package world

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// Surroundings are the addresses around this host that tenants must not reach.
type Surroundings struct {
	Addresses []netip.Addr // the host's own IPv4 addresses, without those of externals
	Store     []netip.Addr // endpoints of the store

	// Forwards are the ports of Addresses that the host's packet filter currently
	// forwards to ports of tenants.
	Forwards []pipeline.HostPort
}

func (w *World) guardKind() kind[string, pipeline.GuardView] {
	return kind[string, pipeline.GuardView]{
		cookie: pipeline.KindGuard, compare: strings.Compare, view: w.guardView,
		idOf: func(string) intent.ID { return 0 },
		closed: func() *pipeline.GuardView { // a restriction fails closed
			return &pipeline.GuardView{Denials: []pipeline.Denial{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Reason: pipeline.ReasonHostAddress}}}
		},
		same:  func(a, b *pipeline.GuardView) bool { return reflect.DeepEqual(a, b) },
		id:    func(*pipeline.GuardView) intent.ID { return 0 },
		flows: pipeline.Guard,
	}
}

// SetSurroundings sets the addresses around this host that tenants must not reach.
func (w *World) SetSurroundings(s Surroundings) {
	w.surroundings = s
	w.guards.touch("")
}

// SetGuarded sets the addresses that all hosts close to tenants.
func (w *World) SetGuarded(u intent.GuardUpdate) {
	w.guarded = u
	w.guards.touch("")
}

// guardView lists what tenants must not reach. Of several reasons for one prefix the
// first one is used.
func (w *World) guardView(string) *pipeline.GuardView {
	if len(w.externalByName) == 0 {
		return nil
	}
	reasons := map[netip.Prefix]pipeline.Reason{} // by every external
	deny := func(p netip.Prefix, why pipeline.Reason) {
		if p.IsValid() && p.Addr().Is4() && reasons[p.Masked()] == 0 {
			reasons[p.Masked()] = why
		}
	}
	denyOne := func(a netip.Addr, why pipeline.Reason) { deny(netip.PrefixFrom(a, a.BitLen()), why) }
	for _, h := range w.hostByName {
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
	for _, e := range w.externalByName {
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
	for _, e := range w.externalByName {
		if e.Kind == intent.ExternalHost {
			v.ByHost = append(v.ByHost, e.VNI())
		}
	}
	slices.Sort(v.ByHost)
	return v
}

// hostDenials lists what tenants must not reach through a host, whose address their
// packets would have, besides what is closed to them everywhere.
func (w *World) hostDenials(besides map[netip.Prefix]pipeline.Reason) (list []pipeline.Denial) {
	for _, name := range slices.Sorted(maps.Keys(w.externalByName)) {
		e := w.externalByName[name]
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
