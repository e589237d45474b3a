package store

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ovloom/ovloom/intent"
)

// aliveValue says who holds a host's name.
type aliveValue struct {
	Instance string `json:"instance"`
}

// appliedValue says how far a host's switch has come.
type appliedValue struct {
	Revision int64            `json:"revision"`
	Tenants  map[string]int64 `json:"tenants"` // nil: Revision is that of all
}

// Register stores the host of this process, or what has changed of it, and
// returns it with its id. It is refused (kind Conflict) if another host or a peer
// has its VTEP address, or if another living process has its name.
func (s *Store) Register(ctx context.Context, h intent.Host) (intent.Host, error) {
	if err := h.Validate(); err != nil {
		return intent.Host{}, err
	}
	err := s.update(ctx, "register host "+h.Name, func(ctx context.Context) error {
		v, err := s.read(ctx, key(hostKey(h.Name)), key(aliveKey(h.Name)), key(vtepKey(h.VTEP)), below(hostsRoot))
		if err != nil {
			return err
		}
		it, alive, vtep := v.one(0), v.one(1), v.one(2)
		if err := s.ours(h.Name, alive); err != nil {
			return err
		}
		var old intent.Host
		if it.value != nil {
			if old, err = objectOf[intent.Host](it); errors.Is(err, errNewer) {
				return err
			}
			// What is not valid is written anew. Its VTEP address, if it had another, stays
			// taken.
			h.ID = old.ID
		}
		other, shared := sharesID(h, v.found[3])
		if h.ID == 0 || shared {
			if h.ID, err = s.newID(ctx); err != nil {
				return err
			}
		}
		value, err := encode(h, it.value)
		if err != nil || value == string(it.value) {
			return err
		}
		var tx txn
		tx.unchanged(hostKey(h.Name), it.revision)
		tx.unchanged(aliveKey(h.Name), alive.revision)
		tx.put(hostKey(h.Name), value)
		if h.VTEP != old.VTEP {
			if old.VTEP.IsValid() {
				tx.delete(vtepKey(old.VTEP))
			}
			if string(vtep.value) == h.Name {
				tx.unchanged(vtep.key, vtep.revision)
			} else {
				tx.take(vtepKey(h.VTEP), h.Name, func(holder string) error {
					return intent.Conflictf("VTEP address %s is taken by host %s", h.VTEP, holder).
						WithHint("give this host's own, or remove that host: ovloom host remove %s", holder)
				})
			}
			if err := s.noPeer(ctx, &tx, h); err != nil {
				return err
			}
			if err := s.noExternal(ctx, &tx, h.VTEP); err != nil {
				return err
			}
		}
		if _, err = s.commit(ctx, &tx); err == nil && shared {
			s.log.Warn("another host had this host's id; it has a new one now", "host", h.Name, "other", other, "was", old.ID, "id", h.ID)
		}
		return err
	})
	if err != nil {
		return intent.Host{}, err
	}
	return h, nil
}

// sharesID returns another host that has a host's id. Builds before this one could give
// the same to hosts that registered at once: their routers have one MAC then.
func sharesID(h intent.Host, hosts []item) (name string, shared bool) {
	for _, it := range hosts {
		o, err := decode[intent.Host](it.value) // also one that is not valid in other ways
		if err == nil && h.ID != 0 && o.ID == h.ID && it.key != hostKey(h.Name) {
			return it.key[len(hostsRoot):], true
		}
	}
	return "", false
}

// ours refuses a host name that another living process holds.
func (s *Store) ours(host string, alive item) error {
	if alive.value == nil {
		return nil
	}
	a, err := decode[aliveValue](alive.value)
	if err != nil {
		s.log.Warn("host's sign of life is not valid; writing it anew", "host", host, "error", err)
		return nil
	}
	if a.Instance != s.instance {
		return intent.Conflictf("host name %s is in use by another ovloomd", host).
			WithHint("give this one another with --host-name; if the other has just died, its name is free after 10 s")
	}
	return nil
}

// Hosts returns all registered hosts, ordered by name, as they were at one moment.
func (s *Store) Hosts(ctx context.Context) ([]intent.HostState, error) {
	var hosts []intent.HostState
	err := s.call(ctx, "list hosts", func(ctx context.Context) error {
		v, err := s.read(ctx, below(hostsRoot), below(aliveRoot, clientv3.WithKeysOnly()), below(appliedRoot))
		if err != nil {
			return err
		}
		alive := map[string]bool{}
		for _, it := range v.found[1] {
			alive[it.key[len(aliveRoot):]] = true
		}
		applied := map[string]int64{}
		for _, it := range v.found[2] {
			a, err := decode[appliedValue](it.value)
			if err != nil {
				continue // it writes it anew
			}
			applied[it.key[len(appliedRoot):]] = a.Revision
		}
		hosts = nil // of an earlier attempt
		var bad []error
		defer func() { s.reviewed(hostsRoot, bad) }()
		for _, it := range v.found[0] {
			h, err := objectOf[intent.Host](it)
			if err != nil {
				bad = append(bad, err)
				continue
			}
			hosts = append(hosts, intent.HostState{Host: h, Alive: alive[h.Name], Applied: applied[h.Name]})
		}
		return nil
	})
	return hosts, err
}

