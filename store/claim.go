package store

import (
	"context"
	"errors"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// claimValue is the counter of a port's claims.
type claimValue struct {
	Generation uint64 `json:"generation"`
}

// Claim claims a port for a registered host where it is plugged. If have is not 0 and the
// host's claim has that generation, Claim returns it unchanged and writes nothing;
// otherwise the claim gets a generation higher than all that the port ever had, and so is
// in force. Other hosts' claims stay beside it.
func (s *Store) Claim(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	return s.newClaim(ctx, ref, host, have, func(context.Context, []intent.Binding) error { return nil })
}

// ClaimFree is Claim, but refuses (kind Conflict) while another host holds the port: a
// live host at which packets can reach the port.
func (s *Store) ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	return s.newClaim(ctx, ref, host, have, func(ctx context.Context, claims []intent.Binding) error {
		return s.free(ctx, ref, host, claims)
	})
}

// Free returns the error of ClaimFree, if it would be refused; it changes nothing.
func (s *Store) Free(ctx context.Context, ref intent.PortRef, host string) error {
	return s.kv.Call(ctx, "look who holds port "+ref.String(), func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Below(claimsRoot(ref)))
		if err != nil {
			return err
		}
		var claims []intent.Binding
		for _, it := range v.Found[0] {
			if c, err := objectOf[intent.Binding](it); err == nil { // an invalid one holds nothing
				claims = append(claims, c)
			}
		}
		return s.free(ctx, ref, host, claims)
	})
}

// free refuses a host's claim while another host holds the port.
func (s *Store) free(ctx context.Context, ref intent.PortRef, host string, claims []intent.Binding) error {
	holder, ok := intent.Winner(claims)
	if !ok || holder.Host == host || holder.Fault != "" {
		return nil
	}
	v, err := s.kv.Read(ctx, kv.Key(aliveKey(holder.Host)))
	if err != nil || v.One(0).Value == nil {
		return err
	}
	return intent.Conflictf("port %s is plugged on host %s", ref, holder.Host).
		WithHint("unplug it there (ovloom port unplug %s), or take it from there: plug it here with --take", ref)
}

// newClaim is Claim; it calls may with the existing claims before it makes one.
func (s *Store) newClaim(ctx context.Context, ref intent.PortRef, host string, have uint64,
	may func(ctx context.Context, claims []intent.Binding) error) (intent.Binding, error) {
	var b intent.Binding
	err := s.kv.Update(ctx, "claim port "+ref.String()+" for host "+host, func(ctx context.Context) error {
		v, err := s.kv.Read(ctx, kv.Key(portKey(ref)), kv.Below(claimsRoot(ref)), kv.Key(claimKey(ref)), kv.Key(hostKey(host)))
		if err != nil {
			return err
		}
		if _, err := existing(v.One(0), &ports, ref); err != nil {
			return err
		}
		if _, err := hostOf(v.One(3), host); err != nil {
			return err
		}
		// A port without a counter was never claimed. The counter starts at the store's
		// revision, which is higher than the generations of a deleted port of the same
		// name: a late release of such a generation must not match.
		last := claimValue{uint64(v.Revision)}
		if it := v.One(2); it.Value != nil {
			if c, err := kv.Decode[claimValue](it.Value); err == nil { // else the revision is higher, too
				last = c
			}
		}
		var old []byte
		var claims []intent.Binding
		var bad []error
		defer func() { s.reviewed(claimsRoot(ref), bad) }()
		for _, it := range v.Found[1] {
			c, err := objectOf[intent.Binding](it)
			if err != nil {
				bad = append(bad, err)
				if it.Key == bindingKey(ref, host) && errors.Is(err, kv.ErrNewer) {
					return err
				}
				continue // the counter knows its generation, and this host's own claim is rewritten
			}
			claims = append(claims, c)
			last.Generation = max(last.Generation, c.Generation)
			if c.Host != host {
				continue
			}
			if old = it.Value; have != 0 && c.Generation == have {
				b = c
				return nil
			}
		}
		if err := may(ctx, claims); err != nil {
			return err
		}
		b = intent.Binding{Tenant: ref.Tenant, Network: ref.Network, Port: ref.Port, Host: host, Generation: last.Generation + 1}
		value, err := kv.Encode(b, old)
		if err != nil {
			return err
		}
		counter, err := kv.Encode(claimValue{b.Generation}, v.One(2).Value)
		if err != nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(portKey(ref), v.One(0).Revision)
		tx.Unchanged(hostKey(host), v.One(3).Revision)
		tx.Unchanged(claimKey(ref), v.One(2).Revision)
		tx.Put(bindingKey(ref, host), value)
		tx.Put(boundKey(host, ref), ref.String())
		tx.Put(claimKey(ref), counter)
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
	if err != nil {
		return intent.Binding{}, err
	}
	return b, nil
}

// MarkUp records whether the host of a claim has installed the port's flows, and why no
// packet can reach the port there ("": it can). It leaves a claim of another generation
// alone (kind Conflict).
func (s *Store) MarkUp(ctx context.Context, ref intent.PortRef, host string, generation uint64, up bool, fault string) error {
	return s.kv.Update(ctx, "mark the binding of port "+ref.String(), func(ctx context.Context) error {
		it, b, err := s.claim(ctx, ref, host)
		if err != nil {
			return err
		}
		if b.Generation != generation {
			return intent.Conflictf("host %s does not hold generation %d of port %s", host, generation, ref)
		}
		if b.Up == up && b.Fault == fault {
			return nil
		}
		b.Up, b.Fault = up, fault
		var tx kv.Txn
		if _, err := tx.Replace(it, b); err != nil {
			return err
		}
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}

// Release deletes a host's claim if it still has the generation; otherwise a newer claim
// has replaced it and Release does nothing.
func (s *Store) Release(ctx context.Context, ref intent.PortRef, host string, generation uint64) error {
	return s.kv.Update(ctx, "release port "+ref.String(), func(ctx context.Context) error {
		it, b, err := s.claim(ctx, ref, host)
		if err != nil || b.Generation != generation || it.Value == nil {
			return err
		}
		var tx kv.Txn
		tx.Unchanged(it.Key, it.Revision)
		tx.Delete(it.Key)
		tx.Delete(boundKey(host, ref))
		_, err = s.kv.Commit(ctx, &tx)
		return err
	})
}

// claim reads a host's claim; if there is none, the binding is zero.
func (s *Store) claim(ctx context.Context, ref intent.PortRef, host string) (kv.Item, intent.Binding, error) {
	it, err := s.kv.Get(ctx, bindingKey(ref, host))
	if err != nil || it.Value == nil {
		return kv.Item{}, intent.Binding{}, err
	}
	b, err := objectOf[intent.Binding](it)
	return it, b, err
}

// Bindings returns the claims of a port, ordered by host; intent.Winner says
// which is in force. A port that does not exist has none.
func (s *Store) Bindings(ctx context.Context, ref intent.PortRef) ([]intent.Binding, error) {
	return listOf[intent.Binding](ctx, s, "read the bindings of port "+ref.String(), claimsRoot(ref))
}
