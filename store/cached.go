package store

// Watches that begin with the cached copy while the store does not answer.

import (
	"context"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// cachePatience is how long to wait for the store's first answer before using the copy on
// disk. Forwarding does not wait: the switch keeps its flows.
const cachePatience = time.Second

// Cached is a Store whose watches begin with this host's cached copies if the store is slow or
// down.
type Cached struct {
	*Store

	// Told is called with each update of a tenant after its watch was; nil: not called.
	Told func(intent.SpanUpdate)
}

func (s Cached) told(u intent.SpanUpdate) {
	if s.Told != nil {
		s.Told(u)
	}
}

// WatchTenant is Store.WatchTenant, with the copy on disk as its first update if
// the store is slow or down.
func (s Cached) WatchTenant(ctx context.Context, tenant string, deliver func(intent.SpanUpdate)) error {
	first := newFirst(ctx, func() {
		if copied, ok := s.Copy(tenant); ok {
			u := intent.SpanUpdate{Tenant: tenant, Revision: copied.Revision, Snapshot: &copied}
			deliver(u)
			s.told(u)
		}
	})
	return s.Store.WatchTenant(ctx, tenant, func(u intent.SpanUpdate) {
		first.answered()
		deliver(u)
		s.told(u)
	})
}

// WatchHosts is Store.WatchHosts, with the copy on disk as its first update if the
// store is slow or down.
func (s Cached) WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error {
	first := newFirst(ctx, func() {
		if copied, ok := s.CopiedHosts(); ok {
			deliver(copied)
		}
	})
	return s.Store.WatchHosts(ctx, func(u intent.HostsUpdate) {
		first.answered()
		deliver(u)
	})
}

// WatchExternals is Store.WatchExternals, with the copy on disk as its first update
// if the store is slow or down.
func (s Cached) WatchExternals(ctx context.Context, deliver func(intent.ExternalsUpdate)) error {
	first := newFirst(ctx, func() {
		if copied, ok := s.CopiedExternals(); ok {
			deliver(copied)
		}
	})
	return s.Store.WatchExternals(ctx, func(u intent.ExternalsUpdate) {
		first.answered()
		deliver(u)
	})
}

// WatchGuard is Store.WatchGuard, with the copy on disk as its first update if the store
// is slow or down.
func (s Cached) WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error {
	first := newFirst(ctx, func() {
		if copied, ok := s.CopiedGuard(); ok {
			deliver(copied)
		}
	})
	return s.Store.WatchGuard(ctx, func(u intent.GuardUpdate) {
		first.answered()
		deliver(u)
	})
}

// WatchResolve is Store.WatchResolve; if the store is slow or down it looks for the port
// in the copies on disk. It delivers nothing for a port that is in no copy: the port may
// have been plugged just before the copy was written, or the copy may be damaged.
func (s Cached) WatchResolve(ctx context.Context, ifaceID string, deliver func(ref intent.PortRef, ok bool)) error {
	first := newFirst(ctx, func() {
		if ref, ok := s.copied(ifaceID); ok {
			deliver(ref, true)
		}
	})
	return s.Store.WatchResolve(ctx, ifaceID, func(ref intent.PortRef, ok bool) {
		first.answered()
		deliver(ref, ok)
	})
}

// copied finds the port that an interface id means in the copies on disk.
func (s Cached) copied(ifaceID string) (intent.PortRef, bool) {
	for _, tenant := range s.CopiedTenants() {
		snapshot, _ := s.Copy(tenant)
		for _, p := range snapshot.Ports {
			if p.UUID == ifaceID || p.Ref().String() == ifaceID {
				return p.Ref(), true
			}
		}
	}
	return intent.PortRef{}, false
}

// first runs a fallback once, unless the answer comes before cachePatience ends. The
// fallback never runs at the same time as an answer, nor after one.
type first struct {
	mu   sync.Mutex
	done bool
}

func newFirst(ctx context.Context, fallback func()) *first {
	f := &first{}
	time.AfterFunc(cachePatience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.done && ctx.Err() == nil {
			fallback()
		}
	})
	return f
}

func (f *first) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = true
}
