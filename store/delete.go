package store

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// Deleting goes from what refers to what is referred to: bindings with their
// port, ports, peers, networks, tenant. Each transaction leaves the store consistent,
// so that a deletion that stopped half-way is finished by asking for it again.

// plan is what is below an object that is to be deleted, in order of deletion.
type plan struct {
	bindings map[intent.PortRef][]string // hosts
	ports    []intent.PortRef
	peers    []intent.PeerRef
	networks []intent.NetworkRef
}

// names lists the plan as a user reads it, each binding before its port.
func (p plan) names() []string {
	var out []string
	for _, ref := range p.ports {
		for _, host := range p.bindings[ref] {
			out = append(out, bindingName(ref, host))
		}
		out = append(out, "port "+ref.String())
	}
	for _, ref := range p.peers {
		out = append(out, "peer "+ref.String())
	}
	for _, ref := range p.networks {
		out = append(out, "network "+ref.String())
	}
	return out
}

func bindingName(ref intent.PortRef, host string) string {
	return fmt.Sprintf("binding %s on %s", ref, host)
}

// plan reads what is below a tenant, or below one of its networks.
func (s *Store) plan(ctx context.Context, tenant, network string) (plan, error) {
	p := plan{bindings: map[intent.PortRef][]string{}}
	all, _, err := s.list(ctx, "read tenant "+tenant, tenantRoot(tenant), clientv3.WithKeysOnly())
	if err != nil {
		return p, err
	}
	for _, it := range all {
		switch o := named(it.key).(type) {
		case intent.Network:
			if network == "" {
				p.networks = append(p.networks, o.Ref())
			}
		case intent.Port:
			if network == "" || o.Network == network {
				p.ports = append(p.ports, o.Ref())
			}
		case intent.Peer:
			if network == "" || o.Network == network {
				p.peers = append(p.peers, o.Ref())
			}
		case intent.Binding:
			p.bindings[o.PortRef()] = append(p.bindings[o.PortRef()], o.Host)
		}
	}
	return p, nil
}

// TenantUsers lists what DeleteTenant with cascade would delete besides the
// tenant, in order: "binding acme/web/c1 on host1", "port acme/web/c1",
// "peer acme/web/tor1", "network acme/web".
func (s *Store) TenantUsers(ctx context.Context, name string) ([]string, error) {
	if _, err := s.Tenant(ctx, name); err != nil {
		return nil, err
	}
	p, err := s.plan(ctx, name, "")
	return p.names(), err
}

// NetworkUsers lists what DeleteNetwork with cascade would delete besides the network.
func (s *Store) NetworkUsers(ctx context.Context, ref intent.NetworkRef) ([]string, error) {
	if _, err := s.Network(ctx, ref); err != nil {
		return nil, err
	}
	p, err := s.plan(ctx, ref.Tenant, ref.Network)
	return p.names(), err
}

// PortUsers lists what DeletePort with cascade would delete besides the port.
func (s *Store) PortUsers(ctx context.Context, ref intent.PortRef) ([]string, error) {
	if _, err := s.Port(ctx, ref); err != nil {
		return nil, err
	}
	claims, err := s.Bindings(ctx, ref)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, b := range claims {
		users = append(users, bindingName(ref, b.Host))
	}
	return users, nil
}

