package world

import (
	"cmp"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

func (w *World) peerClass() objectClass[intent.Peer] {
	return objectClass[intent.Peer]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Peer { return s.Peers },
		keep: func(t *tenant, now *intent.Peer, deleted bool) *intent.Peer {
			return replace(t.network(now.Network).peers, now.Name, now, deleted)
		},
		owns: func(_ *tenant, old, now *intent.Peer) { ownID(w.unique.peerIDs, old, now, w.peers.touch) },
		changed: func(t *tenant, old, now *intent.Peer) {
			p := cmp.Or(now, old)
			w.peers.touch(p.Ref())
			w.guards.touch("")
			w.networks.touch(p.Ref().NetworkRef())
			if peers := len(t.network(p.Network).peers); now == nil && peers == 0 || old == nil && peers == 1 {
				w.touchNetwork(t, p.Network) // whether it has peers
			}
			t.prune(p.Network)
		},
		each: func(t *tenant, visit func(*intent.Peer)) {
			for _, n := range t.networks {
				for _, p := range n.peers {
					visit(&p)
				}
			}
		},
		touch: func(t *tenant) {
			for name, n := range t.networks {
				for peer := range n.peers {
					w.peers.touch(intent.PeerRef{Tenant: t.Name, Network: name, Peer: peer})
				}
			}
		},
	}
}

func (w *World) peerKind() kind[intent.PeerRef, pipeline.PeerView] {
	return kind[intent.PeerRef, pipeline.PeerView]{
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
	}
}

// peerConflicts lists peers that are left out.
func (w *World) peerConflicts(add func(object, why string)) {
	idConflicts(w.unique.peerIDs, "peer", comparePeers, add)
}

// peerView returns the view of a peer.
func (w *World) peerView(ref intent.PeerRef) *pipeline.PeerView {
	t, n := w.usedNetwork(ref.NetworkRef())
	if n == nil {
		return nil
	}
	p, ok := n.peers[ref.Peer]
	if !ok {
		return nil
	}
	if _, ok := w.unique.peerIDs.before(p.ID, ref, comparePeers); ok {
		return nil
	}
	return &pipeline.PeerView{Peer: p, VNI: n.intent.VNI, VRF: t.VRF}
}

func comparePeers(a, b intent.PeerRef) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Peer, b.Peer))
}
