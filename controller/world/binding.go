package world

import (
	"cmp"
	"iter"
	"slices"

	"github.com/ovloom/ovloom/intent"
)

// Bindings have no flows of their own: they say where the flows of ports lead.

func (w *World) bindingClass() objectClass[intent.Binding] {
	return objectClass[intent.Binding]{
		of: func(_ *tenant, s *intent.Snapshot) []intent.Binding { return s.Bindings },
		keep: func(t *tenant, now *intent.Binding, deleted bool) (old *intent.Binding) {
			n := t.network(now.Network)
			before := n.claims[now.Port]
			// The slice may be part of an earlier state: make a new one.
			claims := make([]intent.Binding, 0, len(before)+1)
			for i := range before {
				if before[i].Host == now.Host {
					old = &before[i]
					continue
				}
				claims = append(claims, before[i])
			}
			if old != nil {
				w.countSender(t, now.Host, -1)
			}
			if !deleted {
				claims = append(claims, *now)
				w.countSender(t, now.Host, +1)
			}
			if len(claims) == 0 {
				delete(n.claims, now.Port)
			} else {
				n.claims[now.Port] = claims
			}
			return old
		},
		changed: func(t *tenant, old, now *intent.Binding) {
			b := cmp.Or(now, old)
			w.ports.touch(b.PortRef())
			w.touchTarget(t, b.PortRef())
			t.prune(b.Network)
		},
		touch: func(t *tenant) {
			for name, n := range t.networks {
				for port := range n.claims {
					w.ports.touch(intent.PortRef{Tenant: t.Name, Network: name, Port: port})
				}
			}
		},
	}
}

// Claim returns the claim of this host on a port and whether it is in force.
func (w *World) Claim(ref intent.PortRef) (own intent.Binding, inForce bool) {
	t := w.tenants[ref.Tenant]
	if t == nil || t.networks[ref.Network] == nil {
		return intent.Binding{}, false
	}
	claims := t.networks[ref.Network].claims[ref.Port]
	for _, b := range claims {
		if b.Host == w.self {
			own = b
		}
	}
	winner, ok := intent.Winner(claims)
	return own, ok && winner.Host == w.self
}

// Claimed returns all ports that some host claims, with the claims, newest first.
func (w *World) Claimed() iter.Seq2[intent.PortRef, []intent.Binding] {
	return func(yield func(intent.PortRef, []intent.Binding) bool) {
		for _, t := range w.tenants {
			for network, n := range t.networks {
				for port, claims := range n.claims {
					if len(claims) > 1 {
						claims = slices.Clone(claims)
						slices.SortFunc(claims, func(a, b intent.Binding) int { return cmp.Compare(b.Generation, a.Generation) })
					}
					if !yield(intent.PortRef{Tenant: t.Name, Network: network, Port: port}, claims) {
						return
					}
				}
			}
		}
	}
}
