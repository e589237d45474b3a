package api

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Host is a host with the users that prevent its removal.
type Host struct {
	intent.HostState
	Users []string `json:"users"` // as "binding acme/web/c1 on host1"
}

var hostClass = declared[intent.Host, intent.HostRef]{
	class: intent.ClassHost,
	at:    "/v1/hosts", name: "/{host}",
	values: func(r intent.HostRef) []string { return []string{r.Host} },
	ref:    func(v values) (intent.HostRef, error) { return intent.HostRef{Host: v("host")}, nil },
	show: func(ctx context.Context, s *Server, ref intent.HostRef) (any, error) {
		return s.host(ctx, ref)
	},
	users: func(ctx context.Context, s *Server, ref intent.HostRef, cascade bool) ([]string, error) {
		h, err := s.host(ctx, ref)
		if err == nil && h.Alive && !cascade {
			// Worded like the store's error; the ovloomd is no object, so no delete lists
			// it.
			h.Users = append(h.Users, "its running ovloomd")
		}
		return h.Users, err
	},
	docs: documented[intent.Host]{
		one: "host", several: "registered hosts", show: "One host and what has to go before it can be removed.",
		remove:  "Remove a host that is gone for good; with `cascade=true` the bindings of its ports go, too",
		example: exampleHost.Host, shown: Host{exampleHost, []string{"binding acme/web/c1 on host1"}},
		listed: []intent.HostState{exampleHost}, revisions: [3]int64{0, 0, 61},
	},
}

// host returns a host and the users that prevent its removal.
func (s *Server) host(ctx context.Context, ref intent.HostRef) (Host, error) {
	all, err := intent.AllAs[intent.HostState](s.backend.Store.List(ctx, intent.ClassHost, nil))
	if err != nil {
		return Host{}, err
	}
	i := slices.IndexFunc(all, func(h intent.HostState) bool { return h.Name == ref.Host })
	if i < 0 {
		return Host{}, intent.NotFoundf("host %s does not exist", ref.Host).WithHint("`ovloom host list` shows those that do")
	}
	users, err := s.backend.Store.Users(ctx, ref)
	return Host{HostState: all[i], Users: list(intent.Titles(users))}, err
}
