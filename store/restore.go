package store

import (
	"context"
	"math/rand/v2"

	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// What was given out after a backup was made is not known when it is restored, and
// must never be given out again: hosts have flows with those ids, interfaces have
// those generations, clients have read those revisions. So all of it goes on far
// above. A client reserves ids, VNIs and VRFs in small blocks; in the life of a backup
// far fewer than these are made.
const (
	skipIDs         = 1 << 31 // at least; of 38 bits (intent.DerivedMAC)
	skipNumbers     = 1 << 15 // at least; VNIs and VRFs, of 24 bits
	skipGenerations = 1_000_000_000
)

// Restore makes the store of c, which runs in no process, what it was when file was written
// by Backup; see cluster.Restore.
func Restore(ctx context.Context, c cluster.Config, file string) (kept string, err error) {
	return cluster.Restore(ctx, c, file, func(ctx context.Context, keys *kv.Client) error {
		if err := dropLiving(ctx, keys); err != nil {
			return err
		}
		return skipAhead(ctx, keys)
	})
}

// dropLiving deletes what tells of processes as they were when the backup was written: who
// holds a host's name, and what one host has asked another.
func dropLiving(ctx context.Context, c *kv.Client) error {
	return c.Call(ctx, "drop the leases of the backup", func(ctx context.Context) error {
		for _, prefix := range []string{aliveRoot, appliedRoot, examineAsked, examineReports, questionsRoot, answersRoot} {
			if err := c.Drop(ctx, prefix); err != nil {
				return err
			}
		}
		return nil
	})
}

// skipAhead moves all counters on.
func skipAhead(ctx context.Context, c *kv.Client) error {
	// By chance, too: the same backup may be restored again, and what was given out
	// after the first time is in no backup.
	for name, skip := range map[string]uint64{idCounter: skipIDs, vniCounter: skipNumbers, vrfCounter: skipNumbers} {
		if err := skipKey(ctx, c, name, func(v *kv.CounterValue) { v.Next += skip + rand.Uint64N(skip) }); err != nil {
			return err
		}
	}
	claims, revision, err := c.List(ctx, "read the claims", claimRoot, kv.KeysOnly())
	if err != nil {
		return err
	}
	for _, it := range claims {
		if err := skipKey(ctx, c, it.Key, func(v *claimValue) {
			v.Generation = max(v.Generation+skipGenerations, uint64(revision)) // which has grown with the time
		}); err != nil {
			return err
		}
	}
	return nil
}

// skipKey changes the counter at a key, if there is one.
func skipKey[T any](ctx context.Context, c *kv.Client, k string, skip func(*T)) error {
	return c.Update(ctx, "move the counters on", func(ctx context.Context) error {
		it, err := c.Get(ctx, k)
		if err != nil || it.Value == nil {
			return err
		}
		v, err := kv.Decode[T](it.Value)
		if err != nil {
			return err
		}
		skip(&v)
		value, err := kv.Encode(v, it.Value)
		if err != nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(k, it.Revision)
		tx.Put(k, value)
		_, err = c.Commit(ctx, &tx)
		return err
	})
}
