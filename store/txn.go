package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// etcd's limits for one transaction, with room to spare, and for one range.
const (
	txnOps   = 120  // of 128 operations, and of 128 compares
	pageKeys = 2000 // keys in one answer
)

// errStale says that what a transaction was built on changed before it was
// committed: read again and build it anew.
var errStale = errors.New("changed meanwhile")

// txn is one transaction: what must hold, and what is then written.
type txn struct {
	must  []clientv3.Cmp
	then  []clientv3.Op
	ask   []clientv3.Op // who has the keys that must be vacant
	taken []func(holder string) error
}

// unchanged demands that key is still at the revision at which it was read; 0:
// that it is still absent.
func (t *txn) unchanged(key string, revision int64) {
	t.must = append(t.must, clientv3.Compare(clientv3.ModRevision(key), "=", revision))
}

// vacant demands that key is absent; taken makes the error if it is not.
func (t *txn) vacant(key string, taken func(holder string) error) {
	t.unchanged(key, 0)
	t.ask = append(t.ask, clientv3.OpGet(key))
	t.taken = append(t.taken, taken)
}

// quietBelow demands that nothing below prefix was written after revision. What
// was deleted meanwhile is not noticed.
func (t *txn) quietBelow(prefix string, revision int64) {
	t.must = append(t.must, clientv3.Compare(clientv3.ModRevision(prefix), "<", revision+1).WithPrefix())
}

// emptyBelow demands that there is no key below prefix.
func (t *txn) emptyBelow(prefix string) {
	t.must = append(t.must, clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0).WithPrefix())
}

// emptyBetween demands that there is no key from first on and before end.
func (t *txn) emptyBetween(first, end string) {
	t.must = append(t.must, clientv3.Compare(clientv3.CreateRevision(first), "=", 0).WithRange(end))
}

func (t *txn) put(key, value string, opts ...clientv3.OpOption) {
	t.then = append(t.then, clientv3.OpPut(key, value, opts...))
}

// replace writes an object over what was read, unless that is the same: then the
// transaction stays as it is.
func (t *txn) replace(old item, object any) (changed bool, err error) {
	value, err := encode(object, old.value)
	if err != nil || value == string(old.value) {
		return false, err
	}
	t.unchanged(old.key, old.revision)
	t.put(old.key, value)
	return true, nil
}

// take makes an index key, whose value names the object that holds it; taken makes
// the error if another does.
func (t *txn) take(key, holder string, taken func(holder string) error) {
	t.vacant(key, taken)
	t.put(key, holder)
}

func (t *txn) delete(key string) { t.then = append(t.then, clientv3.OpDelete(key)) }

// size is what counts against etcd's limit.
func (t *txn) size() int { return max(len(t.must), len(t.then)) }

// commit returns the revision of the change. Its error is what a taken key
// makes, errStale, or etcd's.
func (s *Store) commit(ctx context.Context, t *txn) (int64, error) {
	guard, value := s.theStore()
	ask := append([]clientv3.Op{clientv3.OpGet(clusterKey)}, t.ask...)
	floor := s.seen()
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
	r, err := s.client.Txn(ctx).If(append(guard, t.must...)...).Then(t.then...).Else(ask...).Commit()
	if err != nil {
		return 0, err
	}
	if err := s.answered(r.Header, floor); err != nil && !r.Succeeded {
		return 0, err
	}
	if r.Succeeded {
		return r.Header.Revision, nil
	}
	if kvs := r.Responses[0].GetResponseRange().GetKvs(); guard != nil && (len(kvs) == 0 || !bytes.Equal(kvs[0].Value, value)) {
		s.unverify()
		return 0, errUnverified
	}
	for i, answer := range r.Responses[1:] {
		if kvs := answer.GetResponseRange().GetKvs(); len(kvs) > 0 {
			return 0, t.taken[i](string(kvs[0].Value))
		}
	}
	return 0, errStale
}

// unverifiedTries is how often update finds out anew which store answers.
const unverifiedTries = 3

// update runs try until it does not fail as stale, under the store's deadline
// for all attempts together.
func (s *Store) update(ctx context.Context, op string, try func(context.Context) error) error {
	ctx = context.WithValue(ctx, sentKey{}, &atomic.Bool{})
	return s.call(ctx, op, func(limited context.Context) error {
		for n := 0; ; n++ {
			err := try(limited)
			if errors.Is(err, errUnverified) && n < unverifiedTries {
				if err = s.ensure(limited, op); err == nil {
					continue
				}
			}
			if !errors.Is(err, errStale) {
				return err
			}
			wait := min(time.Millisecond<<min(n, 6), 50*time.Millisecond)
			select {
			case <-time.After(rand.N(wait)):
			case <-limited.Done():
				if ctx.Err() != nil || s.closed.Err() != nil {
					return limited.Err()
				}
				return intent.Unavailablef("%s: others kept changing the same (%d attempts)", op, n+1).
					WithHint("nothing was written: try again")
			}
		}
	})
}

// item is one key as it was read.
type item struct {
	key      string
	value    []byte // nil: absent
	revision int64  // of its last change; 0: absent
}

func items(kvs []*mvccpb.KeyValue) []item {
	out := make([]item, len(kvs))
	for i, kv := range kvs {
		out[i] = item{string(kv.Key), kv.Value, kv.ModRevision}
		if kv.Value == nil {
			out[i].value = []byte{} // empty is not absent
		}
	}
	return out
}

// get reads one key.
func (s *Store) get(ctx context.Context, key string) (item, error) {
	floor := s.seen()
	r, err := s.client.Get(ctx, key)
	if err == nil {
		err = s.answered(r.Header, floor)
	}
	if err != nil {
		return item{}, err
	}
	if len(r.Kvs) == 0 {
		return item{key: key}, nil
	}
	return items(r.Kvs)[0], nil
}

// view is what several reads found at one revision.
type view struct {
	revision int64
	found    [][]item // by read
}

// one returns the item that read i, of a single key, found.
func (v view) one(i int) item {
	if len(v.found[i]) == 0 {
		return item{}
	}
	return v.found[i][0]
}

// read does up to 128 reads at one revision.
func (s *Store) read(ctx context.Context, ops ...clientv3.Op) (view, error) {
	floor := s.seen()
	r, err := s.client.Txn(ctx).Then(ops...).Commit()
	if err == nil {
		err = s.answered(r.Header, floor)
	}
	if err != nil {
		return view{}, err
	}
	v := view{revision: r.Header.Revision, found: make([][]item, len(r.Responses))}
	for i, answer := range r.Responses {
		v.found[i] = items(answer.GetResponseRange().GetKvs())
	}
	return v, nil
}

func key(k string) clientv3.Op { return clientv3.OpGet(k) }

func below(prefix string, opts ...clientv3.OpOption) clientv3.Op {
	return clientv3.OpGet(prefix, append(opts, clientv3.WithPrefix())...)
}

// list reads all below prefix at one revision, page by page: one answer with
// 50,000 ports would keep every other call waiting. Each page has the store's
// deadline.
func (s *Store) list(ctx context.Context, op, prefix string, opts ...clientv3.OpOption) (all []item, revision int64, err error) {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		var r *clientv3.GetResponse
		err := s.call(ctx, op, func(ctx context.Context) (err error) {
			page := append([]clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageKeys), clientv3.WithRev(revision)}, opts...)
			floor := s.seen()
			if r, err = s.client.Get(ctx, from, page...); err == nil {
				err = s.answered(r.Header, floor)
			}
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
		from = all[len(all)-1].key + "\x00"
	}
}
