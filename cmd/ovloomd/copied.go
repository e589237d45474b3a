// The API's reads of intent: from the store, or from this host's copy of it while
// the store does not answer.

package main

import (
	"context"
	"slices"
	"time"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
)

// reader is the store as the API sees it. What is not overridden here fails while
// the store is down; a change must, for a copy cannot decide what is unique.
type reader struct {
	*store.Store
	link  *agent.Presence
	since time.Time // when it began to answer
}

// Hosts is store.Hosts. A moment after the start it waits until this host is in the list:
// who has just started ovloomd looks for it.
// While the store does not answer it is the copy, without who is alive.
func (r reader) Hosts(ctx context.Context) ([]intent.HostState, error) {
	err := r.link.Down()
	if err == nil {
		var list []intent.HostState
		if list, err = r.liveHosts(ctx); intent.KindOf(err) != intent.Unavailable {
			return list, err
		}
	}
	u, ok := r.CopiedHosts()
	if !ok {
		return nil, err
	}
	api.NoteCopy(ctx, u.Revision)
	var list []intent.HostState
	for _, h := range u.Hosts {
		list = append(list, intent.HostState{Host: h, Unknown: true})
	}
	return list, nil
}

func (r reader) liveHosts(ctx context.Context) ([]intent.HostState, error) {
	for {
		list, err := r.Store.Hosts(ctx)
		if err != nil || time.Since(r.since) > registerPatience ||
			slices.ContainsFunc(list, func(h intent.HostState) bool { return h.Name == r.link.Name() && h.Alive }) {
			return list, err
		}
		select {
		case <-time.After(registerPoll):
		case <-ctx.Done():
			return list, nil
		}
	}
}

// How long after the start this host may be missing from the list of hosts, and how
// often that is looked at.
const (
	registerPatience = 5 * time.Second
	registerPoll     = 50 * time.Millisecond
)

// Tenants is store.Tenants, or those of which there are copies.
func (r reader) Tenants(ctx context.Context) ([]intent.Tenant, error) {
	err := r.link.Down()
	if err == nil {
		var list []intent.Tenant
		if list, err = r.Store.Tenants(ctx); intent.KindOf(err) != intent.Unavailable {
			return list, err
		}
	}
	var list []intent.Tenant
	for _, name := range r.CopiedTenants() {
		if snap, ok := r.Copy(name); ok {
			api.NoteCopy(ctx, snap.Revision)
			list = append(list, snap.Tenant)
		}
	}
	if len(list) == 0 {
		return nil, err
	}
	return list, nil
}

// Tenant is store.Tenant, or what the copy has.
func (r reader) Tenant(ctx context.Context, name string) (intent.Tenant, error) {
	return readOr(ctx, r, name, func() (intent.Tenant, error) { return r.Store.Tenant(ctx, name) },
		func(s intent.Snapshot) (intent.Tenant, bool) { return s.Tenant, true })
}

// Snapshot is store.Snapshot, or the copy.
func (r reader) Snapshot(ctx context.Context, tenant string) (intent.Snapshot, error) {
	return readOr(ctx, r, tenant, func() (intent.Snapshot, error) { return r.Store.Snapshot(ctx, tenant) },
		func(s intent.Snapshot) (intent.Snapshot, bool) { return s, true })
}

// Networks is store.Networks, or what the copy has.
func (r reader) Networks(ctx context.Context, tenant string) ([]intent.Network, error) {
	return readOr(ctx, r, tenant, func() ([]intent.Network, error) { return r.Store.Networks(ctx, tenant) },
		func(s intent.Snapshot) ([]intent.Network, bool) { return s.Networks, true })
}

// Network is store.Network, or what the copy has.
func (r reader) Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.Network, error) { return r.Store.Network(ctx, ref) },
		func(s intent.Snapshot) (intent.Network, bool) {
			return one(s.Networks, func(n intent.Network) bool { return n.Ref() == ref })
		})
}

// Port is store.Port, or what the copy has.
func (r reader) Port(ctx context.Context, ref intent.PortRef) (intent.Port, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.Port, error) { return r.Store.Port(ctx, ref) },
		func(s intent.Snapshot) (intent.Port, bool) {
			return one(s.Ports, func(p intent.Port) bool { return p.Ref() == ref })
		})
}

// Peer is store.Peer, or what the copy has.
func (r reader) Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.Peer, error) { return r.Store.Peer(ctx, ref) },
		func(s intent.Snapshot) (intent.Peer, bool) {
			return one(s.Peers, func(p intent.Peer) bool { return p.Ref() == ref })
		})
}

// Bindings is store.Bindings, or what the copy has.
func (r reader) Bindings(ctx context.Context, ref intent.PortRef) ([]intent.Binding, error) {
	return readOr(ctx, r, ref.Tenant, func() ([]intent.Binding, error) { return r.Store.Bindings(ctx, ref) },
		func(s intent.Snapshot) ([]intent.Binding, bool) {
			return slices.DeleteFunc(s.Bindings, func(b intent.Binding) bool { return b.PortRef() != ref }), true
		})
}

// Routes is store.Routes, or what the copy has.
func (r reader) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	return readOr(ctx, r, tenant, func() ([]intent.Route, error) { return r.Store.Routes(ctx, tenant) },
		func(s intent.Snapshot) ([]intent.Route, bool) { return s.Routes, true })
}

