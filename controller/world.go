package controller

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// world is what is wanted: intent, seen from this host. Its methods take facts in
// and touch the objects that those concern; flush turns what was touched into mods.
type world struct {
	facts

	// Objects, as the last flush took them in.
	hosts    *kind[string, hostView]
	networks *kind[intent.NetworkRef, pipeline.NetworkView]
	ports    *kind[intent.PortRef, pipeline.PortView]
	peers    *kind[intent.PeerRef, pipeline.PeerView]
	routes   *kind[intent.RouteRef, pipeline.RouteView]
	senders  *kind[string, pipeline.SendersView]
	nat      natObjects

	// Derived from those: where each network's ports are, and how many flows and
	// groups there are, without those of the base.
	members               map[intent.NetworkRef]*members
	flowCount, groupCount int
	uncounted             bool // changes were taken in without compiling them

	hopsMoved map[string]map[netip.Addr]bool // next hops of tenants, whose routes changed since the last flush
	routing   *routing                       // what the router knows of all this
	faults    *faults                        // the objects that are left out
	forgotten map[pipeline.Cookie]bool       // what the switch learned for these is to go with the next comparison
	moved     map[intent.PortRef]bool        // ports here that got another MAC or address, which is to be told
}

// facts are what world was told.
type facts struct {
	self      string // this host's name
	sw        pipeline.Switch
	known     map[string]intent.Host
	tenants   map[string]*tenant
	local     map[intent.PortRef]of.PortNo // interfaces here that carry a port, in force or not
	held      map[intent.PortRef]uint64    // generations of the claims that those interfaces were plugged with
	penalties map[of.PortNo]bool           // ports of the switch that are held to a rate
	doubles   doubles
	natFacts
}

// tenant is a tenant of the host's span.
type tenant struct {
	intent.Tenant
	revision int64
	networks map[string]*network
	routes   map[netip.Prefix]intent.Route
	hops     map[netip.Addr][]netip.Prefix // where routes lead, by next hop, ascending
	senders  map[string]int                // claims by host
	nat      tenantNAT
}

// network is a network, its ports and its peers, which may come before the network
// itself does.
type network struct {
	known  bool
	intent *intent.Network // never changed, only replaced: views of earlier states point to it
	ports  map[string]intent.Port
	claims map[string][]intent.Binding // by port
	peers  map[string]intent.Peer

	// By port.
	macs  owners[intent.MAC, string]
	addrs owners[netip.Addr, string]
}

// hostView is a host as this one sees it.
type hostView struct {
	intent.Host
	self bool
}

