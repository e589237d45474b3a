package store

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// Deleting goes from what refers to what is referred to: what leads to ports from
// outside, bindings with their port, ports, peers, routes, networks, SNAT, tenant. Each
// transaction leaves the store consistent, so that a deletion that stopped half-way is
// finished by asking for it again.

// DeleteTenant deletes a tenant. With networks or NAT it is refused with all that is
// below it (kind InUse), or with cascade deletes that first. Returns what was
// deleted, as TenantUsers names it, and the revision of the last change, also
// when it fails half-way.
func (s *Store) DeleteTenant(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	if _, err := s.Tenant(ctx, name); err != nil {
		return nil, 0, err
	}
	what := "tenant " + name
	p, err := s.planTenant(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	if users := p.names(); len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	if deleted, revision, err = s.deletePlanned(ctx, p); err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		v, err := s.read(ctx, key(tenantKey(name)), below(networksRoot(name), clientv3.WithLimit(10), clientv3.WithKeysOnly()),
			below(natRoot(name), clientv3.WithLimit(10), clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		t, it, err := tenantOf(v.one(0), name)
		if err != nil {
			return err
		}
		if users := found(slices.Concat(v.found[1], v.found[2])); len(users) > 0 { // added since the plan was made, so the user was not asked
			return intent.InUseBy(what, users)
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.emptyBelow(networksRoot(name)) // and so no route: each leads into a network
		tx.emptyBelow(natRoot(name))
		tx.delete(it.key)
		tx.delete(vrfKey(t.VRF))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, what), revision, nil
}

// DeleteNetwork deletes a network. With ports or peers, or with routes that have a
// next hop in it, it is refused with all of that (kind InUse), or with cascade deletes
// that first. Returns what was deleted and the revision of the last change, also when
// it fails half-way.
func (s *Store) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) (deleted []string, revision int64, err error) {
	n, err := s.Network(ctx, ref)
	if err != nil {
		return nil, 0, err
	}
	what := "network " + ref.String()
	p, err := s.planNetwork(ctx, n)
	if err != nil {
		return nil, 0, err
	}
	if users := p.names(); len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	if deleted, revision, err = s.deletePlanned(ctx, p); err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	r, err := s.deleteNetwork(ctx, ref)
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, what), r, nil
}

// DeletePort deletes a port. While hosts claim it, or a floating address or forwards
// lead to it, it is refused with those (kind InUse), or with cascade deletes those too.
// Returns what was deleted and the revision of the last change, also when it fails
// half-way.
func (s *Store) DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) (deleted []string, revision int64, err error) {
	if _, err := s.Port(ctx, ref); err != nil {
		return nil, 0, err
	}
	what := "port " + ref.String()
	p, users, err := s.planPort(ctx, ref)
	if err != nil {
		return nil, 0, err
	}
	if len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	if deleted, revision, err = s.deletePlanned(ctx, p); err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	var names []string
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		v, err := s.read(ctx, portReads(ref)...)
		if err != nil {
			return err
		}
		if _, _, err := portOf(v.one(0), ref); err != nil {
			return err
		}
		if users := found(v.found[1]); len(users) > 0 && !cascade {
			return intent.InUseBy(what, users)
		}
		var tx txn
		if names, err = deletePort(&tx, v); err != nil {
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, names...), revision, nil
}

// portReads is what deletePort must know.
func portReads(ref intent.PortRef) []clientv3.Op {
	return []clientv3.Op{key(portKey(ref)), below(claimsRoot(ref)),
		below(floatingsOf(ref), clientv3.WithLimit(10)), below(targetsOf(ref), clientv3.WithLimit(10))}
}

// deletePort adds to tx what deletes a port, its claims and its index keys, as v
// found them with portReads, and returns their names. It is refused (kind InUse) if
// the port was made reachable from outside since that was deleted.
func deletePort(tx *txn, v view) ([]string, error) {
	it, claims := v.one(0), v.found[1]
	p, err := objectOf[intent.Port](it)
	if err != nil {
		return nil, err
	}
	ref, network := p.Ref(), p.Ref().NetworkRef()
	if users := reachedBy(v.found[2], v.found[3]).names(); len(users) > 0 {
		return nil, intent.InUseBy("port "+ref.String(), users)
	}
	tx.unchanged(it.key, it.revision)
	tx.quietBelow(claimsRoot(ref), v.revision)
	tx.emptyBelow(floatingsOf(ref))
	tx.emptyBelow(targetsOf(ref))
	for _, c := range claims {
		b, ok := named(c.key).(intent.Binding)
		if !ok {
			return nil, fmt.Errorf("%w key %s: no binding", errUnreadable, c.key)
		}
		tx.delete(c.key)
		tx.delete(boundKey(b.Host, ref))
	}
	tx.delete(claimKey(ref))
	tx.delete(it.key)
	tx.delete(uuidKey(p.UUID))
	tx.delete(macKey(network, p.MAC))
	for _, a := range p.Addrs {
		tx.delete(addrKey(network, a))
	}
	return append(found(claims), "port "+ref.String()), nil
}

