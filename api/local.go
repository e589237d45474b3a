// Handlers of hosts, and of this host: plug, status, flows, leaving.

package api

import (
	"context"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
)

func (s *Server) version(*call) (any, error) { return Version{BuildVersion()}, nil }

func (s *Server) status(c *call) (any, error) {
	st, err := s.backend.Status(c.r.Context())
	if err != nil {
		return nil, err
	}
	st.Connections = list(st.Connections)
	st.Tenants = list(st.Tenants)
	st.Ports = list(st.Ports)
	slices.SortFunc(st.Ports, func(a, b BoundPort) int { return intent.Natural(a.Port, b.Port) })
	st.Uplinks = list(st.Uplinks)
	st.Conflicts = list(st.Conflicts)
	st.Drops = list(st.Drops)
	st.Warnings = list(st.Warnings)
	return st, nil
}

func (s *Server) flows(c *call) (any, error) {
	q := FlowQuery{Object: c.query.Get("object"), Table: c.query.Get("table")}
	if q.Object != "" {
		if err := intent.ValidateObject(q.Object); err != nil {
			return nil, err
		}
	}
	fs, err := s.backend.Flows(c.r.Context(), q)
	if err == nil && len(fs) == 0 && q.Object != "" {
		// An empty list for an object that does not exist would mislead.
		if missing := s.find(c.r.Context(), q.Object); intent.KindOf(missing) == intent.NotFound {
			return nil, missing
		}
	}
	return list(fs), err
}

// find reads a tenant, network or port.
func (s *Server) find(ctx context.Context, object string) error {
	var ref intent.Reference
	switch p := strings.Split(object, "/"); len(p) {
	case 1:
		ref = intent.TenantRef{Tenant: p[0]}
	case 2:
		ref = intent.NetworkRef{Tenant: p[0], Network: p[1]}
	default:
		ref = intent.PortRef{Tenant: p[0], Network: p[1], Port: p[2]}
	}
	_, err := s.backend.Store.Get(ctx, ref)
	return err
}

func (s *Server) flowsDiff(c *call) (any, error) {
	mods, err := s.backend.FlowsDiff(c.r.Context())
	return list(mods), err
}

func (s *Server) fix(c *call) (any, error) {
	done, err := s.backend.Fix(c.r.Context())
	return Fixed{list(done)}, err
}

func (s *Server) health(c *call) (any, error) {
	h, err := s.backend.Health(c.r.Context())
	h.Hosts, h.Paths, h.Findings = list(h.Hosts), list(h.Paths), list(h.Findings)
	return h, err
}

func (s *Server) plug(c *call) (any, error) {
	ref, err := portClass.named(c)
	if err != nil {
		return nil, err
	}
	var r PlugRequest
	if err := c.body(&r); err != nil {
		return nil, err
	}
	r.Ref = ref
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if r.Ifname == "" && r.Tap == "" {
		r.Ifname = DefaultIfname
	}
	return s.backend.Plug.Plug(c.r.Context(), r)
}

func (s *Server) unplug(c *call) (any, error) {
	ref, err := portClass.named(c)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.backend.Plug.Unplug(c.r.Context(), ref)
}

// leave differs from remove in two ways: the answer lists every step, not only objects,
// and Local decides whether ports stand in the way.
func (s *Server) leave(c *call) (any, error) {
	cascade, err := queryBool(c.query, "cascade")
	if err != nil {
		return nil, err
	}
	dry, err := queryBool(c.query, "dry-run")
	if err != nil {
		return nil, err
	}
	var done []string
	if dry {
		done, err = s.backend.Local.PlanLeave(c.r.Context())
	} else {
		done, err = s.backend.Local.Leave(c.r.Context(), cascade)
	}
	return Written{Deleted: done}, err
}
