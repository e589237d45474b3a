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

// skipRevisions is how far a restore advances the revision. It grows with time, faster
// than a store can write, so that a second restore of the same backup gets a higher
// revision than the first: hosts that follow the store see that they have to read
// everything again.
func skipRevisions() uint64 { return uint64(time.Now().UnixMicro() / 100) }

// Restore sets the store of c, which no process may run, back to its state when Backup
// wrote file. It keeps the store's previous data beside it, in a folder that it returns;
// "" if there was none. Afterwards the store has one member. Hosts that come back find
// that their revision was compacted away, and read everything again.
//
// adapt changes the restored store before any host sees it: the backup does not know which
// ids and addresses were assigned after it was made, and they must never be assigned
// again. The leases have ended by then.
//
// Restore refuses a file that is damaged or not a backup (kind Invalid), and then changes
// nothing.
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

	// Restore into a new folder, so that a failure leaves nothing half done.
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

// restoreInto creates a state directory with the store of a backup. was is the host's
// knowledge of its store.
func restoreInto(ctx context.Context, c Config, dir, file string, was identity, adapt func(context.Context, *kv.Client) error) error {
	if err := durable.PrivateDir(filepath.Join(dir, "etcd")); err != nil {
		return err
	}
	err := snapshot.NewV3(zapTo(ctx, c.Logger)).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, OutputDataDir: dataDir(dir),
		Name: memberName, PeerURLs: []string{alonePeerURL}, InitialCluster: memberName + "=" + alonePeerURL,
		InitialClusterToken: uuid.NewString(), // keeps members of the store's previous state out
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

// beginEpoch makes every host that follows the store read all of it again.
func (n *Node) beginEpoch(ctx context.Context, was identity) error {
	return n.kv.Call(ctx, "begin a new epoch of the store", func(ctx context.Context) error {
		r, err := n.client.Get(ctx, kv.NameKey)
		if err != nil {
			return err
		}
		// Opening has named a backup that had no name: no host knows that name.
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

// dropLeases ends the leases of the backup: they belong to processes at the time of the
// backup.
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

// replaceData replaces the data of one state directory by another's.
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
