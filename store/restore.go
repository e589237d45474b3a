package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// What was given out after a backup was made is not known when it is restored, and
// must never be given out again: hosts have flows with those ids, interfaces have
// those generations, clients have read those revisions. So all of it goes on far
// above. A client reserves ids, VNIs and VRFs in small blocks; nobody makes that
// many in the life of a backup.
const (
	skipIDs         = 1 << 31 // at least; of 38 bits (intent.DerivedMAC)
	skipNumbers     = 1 << 15 // at least; VNIs and VRFs, of 24 bits
	skipGenerations = 1_000_000_000
)

// skipRevisions is how far the revision goes on. It grows with the time, faster than a
// store can write, so that what is restored from the same backup again is above what
// the first restore came to: hosts that follow it see that they have to read all anew.
func skipRevisions() uint64 { return uint64(time.Now().UnixMicro() / 100) }

// Restore makes the store of c, which runs in no process, what it was when file
// was written by Backup. What it was before is kept beside it, in a folder that is
// returned; "" if there was nothing. The store is one member afterwards. Hosts
// that come back find that their revision was compacted away, and read all anew.
//
// A file that is damaged or no backup is refused, and nothing is changed.
func Restore(ctx context.Context, c Config, file string) (kept string, err error) {
	c = c.withDefaults()
	if len(c.Endpoints) > 0 {
		return "", intent.Invalidf("the store is not on this host but at %s", c.Endpoints[0]).WithHint("restore it on the host that runs it")
	}
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return "", intent.NotFoundf("backup %s does not exist", file)
	}
	if err := durable.PrivateDir(c.StateDir); err != nil {
		return "", err
	}
	lock, err := lockDir(c.StateDir)
	if err != nil {
		return "", err
	}
	defer lock.Close()

	// It is made in a folder of its own, so that a failure leaves no half of it.
	made := filepath.Join(c.StateDir, "restoring")
	if err := os.RemoveAll(made); err != nil {
		return "", fmt.Errorf("remove an earlier attempt: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	was, err := readIdentity(c.StateDir)
	if err != nil {
		c.Logger.Warn("cannot tell which store this host has followed", "error", err)
	}
	if err := restoreInto(ctx, c, made, file, was); err != nil {
		return "", err
	}
	if kept, err = replaceData(c.StateDir, made); err != nil {
		return kept, err
	}
	if err := os.Remove(crashFile(c.StateDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return kept, fmt.Errorf("remove the trace of a crash: %w", err)
	}
	return kept, nil
}

// restoreInto makes a state directory with the store of a backup.
// was is what the host knew of its store.
func restoreInto(ctx context.Context, c Config, dir, file string, was identity) error {
	if err := durable.PrivateDir(filepath.Join(dir, "etcd")); err != nil {
		return err
	}
	err := snapshot.NewV3(zapTo(ctx, c.Logger)).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, OutputDataDir: dataDir(dir),
		Name: memberName, PeerURLs: []string{alonePeerURL}, InitialCluster: memberName + "=" + alonePeerURL,
		InitialClusterToken: uuid.NewString(), // no member of the store as it was is taken for one of this
		RevisionBump:        skipRevisions(), MarkCompacted: true,
	})
	if err != nil {
		return intent.Invalidf("%s cannot be restored: %w", file, err).WithHint("give a file written by: ovloom store backup FILE")
	}
	s, err := Open(ctx, Config{StateDir: dir, Timeout: c.Timeout, Logger: c.Logger})
	if err != nil {
		return fmt.Errorf("open the restored store: %w", err)
	}
	err = s.dropLiving(ctx)
	if err == nil {
		err = s.skipAhead(ctx)
	}
	if err == nil {
		err = s.beginEpoch(ctx, was)
	}
	return errors.Join(err, s.Close())
}

// beginEpoch has every host that follows the store read all of it anew.
func (s *Store) beginEpoch(ctx context.Context, was identity) error {
	return s.kv.Call(ctx, "begin a new epoch of the store", func(ctx context.Context) error {
		r, err := s.client.Get(ctx, kv.NameKey)
		if err != nil {
			return err
		}
		// Opening has given a name to a backup that had none: one that nobody knows.
		c := clusterValue{ID: s.trust.known.Cluster, Epoch: s.trust.known.Epoch}
		if s.trust.named {
			c.Nameless = was.Cluster == ""
			if was.Cluster != "" {
				c.ID = was.Cluster
			}
		}
		c.Epoch = max(c.Epoch+1, was.Epoch+1, uint64(time.Now().UnixMilli()))
		value, err := kv.Encode(c, r.Kvs[0].Value)
		if err != nil {
			return err
		}
		_, err = s.client.Put(ctx, kv.NameKey, value)
		return err
	})
}

// dropLiving deletes what tells of processes as they were when the backup was written:
// leases, and with them who holds a host's name and what one host has asked another.
func (s *Store) dropLiving(ctx context.Context) error {
	return s.kv.Call(ctx, "drop the leases of the backup", func(ctx context.Context) error {
		leases, err := s.client.Leases(ctx)
		if err != nil {
			return err
		}
		for _, l := range leases.Leases {
			if _, err := s.client.Revoke(ctx, l.ID); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
				return err
			}
		}
		for _, prefix := range []string{aliveRoot, appliedRoot, examineAsked, examineReports, questionsRoot, answersRoot} {
			if _, err := s.client.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
				return err
			}
		}
		return nil
	})
}

func dataDir(stateDir string) string { return filepath.Join(stateDir, "etcd", "data") }

// replaceData puts the data of one state directory in the place of another's.
func replaceData(stateDir, from string) (kept string, err error) {
	now := dataDir(stateDir)
	if err := durable.PrivateDir(filepath.Dir(now)); err != nil {
		return "", err
	}
	if kept, err = setAside(stateDir); err != nil {
		return "", err
	}
	if err := os.Rename(dataDir(from), now); err != nil {
		return kept, fmt.Errorf("put the restored store in place: %w", err)
	}
	return kept, nil
}

// skipAhead moves all counters on.
func (s *Store) skipAhead(ctx context.Context) error {
	// By chance, too: the same backup may be restored again, and what was given out
	// after the first time is in no backup.
	for name, skip := range map[string]uint64{s.ids.Key(): skipIDs, s.vnis.Key(): skipNumbers, s.vrfs.Key(): skipNumbers} {
		if err := skipKey(ctx, s, name, func(v *kv.CounterValue) { v.Next += skip + rand.Uint64N(skip) }); err != nil {
			return err
		}
	}
	claims, revision, err := s.kv.List(ctx, "read the claims", claimRoot, clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	for _, it := range claims {
		if err := skipKey(ctx, s, it.Key, func(v *claimValue) {
			v.Generation = max(v.Generation+skipGenerations, uint64(revision)) // which has grown with the time
		}); err != nil {
			return err
		}
	}
	return nil
}

// skipKey changes the counter at a key, if there is one.
func skipKey[T any](ctx context.Context, s *Store, k string, skip func(*T)) error {
	return s.kv.Update(ctx, "move the counters on", func(ctx context.Context) error {
		it, err := s.kv.Get(ctx, k)
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
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}
