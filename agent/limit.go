package agent

// Limits on concurrent work.

import (
	"context"
	"sync"

	"github.com/ovloom/ovloom/intent"
)

// plugsAtOnce limits concurrent calls of Plug: each may hold a thread in another namespace,
// and a process's threads are limited.
const plugsAtOnce = 16

// enter waits for a slot to plug.
func (a *Agent) enter(ctx context.Context) (leave func(), err error) {
	select {
	case a.slots <- struct{}{}:
		return func() { <-a.slots }, nil
	case <-ctx.Done():
		return nil, intent.Unavailablef("too many ports are being plugged at once: %w", ctx.Err())
	}
}

// locks are mutexes by key. The zero value is ready to use.
type locks struct {
	mu sync.Mutex
	m  map[string]*lock // Guarded by mu.
}

type lock struct {
	held chan struct{} // has an element while it is held
	uses int           // goroutines that hold it or wait for it
}

// take waits for the lock of a key.
func (l *locks) take(ctx context.Context, key string) (free func(), err error) {
	l.mu.Lock()
	if l.m == nil {
		l.m = map[string]*lock{}
	}
	k := l.m[key]
	if k == nil {
		k = &lock{held: make(chan struct{}, 1)}
		l.m[key] = k
	}
	k.uses++
	l.mu.Unlock()
	select {
	case k.held <- struct{}{}:
		return func() { <-k.held; l.drop(key, k) }, nil
	case <-ctx.Done():
		l.drop(key, k)
		return nil, intent.Unavailablef("another request for %s is under way: %w", key, ctx.Err())
	}
}

// try takes the lock of a key if it is free.
func (l *locks) try(key string) (free func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]*lock{}
	}
	if l.m[key] != nil {
		return nil, false
	}
	k := &lock{held: make(chan struct{}, 1), uses: 1}
	k.held <- struct{}{}
	l.m[key] = k
	return func() { <-k.held; l.drop(key, k) }, true
}

func (l *locks) drop(key string, k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.uses--; k.uses == 0 {
		delete(l.m, key)
	}
}
