package store

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// AddPeer adds a peer and returns it as stored, with its id, and the revision of
// the change. It is refused (kind Conflict) if its VTEP address is a host's or
// that of another peer of the network.
func (s *Store) AddPeer(ctx context.Context, p intent.Peer) (intent.Peer, int64, error) {
	if err := p.Validate(); err != nil {
		return intent.Peer{}, 0, err
	}
	var revision int64
	err := s.update(ctx, "add peer "+p.Ref().String(), func(ctx context.Context) error {
		_, network, err := s.network(ctx, p.Ref().NetworkRef())
		if err != nil {
			return err
		}
		if p.ID, err = s.newID(ctx); err != nil {
			return err
		}
		var tx txn
		tx.unchanged(network.key, network.revision)
		if err := tx.create(peerKey(p.Ref()), "peer "+p.Ref().String(), p); err != nil {
			return err
		}
		tx.take(peerVTEPKey(p.VTEP, p.Ref().NetworkRef()), p.Ref().String(), func(holder string) error {
			return intent.Conflictf("VTEP address %s is taken by peer %s", p.VTEP, holder).
				WithHint("a VTEP is one peer of a network: delete that one first, or give another address")
		})
		tx.vacant(vtepKey(p.VTEP), func(holder string) error {
			return intent.Conflictf("VTEP address %s is taken by host %s", p.VTEP, holder).
				WithHint("a host is part of the overlay by itself: give the address of a VTEP that is not ovloom")
		})
		if err := s.noExternal(ctx, &tx, p.VTEP); err != nil {
			return err
		}
		if err := guardPeer(&tx, p); err != nil {
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Peer{}, 0, err
	}
	return p, revision, nil
}

// Peer returns one peer.
func (s *Store) Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error) {
	var p intent.Peer
	err := s.call(ctx, "read peer "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(peerKey(ref)), key(networkKey(ref.NetworkRef())), key(tenantKey(ref.Tenant)))
		if err != nil {
			return err
		}
		if _, _, err := tenantOf(v.one(2), ref.Tenant); err != nil {
			return err
		}
		if _, _, err := networkOf(v.one(1), ref.NetworkRef()); err != nil {
			return err
		}
		p, _, err = peerOf(v.one(0), ref)
		return err
	})
	return p, err
}

func peerOf(it item, ref intent.PeerRef) (intent.Peer, item, error) {
	if it.value == nil {
		return intent.Peer{}, item{}, intent.NotFoundf("peer %s does not exist", ref).WithHint("see: ovloom peer list %s", ref.NetworkRef())
	}
	p, err := objectOf[intent.Peer](it)
	return p, it, err
}

// DeletePeer deletes a peer and returns its name, as "peer acme/web/tor1", and the
// revision of the change. Nothing uses a peer, so it is never refused.
func (s *Store) DeletePeer(ctx context.Context, ref intent.PeerRef) (deleted []string, revision int64, err error) {
	if _, err := s.Peer(ctx, ref); err != nil {
		return nil, 0, err
	}
	err = s.update(ctx, "delete peer "+ref.String(), func(ctx context.Context) error {
		it, err := s.get(ctx, peerKey(ref))
		if err != nil {
			return err
		}
		p, it, err := peerOf(it, ref)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.delete(it.key)
		tx.delete(peerVTEPKey(p.VTEP, ref.NetworkRef()))
		tx.delete(guardVTEPKey(p.VTEP, p.ID))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return []string{"peer " + ref.String()}, revision, nil
}

// noPeer refuses a host whose VTEP address is a peer's, and makes sure that no
// peer takes it meanwhile.
func (s *Store) noPeer(ctx context.Context, tx *txn, h intent.Host) error {
	v, err := s.read(ctx, below(peerVTEPRoot(h.VTEP), clientv3.WithLimit(1)))
	if err != nil {
		return err
	}
	if it := v.one(0); it.value != nil {
		return intent.Conflictf("VTEP address %s is taken by peer %s", h.VTEP, it.value).
			WithHint("give this host's own, or delete that peer: ovloom peer delete %s", it.value)
	}
	tx.emptyBelow(peerVTEPRoot(h.VTEP))
	return nil
}