func newWorld(self string) *world {
	w := &world{
		facts: facts{
			self:     self,
			known:    map[string]intent.Host{},
			tenants:  map[string]*tenant{},
			local:    map[intent.PortRef]of.PortNo{},
			doubles:  newDoubles(),
			held:     map[intent.PortRef]uint64{},
			natFacts: newNATFacts(),
		},
		members:   map[intent.NetworkRef]*members{},
		hopsMoved: map[string]map[netip.Addr]bool{},
		routing:   newRouting(),
		faults:    newFaults(nil),
		forgotten: map[pipeline.Cookie]bool{},
		moved:     map[intent.PortRef]bool{},
	}
	w.hosts = (&kind[string, hostView]{
		cookie: pipeline.KindHost, compare: strings.Compare, view: w.hostView, idOf: func(name string) intent.ID { return w.known[name].ID },
		same: func(a, b *hostView) bool { return *a == *b },
		id:   func(h *hostView) intent.ID { return h.ID },
		flows: func(h *hostView, emit pipeline.Emit) {
			if h.self { // we send no tunnel packets to ourselves
				pipeline.Self(w.sw, h.Host, emit)
				return
			}
			pipeline.Host(w.sw, h.Host, emit)
		},
	}).ready()
	w.networks = (&kind[intent.NetworkRef, pipeline.NetworkView]{
		cookie: pipeline.KindNetwork, compare: compareNetworks, view: w.networkView,
		idOf:   func(ref intent.NetworkRef) intent.ID { return w.tenants[ref.Tenant].networks[ref.Network].intent.ID },
		same:   func(a, b *pipeline.NetworkView) bool { return reflect.DeepEqual(a, b) },
		id:     func(n *pipeline.NetworkView) intent.ID { return n.Network.ID },
		flows:  func(n *pipeline.NetworkView, emit pipeline.Emit) { pipeline.Network(w.sw, n, emit) },
		groups: func(n *pipeline.NetworkView) []of.Group { return pipeline.Groups(w.sw, n) },
		meters: func(n *pipeline.NetworkView) []of.Meter { return pipeline.NetworkMeters(w.sw, n) },
		learned: func(n *pipeline.NetworkView) []pipeline.Cookie {
			if !n.Network.Learning {
				return nil
			}
			return []pipeline.Cookie{pipeline.MakeCookie(pipeline.KindLearnedNetwork, n.Network.ID)}
		},
		changed: w.networkChanged,
	}).ready()
	w.ports = (&kind[intent.PortRef, pipeline.PortView]{
		cookie: pipeline.KindPort, compare: comparePorts, view: w.portView, same: samePort,
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
	}).ready()
	w.peers = (&kind[intent.PeerRef, pipeline.PeerView]{
		cookie: pipeline.KindPeer, compare: comparePeers, view: w.peerView,
		idOf: func(ref intent.PeerRef) intent.ID {
			return w.tenants[ref.Tenant].networks[ref.Network].peers[ref.Peer].ID
		},
		same:  func(a, b *pipeline.PeerView) bool { return *a == *b },
		id:    func(p *pipeline.PeerView) intent.ID { return p.Peer.ID },
		flows: func(p *pipeline.PeerView, emit pipeline.Emit) { pipeline.Peer(w.sw, p, emit) },
		learned: func(p *pipeline.PeerView) []pipeline.Cookie {
			return []pipeline.Cookie{pipeline.MakeCookie(pipeline.KindLearnedPeer, p.Peer.ID)}
		},
		stale: func(_, _ *pipeline.PeerView) bool { return true },
	}).ready()
	w.routes = (&kind[intent.RouteRef, pipeline.RouteView]{
		cookie: pipeline.KindRoute, compare: compareRoutes, view: w.routeView,
		idOf:   func(ref intent.RouteRef) intent.ID { return w.tenants[ref.Tenant].routes[ref.Prefix].ID },
		same:   func(a, b *pipeline.RouteView) bool { return reflect.DeepEqual(a, b) },
		id:     func(r *pipeline.RouteView) intent.ID { return r.Route.ID },
		flows:  func(r *pipeline.RouteView, emit pipeline.Emit) { pipeline.Route(w.sw, r, emit) },
		groups: pipeline.RouteGroups,
	}).ready()
	w.senders = (&kind[string, pipeline.SendersView]{
		cookie: pipeline.KindSenders, compare: strings.Compare, view: w.sendersView, idOf: w.tenantID,
		same:  func(a, b *pipeline.SendersView) bool { return reflect.DeepEqual(a, b) },
		id:    func(v *pipeline.SendersView) intent.ID { return v.Tenant.ID },
		flows: pipeline.Senders,
	}).ready()
	w.nat = w.newNATObjects()
	for _, k := range w.kinds() {
		k.report(w.faults)
	}
	return w
}

// kinds lists all kinds of objects in the order in which they are taken in. Ports come
// before networks, because they say where their networks' members are.
func (w *world) kinds() []objects {
	n := &w.nat
	return []objects{w.hosts, w.senders, w.ports, w.networks, w.peers, w.routes,
		n.externals, n.addresses, n.tenantNAT, n.snats, n.floatings, n.forwards, n.guards}
}

// setSwitch says what the local switch looks like. A change concerns every flow:
// the caller has to compare the whole switch afterwards.
func (w *world) setSwitch(sw pipeline.Switch) {
	w.sw = sw
	w.routing.setTunnel(sw.VXLANPort)
}

