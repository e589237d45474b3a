package kv

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// MaxOps is how many reads, or how many conditions and writes each, may be in one
// transaction: etcd's limit is 128.
const MaxOps = 120

// ErrStale means that what a transaction was built on changed before the commit: read
// again and rebuild it.
var ErrStale = errors.New("changed meanwhile")

// Txn is one transaction: conditions, and the writes if they hold. Its zero value demands
// nothing and writes nothing.
type Txn struct {
	must  []clientv3.Cmp
	then  []clientv3.Op
	ask   []clientv3.Op // reads the owners of keys that must be vacant
	taken []func(holder string) error
}

// Unchanged demands that key is still at the revision at which it was read; 0: that it is
// still absent.
func (t *Txn) Unchanged(key string, revision int64) {
	t.must = append(t.must, clientv3.Compare(clientv3.ModRevision(key), "=", revision))
}

// Vacant demands that key is absent; taken returns the error if it is not.
func (t *Txn) Vacant(key string, taken func(holder string) error) {
	t.Unchanged(key, 0)
	t.ask = append(t.ask, clientv3.OpGet(key))
	t.taken = append(t.taken, taken)
}

// QuietBelow demands that no key below prefix was written after revision. It does not
// notice deletions.
func (t *Txn) QuietBelow(prefix string, revision int64) {
	t.must = append(t.must, clientv3.Compare(clientv3.ModRevision(prefix), "<", revision+1).WithPrefix())
}

// EmptyBelow demands that there is no key below prefix.
func (t *Txn) EmptyBelow(prefix string) {
	t.must = append(t.must, clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0).WithPrefix())
}

// EmptyBetween demands that there is no key from first up to, but not including, end.
func (t *Txn) EmptyBetween(first, end string) {
	t.must = append(t.must, clientv3.Compare(clientv3.CreateRevision(first), "=", 0).WithRange(end))
}

// Put writes a key.
func (t *Txn) Put(key, value string, opts ...Option) {
	t.then = append(t.then, clientv3.OpPut(key, value, opts...))
}

// Replace writes an object over the value that was read, unless they are equal: then it
// leaves the transaction unchanged.
func (t *Txn) Replace(old Item, object any) (changed bool, err error) {
	value, err := Encode(object, old.Value)
	if err != nil || value == string(old.Value) {
		return false, err
	}
	t.Unchanged(old.Key, old.Revision)
	t.Put(old.Key, value)
	return true, nil
}

// Take creates an index key, whose value names the object that holds it; taken returns the
// error if another object holds the key.
func (t *Txn) Take(key, holder string, taken func(holder string) error) {
	t.Vacant(key, taken)
	t.Put(key, holder)
}

// Delete deletes a key, if it exists.
func (t *Txn) Delete(key string) { t.then = append(t.then, clientv3.OpDelete(key)) }

// Size is the size of the transaction as limited by MaxOps.
func (t *Txn) Size() int { return max(len(t.must), len(t.then)) }

// Empty reports whether the transaction writes nothing.
func (t *Txn) Empty() bool { return len(t.then) == 0 }

// Add adds another transaction's conditions and writes.
func (t *Txn) Add(o Txn) {
	t.must, t.then = append(t.must, o.must...), append(t.then, o.then...)
	t.ask, t.taken = append(t.ask, o.ask...), append(t.taken, o.taken...)
}

// Commit makes a change and returns its revision, as a step of an exchange, most often of
// Update. Its error is the error of a key that should be vacant, ErrStale, or etcd's.
func (c *Client) Commit(ctx context.Context, t *Txn) (int64, error) {
	following := c.source.Following()
	var must []clientv3.Cmp
	if following.Name != nil {
		must = append(must, clientv3.Compare(clientv3.Value(NameKey), "=", string(following.Name)))
	}
	ask := append([]clientv3.Op{clientv3.OpGet(NameKey)}, t.ask...)
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
	r, err := c.etcd.Txn(ctx).If(append(must, t.must...)...).Then(t.then...).Else(ask...).Commit()
	if err != nil {
		return 0, err
	}
	err = c.source.Answered(r.Header, following.Revision)
	switch {
	case r.Succeeded:
		return r.Header.Revision, nil
	case err != nil:
		return 0, err
	}
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); following.Name != nil && (len(kvs) == 0 || !bytes.Equal(kvs[0].Value, following.Name)) {
		c.source.Doubt()
		return 0, ErrUnverified
	}
	for i, answer := range r.Responses[1:] {
		if kvs := answer.GetResponseRange().GetKvs(); len(kvs) > 0 {
			return 0, t.taken[i](string(kvs[0].Value))
		}
	}
	return 0, ErrStale
}

// unverifiedTries is how often Update verifies again which store answers.
const unverifiedTries = 3

// Update calls try until it does not fail with ErrStale, under one deadline for all
// attempts. try reads what it needs and commits one transaction; op begins the text of an
// error.
func (c *Client) Update(ctx context.Context, op string, try func(context.Context) error) error {
	ctx = context.WithValue(ctx, sentKey{}, &atomic.Bool{})
	return c.Call(ctx, op, func(limited context.Context) error {
		for n := 0; ; n++ {
			err := try(limited)
			if errors.Is(err, ErrUnverified) && n < unverifiedTries {
				if err = c.source.Ensure(limited, op); err == nil {
					continue
				}
			}
			if !errors.Is(err, ErrStale) {
				return err
			}
			wait := min(time.Millisecond<<min(n, 6), 50*time.Millisecond)
			select {
			case <-time.After(rand.N(wait)):
			case <-limited.Done():
				if ctx.Err() != nil || c.Closed() {
					return limited.Err()
				}
				return intent.Unavailablef("%s: others kept changing the same (%d attempts)", op, n+1).
					WithHint("nothing was written: try again")
			}
		}
	})
}
