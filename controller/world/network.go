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

// network is a network, its ports and its peers, which may come before the network
// itself.
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

func (w *World) networkClass() objectClass[intent.Network] {
	return objectClass[intent.Network]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Network { return s.Networks },
		keep: func(t *tenant, now *intent.Network, deleted bool) (old *intent.Network) {
			n := t.network(now.Name)
			if n.known {
				old = n.intent
			}
			if n.known = !deleted; n.known {
				kept := *now
				n.intent = &kept
			}
			return old
		},
		owns: func(_ *tenant, old, now *intent.Network) { w.ownNetwork(old, now) },
		changed: func(t *tenant, old, now *intent.Network) {
			name := cmp.Or(now, old).Name
			w.touchNetwork(t, name)
			w.senders.touch(t.Name) // whether any network learns
			w.touchWidths(t)        // the widest network decides what is measured
			w.touchRoutes(t)
			w.touchNAT(t)
			w.touchExternals() // their MTU check depends on the widest network
			t.prune(name)
		},
		each: func(t *tenant, visit func(*intent.Network)) {
			for _, n := range t.networks {
				if n.known {
					visit(n.intent)
				}
			}
		},
		touch: w.touchWidths,
	}
}

func (w *World) networkKind() kind[intent.NetworkRef, pipeline.NetworkView] {
	return kind[intent.NetworkRef, pipeline.NetworkView]{
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
	}
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

// prune drops an empty network.
func (t *tenant) prune(name string) {
	if n := t.networks[name]; n != nil && !n.known && len(n.ports) == 0 && len(n.claims) == 0 && len(n.peers) == 0 {
		delete(t.networks, name)
	}
}

// touchNetwork marks a network, its ports and its peers: their flows depend on it.
func (w *World) touchNetwork(t *tenant, name string) {
	n := t.networks[name]
	if n == nil {
		return
	}
	w.networks.touch(intent.NetworkRef{Tenant: t.Name, Network: name})
	for port := range n.ports {
		w.ports.touch(intent.PortRef{Tenant: t.Name, Network: name, Port: port})
	}
	for peer := range n.peers {
		w.peers.touch(intent.PeerRef{Tenant: t.Name, Network: name, Peer: peer})
	}
}

// touchWidths marks all networks of a tenant: the widest of them may have changed.
func (w *World) touchWidths(t *tenant) {
	for name := range t.networks {
		w.networks.touch(intent.NetworkRef{Tenant: t.Name, Network: name})
	}
}

func (w *World) ownNetwork(old, now *intent.Network) {
	u := &w.unique
	var shared []intent.NetworkRef
	if old != nil {
		shared = append(u.networkIDs.remove(old.ID, old.Ref()), u.vnis.remove(old.VNI, old.Ref())...)
	}
	if now != nil {
		shared = slices.Concat(shared, u.networkIDs.add(now.ID, now.Ref()), u.vnis.add(now.VNI, now.Ref()))
	}
	for _, ref := range shared {
		if t := w.tenants[ref.Tenant]; t != nil && t.networks[ref.Network] != nil {
			w.touchNetwork(t, ref.Network)
			w.touchRoutes(t)
			w.touchNAT(t)
		}
	}
}

// olderNetwork orders networks by age.
func (w *World) olderNetwork(a, b intent.NetworkRef) int {
	id := func(ref intent.NetworkRef) intent.ID {
		if t := w.tenants[ref.Tenant]; t != nil && t.networks[ref.Network] != nil {
			return t.networks[ref.Network].intent.ID
		}
		return 0
	}
	return cmp.Or(cmp.Compare(id(a), id(b)), compareNetworks(a, b))
}

// networkConflict says why a network, or its tenant, is left out.
func (w *World) networkConflict(t *tenant, n *network) string {
	u := &w.unique
	if why := w.tenantConflict(t); why != "" {
		return "its tenant is left out"
	}
	if len(u.networkIDs.more)+len(u.vnis.more) == 0 {
		return ""
	}
	ref := n.intent.Ref()
	if other, ok := u.vnis.before(n.intent.VNI, ref, w.olderNetwork); ok {
		return fmt.Sprintf("it has VNI %d, which is that of network %s", n.intent.VNI, other)
	}
	if other, ok := u.networkIDs.before(n.intent.ID, ref, w.olderNetwork); ok {
		return fmt.Sprintf("it has id %d, which is that of network %s", n.intent.ID, other)
	}
	return ""
}

// networkConflicts lists networks that are left out though their tenants are not.
func (w *World) networkConflicts(add func(object, why string)) {
	for _, t := range w.tenants {
		if w.tenantConflict(t) != "" {
			continue
		}
		for _, n := range t.networks {
			if n.known {
				add("network "+n.intent.Ref().String(), w.networkConflict(t, n))
			}
		}
	}
}

// usedNetwork returns a network that is in the store and not left out.
func (w *World) usedNetwork(ref intent.NetworkRef) (*tenant, *network) {
	t := w.tenants[ref.Tenant]
	if t == nil || t.networks[ref.Network] == nil || !t.networks[ref.Network].known {
		return nil, nil
	}
	if w.networkConflict(t, t.networks[ref.Network]) != "" {
		return nil, nil
	}
	return t, t.networks[ref.Network]
}

// networkView returns the view of a network.
func (w *World) networkView(ref intent.NetworkRef) *pipeline.NetworkView {
	t, n := w.usedNetwork(ref)
	if n == nil {
		return nil
	}
	v := &pipeline.NetworkView{Network: *n.intent, VRF: t.VRF}
	if m := w.members[ref]; m != nil {
		for p := range m.local {
			v.Local = append(v.Local, p)
		}
		for a := range m.remote {
			v.VTEPs = append(v.VTEPs, a)
		}
	}
	for _, p := range n.peers {
		v.Peers = append(v.Peers, p.VTEP)
	}
	slices.Sort(v.Local)
	slices.SortFunc(v.VTEPs, netip.Addr.Compare)
	slices.SortFunc(v.Peers, netip.Addr.Compare)
	if n.intent.Learning || len(n.peers) > 0 {
		v.Routed = t.routedBy(n.intent)
	}
	v.Elected = w.elected(v)
	v.MTU = w.narrow(t, n)
	return v
}

// elected reports whether this host is the gateway of a network's peers: of the hosts
// with ports in it, the one with the lowest VTEP.
func (w *World) elected(v *pipeline.NetworkView) bool {
	self, ok := w.hostByName[w.self]
	if !ok || len(v.Peers) == 0 || len(v.Local) == 0 {
		return false
	}
	return len(v.VTEPs) == 0 || self.VTEP.Less(v.VTEPs[0])
}

// narrow returns the MTU of a network's ports if packets routed to it may be larger,
// from a wider network or from a peer; else 0.
func (w *World) narrow(t *tenant, n *network) int {
	own := w.portMTU(n)
	for _, other := range t.networks {
		if other.known && w.portMTU(other) > own {
			return own
		}
	}
	if w.widerOutside(t, own) {
		return own
	}
	return 0
}

func (w *World) portMTU(n *network) int { return n.intent.PortMTU(w.hostByName[w.self].UnderlayMTU) }

// networkChanged gives the router the network.
func (w *World) networkChanged(ref intent.NetworkRef, old, now *pipeline.NetworkView) {
	var was, is *router.Network
	if old != nil {
		was = &router.Network{Name: ref, VNI: old.Network.VNI, Elected: old.Elected}
	}
	if now != nil {
		is = &router.Network{
			Name: ref, VNI: now.Network.VNI, Subnets: now.Network.Subnets,
			MTU: now.Network.PortMTU(w.hostByName[w.self].UnderlayMTU), Elected: now.Elected,
		}
	}
	w.table.SetNetwork(was, is)
}

// members are the locations of the ports in force of a network.
type members struct {
	local  map[of.PortNo]int  // 1; briefly 2, when an interface's number passes to another port
	remote map[netip.Addr]int // ports by VTEP
}

// count adds or removes a port in its network's members, and marks the network if
// its list of members changed.
func (w *World) count(v *pipeline.PortView, by int) {
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

// tally adds to a count, and reports whether the key was added or removed.
func tally[K comparable](counts map[K]int, k K, by int) bool {
	n := counts[k] + by
	if n == 0 {
		delete(counts, k)
		return true
	}
	counts[k] = n
	return n == 1 && by > 0
}

func compareNetworks(a, b intent.NetworkRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network))
}
