package store

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/ovloom/ovloom/store/kv"
)

// source is the store to its kv.Client.
type source struct{ s *Store }

// Ensure implements kv.Source.
func (o source) Ensure(ctx context.Context, op string) error { return o.s.ensure(ctx, op) }

// Following implements kv.Source.
func (o source) Following() kv.Following {
	t := &o.s.trust
	t.mu.Lock()
	defer t.mu.Unlock()
	return kv.Following{Cluster: t.etcd, Revision: t.known.Revision, Name: t.value, Streams: t.streams}
}

// Answered implements kv.Source.
func (o source) Answered(h *pb.ResponseHeader, seen int64) error { return o.s.answered(h, seen) }

// Doubt implements kv.Source.
func (o source) Doubt() { o.s.unverify() }

// Patience implements kv.Source.
func (o source) Patience() time.Duration { return o.s.patience() }

// Why implements kv.Source.
func (o source) Why(err error) error {
	if o.s.removed.Load() {
		return errRemoved(o.s.cfg)
	}
	why := o.s.reason.of(err)
	if kv.TooFew(why) || kv.TimedOut(why) && o.s.leaderless() {
		return kv.ErrNoQuorum
	}
	return why
}
