package kv

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lease is what keys can be bound to: they are deleted when it ends. 0 is none.
type Lease = clientv3.LeaseID

// ErrLeaseGone says that a lease has ended.
var ErrLeaseGone = errors.New("the lease has ended")

// Leased binds what is put to a lease.
func Leased(l Lease) Option { return clientv3.WithLease(l) }

// Grant begins a lease that ends when it was not kept for ttl, in whole seconds. It is a
// step of an exchange.
func (c *Client) Grant(ctx context.Context, ttl time.Duration) (Lease, error) {
	g, err := c.etcd.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return 0, err
	}
	return g.ID, nil
}

// Keep has a lease last for its whole time from now on, as a step of an exchange. It
// returns ErrLeaseGone if it has ended.
func (c *Client) Keep(ctx context.Context, l Lease) error {
	_, err := c.etcd.KeepAliveOnce(ctx, l)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return ErrLeaseGone
	}
	return err
}

// Revoke ends a lease, and with it the keys that are bound to it, as a step of an
// exchange. That it has ended already is no error.
func (c *Client) Revoke(ctx context.Context, l Lease) error {
	if _, err := c.etcd.Revoke(ctx, l); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	return nil
}

// Put writes a key, whatever is there, and returns the revision of that. It is a step of
// an exchange.
func (c *Client) Put(ctx context.Context, key, value string, opts ...Option) (revision int64, err error) {
	r, err := c.etcd.Put(ctx, key, value, opts...)
	if err != nil {
		return 0, err
	}
	return r.Header.Revision, nil
}

// Drop deletes all below prefix, and revokes the leases of the keys there, as a step of an
// exchange.
func (c *Client) Drop(ctx context.Context, prefix string) error {
	_, err := c.etcd.Delete(ctx, prefix, clientv3.WithPrefix())
	return err
}
