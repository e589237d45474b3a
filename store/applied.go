package store

import (
	"context"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// SetAppliedSpan records up to which revision a host's switch has the changes of each
// tenant of its span, except tenants of which it has nothing any more. A single number
// would not do: two tenants' updates may arrive in another order than their revisions, so
// the number would be ahead of one of them.
func (s *Store) SetAppliedSpan(ctx context.Context, host string, tenants map[string]int64) error {
	a := appliedValue{Tenants: tenants}
	for _, r := range tenants {
		a.Revision = max(a.Revision, r)
	}
	return s.kv.Update(ctx, "store what host "+host+" has applied", func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(hostKey(host)), kv.Key(appliedKey(host)))
		if err != nil {
			return err
		}
		if _, err := hostOf(v.One(0), host); err != nil {
			return err
		}
		if old := v.One(1); old.Value != nil && len(a.Tenants) == 0 && a.Revision == 0 {
			// Without any tenant, the host keeps the revision that it had reached.
			if last, err := kv.Decode[appliedValue](old.Value); err == nil { // else it is rewritten
				a.Revision = last.Revision
			}
		}
		value, err := kv.Encode(a, nil)
		if err != nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(hostKey(host), v.One(0).Revision)
		tx.Put(appliedKey(host), value)
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}

// WaitApplied waits until every live host whose span has the tenant has applied a
// revision: the hosts that claim a port of the tenant, and the hosts that report that they
// still have its flows. It calls progress, unless nil, with the names of the hosts waited
// for, at first and whenever they change. When ctx ends first, the error (kind
// Unavailable) names the hosts and says that the change is stored.
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
		// A host that is done stays done, and a new host starts with what exists.
		among, last = pending, pending
		read = s.hostsMove(ctx, read)
	}
}

// WaitOthers waits until every other live host whose span has the tenant has applied the
// claims that host had on its ports at a revision. When ctx ends first, the error names the
// hosts that have not.
func (s *Store) WaitOthers(ctx context.Context, host, tenant string, revision int64) error {
	last, err := s.lastClaim(ctx, host, tenant)
	if err != nil {
		return err
	}
	// Other hosts reach revisions at which the tenant changed. The revision of a snapshot is
	// that of the whole store, and they may reach it at the tenant's next change only.
	revision = min(revision, last)
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

// lastClaim returns the revision of a host's newest claim on a port of the tenant; 0: it has
// none.
func (s *Store) lastClaim(ctx context.Context, host, tenant string) (revision int64, err error) {
	err = s.kv.Call(ctx, "read when ports were claimed", func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Below(boundTenant(host, tenant), kv.KeysOnly()))
		if err != nil {
			return err
		}
		for _, it := range v.Found[0] {
			revision = max(revision, it.Revision)
		}
		return nil
	})
	return revision, err
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
	err = s.kv.Call(ctx, "read which hosts are alive", func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Below(aliveRoot, kv.KeysOnly()))
		if err != nil {
			return err
		}
		revision = v.Revision
		for _, it := range v.Found[0] {
			hosts = append(hosts, it.Key[len(aliveRoot):])
		}
		return nil
	})
	return hosts, revision, err
}

// pending returns the hosts for which WaitApplied has to wait.
func (s *Store) pending(ctx context.Context, hosts []string, tenant string, revision int64) (pending []string, err error) {
	const reads = 3 // of each host
	for chunk := range slices.Chunk(hosts, kv.MaxOps/reads) {
		err = s.kv.Call(ctx, "read what hosts have applied", func(ctx context.Context) error {
			var ops []kv.Read
			for _, h := range chunk {
				ops = append(ops, kv.Key(aliveKey(h)), kv.Key(appliedKey(h)),
					kv.Below(boundTenant(h, tenant), kv.Limit(1), kv.KeysOnly()))
			}
			v, err := s.kv.Read(ctx, ops...)
			if err != nil {
				return err
			}
			for i, h := range chunk {
				alive, bound := len(v.Found[reads*i]) > 0, len(v.Found[reads*i+2]) > 0
				var a appliedValue
				if it := v.One(reads*i + 1); it.Value != nil {
					if a, err = kv.Decode[appliedValue](it.Value); err != nil {
						a = appliedValue{} // as if it had applied nothing, until it is rewritten
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

// hostsMove waits until a host has come, gone or applied something since revision, and
// returns the revision of that change. It may return early: the caller then reads again,
// and gets an error if the store is gone.
func (s *Store) hostsMove(ctx context.Context, revision int64) int64 {
	// alive/ and applied/ are adjacent: one range covers both.
	return s.kv.Moved(ctx, aliveRoot, kv.EndOf(appliedRoot), revision)
}
