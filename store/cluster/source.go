package cluster

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/ovloom/ovloom/store/kv"
)

// source implements kv.Source by the node.
type source struct{ n *Node }

// Ensure implements kv.Source.
func (o source) Ensure(ctx context.Context, op string) error { return o.n.ensure(ctx, op) }

// Following implements kv.Source.
func (o source) Following() kv.Following {
	t := &o.n.trust
	t.mu.Lock()
	defer t.mu.Unlock()
	return kv.Following{Cluster: t.etcd, Revision: t.known.Revision, Name: t.value, Streams: t.streams}
}

// Answered implements kv.Source.
func (o source) Answered(h *pb.ResponseHeader, seen int64) error { return o.n.answered(h, seen) }

// Doubt implements kv.Source.
func (o source) Doubt() { o.n.unverify() }

// Patience implements kv.Source.
func (o source) Patience() time.Duration { return o.n.patience() }

// Why implements kv.Source.
func (o source) Why(err error) error {
	if o.n.removed.Load() {
		return errRemoved(o.n.cfg)
	}
	why := o.n.reason.of(err)
	if kv.TooFew(why) || kv.TimedOut(why) && o.n.leaderless() {
		return kv.ErrNoQuorum
	}
	return why
}
