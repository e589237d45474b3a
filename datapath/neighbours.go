package datapath

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
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

	// missingMost is how many that are gone are asked for at one look: after a restart of
	// ovs-vswitchd all are, and come back by themselves. One that does not answer for
	// missingTime is forgotten: its host is gone.
	missingMost = 4
	missingTime = 10 * time.Minute
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

// neighboursMost is how many neighbours are remembered: whoever forges packets on the
// underlay can make the datapath learn as many addresses as he likes.
const neighboursMost = 4096

// Change is a neighbour that was said to have another MAC than before.
type Change struct {
	Neighbour        // as it was said to be
	Was       string // its MAC before
	At        time.Time
}

// Neighbourhood watches tunnel neighbours.
type Neighbourhood struct {
	Datapath *Datapath
	WhoHas   WhoHas
	Log      *slog.Logger
	// PutBack is told of each that was put back; claimed is the MAC that it had got, "" if it
	// was missing.
	PutBack func(n Neighbour, claimed string)

	// Only the loop has these, by neighbour without its MAC.
	known   map[Neighbour]string  // MACs
	missing map[Neighbour]absence // of known: what the datapath does not have

	mu      sync.Mutex
	changes map[Neighbour]Change // the last of each neighbour; guarded by mu
}

// Repairs remembers what was put back, as *repair.Log does.
type Repairs interface {
	Put(what string, count int, detail string)
}

// RecordIn returns a Neighbourhood.PutBack that tells repairs.
func RecordIn(repairs Repairs) func(n Neighbour, claimed string) {
	return func(n Neighbour, claimed string) {
		if claimed == "" {
			repairs.Put("tunnel neighbour missing", 0, fmt.Sprintf("%s: %s", n.Addr, n.MAC))
			return
		}
		repairs.Put("tunnel neighbour claimed by another MAC on the underlay", 0, fmt.Sprintf("%s: %s, not %s", n.Addr, n.MAC, claimed))
	}
}

// absence is of a neighbour that the datapath had and has not any more.
type absence struct {
	since time.Time
	asked time.Time // the last time
}

// changesKept is how long a change can be asked for.
const changesKept = time.Minute

// Changed returns the changes of the last minute, by address.
func (h *Neighbourhood) Changed() []Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	return slices.SortedFunc(maps.Values(h.changes), func(a, b Change) int { return a.Addr.Compare(b.Addr) })
}

func (h *Neighbourhood) forget() {
	maps.DeleteFunc(h.changes, func(_ Neighbour, c Change) bool { return time.Since(c.At) > changesKept })
}

func (h *Neighbourhood) note(key Neighbour, c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	if h.changes == nil {
		h.changes = map[Neighbour]Change{}
	}
	h.changes[key] = c
}

// Keep watches until ctx ends.
func (h *Neighbourhood) Keep(ctx context.Context) error {
	if h.Datapath.kernel {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(neighboursEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := h.look(ctx); err != nil && ctx.Err() == nil {
			h.Log.Debug("cannot look at tunnel neighbours", "error", err) // ovs-vswitchd is away: the connection to it tells
		}
	}
}

// bound makes room for another neighbour, and says whether there is any: those that the
// datapath does not have any more are forgotten.
func (h *Neighbourhood) bound(list []Neighbour) bool {
	if len(h.known) < neighboursMost {
		return true
	}
	has := map[Neighbour]bool{}
	for _, n := range list {
		has[Neighbour{Bridge: n.Bridge, Addr: n.Addr}] = true
	}
	maps.DeleteFunc(h.known, func(n Neighbour, _ string) bool { return !has[n] })
	return len(h.known) < neighboursMost
}

func (h *Neighbourhood) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*neighboursEvery)
	defer cancel()
	list, err := h.Datapath.Neighbours(ctx)
	if err != nil {
		return err
	}
	if h.known == nil {
		h.known = map[Neighbour]string{}
	}
	if h.missing == nil {
		h.missing = map[Neighbour]absence{}
	}
	listed := map[Neighbour]bool{}
	for _, n := range list {
		key := Neighbour{Bridge: n.Bridge, Addr: n.Addr}
		listed[key] = true
		was, seen := h.known[key]
		if was == n.MAC || !n.Addr.Is4() || !seen && !h.bound(list) {
			continue
		}
		if was != "" {
			h.note(key, Change{Neighbour: n, Was: was, At: time.Now()})
		}
		answers, err := h.WhoHas(n.Bridge, n.Addr, neighbourAnswer)
		if err != nil {
			return fmt.Errorf("ask for %s: %w", n.Addr, err)
		}
		if len(answers) == 0 && was != "" {
			continue // ask again: it may be about to move, or an answer was lost
		}
		mac := truth(was, n.MAC, answers)
		h.known[key] = mac
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
	return h.bringBackMissing(ctx, listed)
}

// bringBackMissing asks for neighbours that the datapath had and does not list any more,
// those first that were asked for the longest time ago.
func (h *Neighbourhood) bringBackMissing(ctx context.Context, listed map[Neighbour]bool) error {
	now := time.Now()
	maps.DeleteFunc(h.missing, func(key Neighbour, _ absence) bool { _, known := h.known[key]; return !known })
	var missing []Neighbour
	for key := range h.known {
		m, ok := h.missing[key]
		switch {
		case listed[key]:
			delete(h.missing, key)
		case ok && now.Sub(m.since) > missingTime:
			delete(h.missing, key)
			delete(h.known, key)
		default:
			if !ok {
				h.missing[key] = absence{since: now}
			}
			missing = append(missing, key)
		}
	}
	slices.SortFunc(missing, func(a, b Neighbour) int {
		return cmp.Or(h.missing[a].asked.Compare(h.missing[b].asked), a.Addr.Compare(b.Addr))
	})
	for _, key := range missing[:min(len(missing), missingMost)] {
		h.missing[key] = absence{since: h.missing[key].since, asked: now}
		if err := h.bringBack(ctx, key, h.known[key]); err != nil {
			return err
		}
	}
	return nil
}

// bringBack sets a neighbour that is missing, if it answers. Open vSwitch asks for it by
// itself, but does not see the answer for as long as it has a flow cached that an earlier
// one went through: for ever, if the answers to its own questions keep that alive.
func (h *Neighbourhood) bringBack(ctx context.Context, key Neighbour, mac string) error {
	answers, err := h.WhoHas(key.Bridge, key.Addr, neighbourAnswer)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", key.Addr, err)
	}
	if len(answers) == 0 {
		return nil
	}
	n := key
	n.MAC = truth(mac, answers[0], answers)
	if err := h.Datapath.SetNeighbour(ctx, n); err != nil {
		return err
	}
	h.known[key] = n.MAC
	h.PutBack(n, "")
	return nil
}