// Route is store.Route, or what the copy has.
func (r reader) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.Route, error) { return r.Store.Route(ctx, ref) },
		func(s intent.Snapshot) (intent.Route, bool) {
			return one(s.Routes, func(v intent.Route) bool { return v.Ref() == ref })
		})
}

// SNATs is store.SNATs, or what the copy has.
func (r reader) SNATs(ctx context.Context, tenant string) ([]intent.SNAT, error) {
	return readOr(ctx, r, tenant, func() ([]intent.SNAT, error) { return r.Store.SNATs(ctx, tenant) },
		func(s intent.Snapshot) ([]intent.SNAT, bool) { return s.SNATs, true })
}

// SNAT is store.SNAT, or what the copy has.
func (r reader) SNAT(ctx context.Context, ref intent.SNATRef) (intent.SNAT, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.SNAT, error) { return r.Store.SNAT(ctx, ref) },
		func(s intent.Snapshot) (intent.SNAT, bool) {
			return one(s.SNATs, func(v intent.SNAT) bool { return v.Ref() == ref })
		})
}

// NATAddresses is store.NATAddresses, or what the copy has.
func (r reader) NATAddresses(ctx context.Context, tenant string) ([]intent.NATAddress, error) {
	return readOr(ctx, r, tenant, func() ([]intent.NATAddress, error) { return r.Store.NATAddresses(ctx, tenant) },
		func(s intent.Snapshot) ([]intent.NATAddress, bool) { return s.NATAddresses, true })
}

// Floatings is store.Floatings, or what the copy has.
func (r reader) Floatings(ctx context.Context, tenant string) ([]intent.Floating, error) {
	return readOr(ctx, r, tenant, func() ([]intent.Floating, error) { return r.Store.Floatings(ctx, tenant) },
		func(s intent.Snapshot) ([]intent.Floating, bool) { return s.Floatings, true })
}

// Floating is store.Floating, or what the copy has.
func (r reader) Floating(ctx context.Context, ref intent.FloatingRef) (intent.Floating, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.Floating, error) { return r.Store.Floating(ctx, ref) },
		func(s intent.Snapshot) (intent.Floating, bool) {
			return one(s.Floatings, func(v intent.Floating) bool { return v.Ref() == ref })
		})
}

// Forwards is store.Forwards, or what the copy has.
func (r reader) Forwards(ctx context.Context, tenant string) ([]intent.Forward, error) {
	return readOr(ctx, r, tenant, func() ([]intent.Forward, error) { return r.Store.Forwards(ctx, tenant) },
		func(s intent.Snapshot) ([]intent.Forward, bool) { return s.Forwards, true })
}

// Forward is store.Forward, or what the copy has.
func (r reader) Forward(ctx context.Context, ref intent.ForwardRef) (intent.Forward, error) {
	return readOr(ctx, r, ref.Tenant, func() (intent.Forward, error) { return r.Store.Forward(ctx, ref) },
		func(s intent.Snapshot) (intent.Forward, bool) {
			return one(s.Forwards, func(v intent.Forward) bool { return v.Ref() == ref })
		})
}

// External is store.External, or what the copy has.
func (r reader) External(ctx context.Context, name string) (intent.External, error) {
	err := r.link.Down()
	if err == nil {
		var e intent.External
		if e, err = r.Store.External(ctx, name); intent.KindOf(err) != intent.Unavailable {
			return e, err
		}
	}
	u, ok := r.CopiedExternals()
	if !ok {
		return intent.External{}, err
	}
	e, ok := one(u.Externals, func(e intent.External) bool { return e.Name == name })
	if !ok {
		return intent.External{}, err
	}
	api.NoteCopy(ctx, u.Revision)
	return e, nil
}

// Externals is store.Externals, or the copy.
func (r reader) Externals(ctx context.Context) ([]intent.External, error) {
	err := r.link.Down()
	if err == nil {
		var list []intent.External
		if list, err = r.Store.Externals(ctx); intent.KindOf(err) != intent.Unavailable {
			return list, err
		}
	}
	u, ok := r.CopiedExternals()
	if !ok {
		return nil, err
	}
	api.NoteCopy(ctx, u.Revision)
	return u.Externals, nil
}

// readOr asks the store; if it does not answer, it looks into the copy of a
// tenant. What the copy lacks may exist all the same: then the store's failure is
// returned. A store that is known to be down is not waited for.
func readOr[T any](ctx context.Context, r reader, tenant string, ask func() (T, error), find func(intent.Snapshot) (T, bool)) (T, error) {
	err := r.link.Down()
	if err == nil {
		var v T
		if v, err = ask(); intent.KindOf(err) != intent.Unavailable {
			return v, err
		}
	}
	var none T
	snap, ok := r.Copy(tenant)
	if !ok {
		return none, err
	}
	v, ok := find(snap)
	if !ok {
		return none, err
	}
	api.NoteCopy(ctx, snap.Revision)
	return v, nil
}

func one[T any](list []T, is func(T) bool) (T, bool) {
	i := slices.IndexFunc(list, is)
	if i < 0 {
		var none T
		return none, false
	}
	return list[i], true
}
