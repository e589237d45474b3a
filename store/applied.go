package store

import (
	"context"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// SetApplied says that a host's switch has every change of its span up to a
// revision.
func (s *Store) SetApplied(ctx context.Context, host string, revision int64) error {
	return s.setApplied(ctx, host, appliedValue{Revision: revision})
}

// SetAppliedSpan says up to which revision a host's switch has the changes of
// each tenant of its span; tenants that it no longer has anything of are left
// out. It says more than SetApplied: the updates of two tenants may come in
// another order than their revisions, so that one number for both would be
// ahead of one of them; and a host that dropped a tenant is known to have done so.
func (s *Store) SetAppliedSpan(ctx context.Context, host string, tenants map[string]int64) error {
	a := appliedValue{Tenants: tenants}
	for _, r := range tenants {
		a.Revision = max(a.Revision, r)
	}
	return s.setApplied(ctx, host, a)
}

func (s *Store) setApplied(ctx context.Context, host string, a appliedValue) error {
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
			last, err := decode[appliedValue](old.value)
			if err != nil {
				return err
			}
			a.Revision = last.Revision
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
	var last []string
	for {
		pending, read, err := s.pending(ctx, tenant, revision)
		switch {
		case ctx.Err() != nil:
			return notApplied(revision, last, ctx.Err())
		case err != nil:
			return err
		case len(pending) == 0:
			return nil
		}
		if progress != nil && !slices.Equal(pending, last) {
			progress(pending)
		}
		last = pending
		s.hostsMove(ctx, read)
	}
}

func notApplied(revision int64, pending []string, err error) error {
	who := "hosts"
	if len(pending) > 0 {
		who = strings.Join(pending, ", ")
	}
	return intent.Unavailablef("%s: revision %d not applied in time: %w", who, revision, err).
		WithHint("the change is stored, and is applied as soon as they can; see: ovloom host list")
}

// pending returns which hosts WaitApplied waits for, and the revision at which
// that was read.
func (s *Store) pending(ctx context.Context, tenant string, revision int64) (hosts []string, read int64, err error) {
	err = s.call(ctx, "read what hosts have applied", func(ctx context.Context) error {
		v, err := s.read(ctx, below(aliveRoot, clientv3.WithKeysOnly()), below(appliedRoot))
		if err != nil {
			return err
		}
		read = v.revision
		applied := map[string]appliedValue{}
		for _, it := range v.found[1] {
			if applied[it.key[len(appliedRoot):]], err = decode[appliedValue](it.value); err != nil {
				return err
			}
		}
		var alive []string
		for _, it := range v.found[0] {
			alive = append(alive, it.key[len(aliveRoot):])
		}
		bound, err := s.boundTo(ctx, alive, tenant, read)
		if err != nil {
			return err
		}
		hosts = nil
		for _, h := range alive {
			a := applied[h]
			at, says := a.Tenants[tenant]
			if a.Tenants == nil {
				at = a.Revision
			}
			if (bound[h] || says) && at < revision {
				hosts = append(hosts, h)
			}
		}
		return nil
	})
	return hosts, read, err
}

// boundTo returns which of the hosts claim a port of a tenant.
func (s *Store) boundTo(ctx context.Context, hosts []string, tenant string, revision int64) (map[string]bool, error) {
	bound := map[string]bool{}
	for chunk := range slices.Chunk(hosts, txnOps) {
		var reads []clientv3.Op
		for _, h := range chunk {
			reads = append(reads, below(boundTenant(h, tenant), clientv3.WithLimit(1), clientv3.WithKeysOnly(), clientv3.WithRev(revision)))
		}
		v, err := s.read(ctx, reads...)
		if err != nil {
			return nil, err
		}
		for i, h := range chunk {
			bound[h] = len(v.found[i]) > 0
		}
	}
	return bound, nil
}

// hostsMove waits until a host has come, gone or applied something since
// revision. It may return early: the caller reads anew, and is told then if the
// store is gone.
func (s *Store) hostsMove(ctx context.Context, revision int64) {
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
			return
		}
	}
	select {
	case <-time.After(watchPause):
	case <-ctx.Done():
	}
}