// setPenalties replaces the list of ports of the switch that are held to a rate.
func (w *world) setPenalties(ports map[of.PortNo]bool) {
	for ref, p := range w.local {
		if ports[p] != w.penalties[p] {
			w.ports.touch(ref)
		}
	}
	w.penalties = ports
}

// setHosts replaces the list of hosts.
func (w *world) setHosts(hosts []intent.Host) {
	next := make(map[string]intent.Host, len(hosts))
	for _, h := range hosts {
		next[h.Name] = h
	}
	moved := map[string]bool{}
	for name, h := range next {
		if old, ok := w.known[name]; !ok || old != h {
			w.hosts.touch(name)
			moved[name] = !ok || old.VTEP != h.VTEP
		}
	}
	for name := range w.known {
		if _, ok := next[name]; !ok {
			w.hosts.touch(name)
			moved[name] = true
		}
	}
	narrower := w.known[w.self].UnderlayMTU != next[w.self].UnderlayMTU
	w.known = next
	w.routing.setMAC(intent.RouterMAC(next[w.self].ID))
	if len(moved) == 0 {
		return
	}
	w.nat.guards.touch("")
	if _, changed := moved[w.self]; changed {
		w.touchOutside()
	}
	for _, t := range w.tenants {
		w.senders.touch(t.Name)
		for name, n := range t.networks {
			if narrower || moved[w.self] {
				w.networks.touch(intent.NetworkRef{Tenant: t.Name, Network: name})
			}
			for port, claims := range n.claims {
				if c, ok := intent.Winner(claims); ok && moved[c.Host] {
					w.ports.touch(intent.PortRef{Tenant: t.Name, Network: n.intent.Name, Port: port})
				}
			}
		}
	}
}

