// The controller's view of the store: the store itself, or what was kept of it on
// disk while it does not answer.

package main

import (
	"context"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
)

// patience is how long the store may take for a first answer before the copy on
// disk is used. Forwarding does not wait for it: the switch keeps its flows.
const patience = time.Second

// span answers from the copies on disk what the store does not answer in time.
type span struct {
	*store.Store
	told func(intent.SpanUpdate) // is told of every tenant, too
}

// WatchTenant is store.WatchTenant, with the copy on disk as its first update if
// the store is slow or down.
func (s span) WatchTenant(ctx context.Context, tenant string, deliver func(intent.SpanUpdate)) error {
	first := newFirst(ctx, patience, func() {
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

// WatchHosts is store.WatchHosts, with the copy on disk as its first update if the
// store is slow or down.
func (s span) WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error {
	first := newFirst(ctx, patience, func() {
		if copied, ok := s.CopiedHosts(); ok {
			deliver(copied)
		}
	})
	return s.Store.WatchHosts(ctx, func(u intent.HostsUpdate) {
		first.answered()
		deliver(u)
	})
}

// WatchExternals is store.WatchExternals, with the copy on disk as its first update
// if the store is slow or down.
func (s span) WatchExternals(ctx context.Context, deliver func(intent.ExternalsUpdate)) error {
	first := newFirst(ctx, patience, func() {
		if copied, ok := s.CopiedExternals(); ok {
			deliver(copied)
		}
	})
	return s.Store.WatchExternals(ctx, func(u intent.ExternalsUpdate) {
		first.answered()
		deliver(u)
	})
}

// WatchGuard is store.WatchGuard, with the copy on disk as its first update if the store
// is slow or down.
func (s span) WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error {
	first := newFirst(ctx, patience, func() {
		if copied, ok := s.CopiedGuard(); ok {
			deliver(copied)
		}
	})
	return s.Store.WatchGuard(ctx, func(u intent.GuardUpdate) {
		first.answered()
		deliver(u)
	})
}

// WatchResolve is store.WatchResolve; if the store is slow or down it looks for
// the port in the copies on disk. Of one that is in none nothing is said: it may have
// been plugged just before the copy would have been written, or that is damaged.
func (s span) WatchResolve(ctx context.Context, ifaceID string, deliver func(ref intent.PortRef, ok bool)) error {
	first := newFirst(ctx, patience, func() {
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
func (s span) copied(ifaceID string) (intent.PortRef, bool) {
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

// first runs a fallback once, unless the answer came before the patience ended.
// Fallback and answers never run at the same time, nor a fallback after an answer.
type first struct {
	mu   sync.Mutex
	done bool
}

func newFirst(ctx context.Context, patience time.Duration, fallback func()) *first {
	f := &first{}
	time.AfterFunc(patience, func() {
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
