package store

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/store/kv"
)

// Store is an open store. Its methods are safe for concurrent use. The methods of its Node
// concern what runs the store: members, backups, its health.
type Store struct {
	*cluster.Node

	// Set by Open.
	kv              *kv.Client
	log             *slog.Logger
	stateDir        string
	ids, vnis, vrfs *kv.Counter
	addrs           addrPool

	leftOutMu sync.Mutex
	leftOut   map[string]LeftOut // by key; guarded by leftOutMu
}

// Open opens the store, as cluster.Open does. This host's cached copies tell the node
// which store they are of.
func Open(ctx context.Context, c cluster.Config) (*Store, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	others := c.Traces
	c.Traces = func() []string {
		traces := tracesOf(c.StateDir)
		if others != nil {
			traces = append(traces, others()...)
		}
		return traces
	}
	c.Copied = func() int64 { return copiedRevision(c.StateDir) }
	n, err := cluster.Open(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := kv.SweepCopies(c.StateDir, spanDir(c.StateDir)); err != nil {
		c.Logger.Warn("cannot remove cached copies that are half written", "error", err)
	}
	s := &Store{Node: n, kv: n.KV(), log: c.Logger, stateDir: c.StateDir, leftOut: map[string]LeftOut{}}
	s.ids = kv.NewCounter(s.kv, idCounter, 64)
	s.vnis = kv.NewCounter(s.kv, vniCounter, 16)
	s.vrfs = kv.NewCounter(s.kv, vrfCounter, 16)
	s.addrs = newAddrPool(s)
	return s, nil
}

// tracesOf describes the copies on disk of a store that this host has seen.
func tracesOf(stateDir string) []string {
	if copies, err := filepath.Glob(spanCopy(stateDir, "*")); err == nil && len(copies) > 0 {
		return []string{fmt.Sprintf("copies of %d tenants", len(copies))}
	}
	if _, err := os.Stat(hostsCopy(stateDir)); err == nil {
		return []string{"a copy of the list of hosts"}
	}
	return nil
}

// copiedRevision returns the highest revision of the copies on disk.
func copiedRevision(stateDir string) int64 {
	paths, err := filepath.Glob(spanCopy(stateDir, "*"))
	if err != nil {
		return 0
	}
	var highest int64
	for _, path := range append(paths, hostsCopy(stateDir), externalsCopy(stateDir)) {
		highest = max(highest, kv.CopiedRevision(path))
	}
	return highest
}

// AddMember makes the store expect a new member of the cluster, and returns what its
// ovloomd has to be given. peer is the URL where the others will reach it; empty: at the
// VTEP address of the host with that name. See cluster.Node.AddMember.
func (s *Store) AddMember(ctx context.Context, name, peer string) (cluster.Joining, error) {
	return s.Node.AddMember(ctx, name, peer, func(ctx context.Context) (netip.Addr, bool, error) {
		hosts, err := s.Hosts(ctx)
		if err != nil {
			return netip.Addr{}, false, err
		}
		for _, h := range hosts {
			if h.Name == name {
				return h.VTEP, true, nil
			}
		}
		return netip.Addr{}, false, nil
	})
}
