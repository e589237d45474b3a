package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// Refusals of objects that are valid by themselves, but could not work for packets.

// carried refuses a network with an MTU that the underlay of a live host cannot carry: a
// port could not be plugged there. Hosts that come later report this themselves.
func (s *Store) carried(ctx context.Context, n intent.Network) error {
	if n.MTU == 0 {
		return nil
	}
	v, err := s.kv.Read(ctx, kv.Below(hostsRoot), kv.Below(aliveRoot, kv.KeysOnly()))
	if err != nil {
		return err
	}
	alive := map[string]bool{}
	for _, it := range v.Found[1] {
		alive[it.Key[len(aliveRoot):]] = true
	}
	var narrow []string
	most := n.MTU
	for _, it := range v.Found[0] {
		h, err := objectOf[intent.Host](it)
		if err != nil || !alive[h.Name] || h.UnderlayMTU == 0 {
			continue // unknown is no reason to refuse
		}
		if carries := h.UnderlayMTU - intent.VXLANOverhead; carries < n.MTU {
			narrow = append(narrow, fmt.Sprintf("%s (%d)", h.Name, h.UnderlayMTU))
			most = min(most, carries)
		}
	}
	if len(narrow) == 0 {
		return nil
	}
	const shown = 5
	if len(narrow) > shown {
		narrow = append(narrow[:shown], fmt.Sprintf("and %d more", len(narrow)-shown))
	}
	return intent.Conflictf("an MTU of %d bytes needs an underlay MTU of %d, which is less on %s", n.MTU, n.MTU+intent.VXLANOverhead, strings.Join(narrow, ", ")).
		WithHint("choose at most %d, or raise the MTU of the underlay on those hosts first", most)
}

// outerApart refuses to give a tenant addresses of an external that overlap its own
// networks: its ports would look for those addresses in the networks. It makes sure that
// no network gets such addresses meanwhile.
func (s *Store) outerApart(ctx context.Context, tx *kv.Txn, e intent.External, tenant string) error {
	v, err := s.kv.Read(ctx, kv.Below(networksRoot(tenant)))
	if err != nil {
		return err
	}
	for _, it := range v.Found[0] {
		n, err := objectOf[intent.Network](it)
		if err != nil {
			continue // it is left out anyway
		}
		if err := apartFrom(e, n); err != nil {
			return err
		}
	}
	tx.QuietBelow(networksRoot(tenant), v.Revision)
	return nil
}

// innerApart refuses a network whose addresses its tenant uses outside, and makes sure
// that no external is changed meanwhile. A user that is added to an external meanwhile
// sees that networks were changed.
func (s *Store) innerApart(ctx context.Context, tx *kv.Txn, n intent.Network) error {
	v, err := s.kv.Read(ctx, kv.Below(externalsRoot))
	if err != nil {
		return err
	}
	for _, it := range v.Found[0] {
		e, err := objectOf[intent.External](it)
		if err != nil {
			continue
		}
		clash := apartFrom(e, n)
		if clash == nil {
			continue
		}
		users, err := s.kv.Read(ctx, kv.Below(usersOf(e.Name)+n.Tenant+"/", kv.Limit(1)))
		if err != nil {
			return err
		}
		if users.One(0).Value != nil {
			return clash
		}
		tx.EmptyBelow(usersOf(e.Name) + n.Tenant + "/")
	}
	tx.QuietBelow(externalsRoot, v.Revision)
	return nil
}

func apartFrom(e intent.External, n intent.Network) error {
	r := e.Addresses()
	for _, sub := range n.Subnets {
		if overlaps(r, sub.Prefix) {
			return intent.Conflictf("subnet %s of network %s has addresses that NAT uses on external %s: %s", sub.Prefix, n.Ref(), e.Name, r).
				WithHint("a tenant's own subnets are reached directly: use another external, or another subnet")
		}
	}
	return nil
}

// overlaps reports whether a range and a prefix have an address in common.
func overlaps(r intent.AddrRange, p netip.Prefix) bool {
	first, last := p.Masked().Addr(), intent.Subnet{Prefix: p}.Last()
	return r.First.IsValid() && first.Is4() == r.First.Is4() && (r.Contains(first) || r.Contains(last) || p.Contains(r.First))
}
