package store

import (
	"context"
	"errors"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// LeaseTTL is how long a host counts as alive after its last sign.
const LeaseTTL = 10 * time.Second

// KeepAlive holds the lease that shows a registered host to be alive, until ctx ends; then
// it revokes the lease, so that the host is known to be gone at once, and returns nil. It
// keeps trying while the store is down. It fails with kind Conflict if another living
// process has the name, and with kind NotFound if the host is not registered, or no longer
// is.
func (s *Store) KeepAlive(ctx context.Context, name string) error {
	var lease kv.Lease
	defer func() { s.revoke(ctx, lease) }()
	down := false
	for {
		err := s.kv.Update(ctx, "keep host "+name+" alive", func(ctx context.Context) (err error) {
			lease, err = s.beat(ctx, name, lease)
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if kind := intent.KindOf(err); kind == intent.Conflict || kind == intent.NotFound || s.kv.Closed() {
			return err
		}
		wait := LeaseTTL / 3
		if err != nil {
			wait = LeaseTTL / 20
		}
		if failed := err != nil; failed != down {
			down = failed
			if down {
				s.log.Warn("store does not answer; this host will count as gone", "host", name, "error", err)
			} else {
				s.log.Info("store answers again: this host counts as alive", "host", name)
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// beat renews the lease, or grants a new one if the old one has ended, and returns the
// lease.
func (s *Store) beat(ctx context.Context, name string, lease kv.Lease) (kv.Lease, error) {
	if lease != 0 {
		err := s.kv.Keep(ctx, lease)
		switch {
		case errors.Is(err, kv.ErrLeaseGone):
			lease = 0
		case err != nil:
			return lease, err
		}
	}
	v, err := s.kv.Read(ctx, kv.Key(aliveKey(name)), kv.Key(hostKey(name)))
	if err != nil {
		return lease, err
	}
	alive, host := v.One(0), v.One(1)
	if _, err := hostOf(host, name); err != nil {
		return lease, err
	}
	if err := s.ours(name, alive); err != nil {
		return lease, err
	}
	if lease != 0 && alive.Value != nil {
		return lease, nil
	}
	if lease == 0 {
		var err error
		if lease, err = s.kv.Grant(ctx, LeaseTTL); err != nil {
			return 0, err
		}
	}
	value, err := kv.Encode(aliveValue{s.Instance()}, nil)
	if err != nil {
		return lease, err
	}
	var tx kv.Txn
	tx.Unchanged(aliveKey(name), alive.Revision)
	tx.Unchanged(hostKey(name), host.Revision)
	tx.Put(aliveKey(name), value, kv.Leased(lease))
	_, err = s.kv.Commit(ctx, &tx)
	return lease, err
}

// revoke revokes a lease even after ctx has ended.
func (s *Store) revoke(ctx context.Context, lease kv.Lease) {
	if lease == 0 {
		return
	}
	ctx, cancel := s.kv.Within(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.kv.Revoke(ctx, lease); err != nil {
		s.log.Info("cannot revoke the lease; it will expire", "error", err)
	}
}
