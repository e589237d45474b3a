package controller

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// world is what is wanted: intent, seen from this host. Its methods take facts in
// and mark what they touch as dirty; flush turns what is dirty into mods.
type world struct {
	self string // this host's name

	// Facts.
	sw      pipeline.Switch
	hosts   map[string]intent.Host
	tenants map[string]*tenant
	local   map[intent.PortRef]of.PortNo // interfaces here that carry a port, in force or not

	// What facts since the last flush touched.
	dirtyHosts    map[string]bool
	dirtyNetworks map[intent.NetworkRef]bool
	dirtyPorts    map[intent.PortRef]bool
	dirtyPeers    map[intent.PeerRef]bool

	// What the last flush compiled.
	done compiled
}

// tenant is a tenant of the host's span.
type tenant struct {
	intent.Tenant
	revision int64
	networks map[string]*network
}

// network is a network, its ports and its peers, which may come before the network
// itself does.
type network struct {
	known  bool
	intent *intent.Network // never changed, only replaced: views of earlier states point to it
	ports  map[string]intent.Port
	claims map[string][]intent.Binding // by port
	peers  map[string]intent.Peer
}

func newWorld(self string) *world {
	return &world{
		self:          self,
		hosts:         map[string]intent.Host{},
		tenants:       map[string]*tenant{},
		local:         map[intent.PortRef]of.PortNo{},
		dirtyHosts:    map[string]bool{},
		dirtyNetworks: map[intent.NetworkRef]bool{},
		dirtyPorts:    map[intent.PortRef]bool{},
		dirtyPeers:    map[intent.PeerRef]bool{},
		done:          newCompiled(),
	}
}

// setSwitch says what the local switch looks like. A change concerns every flow:
// the caller has to compare the whole switch afterwards.
func (w *world) setSwitch(sw pipeline.Switch) { w.sw = sw }

