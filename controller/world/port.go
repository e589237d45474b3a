package world

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/router"
)

func (w *World) portClass() objectClass[intent.Port] {
	return objectClass[intent.Port]{
		of: func(t *tenant, s *intent.Snapshot) []intent.Port {
			w.ports.expect(len(s.Ports))
			t.expect(s.Ports)
			return s.Ports
		},
		keep: func(t *tenant, now *intent.Port, deleted bool) *intent.Port {
			return replace(t.network(now.Network).ports, now.Name, now, deleted)
		},
		owns: w.ownPort,
		changed: func(t *tenant, old, now *intent.Port) {
			p := cmp.Or(now, old)
			ref := p.Ref()
			if old != nil && now != nil && w.local[ref] != 0 && readdressed(old, now) {
				w.moved[ref] = true
			}
			w.ports.touch(ref)
			w.touchTarget(t, ref)
			t.prune(p.Network)
		},
		each: func(t *tenant, visit func(*intent.Port)) {
			var p intent.Port // reused, because there may be many
			for _, n := range t.networks {
				for _, p = range n.ports {
					visit(&p)
				}
			}
		},
		touch: func(t *tenant) {
			for name, n := range t.networks {
				for port := range n.ports {
					w.ports.touch(intent.PortRef{Tenant: t.Name, Network: name, Port: port})
				}
			}
		},
	}
}

func (w *World) portKind() kind[intent.PortRef, pipeline.PortView] {
	return kind[intent.PortRef, pipeline.PortView]{
		cookie: pipeline.KindPort, compare: ComparePorts, view: w.portView, same: samePort,
		idOf: func(ref intent.PortRef) intent.ID {
			return w.tenants[ref.Tenant].networks[ref.Network].ports[ref.Port].ID
		},
		id:     func(p *pipeline.PortView) intent.ID { return p.Port.ID },
		flows:  func(p *pipeline.PortView, emit pipeline.Emit) { pipeline.Port(w.sw, p, emit) },
		groups: func(p *pipeline.PortView) []of.Group { return pipeline.PortGroups(w.sw, p) },
		meters: func(p *pipeline.PortView) []of.Meter { return pipeline.PortMeters(w.sw, p) },
		learned: func(p *pipeline.PortView) []pipeline.Cookie {
			if !pipeline.LearnsLocally(p) {
				return nil
			}
			return []pipeline.Cookie{pipeline.MakeCookie(pipeline.KindLearnedPort, p.Port.ID)}
		},
		behind:  func(p *pipeline.PortView) of.PortNo { return p.OFPort },
		stale:   func(old, now *pipeline.PortView) bool { return old.OFPort != now.OFPort },
		changed: w.portChanged,
	}
}

// samePort reports whether two views give the same flows.
func samePort(a, b *pipeline.PortView) bool {
	return a.OFPort == b.OFPort && a.InForce == b.InForce && a.Elsewhere == b.Elsewhere && a.VTEP == b.VTEP && a.VRF == b.VRF && a.Peers == b.Peers && a.Penalty == b.Penalty && a.Reached == b.Reached &&
		a.Port.ID == b.Port.ID && a.Port.MAC == b.Port.MAC && a.Port.Learn == b.Port.Learn &&
		slices.Equal(a.Port.Addrs, b.Port.Addrs) && a.Port.Name == b.Port.Name &&
		slices.Equal(a.Hops, b.Hops) && slices.Equal(a.Routed, b.Routed) &&
		(a.Network == b.Network || reflect.DeepEqual(a.Network, b.Network))
}

// SetLocal sets the switch port of a port's interface here; 0: none.
func (w *World) SetLocal(ref intent.PortRef, p of.PortNo) {
	if w.local[ref] == p {
		return
	}
	if p == 0 {
		delete(w.local, ref)
	} else {
		w.local[ref] = p
	}
	w.ports.touch(ref)
	if t := w.tenants[ref.Tenant]; t != nil {
		w.touchTarget(t, ref)
	}
}

// SetHeld sets the claim with which a port's interface here was plugged; 0: no known
// claim.
func (w *World) SetHeld(ref intent.PortRef, generation uint64) {
	if w.held[ref] == generation {
		return
	}
	if generation == 0 {
		delete(w.held, ref)
	} else {
		w.held[ref] = generation
	}
	w.ports.touch(ref)
}

// Port returns a port, if the store has it and its network.
func (w *World) Port(ref intent.PortRef) (intent.Port, bool) {
	_, _, p, ok := w.find(ref)
	return p, ok
}

// PortView returns a port's view as of the last flush; false: it has no flows.
func (w *World) PortView(ref intent.PortRef) (pipeline.PortView, bool) {
	if v := w.ports.done[ref]; v != nil {
		return *v, true
	}
	return pipeline.PortView{}, false
}

// Arrival returns the announcement for a port that is up here; false: it is not up.
func (w *World) Arrival(ref intent.PortRef) (router.Arrival, bool) {
	t, n, p, known := w.find(ref)
	if !known || w.ports.done[ref] == nil || !w.here(ref) {
		return router.Arrival{}, false
	}
	return router.Arrival{Port: w.local[ref], VNI: n.intent.VNI, VRF: t.VRF, MAC: p.MAC, Addrs: p.Addrs}, true
}

// TakeMoved returns the ports here that got another MAC or address since the last call.
func (w *World) TakeMoved() (moved []intent.PortRef) {
	for ref := range w.moved {
		moved = append(moved, ref)
	}
	clear(w.moved)
	return moved
}