// setLocal says which port's interface is on this switch; 0: none.
func (w *world) setLocal(ref intent.PortRef, p of.PortNo) {
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

// setHeld says with which claim a port's interface on this switch was plugged; 0: with
// none that is known.
func (w *world) setHeld(ref intent.PortRef, generation uint64) {
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

// span takes in what the store says of one tenant.
func (w *world) span(u intent.SpanUpdate) {
	switch {
	case u.Gone:
		w.forget(u.Tenant)
	case u.Snapshot != nil:
		w.snapshot(u.Tenant, u.Snapshot)
	default:
		t := w.tenant(u.Tenant)
		for _, c := range u.Changes {
			w.take(t, c)
		}
	}
	if t := w.tenants[u.Tenant]; t != nil {
		t.revision = max(t.revision, u.Revision)
	}
}

// forget drops a tenant from the span.
func (w *world) forget(name string) {
	t := w.tenants[name]
	if t == nil {
		return
	}
	w.touchAll(t)
	w.disown(t)
	delete(w.tenants, name)
	w.suspect(name)
}

func (w *world) snapshot(name string, s *intent.Snapshot) {
	if old := w.tenants[name]; old != nil {
		w.touchAll(old)
		w.disown(old)
		delete(w.tenants, name)
	}
	t := w.tenant(name)
	t.Tenant = s.Tenant
	w.ownTenant(intent.Tenant{}, t.Tenant)
	w.ports.expect(len(s.Ports))
	for _, n := range s.Networks {
		w.take(t, intent.Change{Object: n})
	}
	t.expect(s.Ports)
	for i := range s.Ports {
		w.changePort(t, false, &s.Ports[i])
	}
	for i := range s.Bindings {
		w.changeBinding(t, false, &s.Bindings[i])
	}
	for _, p := range s.Peers {
		w.take(t, intent.Change{Object: p})
	}
	for _, r := range s.Routes {
		w.take(t, intent.Change{Object: r})
	}
	w.snapshotNAT(t, s)
}

// expect makes room for the ports of networks that are new.
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

// touchAll marks everything of a tenant. What turns out to be the same costs a
// comparison.
func (w *world) touchAll(t *tenant) {
	w.senders.touch(t.Name)
	for name, n := range t.networks {
		ref := intent.NetworkRef{Tenant: t.Name, Network: name}
		w.touchNetwork(ref, n)
		for port := range n.claims {
			w.ports.touch(intent.PortRef{Tenant: t.Name, Network: name, Port: port})
		}
	}
	w.touchRoutes(t)
	w.touchNAT(t)
	w.nat.guards.touch("")
}

// touchNetwork marks a network, its ports and its peers: their flows depend on it.
func (w *world) touchNetwork(ref intent.NetworkRef, n *network) {
	w.networks.touch(ref)
	for port := range n.ports {
		w.ports.touch(intent.PortRef{Tenant: ref.Tenant, Network: ref.Network, Port: port})
	}
	for peer := range n.peers {
		w.peers.touch(intent.PeerRef{Tenant: ref.Tenant, Network: ref.Network, Peer: peer})
	}
}

func (w *world) tenant(name string) *tenant {
	t := w.tenants[name]
	if t == nil {
		t = &tenant{
			networks: map[string]*network{},
			routes:   map[netip.Prefix]intent.Route{},
			hops:     map[netip.Addr][]netip.Prefix{},
			senders:  map[string]int{},
			nat:      newTenantNAT(),
		}
		t.Name = name
		w.tenants[name] = t
	}
	return t
}

func (t *tenant) network(name string) *network {
	n := t.networks[name]
	if n == nil {
		n = &network{
			intent: &intent.Network{Tenant: t.Name, Name: name},
			ports:  map[string]intent.Port{},
			claims: map[string][]intent.Binding{},
			peers:  map[string]intent.Peer{},
		}
		t.networks[name] = n
	}
	return n
}

func (w *world) change(t *tenant, c intent.Change) {
	switch o := c.Object.(type) {
	case intent.Tenant:
		old := t.Tenant
		t.Tenant = o
		if t.VRF != old.VRF || t.ID != old.ID {
			w.ownTenant(old, o)
			w.touchAll(t)
		}
	case intent.Network:
		n := t.network(o.Name)
		if n.known {
			w.ownNetwork(n.intent, nil)
		}
		n.known = !c.Deleted
		if n.known {
			n.intent = &o
			w.ownNetwork(nil, &o)
		}
		w.touchNetwork(o.Ref(), n)
		w.senders.touch(t.Name) // whether any learns
		w.touchWidths(t)        // the widest decides what has to be measured
		w.touchRoutes(t)
		w.touchNAT(t)
		w.touchExternals() // how wide they have to be
		t.prune(o.Name)
	case intent.Port:
		w.changePort(t, c.Deleted, &o)
	case intent.Binding:
		w.changeBinding(t, c.Deleted, &o)
	case intent.Peer:
		n := t.network(o.Network)
		had := len(n.peers) > 0
		w.ownPeer(n.peers[o.Name], intent.Peer{})
		if c.Deleted {
			delete(n.peers, o.Name)
		} else {
			n.peers[o.Name] = o
			w.ownPeer(intent.Peer{}, o)
		}
		w.peers.touch(o.Ref())
		w.nat.guards.touch("")
		ref := o.Ref().NetworkRef()
		w.networks.touch(ref)
		if had != (len(n.peers) > 0) {
			w.touchNetwork(ref, n)
		}
		t.prune(o.Network)
	case intent.Route:
		w.changeRoute(t, c.Deleted, o)
	case intent.SNAT, intent.Floating, intent.Forward, intent.NATAddress:
		w.changeNAT(t, c)
	}
}

func (w *world) changePort(t *tenant, deleted bool, p *intent.Port) {
	n, ref := t.network(p.Network), p.Ref()
	if old, ok := n.ports[p.Name]; ok {
		w.ownPort(n, &old, nil)
		if !deleted && w.local[ref] != 0 && readdressed(&old, p) {
			w.moved[ref] = true
		}
	}
	if deleted {
		delete(n.ports, p.Name)
	} else {
		n.ports[p.Name] = *p
		w.ownPort(n, nil, p)
	}
	w.ports.touch(ref)
	w.touchTarget(t, ref)
	t.prune(p.Network)
}

func (w *world) changeBinding(t *tenant, deleted bool, b *intent.Binding) {
	n, ref := t.network(b.Network), b.PortRef()
	// The slice may be read as part of an earlier state: make a new one.
	claims := slices.DeleteFunc(slices.Clone(n.claims[b.Port]), func(o intent.Binding) bool { return o.Host == b.Host })
	if before := len(n.claims[b.Port]) - len(claims); before > 0 {
		w.claimed(t, b.Host, -before)
	}
	if !deleted {
		claims = append(claims, *b)
		w.claimed(t, b.Host, +1)
	}
	if len(claims) == 0 {
		delete(n.claims, b.Port)
	} else {
		n.claims[b.Port] = claims
	}
	w.ports.touch(ref)
	w.touchTarget(t, ref)
	t.prune(b.Network)
}

// prune drops a network of which nothing is left.
func (t *tenant) prune(name string) {
	if n := t.networks[name]; !n.known && len(n.ports) == 0 && len(n.claims) == 0 && len(n.peers) == 0 {
		delete(t.networks, name)
	}
}

// find returns a port and its network, if the store has both.
func (w *world) find(ref intent.PortRef) (*tenant, *network, intent.Port, bool) {
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

// claim returns the claim of this host on a port and whether it is in force.
func (w *world) claim(ref intent.PortRef) (own intent.Binding, inForce bool) {
	t := w.tenants[ref.Tenant]
	if t == nil || t.networks[ref.Network] == nil {
		return intent.Binding{}, false
	}
	claims := t.networks[ref.Network].claims[ref.Port]
	for _, b := range claims {
		if b.Host == w.self {
			own = b
		}
	}
	winner, ok := intent.Winner(claims)
	return own, ok && winner.Host == w.self
}

// members says where the ports in force of a network are.
type members struct {
	local  map[of.PortNo]int  // 1; for a moment 2, when an interface's number changes hands
	remote map[netip.Addr]int // ports by VTEP
}

// portChanged keeps the members of the port's network.
func (w *world) portChanged(ref intent.PortRef, old, now *pipeline.PortView) {
	w.portLeft(ref.Tenant, old, now)
	if old != nil {
		w.count(old, -1)
	}
	if now != nil {
		w.count(now, +1)
	}
}

// count adds or removes a port in its network's members, and touches the network if
// its list of members changed.
func (w *world) count(v *pipeline.PortView, by int) {
	ref := v.Port.Ref().NetworkRef()
	m := w.members[ref]
	if m == nil {
		m = &members{local: map[of.PortNo]int{}, remote: map[netip.Addr]int{}}
		w.members[ref] = m
	}
	switch {
	case v.OFPort != 0 && v.InForce:
		if tally(m.local, v.OFPort, by) {
			w.networks.touch(ref)
		}
	case v.VTEP.IsValid():
		if tally(m.remote, v.VTEP, by) {
			w.networks.touch(ref)
		}
	}
	if len(m.local) == 0 && len(m.remote) == 0 {
		delete(w.members, ref)
	}
}

// tally adds to a count and says whether the key came or went.
func tally[K comparable](counts map[K]int, k K, by int) bool {
	n := counts[k] + by
	if n == 0 {
		delete(counts, k)
		return true
	}
	counts[k] = n
	return n == 1 && by > 0
}

// recomputed returns a world with the same facts that has compiled everything at
// once, as a new process does.
func (w *world) recomputed() *world {
	f := newWorld(w.self)
	f.facts = w.facts
	for name := range f.known {
		f.hosts.touch(name)
	}
	f.touchOutside()
	for _, t := range f.tenants {
		f.touchAll(t)
	}
	f.settle()
	return f
}