// found names objects as users read them.
func found(its []item) []string {
	var out []string
	for _, it := range its {
		out = append(out, intent.ObjectName(named(it.key)))
	}
	return out
}

// deletePlanned deletes all of a plan. Those of which there are few are deleted one by
// one; one that somebody else has deleted is left out.
func (s *Store) deletePlanned(ctx context.Context, p plan) (deleted []string, revision int64, err error) {
	did := func(names []string, r int64, err error) error {
		deleted, revision = append(deleted, names...), max(revision, r)
		if intent.KindOf(err) == intent.NotFound {
			return nil
		}
		return err
	}
	for _, ref := range p.floatings {
		if err := did(s.DeleteFloating(ctx, ref)); err != nil {
			return deleted, revision, err
		}
	}
	for _, ref := range p.forwards {
		if err := did(s.DeleteForward(ctx, ref)); err != nil {
			return deleted, revision, err
		}
	}
	if err := did(s.deletePorts(ctx, p.ports)); err != nil {
		return deleted, revision, err
	}
	for _, ref := range p.peers {
		if err := did(s.DeletePeer(ctx, ref)); err != nil {
			return deleted, revision, err
		}
	}
	for _, ref := range p.routes {
		if err := did(s.DeleteRoute(ctx, ref)); err != nil {
			return deleted, revision, err
		}
	}
	for _, ref := range p.networks {
		r, err := s.deleteNetwork(ctx, ref)
		if err != nil {
			return deleted, revision, err
		}
		deleted, revision = append(deleted, "network "+ref.String()), max(revision, r)
	}
	for _, ref := range p.snats {
		if err := did(s.DeleteSNAT(ctx, ref)); err != nil {
			return deleted, revision, err
		}
	}
	return deleted, revision, nil
}

// deletePorts deletes ports with their claims, as many as fit in each transaction.
func (s *Store) deletePorts(ctx context.Context, refs []intent.PortRef) (deleted []string, revision int64, err error) {
	for len(refs) > 0 {
		var done int
		var names []string
		err := s.update(ctx, "delete ports", func(ctx context.Context) error {
			var reads []clientv3.Op
			for _, ref := range refs[:min(len(refs), txnOps/8)] {
				reads = append(reads, portReads(ref)...)
			}
			v, err := s.read(ctx, reads...)
			if err != nil {
				return err
			}
			var tx txn
			names, done = nil, 0
			for found := range slices.Chunk(v.found, len(portReads(intent.PortRef{}))) {
				port := view{v.revision, found}
				if port.one(0).value == nil { // somebody else was faster
					done++
					continue
				}
				var one txn
				n, err := deletePort(&one, port)
				if err != nil {
					return err
				}
				if done > 0 && tx.size()+one.size() > txnOps {
					break
				}
				tx.must, tx.then = append(tx.must, one.must...), append(tx.then, one.then...)
				names = append(names, n...)
				done++
			}
			if len(tx.then) == 0 {
				return nil
			}
			r, err := s.commit(ctx, &tx)
			revision = max(revision, r) // 0 if it failed
			return err
		})
		if err != nil {
			return deleted, revision, err
		}
		deleted = append(deleted, names...)
		refs = refs[done:]
	}
	return deleted, revision, nil
}

// deleteNetwork deletes a network without ports, peers and routes into it.
func (s *Store) deleteNetwork(ctx context.Context, ref intent.NetworkRef) (revision int64, err error) {
	err = s.update(ctx, "delete network "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(networkKey(ref)), below(portsRoot(ref), clientv3.WithLimit(10), clientv3.WithKeysOnly()),
			below(peersRoot(ref), clientv3.WithLimit(10), clientv3.WithKeysOnly()), below(routesRoot(ref.Tenant)))
		if err != nil {
			return err
		}
		n, it, err := networkOf(v.one(0), ref)
		if err != nil {
			return err
		}
		var p plan
		if p.routes, err = routesVia(n, v.found[3]); err != nil {
			return err
		}
		if users := append(found(slices.Concat(v.found[1], v.found[2])), p.names()...); len(users) > 0 { // added since the plan was made, so the user was not asked
			return intent.InUseBy("network "+ref.String(), users)
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.emptyBelow(portsRoot(ref))
		tx.emptyBelow(peersRoot(ref))
		tx.quietBelow(routesRoot(ref.Tenant), v.revision)
		tx.delete(it.key)
		tx.delete(vniKey(n.VNI))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	return revision, err
}

// stopped says of a deletion that failed half-way what it has done.
func stopped(what string, deleted []string, err error) error {
	if len(deleted) == 0 {
		return err
	}
	e := &intent.Error{Kind: intent.KindOf(err), What: fmt.Sprintf("deleting %s stopped half-way: %v", what, err), Err: err}
	return e.WithHint("%d objects are deleted, up to %s: ask again to delete the rest", len(deleted), deleted[len(deleted)-1])
}
