package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// The guard: what every host keeps every tenant from, whether or not the host follows the
// objects behind it. So the guard has its own keys, in which no tenant is named.

const (
	guardRoot  = kv.Root + "guard/"
	guardVTEPs = guardRoot + "vtep/"
	guardHosts = guardRoot + "host/"
)

// guardVTEPKey is the key of one peer: several may have the same VTEP.
func guardVTEPKey(a netip.Addr, peer intent.ID) string {
	return fmt.Sprintf("%s%s/%012x", guardVTEPs, sortable(a), uint64(peer))
}

func guardHostKey(host string) string { return guardHosts + host }

func guardCopy(stateDir string) string { return stateDir + "/guard.copy" }

// guardEvery is about how often the guard is compared with the objects it is made from:
// other hosts may run a build that does not know it.
const guardEvery = 5 * time.Minute

// guardPeer adds a new peer's VTEP to the guard.
func guardPeer(tx *kv.Txn, p intent.Peer) error {
	value, err := kv.Encode(intent.Guarded{VTEP: p.VTEP}, nil)
	if err != nil {
		return err
	}
	tx.Put(guardVTEPKey(p.VTEP, p.ID), value)
	return nil
}

// SetGuardedHost records a registered host's addresses, and the prefix in which its
// tunnels run.
func (s *Store) SetGuardedHost(ctx context.Context, g intent.Guarded) error {
	if err := intent.ValidateName("host", g.Host); err != nil {
		return err
	}
	return s.kv.Update(ctx, "tell of the addresses of host "+g.Host, func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(hostKey(g.Host)), kv.Key(guardHostKey(g.Host)))
		if err != nil {
			return err
		}
		if _, err := hostOf(v.One(0), g.Host); err != nil {
			return err
		}
		old := v.One(1)
		value, err := kv.Encode(g, old.Value)
		if err != nil || value == string(old.Value) {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(hostKey(g.Host), v.One(0).Revision)
		tx.Unchanged(guardHostKey(g.Host), old.Revision)
		tx.Put(guardHostKey(g.Host), value)
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}

// WatchGuard delivers the guard, at first and after changes, as WatchHosts delivers the
// list of hosts. The guard is also kept on disk (CopiedGuard).
func (s *Store) WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error {
	return watchList(ctx, s, "watch what tenants are kept from", guardRoot, guardCopy(s.stateDir), func(revision int64, all []intent.Guarded) {
		deliver(intent.GuardUpdate{Revision: revision, Guarded: all})
	})
}

// CopiedGuard returns the cached copy of the guard. It is empty where a build that did not
// know the guard has left copies of other things.
func (s *Store) CopiedGuard() (intent.GuardUpdate, bool) {
	path := guardCopy(s.stateDir)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		hosts, ok := s.CopiedHosts()
		return intent.GuardUpdate{Revision: hosts.Revision}, ok
	}
	guarded, revision, ok := copiedList[intent.Guarded](s, path)
	return intent.GuardUpdate{Revision: revision, Guarded: guarded}, ok
}

// KeepGuard keeps the guard correct until ctx ends, where hosts with a build that does not
// know it add and delete peers and remove hosts. A host that runs the store notices at
// once, others after some minutes.
func (s *Store) KeepGuard(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	if s.Embedded() {
		parts.Go(func() {
			err := s.kv.Watch(ctx, "watch peers for the guard", kv.Watcher{
				Key:     peersVTEPs,
				Opts:    []kv.Option{kv.Prefix(), kv.KeysOnly()},
				Load:    s.mendGuard,
				Changed: func(int64, []kv.Event) (reload bool) { return true },
			})
			if err != nil && ctx.Err() == nil && !s.kv.Closed() {
				s.log.Warn("cannot watch peers for the guard; comparing its list now and then", "error", err)
			}
		})
	}
	for {
		if _, err := s.mendGuard(ctx); err != nil && ctx.Err() == nil {
			s.log.Info("cannot compare the guard's list; trying again later", "error", err)
		}
		select {
		case <-time.After(guardEvery/2 + rand.N(guardEvery)):
		case <-ctx.Done():
			return nil
		}
	}
}

// mendGuard compares the guard's keys with the objects they are made from, repairs them,
// and returns the revision at which it compared.
func (s *Store) mendGuard(ctx context.Context) (revision int64, err error) {
	err = s.kv.Call(ctx, "compare the guard's list", func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Below(peersVTEPs), kv.Below(guardVTEPs, kv.KeysOnly()),
			kv.Below(guardHosts, kv.KeysOnly()), kv.Below(hostsRoot, kv.KeysOnly()))
		if err != nil {
			return err
		}
		revision = v.Revision
		peers, err := s.peersOf(ctx, v.Found[0])
		if err != nil {
			return err
		}
		have := map[string]int64{}
		for _, it := range slices.Concat(v.Found[1], v.Found[2]) {
			have[it.Key] = it.Revision
		}
		for _, it := range v.Found[3] {
			delete(have, guardHostKey(strings.TrimPrefix(it.Key, hostsRoot)))
		}
		vteps := map[string]string{} // by key of the peer, as spelled in keys
		for _, it := range v.Found[0] {
			if ref, ok := portName(string(it.Value)); ok {
				vtep, _, _ := strings.Cut(strings.TrimPrefix(it.Key, peersVTEPs), "/")
				vteps[peerKey(intent.PeerRef{Tenant: ref.Tenant, Network: ref.Network, Peer: ref.Port})] = vtep
			}
		}
		var changes []kv.Txn
		for _, it := range peers {
			p, err := objectOf[intent.Peer](it)
			if err != nil {
				// Hosts keep its last valid state: its VTEP stays denied.
				s.complain([]error{err})
				kept := guardVTEPs + vteps[it.Key] + "/"
				maps.DeleteFunc(have, func(k string, _ int64) bool { return strings.HasPrefix(k, kept) })
				continue
			}
			k := guardVTEPKey(p.VTEP, p.ID)
			if _, ok := have[k]; !ok {
				var tx kv.Txn
				tx.Unchanged(it.Key, it.Revision)
				if err := guardPeer(&tx, p); err != nil {
					return err
				}
				changes = append(changes, tx)
			}
			delete(have, k)
		}
		for k, at := range have {
			var tx kv.Txn
			tx.Unchanged(k, at)
			tx.Delete(k)
			changes = append(changes, tx)
		}
		for _, tx := range changes {
			if _, err := s.kv.Commit(ctx, &tx); err != nil && !errors.Is(err, kv.ErrStale) {
				return err // another host has changed the stale keys and notified the others
			}
		}
		if len(changes) > 0 {
			s.log.Info("corrected the guard's list: hosts of an earlier version changed peers without it", "keys", len(changes))
		}
		return nil
	})
	return revision, err
}

// peersOf reads the peers that index keys name, except those that no longer exist.
func (s *Store) peersOf(ctx context.Context, index []kv.Item) (peers []kv.Item, err error) {
	for chunk := range slices.Chunk(index, kv.MaxOps) {
		var ops []kv.Read
		for _, it := range chunk {
			ref, ok := portName(string(it.Value))
			if !ok {
				continue
			}
			ops = append(ops, kv.Key(peerKey(intent.PeerRef{Tenant: ref.Tenant, Network: ref.Network, Peer: ref.Port})))
		}
		v, err := s.kv.Read(ctx, ops...)
		if err != nil {
			return nil, err
		}
		for i := range v.Found {
			if it := v.One(i); it.Value != nil {
				peers = append(peers, it)
			}
		}
	}
	return peers, nil
}
