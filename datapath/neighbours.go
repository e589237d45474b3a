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

// The userspace datapath caches the MACs of tunnel next hops, and learns them from every
// tunnel packet that it looks up: one forged packet on the underlay diverts all traffic to
// a host, and nothing corrects the entry while it is in use. Open vSwitch 3.1 cannot pin
// entries. So Neighbourhood watches for changes, and asks by ARP for each neighbour that
// seems to have moved.
const (
	neighboursEvery = 2 * time.Second
	neighbourAnswer = 300 * time.Millisecond // how long to wait for answers

	// missingMost is how many missing neighbours are asked for per check: after a restart
	// of ovs-vswitchd all are missing, and come back by themselves. A neighbour that does
	// not answer for missingTime is forgotten: its host is gone.
	missingMost = 4
	missingTime = 10 * time.Minute
)

// Neighbour is a next hop of tunnels in the userspace datapath.
type Neighbour struct {
	Bridge string
	Addr   netip.Addr
	MAC    string
}

// Neighbours returns the next hops of all tunnels. The kernel datapath has none: there the
// kernel resolves them.
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

// SetNeighbour changes the MAC of a neighbour.
func (d *Datapath) SetNeighbour(ctx context.Context, n Neighbour) error {
	_, err := d.vswitchd.Call(ctx, "tnl/neigh/set", n.Bridge, n.Addr.String(), n.MAC)
	return err
}

// WhoHas asks on a link by ARP for an address, and returns the MACs of all answers.
type WhoHas func(link string, a netip.Addr, wait time.Duration) ([]string, error)

// truth decides which MAC an address has: was is its MAC before ("" if unknown), is the
// MAC that it now seems to have, and answers are the MACs that answered for it.
func truth(was, is string, answers []string) string {
	switch {
	case slices.Contains(answers, was):
		return was // it has not moved
	case len(answers) == 0 || slices.Contains(answers, is):
		return is
	}
	return answers[0]
}

// neighboursMost bounds how many neighbours are remembered: forged packets on the underlay
// can make the datapath learn any number of addresses.
const neighboursMost = 4096

// Change is a neighbour whose MAC seemed to change.
type Change struct {
	Neighbour        // with the new MAC
	Was       string // its MAC before
	At        time.Time
}

// Neighbourhood watches the next hops of tunnels.
type Neighbourhood struct {
	Datapath *Datapath
	WhoHas   WhoHas
	Log      *slog.Logger
	// PutBack is called with each neighbour put back; claimed is the wrong MAC that it
	// had, "" if the neighbour was missing.
	PutBack func(n Neighbour, claimed string)

	// Used by the loop alone; the keys are neighbours without MACs.
	known   map[Neighbour]string  // MACs
	missing map[Neighbour]absence // of known, those that the datapath does not have

	mu      sync.Mutex
	changes map[Neighbour]Change // the last change of each neighbour; guarded by mu
}

// Repairs records what was put back; *repair.Log implements it.
type Repairs interface {
	Put(what string, count int, detail string)
}

// RecordIn returns a Neighbourhood.PutBack that records in repairs.
func RecordIn(repairs Repairs) func(n Neighbour, claimed string) {
	return func(n Neighbour, claimed string) {
		if claimed == "" {
			repairs.Put("tunnel neighbour missing", 0, fmt.Sprintf("%s: %s", n.Addr, n.MAC))
			return
		}
		repairs.Put("tunnel neighbour claimed by another MAC on the underlay", 0, fmt.Sprintf("%s: %s, not %s", n.Addr, n.MAC, claimed))
	}
}

// absence is the absence of a neighbour that the datapath had before.
type absence struct {
	since time.Time
	asked time.Time // the last time
}

// changesKept is how long Changed returns a change.
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
			h.Log.Debug("cannot look at tunnel neighbours", "error", err) // ovs-vswitchd is away: its connection reports that
		}
	}
}

// bound makes room for another neighbour by forgetting those that the datapath no longer
// has, and reports whether there is room.
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

// bringBackMissing asks for neighbours that the datapath no longer lists, starting with
// the one asked for the longest time ago.
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

// bringBack sets a missing neighbour, if it answers. Open vSwitch asks for it too, but
// does not see the answer while a flow that carried an earlier answer is cached: for ever,
// if the answers to its own requests keep that flow in use.
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
