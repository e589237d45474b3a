package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// A peer is refused (kind Conflict) if its VTEP address is a host's, or another peer's of
// the network. Nothing uses a peer.
var peers = declared[intent.Peer, intent.PeerRef]{
	class: intent.ClassPeer,
	rank:  rankPeers,
	in:    func(s *intent.Snapshot) *[]intent.Peer { return &s.Peers },
	key:   peerKey,
	parse: func(tenant string, p []string) (intent.Peer, bool) {
		if len(p) != 2 {
			return intent.Peer{}, false
		}
		return intent.Peer{Tenant: tenant, Network: p[0], Name: p[1]}, true
	},
	root: func(within intent.Reference) string { return partsRoot("peers", within) },
	missing: func(r intent.PeerRef) *intent.Error {
		return intent.NotFoundf("peer %s does not exist", r).WithHint("see: ovloom peer list %s", r.NetworkRef())
	},
	valid: intent.Peer.Validate,
	needs: func(p intent.Peer) []intent.Reference { return []intent.Reference{p.Ref().NetworkRef()} },
	fill: func(c *change[intent.Peer]) (err error) {
		c.o.ID, err = c.s.newID(c.ctx)
		return err
	},
	holds: func(_, p intent.Peer, _ lookup) []hold {
		return []hold{{key: peerVTEPKey(p.VTEP, p.Ref().NetworkRef()), value: p.Ref().String(), taken: func(holder string) error {
			return intent.Conflictf("VTEP address %s is taken by peer %s", p.VTEP, holder).
				WithHint("a VTEP is one peer of a network: delete that one first, or give another address")
		}}}
	},
	rules: func(c *change[intent.Peer]) error {
		c.tx.Vacant(vtepKey(c.o.VTEP), func(holder string) error {
			return intent.Conflictf("VTEP address %s is taken by host %s", c.o.VTEP, holder).
				WithHint("a host is part of the overlay by itself: give the address of a VTEP that is not ovloom")
		})
		if err := c.s.noExternal(c.ctx, &c.tx, c.o.VTEP); err != nil {
			return err
		}
		return guardPeer(&c.tx, c.o)
	},
	leave: func(c *change[intent.Peer]) error {
		c.tx.Delete(guardVTEPKey(c.old.VTEP, c.old.ID))
		return nil
	},
}

func init() { keptInNetworks("peers", &peers) }

// noPeer refuses a host whose VTEP address is a peer's, and makes sure that no peer takes
// it meanwhile.
func (s *Store) noPeer(ctx context.Context, tx *kv.Txn, h intent.Host) error {
	v, err := s.kv.Read(ctx, kv.Below(peerVTEPRoot(h.VTEP), kv.Limit(1)))
	if err != nil {
		return err
	}
	if it := v.One(0); it.Value != nil {
		return intent.Conflictf("VTEP address %s is taken by peer %s", h.VTEP, it.Value).
			WithHint("give this host's own, or delete that peer: ovloom peer delete %s", it.Value)
	}
	tx.EmptyBelow(peerVTEPRoot(h.VTEP))
	return nil
}
