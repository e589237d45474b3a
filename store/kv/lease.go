package kv

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lease is a lease to which keys can be bound: they are deleted when it ends. 0 means no
// lease.
type Lease = clientv3.LeaseID

// ErrLeaseGone means that a lease has ended.
var ErrLeaseGone = errors.New("the lease has ended")

// Leased binds a key that is put to a lease.
func Leased(l Lease) Option { return clientv3.WithLease(l) }

// Grant begins a lease that ends when it was not renewed for ttl, in whole seconds. It is
// a step of an exchange.
func (c *Client) Grant(ctx context.Context, ttl time.Duration) (Lease, error) {
	g, err := c.etcd.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return 0, err
	}
	return g.ID, nil
}

// Keep renews a lease for its full time, as a step of an exchange. It returns ErrLeaseGone
// if the lease has ended.
func (c *Client) Keep(ctx context.Context, l Lease) error {
	_, err := c.etcd.KeepAliveOnce(ctx, l)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return ErrLeaseGone
	}
	return err
}

// Revoke ends a lease, and deletes the keys bound to it, as a step of an exchange. It is
// no error if the lease has ended already.
func (c *Client) Revoke(ctx context.Context, l Lease) error {
	if _, err := c.etcd.Revoke(ctx, l); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	return nil
}

// Put writes a key unconditionally, and returns the revision of the write. It is a step of
// an exchange.
func (c *Client) Put(ctx context.Context, key, value string, opts ...Option) (revision int64, err error) {
	r, err := c.etcd.Put(ctx, key, value, opts...)
	if err != nil {
		return 0, err
	}
	return r.Header.Revision, nil
}

// Drop deletes all keys below prefix, and revokes their leases, as a step of an exchange.
func (c *Client) Drop(ctx context.Context, prefix string) error {
	_, err := c.etcd.Delete(ctx, prefix, clientv3.WithPrefix())
	return err
}
