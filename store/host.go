package store

import (
	"context"
	"errors"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// aliveValue identifies the holder of a host's name.
type aliveValue struct {
	Instance string `json:"instance"`
}

// appliedValue is the progress of a host's switch.
type appliedValue struct {
	Revision int64            `json:"revision"`
	Tenants  map[string]int64 `json:"tenants"` // nil: Revision holds for all
}

// Register stores this process's host, or its changes, and returns it with its id. It
// refuses (kind Conflict) if another host or a peer has its VTEP address, or if another
// living process has its name.
func (s *Store) Register(ctx context.Context, h intent.Host) (intent.Host, error) {
	if err := h.Validate(); err != nil {
		return intent.Host{}, err
	}
	err := s.kv.Update(ctx, "register host "+h.Name, func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(hostKey(h.Name)), kv.Key(aliveKey(h.Name)), kv.Key(vtepKey(h.VTEP)), kv.Below(hostsRoot))
		if err != nil {
			return err
		}
		it, alive, vtep := v.One(0), v.One(1), v.One(2)
		if err := s.ours(h.Name, alive); err != nil {
			return err
		}
		var old intent.Host
		if it.Value != nil {
			if old, err = objectOf[intent.Host](it); errors.Is(err, kv.ErrNewer) {
				return err
			}
			// Replace an invalid host. Its previous VTEP address, if different, stays
			// taken.
			h.ID = old.ID
		}
		other, shared := sharesID(h, v.Found[3])
		if h.ID == 0 || shared {
			if h.ID, err = s.newID(ctx); err != nil {
				return err
			}
		}
		value, err := kv.Encode(h, it.Value)
		if err != nil || value == string(it.Value) {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(hostKey(h.Name), it.Revision)
		tx.Unchanged(aliveKey(h.Name), alive.Revision)
		tx.Put(hostKey(h.Name), value)
		if h.VTEP != old.VTEP {
			if old.VTEP.IsValid() {
				tx.Delete(vtepKey(old.VTEP))
			}
			if string(vtep.Value) == h.Name {
				tx.Unchanged(vtep.Key, vtep.Revision)
			} else {
				tx.Take(vtepKey(h.VTEP), h.Name, func(holder string) error {
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
		if _, err = s.kv.Commit(ctx, &tx); err == nil && shared {
			s.log.Warn("this host's id was another host's; assigned a new one", "host", h.Name, "other", other, "was", old.ID, "id", h.ID)
		}
		return err
	})
	if err != nil {
		return intent.Host{}, err
	}
	return h, nil
}

// sharesID returns another host with the same id. Builds before this one could give the
// same id to hosts that registered at once: their routers then have the same MAC.
func sharesID(h intent.Host, hosts []kv.Item) (name string, shared bool) {
	for _, it := range hosts {
		o, err := kv.Decode[intent.Host](it.Value) // accept a host that is invalid in other ways
		if err == nil && h.ID != 0 && o.ID == h.ID && it.Key != hostKey(h.Name) {
			return it.Key[len(hostsRoot):], true
		}
	}
	return "", false
}

// ours refuses a host name that another living process holds.
func (s *Store) ours(host string, alive kv.Item) error {
	if alive.Value == nil {
		return nil
	}
	a, err := kv.Decode[aliveValue](alive.Value)
	if err != nil {
		s.log.Warn("invalid liveness record of this host; writing it again", "host", host, "error", err)
		return nil
	}
	if a.Instance != s.Instance() {
		return intent.Conflictf("host name %s is in use by another ovloomd", host).
			WithHint("give this one another with --host-name; if the other has just died, its name is free after 10 s")
	}
	return nil
}

// Hosts returns all registered hosts at one revision, ordered by name.
func (s *Store) Hosts(ctx context.Context) ([]intent.HostState, error) {
	var hosts []intent.HostState
	err := s.kv.Call(ctx, "list hosts", func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Below(hostsRoot), kv.Below(aliveRoot, kv.KeysOnly()), kv.Below(appliedRoot))
		if err != nil {
			return err
		}
		alive := map[string]bool{}
		for _, it := range v.Found[1] {
			alive[it.Key[len(aliveRoot):]] = true
		}
		applied := map[string]int64{}
		for _, it := range v.Found[2] {
			a, err := kv.Decode[appliedValue](it.Value)
			if err != nil {
				continue // it rewrites the key
			}
			applied[it.Key[len(appliedRoot):]] = a.Revision
		}
		hosts = nil // discard those of an earlier attempt
		var bad []error
		defer func() { s.reviewed(hostsRoot, bad) }()
		for _, it := range v.Found[0] {
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

// ClaimedBy returns the ports that a host claims.
func (s *Store) ClaimedBy(ctx context.Context, host string) ([]intent.PortRef, error) {
	all, _, err := s.kv.List(ctx, "read host "+host, boundHost(host), kv.KeysOnly())
	if err != nil {
		return nil, err
	}
	var refs []intent.PortRef
	for _, it := range all {
		if ref, ok := portName(it.Key[len(boundHost(host)):]); ok {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// RemoveHost deletes a host. While the host's ovloomd lives or the host claims ports,
// RemoveHost refuses (kind InUse), or with cascade releases the claims first. It releases
// the addresses that the host has taken for tenants' SNAT. It returns what it deleted and
// the revision of the last change, even when it fails half-way.
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
		n := min(len(refs), kv.MaxOps/4)
		r, names, err := s.releaseAll(ctx, name, refs[:n])
		if err != nil {
			return deleted, revision, stopped(what, deleted, err)
		}
		deleted, revision, refs = append(deleted, names...), max(revision, r), refs[n:]
	}
	err = s.kv.Update(ctx, "remove "+what, func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(hostKey(name)), kv.Below(boundHost(name), kv.Limit(10)), kv.Below(natOfHost(name)), kv.Below(vtepRoot))
		if err != nil {
			return err
		}
		it := v.One(0)
		if it.Value == nil {
			return noHost(name)
		}
		if len(v.Found[1]) > 0 { // claimed since the plan was made: the host is alive
			var users []string
			for _, b := range v.Found[1] {
				users = append(users, "binding "+string(b.Value)+" on "+name)
			}
			return intent.InUseBy(what, users)
		}
		if len(v.Found[2]) > 0 {
			if revision, err = s.dropNATAddresses(ctx, natAddressesIn(name, v.Found[2])); err != nil {
				return err
			}
		}
		var tx kv.Txn
		tx.Unchanged(it.Key, it.Revision)
		if !cascade {
			tx.Vacant(aliveKey(name), func(string) error { return hostLives(name) })
		}
		tx.EmptyBelow(boundHost(name))
		tx.EmptyBelow(natOfHost(name))
		tx.Delete(it.Key)
		for _, i := range v.Found[3] { // the host itself may not be valid
			if string(i.Value) == name {
				tx.Delete(i.Key)
			}
		}
		tx.Delete(aliveKey(name))
		tx.Delete(appliedKey(name))
		tx.Delete(guardHostKey(name))
		revision, err = s.kv.Commit(ctx, &tx)
		return err
	})
	if err != nil {
		return deleted, revision, stopped(what, deleted, err)
	}
	return append(deleted, what), revision, nil
}

func (s *Store) removable(ctx context.Context, name string, refs []intent.PortRef, cascade bool) error {
	return s.kv.Call(ctx, "remove host "+name, func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(hostKey(name)), kv.Key(aliveKey(name)))
		if err != nil {
			return err
		}
		if v.One(0).Value == nil {
			return noHost(name)
		}
		if cascade {
			return nil
		}
		if v.One(1).Value != nil {
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

func hostOf(it kv.Item, name string) (intent.Host, error) {
	if it.Value == nil {
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
	err = s.kv.Update(ctx, "release the ports of host "+host, func(ctx context.Context) error {
		var tx kv.Txn
		names = nil
		for _, ref := range refs {
			tx.Delete(bindingKey(ref, host))
			tx.Delete(boundKey(host, ref))
			names = append(names, intent.BindingName(ref, host))
		}
		revision, err = s.kv.Commit(ctx, &tx)
		return err
	})
	return revision, names, err
}
