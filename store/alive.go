package store

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// LeaseTTL is how long a host counts as alive after its last sign.
const LeaseTTL = 10 * time.Second

// KeepAlive holds the lease that shows a registered host to be alive, until ctx
// ends; then it gives the lease back, so that the host is known to be gone at
// once, and returns nil. Through outages of the store it keeps trying. It fails
// with kind Conflict if another living process has the name, and with kind
// NotFound if the host is not registered, or is no longer.
func (s *Store) KeepAlive(ctx context.Context, name string) error {
	var lease clientv3.LeaseID
	defer func() { s.revoke(ctx, lease) }()
	down := false
	for {
		err := s.update(ctx, "keep host "+name+" alive", func(ctx context.Context) (err error) {
			lease, err = s.beat(ctx, name, lease)
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if kind := intent.KindOf(err); kind == intent.Conflict || kind == intent.NotFound || s.closed.Err() != nil {
			return err
		}
		wait := LeaseTTL / 3
		if err != nil {
			wait = LeaseTTL / 20
		}
		if failed := err != nil; failed != down {
			down = failed
			if down {
				s.log.Warn("store does not answer: this host will count as gone", "host", name, "err", err)
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

// beat gives one sign of life, with a new lease if the old one is gone, and
// returns the lease that is held then.
func (s *Store) beat(ctx context.Context, name string, lease clientv3.LeaseID) (clientv3.LeaseID, error) {
	if lease != 0 {
		_, err := s.client.KeepAliveOnce(ctx, lease)
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			lease = 0
		case err != nil:
			return lease, err
		}
	}
	v, err := s.read(ctx, key(aliveKey(name)), key(hostKey(name)))
	if err != nil {
		return lease, err
	}
	alive, host := v.one(0), v.one(1)
	if _, err := hostOf(host, name); err != nil {
		return lease, err
	}
	if err := s.ours(name, alive); err != nil {
		return lease, err
	}
	if lease != 0 && alive.value != nil {
		return lease, nil
	}
	if lease == 0 {
		g, err := s.client.Grant(ctx, int64(LeaseTTL/time.Second))
		if err != nil {
			return 0, err
		}
		lease = g.ID
	}
	value, err := encode(aliveValue{s.instance}, nil)
	if err != nil {
		return lease, err
	}
	var tx txn
	tx.unchanged(aliveKey(name), alive.revision)
	tx.unchanged(hostKey(name), host.revision)
	tx.put(aliveKey(name), value, clientv3.WithLease(lease))
	_, err = s.commit(ctx, &tx)
	return lease, err
}

// revoke gives a lease back, although ctx has ended.
func (s *Store) revoke(ctx context.Context, lease clientv3.LeaseID) {
	if lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	if _, err := s.client.Revoke(ctx, lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		s.log.Info("lease not given back: it ends by itself", "err", err)
	}
}
