package world

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// What a tenant's connections through NAT are checked against, and which tenants have to
// be checked: those whose rules may have changed since.

// Rules is all that a tenant's connections are checked against.
type Rules struct {
	Zone  uint16
	Limit uint32 // of connections; 0: none

	snat     map[netip.Addr]bool // what the tenant is translated to here
	floating map[netip.Addr]netip.Addr
	forwards map[forwardKey]netip.AddrPort // to targets
	targets  map[forwardKey]bool           // that are here, of forwards that begin anywhere

	// Departed are the addresses of ports that were here: what they began from here cannot
	// go on elsewhere, under another address. What a forward leads to them can.
	Departed map[netip.Addr]bool
}

// forwardKey is what a forward forwards, or what it forwards to.
type forwardKey struct {
	proto uint8
	at    netip.AddrPort
}

// Allow says whether a connection may go on: whether the rules could have made it.
// So one goes on that was made by the tenant's SNAT before its port got a floating
// address; it keeps the translation that it has.
//
// A connection is known by two tuples. The original one is of its first packet before
// translation; the reply one is of an answer before it is translated back. A tenant
// that reaches an address of its own has two connections: one that is translated on
// its way out, and one on its way in. One that came in by another host was translated
// there, and here not at all.
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
	if c.Reply.Src != c.Orig.Dst { // its destination was
		inner, outer := c.Reply.Src, c.Orig.Dst
		at := forwardKey{c.Orig.Proto, netip.AddrPortFrom(outer, c.Orig.DstPort)}
		if r.floating[outer] != inner && r.forwards[at] != netip.AddrPortFrom(inner, c.Reply.SrcPort) {
			return false
		}
	}
	return true
}

// Rules returns what the connections of a tenant are checked against; false if it has
// no zone.
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

// connections returns how many connections the tenant may have on a host; 0: any number.
// All of them are in one zone, so that of several SNATs the one that allows most decides.
func (t *tenant) connections() uint32 {
	if len(t.nat.snats) == 0 {
		return intent.DefaultConnections // of floating addresses and forwards
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

// ZoneLimits returns what bounds the connections of each zone, by the zone's name.
func (w *World) ZoneLimits() map[string]uint32 {
	limits := map[string]uint32{}
	for _, t := range w.tenants {
		if t.ID != 0 && t.nat.any() {
			limits[ZoneName(t.Tenant)] = t.connections()
		}
	}
	return limits
}

// Unlimited says whether nothing bounds a tenant's connections here.
func (w *World) Unlimited(tenant string) bool {
	r, ok := w.Rules(tenant)
	return ok && r.Limit == 0
}

// check marks a tenant: its connections may have to end, or its limit to change.
func (w *World) check(tenant string) { w.unchecked[tenant] = true }

// CheckAll marks all tenants, as if all rules had changed.
func (w *World) CheckAll() {
	for name := range w.tenants {
		w.check(name)
	}
}

// Unchecked returns the tenants whose connections are to be checked, in order.
func (w *World) Unchecked() []string { return slices.Sorted(maps.Keys(w.unchecked)) }

// IsUnchecked says whether a tenant's connections are to be checked.
func (w *World) IsUnchecked(tenant string) bool { return w.unchecked[tenant] }

// noteDeparture remembers the addresses of a port that was here, or forgets those of one
// that is.
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

// DepartedUnseen takes the ports of a tenant that are on other hosts for ones that were
// here: before the first check that is not known.
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

// ForgetDeparted forgets addresses of ports that were here: their connections were cut.
func (w *World) ForgetDeparted(tenant string, departed map[netip.Addr]bool) {
	maps.DeleteFunc(w.departed[tenant], func(a netip.Addr, _ bool) bool { return departed[a] })
	if len(w.departed[tenant]) == 0 {
		delete(w.departed, tenant)
	}
}

// Checked says that a tenant's connections and its limit are as they must be.
func (w *World) Checked(tenant string, departed map[netip.Addr]bool) {
	w.ForgetDeparted(tenant, departed)
	delete(w.unchecked, tenant)
}
