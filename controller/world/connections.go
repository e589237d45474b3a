package world

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// The rules that a tenant's connections through NAT are checked against, and the
// tenants to check because their rules may have changed.

// Rules are everything that a tenant's connections are checked against.
type Rules struct {
	Zone  uint16
	Limit uint32 // of connections; 0: none

	snat     map[netip.Addr]bool // the tenant's SNAT addresses here
	floating map[netip.Addr]netip.Addr
	forwards map[forwardKey]netip.AddrPort // to targets
	targets  map[forwardKey]bool           // targets here, of forwards on any host

	// Departed are the addresses of ports that were here: connections that they began
	// from here cannot continue elsewhere, under another address. Connections by a
	// forward to them can.
	Departed map[netip.Addr]bool
}

// forwardKey is an address and port of a protocol: a forward's own, or its target.
type forwardKey struct {
	proto uint8
	at    netip.AddrPort
}

// Allow reports whether a connection may go on: whether the rules could have made it.
// So a connection made by the tenant's SNAT before its port got a floating address goes
// on, with the translation that it has.
//
// A connection has two tuples: the original one is its first packet before translation,
// the reply one an answer before it is translated back. A tenant that reaches an
// address of its own has two connections, one translated on the way out and one on the
// way in. A connection that came in by another host was translated there, and is not
// translated here.
func (r Rules) Allow(c of.Connections) bool {
	if c.Reply.Dst == c.Orig.Src && c.Reply.Src == c.Orig.Dst {
		return r.targets[forwardKey{c.Orig.Proto, netip.AddrPortFrom(c.Orig.Dst, c.Orig.DstPort)}]
	}
	if c.Reply.Dst != c.Orig.Src { // its source was translated
		inner, outer := c.Orig.Src, c.Reply.Dst
		if r.Departed[inner] || !r.snat[outer] && r.floating[outer] != inner {
			return false
		}
	}
	if c.Reply.Src != c.Orig.Dst { // its destination was translated
		inner, outer := c.Reply.Src, c.Orig.Dst
		at := forwardKey{c.Orig.Proto, netip.AddrPortFrom(outer, c.Orig.DstPort)}
		if r.floating[outer] != inner && r.forwards[at] != netip.AddrPortFrom(inner, c.Reply.SrcPort) {
			return false
		}
	}
	return true
}

// Rules returns the rules for the connections of a tenant; false if it has no zone.
func (w *World) Rules(tenant string) (Rules, bool) {
	t := w.tenants[tenant]
	r := Rules{Zone: w.zone(t), snat: map[netip.Addr]bool{}, floating: map[netip.Addr]netip.Addr{},
		forwards: map[forwardKey]netip.AddrPort{}, targets: map[forwardKey]bool{}}
	if r.Zone == 0 {
		return r, false
	}
	r.Departed = maps.Clone(w.departed[t.Name])
	r.Limit = t.connections()
	for external := range t.nat.snats {
		if v := w.snats.done[intent.SNATRef{Tenant: t.Name, External: external}]; v != nil && v.Address.IsValid() {
			r.snat[v.Address] = true
		}
	}
	for ref := range t.nat.floatings {
		if v := w.floatings.done[ref]; v != nil {
			r.floating[v.Floating.Address] = v.Inner
		}
	}
	for ref := range t.nat.forwards {
		if v := w.forwards.done[ref]; v != nil {
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

// connections returns how many connections the tenant may have on a host; 0: any
// number. They share one zone, so the SNAT with the highest limit decides.
func (t *tenant) connections() uint32 {
	if len(t.nat.snats) == 0 {
		return intent.DefaultConnections // for floating addresses and forwards
	}
	var most uint32
	for _, s := range t.nat.snats {
		limit, limited := s.Limit()
		if !limited {
			return 0
		}
		most = max(most, limit)
	}
	return most
}

// ZoneLimits returns the connection limit of each zone, by the zone's name.
func (w *World) ZoneLimits() map[string]uint32 {
	limits := map[string]uint32{}
	for _, t := range w.tenants {
		if t.ID != 0 && t.nat.any() {
			limits[ZoneName(t.Tenant)] = t.connections()
		}
	}
	return limits
}

// Unlimited reports whether a tenant's connections here have no limit.
func (w *World) Unlimited(tenant string) bool {
	r, ok := w.Rules(tenant)
	return ok && r.Limit == 0
}

// check marks a tenant: some of its connections may have to end, or its limit to
// change.
func (w *World) check(tenant string) { w.unchecked[tenant] = true }

// CheckAll marks all tenants, as if all rules had changed.
func (w *World) CheckAll() {
	for name := range w.tenants {
		w.check(name)
	}
}

// Unchecked returns the tenants whose connections are to be checked, in order.
func (w *World) Unchecked() []string { return slices.Sorted(maps.Keys(w.unchecked)) }

// IsUnchecked reports whether a tenant's connections are to be checked.
func (w *World) IsUnchecked(tenant string) bool { return w.unchecked[tenant] }

// noteDeparture remembers the addresses of a port that was here, or forgets the
// addresses of a port that is here.
func (w *World) noteDeparture(tenant string, old, now *pipeline.PortView) {
	if t := w.tenants[tenant]; t == nil || !t.nat.any() {
		delete(w.departed, tenant)
		return
	}
	if old != nil && old.InForce && old.OFPort != 0 {
		w.depart(tenant, old.Port.Addrs)
	}
	left := w.departed[tenant]
	if now != nil && now.InForce && now.OFPort != 0 {
		for _, a := range now.Port.Addrs {
			delete(left, a)
		}
	}
	if len(left) > 0 {
		w.check(tenant)
	}
}

// DepartedUnseen assumes that a tenant's ports on other hosts were here before: before
// the first check that is unknown.
func (w *World) DepartedUnseen(tenant string) {
	t := w.tenants[tenant]
	if t == nil {
		return
	}
	for name, n := range t.networks {
		for port := range n.ports {
			ref := intent.PortRef{Tenant: t.Name, Network: name, Port: port}
			if v := w.ports.done[ref]; v != nil && v.VTEP.IsValid() {
				w.depart(t.Name, v.Port.Addrs)
			}
		}
	}
}

// depart remembers addresses of ports that were here.
func (w *World) depart(tenant string, addrs []netip.Addr) {
	if w.departed[tenant] == nil {
		w.departed[tenant] = map[netip.Addr]bool{}
	}
	for _, a := range addrs {
		w.departed[tenant][a] = true
	}
}

// ForgetDeparted forgets addresses of departed ports: their connections were cut.
func (w *World) ForgetDeparted(tenant string, departed map[netip.Addr]bool) {
	maps.DeleteFunc(w.departed[tenant], func(a netip.Addr, _ bool) bool { return departed[a] })
	if len(w.departed[tenant]) == 0 {
		delete(w.departed, tenant)
	}
}

// Checked says that a tenant's connections and limit are up to date.
func (w *World) Checked(tenant string, departed map[netip.Addr]bool) {
	w.ForgetDeparted(tenant, departed)
	delete(w.unchecked, tenant)
}
