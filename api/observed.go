// Handlers of what this host's switch has learned: connections and MACs.

package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ovloom/ovloom/intent"
)

func (s *Server) connections(c *call) (any, error) {
	ref, err := tenantClass.named(c)
	if err != nil {
		return nil, err
	}
	snap, err := s.backend.Store.Snapshot(c.r.Context(), ref.Tenant)
	if err != nil {
		return nil, err
	}
	all, err := s.backend.Connections(c.r.Context(), snap)
	return list(all), err
}

func (s *Server) learned(c *call) (any, error) {
	ref, err := networkClass.named(c)
	if err != nil {
		return nil, err
	}
	n, _, _, err := s.networkPorts(c.r.Context(), ref)
	if err != nil {
		return nil, err
	}
	snap, err := s.backend.Store.Snapshot(c.r.Context(), ref.Tenant)
	if err != nil {
		return nil, err
	}
	all, err := s.backend.Learned(c.r.Context(), snap, n)
	return list(all), err
}

// Connections returns a tenant's connections with the outside on this host.
func (c *Client) Connections(ctx context.Context, tenant string) ([]intent.Connection, error) {
	var v []intent.Connection
	err := c.do(ctx, http.MethodGet, "/v1/tenants/"+url.PathEscape(tenant)+"/connections", nil, nil, &v)
	return v, err
}

// Learned returns the MACs that this host's switch has learned in a network.
func (c *Client) Learned(ctx context.Context, ref intent.NetworkRef) ([]intent.LearnedMAC, error) {
	var v []intent.LearnedMAC
	err := c.do(ctx, http.MethodGet, "/v1/tenants/"+url.PathEscape(ref.Tenant)+"/networks/"+url.PathEscape(ref.Network)+"/learned", nil, nil, &v)
	return v, err
}
