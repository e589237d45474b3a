package cluster

import (
	"context"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Health is the state of the store, as the member that was asked sees it.
type Health struct {
	URLs     []string // where this process asks
	Revision int64
	Version  string // of etcd
	Members  []Member
	Size     int64    // of the database, in bytes on disk
	InUse    int64    // of that; compacting gives the rest back
	Faults   []string // such as a full database
}

// Health asks the store how it is. It works also while too few members answer.
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

// Backup writes the whole store, as it is at one moment, to w: a snapshot of etcd,
// which Restore takes. If Backup fails, discard what it wrote.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.closed, cancel)()
	const op = "back up the store"
	if err := n.faulty(op); err != nil {
		return err
	}
	// A stream waits for its connection as long as ctx lets it, which for a backup is
	// long. So one member has to answer first.
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

// Compact forgets how everything was at earlier revisions, makes the database as
// small as what is in it, and lets a store that was full take changes again. A
// host that was away longer reads all of its span again. It returns the revision
// that is the earliest now.
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

// defragment gives back what compacting has freed, one member after the other:
// a member does not answer meanwhile.
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

// Embedded says whether this process runs a member of the store.
func (n *Node) Embedded() bool { return len(n.cfg.Endpoints) == 0 }
