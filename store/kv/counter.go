package kv

import (
	"context"
	"sync"
)

// Counter assigns numbers in blocks: if every number were a write to the same key, 32
// writers would retry 14 times for each.
type Counter struct {
	// Set by NewCounter.
	kv    *Client
	key   string
	block uint64

	mu sync.Mutex
	// Guarded by mu.
	next, end uint64
}

// NewCounter returns a counter stored at a key, as a CounterValue, that reserves block
// numbers at a time.
func NewCounter(c *Client, key string, block uint64) *Counter {
	return &Counter{kv: c, key: key, block: block}
}

// Key returns the key of the counter.
func (c *Counter) Key() string { return c.key }

// Take returns a number that was never assigned, from 0 up. It may make its own change, as
// a step of Update: ErrStale if another process did so at the same time.
func (c *Counter) Take(ctx context.Context) (uint64, error) {
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

// CounterValue is the stored value of a counter.
type CounterValue struct {
	Next uint64 `json:"next"` // the first number that is not reserved
}

// reserve takes the next block; ErrStale if another process took it.
func (c *Counter) reserve(ctx context.Context) error {
	it, err := c.kv.Get(ctx, c.key)
	if err != nil {
		return err
	}
	var at CounterValue
	if it.Value != nil {
		if at, err = Decode[CounterValue](it.Value); err != nil {
			return err
		}
	}
	value, err := Encode(CounterValue{at.Next + c.block}, it.Value)
	if err != nil {
		return err
	}
	var tx Txn
	tx.Unchanged(c.key, it.Revision)
	tx.Put(c.key, value)
	if _, err := c.kv.Commit(ctx, &tx); err != nil {
		return err
	}
	c.next, c.end = at.Next, at.Next+c.block
	return nil
}
