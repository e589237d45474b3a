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

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// What every host keeps every tenant from, whether it follows that tenant's objects or
// not: so it has keys of its own, in which no tenant is named.

const (
	guardRoot  = root + "guard/"
	guardVTEPs = guardRoot + "vtep/"
	guardHosts = guardRoot + "host/"
)

// guardVTEPKey is of one peer: several may have the same VTEP.
func guardVTEPKey(a netip.Addr, peer intent.ID) string {
	return fmt.Sprintf("%s%s/%012x", guardVTEPs, sortable(a), uint64(peer))
}

func guardHostKey(host string) string { return guardHosts + host }

func guardCopy(stateDir string) string { return stateDir + "/guard.copy" }

// guardEvery is how often the list is compared with what it is made of, about: other
// hosts may run a build that does not know it.
const guardEvery = 5 * time.Minute

// guardPeer makes a new peer's VTEP known.
func guardPeer(tx *txn, p intent.Peer) error {
	value, err := encode(intent.Guarded{VTEP: p.VTEP}, nil)
	if err != nil {
		return err
	}
	tx.put(guardVTEPKey(p.VTEP, p.ID), value)
	return nil
}

// SetGuardedHost says which addresses a registered host has, and in which prefix its
// tunnels run.
func (s *Store) SetGuardedHost(ctx context.Context, g intent.Guarded) error {
	if err := intent.ValidateName("host", g.Host); err != nil {
		return err
	}
	return s.update(ctx, "tell of the addresses of host "+g.Host, func(ctx context.Context) error {
		v, err := s.read(ctx, key(hostKey(g.Host)), key(guardHostKey(g.Host)))
		if err != nil {
			return err
		}
		if _, err := hostOf(v.one(0), g.Host); err != nil {
			return err
		}
		old := v.one(1)
		value, err := encode(g, old.value)
		if err != nil || value == string(old.value) {
			return err
		}
		var tx txn
		tx.unchanged(hostKey(g.Host), v.one(0).revision)
		tx.unchanged(guardHostKey(g.Host), old.revision)
		tx.put(guardHostKey(g.Host), value)
		_, err = s.commit(ctx, &tx)
		return err
	})
}

// WatchGuard tells deliver what every host keeps tenants from, at first and after
// changes, as WatchHosts tells the list of hosts. It is also kept on disk (CopiedGuard).
func (s *Store) WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error {
	return watchList(ctx, s, "watch what tenants are kept from", guardRoot, guardCopy(s.cfg.StateDir), func(revision int64, all []intent.Guarded) {
		deliver(intent.GuardUpdate{Revision: revision, Guarded: all})
	})
}

// CopiedGuard returns the copy on disk of what every host keeps tenants from. Where a
// build that did not know it has left copies of other things, it is empty.
func (s *Store) CopiedGuard() (intent.GuardUpdate, bool) {
	path := guardCopy(s.cfg.StateDir)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		hosts, ok := s.CopiedHosts()
		return intent.GuardUpdate{Revision: hosts.Revision}, ok
	}
	guarded, revision, ok := copiedList[intent.Guarded](s, path)
	return intent.GuardUpdate{Revision: revision, Guarded: guarded}, ok
}

// KeepGuard makes up, until ctx ends, for hosts of a build that does not know what is
// kept for the guard: they add and delete peers, and remove hosts, without telling it. A
// host that runs the store sees that at once, others after some minutes.
func (s *Store) KeepGuard(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	if s.Embedded() {
		parts.Go(func() {
			err := s.watch(ctx, "watch peers for the guard", watcher{
				key:     peersVTEPs,
				opts:    []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly()},
				load:    s.mendGuard,
				changed: func(int64, []event) (reload bool) { return true },
			})
			if err != nil && ctx.Err() == nil && s.closed.Err() == nil {
				s.log.Warn("the guard's list is compared only now and then", "err", err)
			}
		})
	}
	for {
		if _, err := s.mendGuard(ctx); err != nil && ctx.Err() == nil {
			s.log.Info("the guard's list cannot be compared now", "err", err)
		}
		select {
		case <-time.After(guardEvery/2 + rand.N(guardEvery)):
		case <-ctx.Done():
			return nil
		}
	}
}

// mendGuard compares what is kept for the guard with what it is made of, mends it, and
// returns the revision that it looked at.
func (s *Store) mendGuard(ctx context.Context) (revision int64, err error) {
	err = s.call(ctx, "compare the guard's list", func(ctx context.Context) error {
		v, err := s.read(ctx, below(peersVTEPs), below(guardVTEPs, clientv3.WithKeysOnly()),
			below(guardHosts, clientv3.WithKeysOnly()), below(hostsRoot, clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		revision = v.revision
		peers, err := s.peersOf(ctx, v.found[0])
		if err != nil {
			return err
		}
		have := map[string]int64{}
		for _, it := range slices.Concat(v.found[1], v.found[2]) {
			have[it.key] = it.revision
		}
		for _, it := range v.found[3] {
			delete(have, guardHostKey(strings.TrimPrefix(it.key, hostsRoot)))
		}
		vteps := map[string]string{} // by key of the peer, as keys spell them
		for _, it := range v.found[0] {
			if ref, ok := portName(string(it.value)); ok {
				vtep, _, _ := strings.Cut(strings.TrimPrefix(it.key, peersVTEPs), "/")
				vteps[peerKey(intent.PeerRef{Tenant: ref.Tenant, Network: ref.Network, Peer: ref.Port})] = vtep
			}
		}
		var changes []txn
		for _, it := range peers {
			p, err := objectOf[intent.Peer](it)
			if err != nil {
				// Hosts go on with its last valid state: its VTEP stays denied.
				s.complain([]error{err})
				kept := guardVTEPs + vteps[it.key] + "/"
				maps.DeleteFunc(have, func(k string, _ int64) bool { return strings.HasPrefix(k, kept) })
				continue
			}
			k := guardVTEPKey(p.VTEP, p.ID)
			if _, ok := have[k]; !ok {
				var tx txn
				tx.unchanged(it.key, it.revision)
				if err := guardPeer(&tx, p); err != nil {
					return err
				}
				changes = append(changes, tx)
			}
			delete(have, k)
		}
		for k, at := range have {
			var tx txn
			tx.unchanged(k, at)
			tx.delete(k)
			changes = append(changes, tx)
		}
		for _, tx := range changes {
			if _, err := s.commit(ctx, &tx); err != nil && !errors.Is(err, errStale) {
				return err // what was stale another has changed, and told of
			}
		}
		if len(changes) > 0 {
			s.log.Info("the guard's list was made up for what others changed", "keys", len(changes))
		}
		return nil
	})
	return revision, err
}

// peersOf reads the peers that index keys name; those that are gone are left out.
func (s *Store) peersOf(ctx context.Context, index []item) (peers []item, err error) {
	for chunk := range slices.Chunk(index, txnOps) {
		var ops []clientv3.Op
		for _, it := range chunk {
			ref, ok := portName(string(it.value))
			if !ok {
				continue
			}
			ops = append(ops, key(peerKey(intent.PeerRef{Tenant: ref.Tenant, Network: ref.Network, Peer: ref.Port})))
		}
		v, err := s.read(ctx, ops...)
		if err != nil {
			return nil, err
		}
		for i := range v.found {
			if it := v.one(i); it.value != nil {
				peers = append(peers, it)
			}
		}
	}
	return peers, nil
}
