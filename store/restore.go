package store

import (
	"context"
	"math/rand/v2"

	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// A restored backup does not know the values that were assigned after it was made, and
// they must never be assigned again: hosts have flows with those ids, interfaces have
// those generations, clients have read those revisions. So all counters skip far ahead. A
// client reserves ids, VNIs and VRFs in small blocks; during the life of a backup far
// fewer than the skipped ones are assigned.
const (
	skipIDs         = 1 << 31 // at least; of 38 bits (intent.DerivedMAC)
	skipNumbers     = 1 << 15 // at least; VNIs and VRFs, of 24 bits
	skipGenerations = 1_000_000_000
)

// Restore sets the store of c, which no process may run, back to its state when Backup
// wrote file; see cluster.Restore.
func Restore(ctx context.Context, c cluster.Config, file string) (kept string, err error) {
	return cluster.Restore(ctx, c, file, func(ctx context.Context, keys *kv.Client) error {
		if err := dropLiving(ctx, keys); err != nil {
			return err
		}
		return skipAhead(ctx, keys)
	})
}

// dropLiving deletes the keys about processes at the time of the backup: who holds a
// host's name, and the questions between hosts.
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

// skipAhead advances all counters.
func skipAhead(ctx context.Context, c *kv.Client) error {
	// Add a random number: the same backup may be restored again, and no backup knows what
	// was assigned after the first restore.
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
			v.Generation = max(v.Generation+skipGenerations, uint64(revision)) // which grew with time
		}); err != nil {
			return err
		}
	}
	return nil
}

// skipKey advances the counter at a key, if there is one.
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
