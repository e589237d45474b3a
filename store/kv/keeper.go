package kv

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Keeper keeps one copy on disk up to date, in its own goroutine, for the watch that feeds
// it. Between two writes it holds only the changes, not the whole.
type Keeper struct {
	// Set by NewKeeper.
	kv     *Client
	path   string
	prefix string // of the copied keys
	wake   chan struct{}
	done   chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	closed   bool
	gone     bool             // the copy is to be deleted
	whole    []Item           // the new content of the copy, before changes
	loaded   bool             // whole is set
	changes  map[string]Event // by key, since the last write
	revision int64
}

// NewKeeper starts to keep at path a copy of the keys below prefix. The Keeper must be
// closed.
func (c *Client) NewKeeper(path, prefix string) *Keeper {
	k := &Keeper{kv: c, path: path, prefix: prefix, wake: make(chan struct{}, 1), done: make(chan struct{}), changes: map[string]Event{}}
	go k.run()
	return k
}

// Replace replaces the content.
func (k *Keeper) Replace(all []Item, revision int64) {
	k.update(func() {
		k.whole, k.loaded, k.gone, k.revision = all, true, false, revision
		clear(k.changes)
	})
}

// Change adds changes.
func (k *Keeper) Change(events []Event, revision int64) {
	k.update(func() {
		for _, e := range events {
			k.changes[e.Key] = e
		}
		k.revision = revision
	})
}

// Drop deletes the copy: the content is gone.
func (k *Keeper) Drop() {
	k.update(func() {
		k.whole, k.loaded, k.gone = nil, false, true
		clear(k.changes)
	})
}

// Close writes the pending changes, and returns when they are written.
func (k *Keeper) Close() {
	k.update(func() { k.closed = true })
	<-k.done
}

func (k *Keeper) update(set func()) {
	k.mu.Lock()
	set()
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes the copy after changes: at once when all of it is new, else with a delay, so
// that many changes are one write. A large copy, which takes long to write, is written
// less often: writing takes at most a twentieth of the time.
func (k *Keeper) run() {
	defer close(k.done)
	delay := k.kv.delay
	for range k.wake {
		if !k.urgent() {
			k.wait(delay)
		}
		began := time.Now()
		end, err := k.write()
		if err != nil {
			k.kv.log.Warn("cannot write a cached copy", "path", k.path, "error", err)
		}
		if end {
			return
		}
		delay = min(max(k.kv.delay, 20*time.Since(began)), copyDelayMax)
	}
}

// urgent reports whether the next write cannot wait.
func (k *Keeper) urgent() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed || k.loaded || k.gone
}

// wait waits until the delay is over or a write is urgent.
func (k *Keeper) wait(delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-k.wake:
			if k.urgent() {
				return
			}
		}
	}
}

// write brings the file up to date, and reports whether it was the last time.
func (k *Keeper) write() (end bool, err error) {
	k.mu.Lock()
	whole, loaded, gone, changes, revision := k.whole, k.loaded, k.gone, k.changes, k.revision
	k.whole, k.loaded, k.gone, k.changes = nil, false, false, map[string]Event{}
	end = k.closed
	k.mu.Unlock()
	switch {
	case gone:
		return end, RemoveCopy(k.path)
	case !loaded && len(changes) == 0:
		return end, nil
	}
	if !loaded {
		ok, err := k.kv.changeCopy(k.path, changes, revision)
		if ok || err != nil {
			return end, err
		}
		// The file was damaged or deleted: write it from the store.
		if whole, revision, err = k.kv.List(k.kv.closed, "copy to disk", k.prefix); err != nil {
			return end, err
		}
		changes = nil
	}
	return end, WriteCopy(k.path, Merge(whole, changes), revision)
}

// Merge applies changes, by key, to items that are ordered by key.
func Merge(whole []Item, changes map[string]Event) []Item {
	if len(changes) == 0 {
		return whole
	}
	out := make([]Item, 0, len(whole)+len(changes))
	return slices.AppendSeq(out, merged(slices.Values(whole), changes))
}

// merged is Merge as an iterator.
func merged(whole iter.Seq[Item], changes map[string]Event) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		keys := slices.Sorted(maps.Keys(changes))
		put := func(e Event) bool { return e.Deleted || yield(e.Item) }
		for it := range whole {
			replaced := false
			for len(keys) > 0 && keys[0] <= it.Key {
				replaced = keys[0] == it.Key
				if !put(changes[keys[0]]) {
					return
				}
				keys = keys[1:]
			}
			if !replaced && !yield(it) {
				return
			}
		}
		for _, k := range keys {
			if !put(changes[k]) {
				return
			}
		}
	}
}