// setHosts replaces the list of hosts.
func (w *world) setHosts(hosts []intent.Host) {
	next := make(map[string]intent.Host, len(hosts))
	for _, h := range hosts {
		next[h.Name] = h
	}
	moved := map[string]bool{}
	for name, h := range next {
		if old, ok := w.hosts[name]; !ok || old != h {
			w.dirtyHosts[name] = true
			moved[name] = !ok || old.VTEP != h.VTEP
		}
	}
	for name := range w.hosts {
		if _, ok := next[name]; !ok {
			w.dirtyHosts[name] = true
			moved[name] = true
		}
	}
	w.hosts = next
	if len(moved) == 0 {
		return
	}
	for _, t := range w.tenants {
		for _, n := range t.networks {
			for port, claims := range n.claims {
				if c, ok := intent.Winner(claims); ok && moved[c.Host] {
					w.dirtyPorts[intent.PortRef{Tenant: t.Name, Network: n.intent.Name, Port: port}] = true
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
	w.dirtyPorts[ref] = true
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
			w.change(t, c)
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
	delete(w.tenants, name)
}

func (w *world) snapshot(name string, s *intent.Snapshot) {
	if old := w.tenants[name]; old != nil {
		w.touchAll(old)
		delete(w.tenants, name)
	}
	t := w.tenant(name)
	t.Tenant = s.Tenant
	for _, n := range s.Networks {
		w.change(t, intent.Change{Object: n})
	}
	for _, p := range s.Ports {
		w.change(t, intent.Change{Object: p})
	}
	for _, b := range s.Bindings {
		w.change(t, intent.Change{Object: b})
	}
	for _, p := range s.Peers {
		w.change(t, intent.Change{Object: p})
	}
}

// touchAll marks everything of a tenant. What turns out to be the same costs a
// comparison.
func (w *world) touchAll(t *tenant) {
	for name, n := range t.networks {
		ref := intent.NetworkRef{Tenant: t.Name, Network: name}
		w.touchNetwork(ref, n)
		for port := range n.claims {
			w.dirtyPorts[intent.PortRef{Tenant: t.Name, Network: name, Port: port}] = true
		}
	}
}

// touchNetwork marks a network, its ports and its peers: their flows depend on it.
func (w *world) touchNetwork(ref intent.NetworkRef, n *network) {
	w.dirtyNetworks[ref] = true
	for port := range n.ports {
		w.dirtyPorts[intent.PortRef{Tenant: ref.Tenant, Network: ref.Network, Port: port}] = true
	}
	for peer := range n.peers {
		w.dirtyPeers[intent.PeerRef{Tenant: ref.Tenant, Network: ref.Network, Peer: peer}] = true
	}
}

func (w *world) tenant(name string) *tenant {
	t := w.tenants[name]
	if t == nil {
		t = &tenant{networks: map[string]*network{}}
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
		vrf := t.VRF
		t.Tenant = o
		if t.VRF != vrf {
			w.touchAll(t)
		}
	case intent.Network:
		n := t.network(o.Name)
		n.known = !c.Deleted
		if n.known {
			n.intent = &o
		}
		w.touchNetwork(o.Ref(), n)
		t.prune(o.Name)
	case intent.Port:
		n := t.network(o.Network)
		if c.Deleted {
			delete(n.ports, o.Name)
		} else {
			n.ports[o.Name] = o
		}
		w.dirtyPorts[o.Ref()] = true
		t.prune(o.Network)
	case intent.Binding:
		n := t.network(o.Network)
		// The slice may be read as part of an earlier state: make a new one.
		claims := slices.DeleteFunc(slices.Clone(n.claims[o.Port]), func(b intent.Binding) bool { return b.Host == o.Host })
		if !c.Deleted {
			claims = append(claims, o)
		}
		if len(claims) == 0 {
			delete(n.claims, o.Port)
		} else {
			n.claims[o.Port] = claims
		}
		w.dirtyPorts[o.PortRef()] = true
		t.prune(o.Network)
	case intent.Peer:
		n := t.network(o.Network)
		had := len(n.peers) > 0
		if c.Deleted {
			delete(n.peers, o.Name)
		} else {
			n.peers[o.Name] = o
		}
		w.dirtyPeers[o.Ref()] = true
		ref := o.Ref().NetworkRef()
		w.dirtyNetworks[ref] = true
		if had != (len(n.peers) > 0) {
			w.touchNetwork(ref, n)
		}
		t.prune(o.Network)
	}
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

// portView returns what the pipeline must know of a port; false if it does not
// exist.
func (w *world) portView(ref intent.PortRef) (*pipeline.PortView, bool) {
	t, n, p, ok := w.find(ref)
	if !ok {
		return nil, false
	}
	v := &pipeline.PortView{Port: p, Network: n.intent, VRF: t.VRF, Peers: len(n.peers) > 0, OFPort: w.local[ref]}
	winner, claimed := intent.Winner(n.claims[ref.Port])
	switch {
	case !claimed:
	case winner.Host == w.self:
		v.InForce = true
	default:
		v.VTEP = w.hosts[winner.Host].VTEP
	}
	return v, true
}

// peerView returns what the pipeline must know of a peer; false if it or its
// network does not exist.
func (w *world) peerView(ref intent.PeerRef) (pipeline.PeerView, bool) {
	t := w.tenants[ref.Tenant]
	if t == nil || t.networks[ref.Network] == nil || !t.networks[ref.Network].known {
		return pipeline.PeerView{}, false
	}
	n := t.networks[ref.Network]
	p, ok := n.peers[ref.Peer]
	return pipeline.PeerView{Peer: p, VNI: n.intent.VNI, VRF: t.VRF}, ok
}

// networkView returns what the pipeline must know of a network; false if it does
// not exist.
func (w *world) networkView(ref intent.NetworkRef) (pipeline.NetworkView, bool) {
	t := w.tenants[ref.Tenant]
	if t == nil || t.networks[ref.Network] == nil || !t.networks[ref.Network].known {
		return pipeline.NetworkView{}, false
	}
	v := pipeline.NetworkView{Network: *t.networks[ref.Network].intent, VRF: t.VRF}
	if m := w.done.members[ref]; m != nil {
		for p := range m.local {
			v.Local = append(v.Local, p)
		}
		for a := range m.remote {
			v.VTEPs = append(v.VTEPs, a)
		}
	}
	for _, p := range t.networks[ref.Network].peers {
		v.Peers = append(v.Peers, p.VTEP)
	}
	slices.Sort(v.Local)
	slices.SortFunc(v.VTEPs, netip.Addr.Compare)
	slices.SortFunc(v.Peers, netip.Addr.Compare)
	return v, true
}

// recomputed returns a world with the same facts that has compiled everything at
// once, as a new process does.
func (w *world) recomputed() *world {
	f := newWorld(w.self)
	f.sw, f.hosts, f.tenants, f.local = w.sw, w.hosts, w.tenants, w.local
	for name := range f.hosts {
		f.dirtyHosts[name] = true
	}
	for _, t := range f.tenants {
		f.touchAll(t)
	}
	f.settle()
	return f
}
