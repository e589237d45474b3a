package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"

	"github.com/ovloom/ovloom/durable"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
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
// adapt changes what is in the restored store before any host sees it: what was given out
// after the backup was made is not known to it, and must never be given out again. Leases
// are gone by then.
//
// A file that is damaged or no backup is refused (kind Invalid), and nothing is changed.
func Restore(ctx context.Context, c Config, file string, adapt func(context.Context, *kv.Client) error) (kept string, err error) {
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
		c.Logger.Warn("cannot read which store this host followed", "error", err)
	}
	if err := restoreInto(ctx, c, made, file, was, adapt); err != nil {
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
func restoreInto(ctx context.Context, c Config, dir, file string, was identity, adapt func(context.Context, *kv.Client) error) error {
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
	n, err := Open(ctx, Config{StateDir: dir, Timeout: c.Timeout, Logger: c.Logger})
	if err != nil {
		return fmt.Errorf("open the restored store: %w", err)
	}
	err = n.dropLeases(ctx)
	if err == nil {
		err = adapt(ctx, n.kv)
	}
	if err == nil {
		err = n.beginEpoch(ctx, was)
	}
	return errors.Join(err, n.Close())
}

// beginEpoch has every host that follows the store read all of it anew.
func (n *Node) beginEpoch(ctx context.Context, was identity) error {
	return n.kv.Call(ctx, "begin a new epoch of the store", func(ctx context.Context) error {
		r, err := n.client.Get(ctx, kv.NameKey)
		if err != nil {
			return err
		}
		// Opening has given a name to a backup that had none: one that no host knows.
		c := clusterValue{ID: n.trust.known.Cluster, Epoch: n.trust.known.Epoch}
		if n.trust.named {
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
		_, err = n.client.Put(ctx, kv.NameKey, value)
		return err
	})
}

// dropLeases ends the leases of the backup: they are of processes as they were when it was
// written.
func (n *Node) dropLeases(ctx context.Context) error {
	return n.kv.Call(ctx, "drop the leases of the backup", func(ctx context.Context) error {
		leases, err := n.client.Leases(ctx)
		if err != nil {
			return err
		}
		for _, l := range leases.Leases {
			if err := n.kv.Revoke(ctx, l.ID); err != nil {
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
