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
		// That there are none of an object that does not exist says nothing.
		if missing := s.find(c.r.Context(), q.Object); intent.KindOf(missing) == intent.NotFound {
			return nil, missing
		}
	}
	return list(fs), err
}

// find reads a tenant, network or port.
func (s *Server) find(ctx context.Context, object string) error {
	var err error
	switch p := strings.Split(object, "/"); len(p) {
	case 1:
		_, err = s.backend.Store.Tenant(ctx, p[0])
	case 2:
		_, err = s.backend.Store.Network(ctx, intent.NetworkRef{Tenant: p[0], Network: p[1]})
	case 3:
		_, err = s.backend.Store.Port(ctx, intent.PortRef{Tenant: p[0], Network: p[1], Port: p[2]})
	}
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
	ref, err := c.port()
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
	ref, err := c.port()
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.backend.Plug.Unplug(c.r.Context(), ref)
}

func (s *Server) hosts(c *call) (any, error) {
	hs, err := s.backend.Store.Hosts(c.r.Context())
	slices.SortFunc(hs, func(a, b intent.HostState) int { return intent.Natural(a.Name, b.Name) })
	return list(hs), err
}

func (c *call) host() (string, error) {
	name := c.r.PathValue("host")
	return name, intent.ValidateName("host", name)
}

// host returns a host and what has to go before it can be removed.
func (s *Server) host(c *call) (any, error) {
	name, err := c.host()
	if err != nil {
		return nil, err
	}
	hs, err := s.backend.Store.Hosts(c.r.Context())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(hs, func(h intent.HostState) bool { return h.Name == name })
	if i < 0 {
		return nil, intent.NotFoundf("host %s does not exist", name).WithHint("`ovloom host list` shows those that do")
	}
	users, err := s.backend.Store.HostUsers(c.r.Context(), name)
	return Host{HostState: hs[i], Users: list(users)}, err
}

func (s *Server) removeHost(c *call) (any, error) {
	name, err := c.host()
	if err != nil {
		return nil, err
	}
	return remove(c, "host "+name,
		func(context.Context) ([]string, error) {
			v, err := s.host(c)
			if err != nil {
				return nil, err
			}
			h := v.(Host)
			if h.Alive && c.query.Get("cascade") != "true" {
				// As the store will say: it is no object, so no delete lists it.
				h.Users = append(h.Users, "its running ovloomd")
			}
			return h.Users, nil
		},
		func(ctx context.Context, cascade bool) ([]string, int64, error) {
			return s.backend.Store.RemoveHost(ctx, name, cascade)
		})
}

// leave differs from remove in that every step is listed, not only objects:
// whether ports stand in the way is for Local to say.
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

var hostClass = declared[intent.Host, intent.HostRef]{
	class: intent.ClassHost,
	at:    "/v1/hosts", name: "/{host}",
	values: func(r intent.HostRef) []string { return []string{r.Host} },
}
