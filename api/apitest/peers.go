// Peers of the overlay in memory.

package apitest

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// Peer implements api.PeerStore.
func (o *Overlay) Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error) {
	end, err := o.begin(ctx, "Peer")
	defer end()
	if err != nil {
		return intent.Peer{}, err
	}
	p, ok := o.peers[ref]
	if !ok {
		return p, intent.NotFoundf("peer %s does not exist", ref)
	}
	return p, nil
}

// AddPeer implements api.PeerStore.
func (o *Overlay) AddPeer(ctx context.Context, p intent.Peer) (intent.Peer, int64, error) {
	end, err := o.begin(ctx, "AddPeer")
	defer end()
	if err != nil {
		return intent.Peer{}, 0, err
	}
	if _, err := o.findNetwork(p.Ref().NetworkRef()); err != nil {
		return p, 0, err
	}
	if _, ok := o.peers[p.Ref()]; ok {
		return p, 0, intent.Conflictf("peer %s exists", p.Ref())
	}
	for ref, other := range o.peers {
		if ref.NetworkRef() == p.Ref().NetworkRef() && other.VTEP == p.VTEP {
			return p, 0, intent.Conflictf("VTEP address %s is taken by peer %s", p.VTEP, ref)
		}
	}
	for name, h := range o.hosts {
		if h.VTEP == p.VTEP {
			return p, 0, intent.Conflictf("VTEP address %s is taken by host %s", p.VTEP, name)
		}
	}
	p.ID = o.id()
	o.peers[p.Ref()] = p
	return p, o.write(), nil
}

// DeletePeer implements api.PeerStore.
func (o *Overlay) DeletePeer(ctx context.Context, ref intent.PeerRef) ([]string, int64, error) {
	_, err := o.Peer(ctx, ref)
	return o.delete(ctx, "DeletePeer", "peer "+ref.String(), nil, false, err)
}