// readdressed reports whether neighbours may know one of a port's addresses under a MAC
// that is no longer the port's.
func readdressed(old, now *intent.Port) bool {
	return old.MAC != now.MAC || slices.ContainsFunc(now.Addrs, func(a netip.Addr) bool { return !slices.Contains(old.Addrs, a) })
}

// expect makes room for the ports of new networks.
func (t *tenant) expect(ports []intent.Port) {
	counts := map[string]int{}
	for i := range ports {
		counts[ports[i].Network]++
	}
	for name, count := range counts {
		if n := t.networks[name]; n != nil && len(n.ports) == 0 && len(n.claims) == 0 {
			n.ports, n.claims = make(map[string]intent.Port, count), make(map[string][]intent.Binding, count)
		}
	}
}

// find returns a port and its network, if the store has both.
func (w *World) find(ref intent.PortRef) (*tenant, *network, intent.Port, bool) {
	t := w.tenants[ref.Tenant]
	if t == nil {
		return nil, nil, intent.Port{}, false
	}
	n := t.networks[ref.Network]
	if n == nil || !n.known {
		return t, nil, intent.Port{}, false
	}
	p, ok := n.ports[ref.Port]
	return t, n, p, ok
}

// here reports whether a port is in force and plugged on this host.
func (w *World) here(ref intent.PortRef) bool {
	_, inForce := w.Claim(ref)
	return inForce && w.local[ref] != 0
}

// ownPort records a port's unique values, or releases them.
func (w *World) ownPort(t *tenant, old, now *intent.Port) {
	p := cmp.Or(now, old)
	if p == nil {
		return
	}
	n := t.network(p.Network)
	var shared []intent.PortRef
	beside := func(names []string) {
		for _, name := range names {
			shared = append(shared, intent.PortRef{Tenant: t.Name, Network: p.Network, Port: name})
		}
	}
	if old != nil {
		shared = append(shared, w.unique.portIDs.remove(old.ID, old.Ref())...)
		beside(n.macs.remove(old.MAC, old.Name))
		for _, a := range old.Addrs {
			beside(n.addrs.remove(a, old.Name))
		}
	}
	if now != nil {
		shared = append(shared, w.unique.portIDs.add(now.ID, now.Ref())...)
		beside(n.macs.add(now.MAC, now.Name))
		for _, a := range now.Addrs {
			beside(n.addrs.add(a, now.Name))
		}
	}
	for _, ref := range shared {
		w.ports.touch(ref)
		if t := w.tenants[ref.Tenant]; t != nil {
			w.touchTarget(t, ref)
		}
	}
}

// olderPort orders the ports of a network by age.
func (n *network) olderPort(a, b string) int {
	return cmp.Or(cmp.Compare(n.ports[a].ID, n.ports[b].ID), cmp.Compare(a, b))
}

// portConflict says why a port is left out although its network is not.
func (w *World) portConflict(n *network, p *intent.Port) string {
	if other, ok := w.unique.portIDs.before(p.ID, p.Ref(), ComparePorts); ok {
		return fmt.Sprintf("it has id %d, which is that of port %s", p.ID, other)
	}
	if len(n.macs.more)+len(n.addrs.more) == 0 {
		return ""
	}
	if other, ok := n.macs.before(p.MAC, p.Name, n.olderPort); ok {
		return fmt.Sprintf("it has MAC %s, which is that of port %s", p.MAC, other)
	}
	for _, a := range p.Addrs {
		if other, ok := n.addrs.before(a, p.Name, n.olderPort); ok {
			return fmt.Sprintf("it has address %s, which is that of port %s", a, other)
		}
	}
	return ""
}

// portConflicts lists ports that are left out although their networks are not.
func (w *World) portConflicts(add func(object, why string)) {
	for _, t := range w.tenants {
		for _, n := range t.networks {
			if !n.known || len(w.unique.portIDs.more)+len(n.macs.more)+len(n.addrs.more) == 0 || w.networkConflict(t, n) != "" {
				continue
			}
			for _, p := range n.ports {
				add("port "+p.Ref().String(), w.portConflict(n, &p))
			}
		}
	}
}

// portUsed reports whether a port of the store has flows.
func (w *World) portUsed(t *tenant, n *network, p *intent.Port) bool {
	return w.networkConflict(t, n) == "" && w.portConflict(n, p) == ""
}

// portView returns the view of a port.
func (w *World) portView(ref intent.PortRef) *pipeline.PortView {
	t, n, p, ok := w.find(ref)
	if !ok || !w.portUsed(t, n, &p) {
		return nil
	}
	v := &pipeline.PortView{Port: p, Network: n.intent, VRF: t.VRF, Peers: len(n.peers) > 0, OFPort: w.local[ref]}
	v.Reached = t.nat.targets[ref] > 0
	v.Hops, v.Routed = t.behind(p.Addrs)
	v.Penalty = v.OFPort != 0 && w.penalties[v.OFPort]
	winner, claimed := intent.Winner(n.claims[ref.Port])
	switch {
	case !claimed:
	case winner.Host == w.self:
		v.InForce = true
	default:
		v.VTEP = w.hostByName[winner.Host].VTEP
		// A claim newer than the one from the store is this host's own.
		v.Elsewhere = w.held[ref] <= winner.Generation
	}
	return v
}

// portChanged updates the members of the port's network.
func (w *World) portChanged(ref intent.PortRef, old, now *pipeline.PortView) {
	w.noteDeparture(ref.Tenant, old, now)
	if old != nil {
		w.count(old, -1)
	}
	if now != nil {
		w.count(now, +1)
	}
}

// ComparePorts orders ports by name.
func ComparePorts(a, b intent.PortRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Port, b.Port))
}
