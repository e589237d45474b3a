package controller

// The fake store, with watches that may be late and calls that may fail.

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// fakeStore is Span, Claims and Progress, and behaves like package store.
type fakeStore struct {
	calls *calls

	mu       sync.Mutex
	hosts    []intent.Host
	tenants  map[string]*intent.Snapshot
	revision int64
	last     map[intent.PortRef]uint64 // generations
	watches  map[*watch]bool
	lookups  map[*lookup]bool
	silent   bool          // new watches deliver nothing yet
	hidden   string        // a tenant that, with its ports, is not delivered yet
	fail     error         // returned by the calls that write
	slow     time.Duration // the duration of calls that write
	applied  map[string]int64
	hang     bool // other hosts never apply what is new
	waited   int  // the number of calls of WaitOthers

	// The delay of watches. Set before the controller runs.
	lag, lookupLag time.Duration
}

// watch is a running WatchTenant.
type watch struct {
	tenant  string
	told    bool // the whole tenant was delivered
	updates chan intent.SpanUpdate
}

// lookup is a running WatchResolve.
type lookup struct {
	ifaceID string
	told    bool
	last    resolved
	answers chan resolved
}

type resolved struct {
	ref intent.PortRef
	ok  bool
}

func newFakeStore(log *calls) *fakeStore {
	return &fakeStore{calls: log, tenants: map[string]*intent.Snapshot{}, last: map[intent.PortRef]uint64{},
		watches: map[*watch]bool{}, lookups: map[*lookup]bool{}}
}

// put stores an object and informs the watches.
func (s *fakeStore) put(tenant string, object intent.Object) {
	s.change(tenant, intent.Change{Object: object})
}

// deletePort deletes a port and the claims on it.
func (s *fakeStore) deletePort(ref intent.PortRef) {
	changes := []intent.Change{{Deleted: true, Object: intent.Port{Tenant: ref.Tenant, Network: ref.Network, Name: ref.Port}}}
	for _, b := range s.claims(ref) {
		changes = append(changes, intent.Change{Deleted: true, Object: b})
	}
	s.change(ref.Tenant, changes...)
}

func (s *fakeStore) claims(ref intent.PortRef) []intent.Binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []intent.Binding
	if t := s.tenants[ref.Tenant]; t != nil {
		for _, b := range t.Bindings {
			if b.PortRef() == ref {
				list = append(list, b)
			}
		}
	}
	return list
}

// claimElsewhere makes the newest claim, of another host.
func (s *fakeStore) claimElsewhere(ref intent.PortRef, host string) {
	s.mu.Lock()
	s.last[ref]++
	b := intent.Binding{Tenant: ref.Tenant, Network: ref.Network, Port: ref.Port, Host: host, Generation: s.last[ref], Up: true}
	s.mu.Unlock()
	s.put(ref.Tenant, b)
}

func (s *fakeStore) change(tenant string, changes ...intent.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	t := s.tenants[tenant]
	if t == nil {
		t = &intent.Snapshot{}
		s.tenants[tenant] = t
	}
	for _, c := range changes {
		switch o := c.Object.(type) {
		case intent.Tenant:
			t.Tenant = o
		case intent.Network:
			t.Networks = replace(t.Networks, o, c.Deleted, func(x intent.Network) bool { return x.Ref() == o.Ref() })
		case intent.Port:
			t.Ports = replace(t.Ports, o, c.Deleted, func(x intent.Port) bool { return x.Ref() == o.Ref() })
		case intent.Binding:
			t.Bindings = replace(t.Bindings, o, c.Deleted, func(x intent.Binding) bool { return x.PortRef() == o.PortRef() && x.Host == o.Host })
		}
	}
	for w := range s.watches {
		if w.tenant == tenant && w.told {
			w.updates <- intent.SpanUpdate{Tenant: tenant, Revision: s.revision, Changes: changes}
		}
	}
	s.tell()
}

// deleteTenant deletes a tenant and all its objects.
func (s *fakeStore) deleteTenant(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.tenants, name)
	for w := range s.watches {
		if w.tenant == name && w.told {
			w.updates <- intent.SpanUpdate{Tenant: name, Revision: s.revision, Gone: true}
		}
	}
	s.tell()
}

func replace[T any](list []T, object T, deleted bool, same func(T) bool) []T {
	list = slices.DeleteFunc(slices.Clone(list), same)
	if !deleted {
		list = append(list, object)
	}
	return list
}

// speak ends the silence.
func (s *fakeStore) speak() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent, s.hidden = false, ""
	s.tell()
}

// tell informs every watch of what it has not delivered. It is called with mu held.
func (s *fakeStore) tell() {
	if s.silent {
		return
	}
	for w := range s.watches {
		if w.told || w.tenant == s.hidden {
			continue
		}
		w.told = true
		u := intent.SpanUpdate{Tenant: w.tenant, Revision: s.revision, Gone: true}
		if t := s.tenants[w.tenant]; t != nil {
			whole := *t
			u.Gone, u.Snapshot = false, &whole
		}
		w.updates <- u
	}
	for l := range s.lookups {
		if now := s.find(l.ifaceID); (!l.told || now != l.last) && (s.hidden == "" || now.ref.Tenant != s.hidden) {
			l.told, l.last = true, now
			l.answers <- now
		}
	}
}

