package store

import (
	"context"
	"sync"
)

// counter gives out numbers in blocks: were every number a write to the same
// key, 32 writers would retry 14 times for each.
type counter struct {
	// Set by newCounter.
	s     *Store
	key   string
	block uint64

	mu sync.Mutex
	// Guarded by mu.
	next, end uint64
}

func newCounter(s *Store, name string, block uint64) counter {
	return counter{s: s, key: counterRoot + name, block: block}
}

// take returns a number that nobody was ever given, from 0 up.
func (c *counter) take(ctx context.Context) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == c.end {
		if err := c.reserve(ctx); err != nil {
			return 0, err
		}
	}
	n := c.next
	c.next++
	return n, nil
}

type counterValue struct {
	Next uint64 `json:"next"`
}

// reserve takes the next block; errStale if somebody else took it.
func (c *counter) reserve(ctx context.Context) error {
	it, err := c.s.get(ctx, c.key)
	if err != nil {
		return err
	}
	var at counterValue
	if it.value != nil {
		if at, err = decode[counterValue](it.value); err != nil {
			return err
		}
	}
	value, err := encode(counterValue{at.Next + c.block}, it.value)
	if err != nil {
		return err
	}
	var tx txn
	tx.unchanged(c.key, it.revision)
	tx.put(c.key, value)
	if _, err := c.s.commit(ctx, &tx); err != nil {
		return err
	}
	c.next, c.end = at.Next, at.Next+c.block
	return nil
}
