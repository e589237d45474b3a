// Handlers of peers.

package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

func (c *call) peer() (intent.PeerRef, error) {
	ref := intent.PeerRef{Tenant: c.r.PathValue("tenant"), Network: c.r.PathValue("network"), Peer: c.r.PathValue("peer")}
	return ref, ref.Validate()
}

// peers lists the peers of all tenants, of one, or of one network.
func (s *Server) peers(c *call) (any, error) {
	names, err := s.scope(c)
	if err != nil {
		return nil, err
	}
	network := c.r.PathValue("network")
	if network != "" {
		ref, err := c.network()
		if err != nil {
			return nil, err
		}
		if _, err := s.backend.Store.Network(c.r.Context(), ref); err != nil {
			return nil, err
		}
	}
	var all []intent.Peer
	for _, name := range names {
		snap, err := s.backend.Store.Snapshot(c.r.Context(), name)
		if err != nil && !goneMeanwhile(c, err) {
			return nil, err
		}
		all = append(all, snap.Peers...)
	}
	if network != "" {
		all = slices.DeleteFunc(all, func(p intent.Peer) bool { return p.Network != network })
	}
	slices.SortFunc(all, func(a, b intent.Peer) int {
		return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.Network, b.Network), intent.Natural(a.Name, b.Name))
	})
	return list(all), nil
}

func (s *Server) addPeer(c *call) (any, error) {
	var spec PeerSpec
	if err := c.body(&spec); err != nil {
		return nil, err
	}
	p := intent.Peer{Tenant: c.r.PathValue("tenant"), Network: c.r.PathValue("network"), Name: spec.Name, VTEP: spec.VTEP}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p, rev, err := s.backend.Store.AddPeer(c.r.Context(), p)
	return Written{Revision: rev, Object: p}, err
}

func (s *Server) peer(c *call) (any, error) {
	ref, err := c.peer()
	if err != nil {
		return nil, err
	}
	return s.backend.Store.Peer(c.r.Context(), ref)
}

func (s *Server) deletePeer(c *call) (any, error) {
	ref, err := c.peer()
	if err != nil {
		return nil, err
	}
	return remove(c, "peer "+ref.String(),
		func(ctx context.Context) ([]string, error) {
			_, err := s.backend.Store.Peer(ctx, ref)
			return nil, err
		},
		func(ctx context.Context, _ bool) ([]string, int64, error) {
			return s.backend.Store.DeletePeer(ctx, ref)
		})
}

var peerClass = declared[intent.Peer, intent.PeerRef]{
	class: intent.ClassPeer,
	at:    "/v1/tenants/{tenant}/networks/{network}/peers", name: "/{peer}",
	values: func(r intent.PeerRef) []string { return []string{r.Tenant, r.Network, r.Peer} },
	add:    []string{"name", "vtep"},
}