// find is called with mu held.
func (s *fakeStore) find(ifaceID string) resolved {
	for _, t := range s.tenants {
		for _, p := range t.Ports {
			if p.UUID == ifaceID || p.Ref().String() == ifaceID {
				return resolved{p.Ref(), true}
			}
		}
	}
	return resolved{}
}

// WatchTenant implements Span.
func (s *fakeStore) WatchTenant(ctx context.Context, tenant string, deliver func(intent.SpanUpdate)) error {
	w := &watch{tenant: tenant, updates: make(chan intent.SpanUpdate, 100)}
	s.mu.Lock()
	s.watches[w] = true
	s.tell()
	s.mu.Unlock()
	s.calls.add("watch %s", tenant)
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, w)
	}()
	for {
		select {
		case u := <-w.updates:
			time.Sleep(s.lag)
			deliver(u)
		case <-ctx.Done():
			return nil
		}
	}
}

// WatchResolve implements Span.
func (s *fakeStore) WatchResolve(ctx context.Context, ifaceID string, deliver func(intent.PortRef, bool)) error {
	l := &lookup{ifaceID: ifaceID, answers: make(chan resolved, 100)}
	s.mu.Lock()
	s.lookups[l] = true
	s.tell()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.lookups, l)
	}()
	for {
		select {
		case a := <-l.answers:
			time.Sleep(s.lookupLag)
			deliver(a.ref, a.ok)
		case <-ctx.Done():
			return nil
		}
	}
}

// WatchHosts implements Span. Hosts never change here.
func (s *fakeStore) WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error {
	deliver(intent.HostsUpdate{Revision: 1, Hosts: s.hosts})
	<-ctx.Done()
	return nil
}

// DropCopy implements Span.
func (s *fakeStore) DropCopy(tenant string) error {
	s.calls.add("drop the copy of %s", tenant)
	return nil
}

// write begins a call that writes.
func (s *fakeStore) write(ctx context.Context, format string, args ...any) error {
	s.calls.add(format, args...)
	s.mu.Lock()
	slow, fail := s.slow, s.fail
	s.mu.Unlock()
	select {
	case <-time.After(slow):
		return fail
	case <-ctx.Done():
		return ctx.Err()
	}
}

// troubled makes the calls that write slow and makes them fail.
func (s *fakeStore) troubled(slow time.Duration, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow, s.fail = slow, fail
}

// Claim implements Claims.
func (s *fakeStore) Claim(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	if err := s.write(ctx, "claim %s, have %d", ref.Port, have); err != nil {
		return intent.Binding{}, err
	}
	s.mu.Lock()
	exists := s.find(ref.String()).ok
	s.mu.Unlock()
	if !exists {
		return intent.Binding{}, intent.NotFoundf("port %s does not exist", ref)
	}
	for _, b := range s.claims(ref) {
		if b.Host == host && b.Generation == have {
			return b, nil
		}
	}
	s.mu.Lock()
	s.last[ref]++
	b := intent.Binding{Tenant: ref.Tenant, Network: ref.Network, Port: ref.Port, Host: host, Generation: s.last[ref]}
	s.mu.Unlock()
	s.put(ref.Tenant, b)
	return b, nil
}

// own returns a host's claim if it has the given generation.
func (s *fakeStore) own(ref intent.PortRef, host string, generation uint64) (intent.Binding, bool) {
	for _, b := range s.claims(ref) {
		if b.Host == host && b.Generation == generation {
			return b, true
		}
	}
	return intent.Binding{}, false
}

// Release implements Claims.
func (s *fakeStore) Release(ctx context.Context, ref intent.PortRef, host string, generation uint64) error {
	if err := s.write(ctx, "release %s, generation %d", ref.Port, generation); err != nil {
		return err
	}
	if b, ok := s.own(ref, host, generation); ok {
		s.change(ref.Tenant, intent.Change{Deleted: true, Object: b})
	}
	return nil
}

// MarkUp implements Claims.
func (s *fakeStore) ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	return s.Claim(ctx, ref, host, have)
}

func (s *fakeStore) MarkUp(ctx context.Context, ref intent.PortRef, host string, generation uint64, up bool, fault string) error {
	if err := s.write(ctx, "%s, generation %d, up: %v", ref.Port, generation, up); err != nil {
		return err
	}
	b, ok := s.own(ref, host, generation)
	if !ok {
		return intent.Conflictf("host %s does not hold generation %d of port %s", host, generation, ref)
	}
	b.Up = up
	s.put(ref.Tenant, b)
	return nil
}

// appliedOf returns the tenant's revision that the host reported as applied; -1: it follows no
// such tenant.
func (s *fakeStore) appliedOf(tenant string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.applied[tenant]; ok {
		return r
	}
	return -1
}

func (s *fakeStore) now() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// watching counts the watches on a tenant.
func (s *fakeStore) watching(tenant string) (n int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watches {
		if w.tenant == tenant {
			n++
		}
	}
	return n
}

// SetAppliedSpan implements Progress. Its calls are not logged.
func (s *fakeStore) SetAppliedSpan(ctx context.Context, _ string, tenants map[string]int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = maps.Clone(tenants)
	return s.fail
}

// WaitOthers implements Progress. It blocks only if hang is set.
func (s *fakeStore) WaitOthers(ctx context.Context, _, _ string, _ int64) error {
	s.mu.Lock()
	s.waited++
	hang := s.hang
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}
