package datapath

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The userspace datapath keeps which MAC the other ends of tunnels have, and learns it from
// every tunnel packet that it looks up: one forged packet on the underlay leads all
// that goes to a host elsewhere, and nothing leads it back while the entry is used. No
// entry can be pinned in Open vSwitch 3.1. So changes are watched, and whoever is said
// to have moved is asked for.
const (
	neighboursEvery = 2 * time.Second
	neighbourAnswer = 300 * time.Millisecond // how long answers are waited for
)

// Neighbour is the next hop of tunnels, as the userspace datapath has it.
type Neighbour struct {
	Bridge string
	Addr   netip.Addr
	MAC    string
}

// Neighbours returns those of all tunnels. Linux's own datapath has none: there the kernel
// asks by itself.
func (d *Datapath) Neighbours(ctx context.Context) ([]Neighbour, error) {
	if d.kernel {
		return nil, nil
	}
	out, err := d.vswitchd.Call(ctx, "tnl/neigh/show")
	if err != nil {
		return nil, err
	}
	var all []Neighbour
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if a, err := netip.ParseAddr(f[0]); err == nil {
			all = append(all, Neighbour{Addr: a.Unmap(), MAC: f[1], Bridge: f[2]})
		}
	}
	return all, nil
}

// SetNeighbour changes the MAC of one.
func (d *Datapath) SetNeighbour(ctx context.Context, n Neighbour) error {
	_, err := d.vswitchd.Call(ctx, "tnl/neigh/set", n.Bridge, n.Addr.String(), n.MAC)
	return err
}

// WhoHas asks on a link by ARP for an address, and returns the MACs of all who answer.
type WhoHas func(link string, a netip.Addr, wait time.Duration) ([]string, error)

// truth decides which MAC an address has: was is what it had before ("" if it was not known),
// is what it is said to have now, answers is who answers for it.
func truth(was, is string, answers []string) string {
	switch {
	case slices.Contains(answers, was):
		return was // it has not moved
	case len(answers) == 0 || slices.Contains(answers, is):
		return is
	}
	return answers[0]
}

// Neighbourhood watches tunnel neighbours.
type Neighbourhood struct {
	Datapath *Datapath
	WhoHas   WhoHas
	Log      *slog.Logger
	// PutBack is told of each that was put back.
	PutBack func(n Neighbour, claimed string)
}

// Keep watches until ctx ends.
func (h *Neighbourhood) Keep(ctx context.Context) error {
	if h.Datapath.kernel {
		<-ctx.Done()
		return nil
	}
	known := map[Neighbour]string{} // MACs, by neighbour without one
	ticker := time.NewTicker(neighboursEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := h.look(ctx, known); err != nil && ctx.Err() == nil {
			h.Log.Debug("cannot look at tunnel neighbours", "error", err) // ovs-vswitchd is away: the connection to it tells
		}
	}
}

func (h *Neighbourhood) look(ctx context.Context, known map[Neighbour]string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*neighboursEvery)
	defer cancel()
	list, err := h.Datapath.Neighbours(ctx)
	if err != nil {
		return err
	}
	for _, n := range list {
		key := Neighbour{Bridge: n.Bridge, Addr: n.Addr}
		was := known[key]
		if was == n.MAC || !n.Addr.Is4() {
			continue
		}
		answers, err := h.WhoHas(n.Bridge, n.Addr, neighbourAnswer)
		if err != nil {
			return fmt.Errorf("ask for %s: %w", n.Addr, err)
		}
		if len(answers) == 0 && was != "" {
			continue // ask again: it may be about to move, or an answer was lost
		}
		mac := truth(was, n.MAC, answers)
		known[key] = mac
		if mac == n.MAC {
			continue
		}
		claimed := n.MAC
		n.MAC = mac
		if err := h.Datapath.SetNeighbour(ctx, n); err != nil {
			return err
		}
		h.PutBack(n, claimed)
	}
	return nil
}