// HostUsers lists what RemoveHost with cascade would delete besides the host:
// its bindings, "binding acme/web/c1 on host1".
func (s *Store) HostUsers(ctx context.Context, name string) ([]string, error) {
	refs, err := s.ClaimedBy(ctx, name)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, ref := range refs {
		users = append(users, intent.BindingName(ref, name))
	}
	return users, nil
}

// ClaimedBy returns the ports that a host claims.
func (s *Store) ClaimedBy(ctx context.Context, host string) ([]intent.PortRef, error) {
	all, _, err := s.list(ctx, "read host "+host, boundHost(host), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	var refs []intent.PortRef
	for _, it := range all {
		if ref, ok := portName(it.key[len(boundHost(host)):]); ok {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// RemoveHost deletes a host. While its ovloomd lives or it claims ports, that is
// refused (kind InUse), or with cascade its claims are released first. The addresses
// that it has taken for the SNAT of tenants are given back. Returns
// what was deleted and the revision of the last change, also when it fails
// half-way.
func (s *Store) RemoveHost(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	if err := intent.ValidateName("host", name); err != nil {
		return nil, 0, err
	}
	what := "host " + name
	refs, err := s.ClaimedBy(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	if err := s.removable(ctx, name, refs, cascade); err != nil {
		return nil, 0, err
	}
	for len(refs) > 0 {
		n := min(len(refs), txnOps/4)
		r, names, err := s.releaseAll(ctx, name, refs[:n])
		if err != nil {
			return deleted, revision, stopped(what, deleted, err)
		}
		deleted, revision, refs = append(deleted, names...), max(revision, r), refs[n:]
	}
	err = s.update(ctx, "remove "+what, func(ctx context.Context) error {
		v, err := s.read(ctx, key(hostKey(name)), below(boundHost(name), clientv3.WithLimit(10)), below(natOfHost(name)), below(vtepRoot))
		if err != nil {
			return err
		}
		it := v.one(0)
		if it.value == nil {
			return noHost(name)
		}
		if len(v.found[1]) > 0 { // claimed since the plan was made: the host lives
			var users []string
			for _, b := range v.found[1] {
				users = append(users, "binding "+string(b.value)+" on "+name)
			}
			return intent.InUseBy(what, users)
		}
		if len(v.found[2]) > 0 {
			if revision, err = s.dropNATAddresses(ctx, natAddressesIn(name, v.found[2])); err != nil {
				return err
			}
		}
		var tx txn
		tx.unchanged(it.key, it.revision)
		if !cascade {
			tx.vacant(aliveKey(name), func(string) error { return hostLives(name) })
		}
		tx.emptyBelow(boundHost(name))
		tx.emptyBelow(natOfHost(name))
		tx.delete(it.key)
		for _, i := range v.found[3] { // the host itself may not be valid
			if string(i.value) == name {
				tx.delete(i.key)
			}
		}
		tx.delete(aliveKey(name))
		tx.delete(appliedKey(name))
		tx.delete(guardHostKey(name))
		revision, err = s.commit(ctx, &tx)
		return err
	})
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, what), revision, nil
}

func (s *Store) removable(ctx context.Context, name string, refs []intent.PortRef, cascade bool) error {
	return s.call(ctx, "remove host "+name, func(ctx context.Context) error {
		v, err := s.read(ctx, key(hostKey(name)), key(aliveKey(name)))
		if err != nil {
			return err
		}
		if v.one(0).value == nil {
			return noHost(name)
		}
		if cascade {
			return nil
		}
		if v.one(1).value != nil {
			return hostLives(name)
		}
		var users []string
		for _, ref := range refs {
			users = append(users, intent.BindingName(ref, name))
		}
		if len(users) > 0 {
			return intent.InUseBy("host "+name, users)
		}
		return nil
	})
}

func hostLives(name string) error {
	return intent.InUseBy("host "+name, []string{"its running ovloomd"}).
		WithHint("run there: ovloom host leave; or stop its ovloomd and wait 10 s; or give --cascade")
}

func hostOf(it item, name string) (intent.Host, error) {
	if it.value == nil {
		return intent.Host{}, noHost(name)
	}
	return objectOf[intent.Host](it)
}

func noHost(name string) *intent.Error {
	return intent.NotFoundf("host %s does not exist", name).WithHint("see: ovloom host list")
}

// releaseAll deletes a host's claims of the given ports, as many as fit in one
// transaction.
func (s *Store) releaseAll(ctx context.Context, host string, refs []intent.PortRef) (revision int64, names []string, err error) {
	err = s.update(ctx, "release the ports of host "+host, func(ctx context.Context) error {
		var tx txn
		names = nil
		for _, ref := range refs {
			tx.delete(bindingKey(ref, host))
			tx.delete(boundKey(host, ref))
			names = append(names, intent.BindingName(ref, host))
		}
		revision, err = s.commit(ctx, &tx)
		return err
	})
	return revision, names, err
}
