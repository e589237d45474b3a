package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

const (
	addrPoolSize = 64   // free addresses to find at a time
	searchMost   = 2000 // addresses in one answer
)

// addrPool chooses addresses for ports that are added without. An address from the pool is
// only likely to be free: the transaction that takes it decides.
//
// The pool goes up through the subnet and round again, so that finding the next address
// costs the same with 10 ports and with 10,000, and an address just released is not
// reassigned at once.
type addrPool struct {
	s *Store

	// turn holds one token; its holder owns the fields that follow.
	turn chan struct{}
	// By network id and prefix.
	subnets map[string]*subnetPool
}

type subnetPool struct {
	free      []netip.Addr
	last      netip.Addr // the subnet has been searched up to here
	contended bool       // another process takes addresses of the same subnet
}

func newAddrPool(s *Store) addrPool {
	p := addrPool{s: s, turn: make(chan struct{}, 1), subnets: map[string]*subnetPool{}}
	p.turn <- struct{}{}
	return p
}

// lock waits for the pool, but not longer than ctx.
func (p *addrPool) lock(ctx context.Context) error {
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *addrPool) unlock() { p.turn <- struct{}{} }

func (p *addrPool) subnet(n intent.Network, sub intent.Subnet) *subnetPool {
	id := fmt.Sprint(n.ID, sub.Prefix, sub.Gateway)
	if p.subnets[id] == nil {
		p.subnets[id] = &subnetPool{last: sub.Prefix.Addr()}
	}
	return p.subnets[id]
}

// take returns an address of the subnet that is likely to be free.
func (p *addrPool) take(ctx context.Context, n intent.Network, sub intent.Subnet) (netip.Addr, error) {
	if err := p.lock(ctx); err != nil {
		return netip.Addr{}, err
	}
	defer p.unlock()
	sp := p.subnet(n, sub)
	if len(sp.free) == 0 {
		if err := p.fill(ctx, n, sub, sp); err != nil {
			return netip.Addr{}, err
		}
	}
	a := sp.free[0]
	sp.free = sp.free[1:]
	return a, nil
}

// missed records that an address from the pool was taken: another process is adding ports
// to the same network. The rest of the pool is equally outdated, and would be missed one
// by one.
func (p *addrPool) missed(ctx context.Context, n intent.Network, a netip.Addr) {
	if p.lock(ctx) != nil {
		return
	}
	defer p.unlock()
	for _, sub := range n.Subnets {
		if sub.Prefix.Contains(a) {
			sp := p.subnet(n, sub)
			sp.contended = true
			if len(sp.free) > 0 {
				sp.last = sp.free[0].Prev() // search from here again
				sp.free = nil
			}
		}
	}
}

// fill searches the subnet, from where the last search ended, for free addresses.
func (p *addrPool) fill(ctx context.Context, n intent.Network, sub intent.Subnet, sp *subnetPool) error {
	start := sub.Next(sp.last)
	free, err := p.s.searchAddrs(ctx, addrsOf(n.Ref()), sub.Gateway, start, sub.Last(), addrPoolSize)
	if err == nil && len(free) == 0 {
		free, err = p.s.searchAddrs(ctx, addrsOf(n.Ref()), sub.Gateway, sub.First(), start, addrPoolSize)
	}
	switch {
	case err != nil:
		return err
	case len(free) == 0:
		return intent.Conflictf("subnet %s of network %s has no free address", sub.Prefix, n.Ref()).
			WithHint("delete ports, or give the network another subnet")
	}
	sp.last = free[len(free)-1]
	if sp.contended {
		rand.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		sp.contended = false
	}
	sp.free = free
	return nil
}

// searchAddrs returns up to count addresses between from and to, in order, that have no
// key below root, except the gateway.
func (s *Store) searchAddrs(ctx context.Context, root string, gateway, from, to netip.Addr, count int) ([]netip.Addr, error) {
	var free []netip.Addr
	end := root + sortable(to) + "\x00"
	page := count // most often the next addresses are free
	for next := from; ; {
		keys, more, err := s.kv.Page(ctx, root+sortable(next), end, page)
		if err != nil {
			return nil, err
		}
		taken := map[netip.Addr]bool{gateway: true}
		last := to
		for _, key := range keys {
			a, err := parseSortable(key[len(root):])
			if err != nil {
				return nil, fmt.Errorf("%w key %s: %w", kv.ErrUnreadable, key, err)
			}
			taken[a] = true
			if more {
				last = a
			}
		}
		for ; !last.Less(next) && len(free) < count; next = next.Next() {
			if !taken[next] {
				free = append(free, next)
			}
		}
		if len(free) == count || !more {
			return free, nil
		}
		page = min(8*page, searchMost)
	}
}
