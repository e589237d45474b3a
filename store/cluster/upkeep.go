package cluster

import (
	"context"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Health is the state of the store, as seen by the member that was asked.
type Health struct {
	URLs     []string // the URLs that this process uses
	Revision int64
	Version  string // of etcd
	Members  []Member
	Size     int64    // of the database, in bytes on disk
	InUse    int64    // in use, of Size; compacting frees the rest
	Faults   []string // such as a full database
}

// Health asks the store for its state. It works even while too few members answer.
func (n *Node) Health(ctx context.Context) (Health, error) {
	const op = "ask the store how it is"
	if err := n.faulty(op); err != nil {
		return Health{URLs: n.URLs()}, err
	}
	h := Health{URLs: n.URLs()}
	err := n.kv.Exchange(ctx, op, func(ctx context.Context) error {
		st, err := n.statusOfOne(ctx)
		if err != nil {
			return err
		}
		if h.Members, err = n.members(ctx); err != nil {
			return err
		}
		h.Revision, h.Version, h.Size, h.InUse = st.Header.Revision, st.Version, st.DbSize, st.DbSizeInUse
		h.Faults = append(h.Faults, st.Errors...)
		return nil
	})
	return h, err
}

// statusOfOne returns the status of the first member that answers.
func (n *Node) statusOfOne(ctx context.Context) (st *clientv3.StatusResponse, err error) {
	if n.server != nil {
		return n.client.Status(ctx, "") // the own member, whatever the name
	}
	for _, e := range n.cfg.Endpoints {
		limited, cancel := context.WithTimeout(ctx, n.cfg.Timeout/time.Duration(len(n.cfg.Endpoints)+1))
		st, err = n.client.Status(limited, e)
		cancel()
		if err == nil {
			return st, nil
		}
	}
	return nil, err
}

// Backup writes the whole store at one revision to w: a snapshot of etcd, which Restore
// accepts. If Backup fails, discard what it wrote.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.closed, cancel)()
	const op = "back up the store"
	if err := n.faulty(op); err != nil {
		return err
	}
	// A stream waits for its connection until ctx ends, which for a backup is long. So
	// first require one member to answer.
	limited, stop := context.WithTimeout(ctx, n.cfg.Timeout)
	_, err := n.statusOfOne(limited)
	stop()
	if err != nil {
		return n.kv.Failure(ctx, op, err)
	}
	r, err := n.client.Snapshot(ctx)
	if err != nil {
		return n.kv.Failure(ctx, op, err)
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil {
		return n.kv.Failure(ctx, op, err)
	}
	return nil
}

// Compact drops the history of earlier revisions, shrinks the database to its content, and
// lets a store that was full accept changes again. A host that was away for longer reads
// all of its span again. It returns the earliest revision left.
func (n *Node) Compact(ctx context.Context) (revision int64, err error) {
	const op = "compact the store"
	revision, err = n.Ping(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.closed, cancel)()
	if _, err := n.client.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		return 0, n.kv.Failure(ctx, op, err)
	}
	if err := n.defragment(ctx); err != nil {
		return revision, n.kv.Failure(ctx, op, err)
	}
	if _, err := n.client.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
		return revision, n.kv.Failure(ctx, op, err)
	}
	return revision, nil
}

// defragment frees the space that compacting has released, one member after the other: a
// member does not answer meanwhile.
func (n *Node) defragment(ctx context.Context) error {
	if n.server != nil {
		return n.server.Server.Backend().Defrag()
	}
	for _, e := range n.cfg.Endpoints {
		if _, err := n.client.Defragment(ctx, e); err != nil {
			return fmt.Errorf("at %s: %w", e, err)
		}
	}
	return nil
}

// Embedded reports whether this process runs a member of the store.
func (n *Node) Embedded() bool { return len(n.cfg.Endpoints) == 0 }