// DeleteTenant deletes a tenant. With networks it is refused with all that is
// below it (kind InUse), or with cascade deletes that first. Returns what was
// deleted, as TenantUsers names it, and the revision of the last change, also
// when it fails half-way.
func (s *Store) DeleteTenant(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	users, err := s.TenantUsers(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	what := "tenant " + name
	if len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	p, err := s.plan(ctx, name, "")
	if err != nil {
		return nil, 0, err
	}
	if deleted, revision, err = s.deleteMembers(ctx, p); err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	for _, ref := range p.networks {
		r, err := s.deleteNetwork(ctx, ref)
		if err != nil {
			return deleted, revision, stopped(what, deleted, err)
		}
		revision = max(revision, r)
		deleted = append(deleted, "network "+ref.String())
	}
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		v, err := s.read(ctx, key(tenantKey(name)), below(networksRoot(name), clientv3.WithLimit(10), clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		t, it, err := tenantOf(v.one(0), name)
		if err != nil {
			return err
		}
		if len(v.found[1]) > 0 { // added since the plan was made, so the user was not asked
			return intent.InUseBy(what, found(v.found[1]))
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.emptyBelow(networksRoot(name))
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

// DeleteNetwork deletes a network. With ports it is refused with all that is
// below it (kind InUse), or with cascade deletes that first. Returns what was
// deleted and the revision of the last change, also when it fails half-way.
func (s *Store) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) (deleted []string, revision int64, err error) {
	if _, err := s.Network(ctx, ref); err != nil {
		return nil, 0, err
	}
	what := "network " + ref.String()
	p, err := s.plan(ctx, ref.Tenant, ref.Network)
	if err != nil {
		return nil, 0, err
	}
	if len(p.ports)+len(p.peers) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, p.names())
	}
	if deleted, revision, err = s.deleteMembers(ctx, p); err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	r, err := s.deleteNetwork(ctx, ref)
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, what), r, nil
}

// DeletePort deletes a port. While hosts claim it, it is refused with their
// bindings (kind InUse), or with cascade deletes those too.
func (s *Store) DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) (deleted []string, revision int64, err error) {
	users, err := s.PortUsers(ctx, ref)
	if err != nil {
		return nil, 0, err
	}
	what := "port " + ref.String()
	if len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy(what, users)
	}
	err = s.update(ctx, "delete "+what, func(ctx context.Context) error {
		v, err := s.read(ctx, key(portKey(ref)), below(claimsRoot(ref)))
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
		if deleted, err = deletePort(&tx, v.one(0), v.found[1], v.revision); err != nil {
			return err
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return deleted, revision, nil
}

// deletePort adds to tx what deletes a port, its claims and its index keys, as
// they were read at revision, and returns their names.
func deletePort(tx *txn, it item, claims []item, revision int64) ([]string, error) {
	p, err := decode[intent.Port](it.value)
	if err != nil {
		return nil, err
	}
	ref, network := p.Ref(), p.Ref().NetworkRef()
	tx.unchanged(it.key, it.revision)
	tx.quietBelow(claimsRoot(ref), revision)
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

// found names bindings, networks, ports and peers as users read them.
func found(its []item) []string {
	var out []string
	for _, it := range its {
		switch o := named(it.key).(type) {
		case intent.Binding:
			out = append(out, bindingName(o.PortRef(), o.Host))
		case intent.Network:
			out = append(out, "network "+o.Ref().String())
		case intent.Port:
			out = append(out, "port "+o.Ref().String())
		case intent.Peer:
			out = append(out, "peer "+o.Ref().String())
		}
	}
	return out
}

// deleteMembers deletes the ports and peers of a plan.
func (s *Store) deleteMembers(ctx context.Context, p plan) (deleted []string, revision int64, err error) {
	deleted, revision, err = s.deletePorts(ctx, p.ports)
	if err != nil {
		return deleted, revision, err
	}
	peers, r, err := s.deletePeers(ctx, p.peers)
	return append(deleted, peers...), max(revision, r), err
}

// deletePorts deletes ports with their claims, as many as fit in each transaction.
func (s *Store) deletePorts(ctx context.Context, refs []intent.PortRef) (deleted []string, revision int64, err error) {
	for len(refs) > 0 {
		var done int
		var names []string
		err := s.update(ctx, "delete ports", func(ctx context.Context) error {
			var reads []clientv3.Op
			for _, ref := range refs[:min(len(refs), txnOps/8)] {
				reads = append(reads, key(portKey(ref)), below(claimsRoot(ref)))
			}
			v, err := s.read(ctx, reads...)
			if err != nil {
				return err
			}
			var tx txn
			names, done = nil, 0
			for i := 0; i < len(reads); i += 2 {
				if v.one(i).value == nil { // somebody else was faster
					done++
					continue
				}
				var one txn
				n, err := deletePort(&one, v.one(i), v.found[i+1], v.revision)
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
			revision, err = s.commit(ctx, &tx)
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

// deleteNetwork deletes a network without ports and peers.
func (s *Store) deleteNetwork(ctx context.Context, ref intent.NetworkRef) (revision int64, err error) {
	err = s.update(ctx, "delete network "+ref.String(), func(ctx context.Context) error {
		v, err := s.read(ctx, key(networkKey(ref)), below(portsRoot(ref), clientv3.WithLimit(10), clientv3.WithKeysOnly()),
			below(peersRoot(ref), clientv3.WithLimit(10), clientv3.WithKeysOnly()))
		if err != nil {
			return err
		}
		n, it, err := networkOf(v.one(0), ref)
		if err != nil {
			return err
		}
		if users := found(slices.Concat(v.found[1], v.found[2])); len(users) > 0 { // added since the plan was made, so the user was not asked
			return intent.InUseBy("network "+ref.String(), users)
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		tx.emptyBelow(portsRoot(ref))
		tx.emptyBelow(peersRoot(ref))
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
