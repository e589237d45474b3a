package kv

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pageKeys is the largest number of keys in one answer.
const pageKeys = 2000

// Read is one read of Client.Read.
type Read = clientv3.Op

// Option changes what a Read, a List or a Watcher finds, or how a Put writes.
type Option = clientv3.OpOption

// Key reads one key.
func Key(key string, opts ...Option) Read { return clientv3.OpGet(key, opts...) }

// Below reads all keys with a prefix.
func Below(prefix string, opts ...Option) Read {
	return clientv3.OpGet(prefix, append(opts, clientv3.WithPrefix())...)
}

// Between reads all keys from first up to, but not including, end.
func Between(first, end string, opts ...Option) Read {
	return clientv3.OpGet(first, append(opts, clientv3.WithRange(end))...)
}

// KeysOnly omits values.
func KeysOnly() Option { return clientv3.WithKeysOnly() }

// Limit omits the keys after the first n.
func Limit(n int64) Option { return clientv3.WithLimit(n) }

// At reads keys at a revision.
func At(revision int64) Option { return clientv3.WithRev(revision) }

// Prefix makes a Watcher receive all keys with its key as a prefix.
func Prefix() Option { return clientv3.WithPrefix() }

// PutsOnly makes a Watcher not receive deletions.
func PutsOnly() Option { return clientv3.WithFilterDelete() }

// EndOf returns the end, excluded, of the range of keys with a prefix.
func EndOf(prefix string) string { return clientv3.GetPrefixRangeEnd(prefix) }

// Item is one key as read.
type Item struct {
	Key      string
	Value    []byte // nil: absent
	Revision int64  // of its last change; 0: absent
}

func items(kvs []*mvccpb.KeyValue) []Item {
	out := make([]Item, len(kvs))
	for i, kv := range kvs {
		out[i] = Item{string(kv.Key), kv.Value, kv.ModRevision}
		if kv.Value == nil {
			out[i].Value = []byte{} // empty is not absent
		}
	}
	return out
}

// Get reads one key, as a step of an exchange.
func (c *Client) Get(ctx context.Context, key string) (Item, error) {
	it, _, err := c.GetLeased(ctx, key)
	return it, err
}

// GetLeased is Get, and also returns the key's lease; 0: none.
func (c *Client) GetLeased(ctx context.Context, key string) (Item, Lease, error) {
	r, err := c.get(ctx, key)
	switch {
	case err != nil:
		return Item{}, 0, err
	case len(r.Kvs) == 0:
		return Item{Key: key}, 0, nil
	}
	return items(r.Kvs)[0], Lease(r.Kvs[0].Lease), nil
}

func (c *Client) get(ctx context.Context, key string, opts ...Option) (*clientv3.GetResponse, error) {
	seen := c.seen()
	r, err := c.etcd.Get(ctx, key, opts...)
	if err == nil {
		err = c.source.Answered(r.Header, seen)
	}
	return r, err
}

// Page reads up to limit keys without values from first up to, but not including, end, as
// a step of an exchange. More reports whether there are others after them.
func (c *Client) Page(ctx context.Context, first, end string, limit int) (keys []string, more bool, err error) {
	r, err := c.get(ctx, first, clientv3.WithRange(end), KeysOnly(), Limit(int64(limit)))
	if err != nil {
		return nil, false, err
	}
	for _, kv := range r.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, r.More, nil
}

// View is what several reads found at one revision.
type View struct {
	Revision int64
	Found    [][]Item // by read
}

// One returns the item found by read i, which is of a single key.
func (v View) One(i int) Item {
	if len(v.Found[i]) == 0 {
		return Item{}
	}
	return v.Found[i][0]
}

// Read does up to MaxOps reads at one revision, as a step of an exchange.
func (c *Client) Read(ctx context.Context, reads ...Read) (View, error) {
	seen := c.seen()
	r, err := c.etcd.Txn(ctx).Then(reads...).Commit()
	if err == nil {
		err = c.source.Answered(r.Header, seen)
	}
	if err != nil {
		return View{}, err
	}
	v := View{Revision: r.Header.Revision, Found: make([][]Item, len(r.Responses))}
	for i, answer := range r.Responses {
		v.Found[i] = items(answer.GetResponseRange().GetKvs())
	}
	return v, nil
}

// List reads all keys below prefix at one revision, in order, page by page: one answer
// with 50,000 ports would block all other calls. Each page is an exchange.
func (c *Client) List(ctx context.Context, op, prefix string, opts ...Option) (all []Item, revision int64, err error) {
	from, end := prefix, EndOf(prefix)
	for {
		var r *clientv3.GetResponse
		err := c.Call(ctx, op, func(ctx context.Context) (err error) {
			page := append([]Option{clientv3.WithRange(end), Limit(pageKeys), At(revision)}, opts...)
			r, err = c.get(ctx, from, page...)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = r.Header.Revision
		}
		all = append(all, items(r.Kvs)...)
		if !r.More {
			return all, revision, nil
		}
		from = all[len(all)-1].Key + "\x00"
	}
}
