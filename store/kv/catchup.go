package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

const (
	// checks is how many keys of a copy are compared with the store, to detect a copy of
	// another store: values have random parts.
	checks = 16
	// catchUpLimit bounds the wait for changes, after which everything is read again.
	catchUpLimit = 2 * time.Second
	// askEvery is how often to ask the store whether all changes were delivered.
	askEvery = 10 * time.Millisecond
)

var (
	errOtherStore = errors.New("it is not a copy of this store")
	errCompacted  = errors.New("the store has forgotten what changed since")
)

// CatchUp brings copied, a copy of prefix at revision since, up to date, and returns the
// changes and the new revision. It is a step of an exchange, and fails if the store has
// compacted the changes away, or is not the one that was copied; copied has at least two
// items.
func (c *Client) CatchUp(ctx context.Context, prefix string, copied []Item, since int64) (map[string]Event, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, catchUpLimit)
	defer cancel()
	count := clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	ops := []clientv3.Op{count}
	for i := range checks {
		ops = append(ops, Key(copied[i*(len(copied)-1)/(checks-1)].Key))
	}
	seen := c.seen()
	r, err := c.etcd.Txn(ctx).Then(ops...).Commit()
	if err == nil {
		err = c.source.Answered(r.Header, seen)
	}
	if err != nil {
		return nil, 0, err
	}
	now := r.Header.Revision
	if now < since {
		return nil, 0, errOtherStore
	}
	changes := map[string]Event{}
	if now > since {
		if changes, err = c.changesBetween(ctx, prefix, since, now); err != nil {
			return nil, 0, err
		}
	}
	all := Merge(copied, changes)
	if r.Responses[0].GetResponseRange().Count != int64(len(all)) {
		return nil, 0, errOtherStore
	}
	for _, answer := range r.Responses[1:] {
		for _, kv := range answer.GetResponseRange().Kvs {
			i, ok := slices.BinarySearchFunc(all, string(kv.Key), func(it Item, k string) int { return strings.Compare(it.Key, k) })
			if !ok || !bytes.Equal(all[i].Value, kv.Value) {
				return nil, 0, errOtherStore
			}
		}
	}
	return changes, now, nil
}

// changesBetween returns the last change of each key below prefix after revision
// since, up to revision now.
func (c *Client) changesBetween(ctx context.Context, prefix string, since, now int64) (map[string]Event, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The metadata give the watch its own stream: the store confirms that all changes were
	// delivered only when that holds for all watches of a stream.
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "resume", prefix)
	told := c.etcd.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(since+1))
	changes := map[string]Event{}
	ask := time.NewTicker(askEvery)
	defer ask.Stop()
	for {
		select {
		case r, ok := <-told:
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case !ok:
				return nil, errors.New("the store ended the watch")
			case r.CompactRevision != 0:
				return nil, errCompacted
			case r.Err() != nil:
				return nil, r.Err()
			case r.IsProgressNotify() && r.Header.Revision >= now:
				return changes, nil
			}
			for _, events := range byRevision(r.Events) {
				if events[0].Revision > now {
					return changes, nil
				}
				for _, e := range events {
					changes[e.Key] = e
				}
			}
		case <-ask.C:
			if err := c.etcd.RequestProgress(ctx); err != nil {
				return nil, fmt.Errorf("ask for progress: %w", err)
			}
		}
	}
}
