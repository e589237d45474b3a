package controller

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// This file holds what facts come to: the views of which the pipeline makes flows.
// A view is nil if its object does not exist.

// hostView returns what the pipeline must know of a host.
func (w *world) hostView(name string) *hostView {
	h, ok := w.known[name]
	if !ok {
		return nil
	}
	return &hostView{h, name == w.self}
}

// portView returns what the pipeline must know of a port.
func (w *world) portView(ref intent.PortRef) *pipeline.PortView {
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
		v.VTEP = w.known[winner.Host].VTEP
		// A claim that is newer than the one that the store has told of is this host's own.
		v.Elsewhere = w.held[ref] <= winner.Generation
	}
	return v
}

// network returns a network that the store has and that is not left out.
func (w *world) network(ref intent.NetworkRef) (*tenant, *network) {
	t := w.tenants[ref.Tenant]
	if t == nil || t.networks[ref.Network] == nil || !t.networks[ref.Network].known {
		return nil, nil
	}
	if w.networkLeft(t, t.networks[ref.Network]) != "" {
		return nil, nil
	}
	return t, t.networks[ref.Network]
}

// peerView returns what the pipeline must know of a peer.
func (w *world) peerView(ref intent.PeerRef) *pipeline.PeerView {
	t, n := w.network(ref.NetworkRef())
	if n == nil {
		return nil
	}
	p, ok := n.peers[ref.Peer]
	if !ok {
		return nil
	}
	if _, ok := w.doubles.peerIDs.before(p.ID, ref, comparePeers); ok {
		return nil
	}
	return &pipeline.PeerView{Peer: p, VNI: n.intent.VNI, VRF: t.VRF}
}

// networkView returns what the pipeline must know of a network.
func (w *world) networkView(ref intent.NetworkRef) *pipeline.NetworkView {
	t, n := w.network(ref)
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
