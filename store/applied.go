package store

import (
	"context"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// SetAppliedSpan says up to which revision a host's switch has the changes of
// each tenant of its span; tenants that it no longer has anything of are left
// out. One number for all would not do: the updates of two tenants may come in
// another order than their revisions, so that it would be ahead of one of them.
func (s *Store) SetAppliedSpan(ctx context.Context, host string, tenants map[string]int64) error {
	a := appliedValue{Tenants: tenants}
	for _, r := range tenants {
		a.Revision = max(a.Revision, r)
	}
	return s.update(ctx, "store what host "+host+" has applied", func(ctx context.Context) error {
		v, err := s.read(ctx, key(hostKey(host)), key(appliedKey(host)))
		if err != nil {
			return err
		}
		if _, err := hostOf(v.one(0), host); err != nil {
			return err
		}
		if old := v.one(1); old.value != nil && len(a.Tenants) == 0 && a.Revision == 0 {
			// Without any tenant it still has come as far as it had.
			if last, err := decode[appliedValue](old.value); err == nil { // else it is written anew
				a.Revision = last.Revision
			}
		}
		value, err := encode(a, nil)
		if err != nil {
			return err
		}
		var tx txn
		tx.unchanged(hostKey(host), v.one(0).revision)
		tx.put(appliedKey(host), value)
		_, err = s.commit(ctx, &tx)
		return err
	})
}

// WaitApplied waits until every live host whose span has the tenant has applied
// a revision: the hosts that claim a port of it, and those that say they still
// have flows of it. progress, unless nil, is called with the names of the hosts
// waited for, at first and whenever they change. When ctx ends first, the error
// (kind Unavailable) names them and says that the change is stored.
func (s *Store) WaitApplied(ctx context.Context, tenant string, revision int64, progress func(pending []string)) error {
	among, read, err := s.alive(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return notApplied(revision, nil)
		}
		return err
	}
	var last []string
	for {
		pending, err := s.pending(ctx, among, tenant, revision)
		switch {
		case ctx.Err() != nil:
			return notApplied(revision, last)
		case err != nil:
			return err
		case len(pending) == 0:
			return nil
		}
		if progress != nil && !slices.Equal(pending, last) {
			progress(pending)
		}
		// Who is done stays so, and who comes now begins with what there is.
		among, last = pending, pending
		read = s.hostsMove(ctx, read)
	}
}

// WaitOthers waits until every other live host whose span has the tenant has applied a
// revision. When ctx ends first, the error names those that have not.
func (s *Store) WaitOthers(ctx context.Context, host, tenant string, revision int64) error {
	among, read, err := s.alive(ctx)
	if err != nil {
		return err
	}
	among = slices.DeleteFunc(among, func(h string) bool { return h == host })
	for {
		pending, err := s.pending(ctx, among, tenant, revision)
		switch {
		case ctx.Err() != nil:
			return notApplied(revision, among)
		case err != nil || len(pending) == 0:
			return err
		}
		among = pending
		read = s.hostsMove(ctx, read)
	}
}

func notApplied(revision int64, pending []string) error {
	who := "not all hosts have"
	switch len(pending) {
	case 0:
	case 1:
		who = pending[0] + " has not"
	default:
		who = strings.Join(pending, ", ") + " have not"
	}
	return intent.Unavailablef("%s applied revision %d in time", who, revision).
		WithHint("the change is stored, and is applied as soon as they can; see: ovloom host list")
}

// alive returns which hosts are alive, and the revision at which that was read.
func (s *Store) alive(ctx context.Context) (hosts []string, revision int64, err error) {
	err = s.call(ctx, "read which hosts are alive", func(ctx context.Context) error {
		v, err := s.read(ctx, below(aliveRoot, clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		revision = v.revision
		for _, it := range v.found[0] {
			hosts = append(hosts, it.key[len(aliveRoot):])
		}
		return nil
	})
	return hosts, revision, err
}

// pending returns for which of the hosts WaitApplied has to wait.
func (s *Store) pending(ctx context.Context, hosts []string, tenant string, revision int64) (pending []string, err error) {
	const reads = 3 // of each host
	for chunk := range slices.Chunk(hosts, txnOps/reads) {
		err = s.call(ctx, "read what hosts have applied", func(ctx context.Context) error {
			var ops []clientv3.Op
			for _, h := range chunk {
				ops = append(ops, key(aliveKey(h)), key(appliedKey(h)),
					below(boundTenant(h, tenant), clientv3.WithLimit(1), clientv3.WithKeysOnly()))
			}
			v, err := s.read(ctx, ops...)
			if err != nil {
				return err
			}
			for i, h := range chunk {
				alive, bound := len(v.found[reads*i]) > 0, len(v.found[reads*i+2]) > 0
				var a appliedValue
				if it := v.one(reads*i + 1); it.value != nil {
					if a, err = decode[appliedValue](it.value); err != nil {
						a = appliedValue{} // as if it had applied nothing, until it writes it anew
					}
				}
				at, says := a.Tenants[tenant]
				if a.Tenants == nil {
					at = a.Revision
				}
				if alive && (bound || says) && at < revision {
					pending = append(pending, h)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return pending, nil
}

// hostsMove waits until a host has come, gone or applied something since
// revision, and returns the revision of that. It may return early: the caller reads
// anew, and is told then if the store is gone.
func (s *Store) hostsMove(ctx context.Context, revision int64) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	// alive/ and applied/ are neighbours: one range has both.
	changes := s.client.Watch(clientv3.WithRequireLeader(ctx), aliveRoot,
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(appliedRoot)), clientv3.WithRev(revision+1))
	for r := range changes {
		if r.Err() != nil {
			break
		}
		if len(r.Events) > 0 {
			return r.Events[len(r.Events)-1].Kv.ModRevision
		}
	}
	select {
	case <-time.After(watchPause):
	case <-ctx.Done():
	}
	return revision
}
