package datapath

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ovloom/ovloom/openflow"
)

// A packet for which the cache has no flow costs the datapath as much as ten others, and
// is looked up in the same thread as the packets of all ports. So a port that keeps
// sending from or to new addresses slows down all others. No datapath of Open vSwitch 3.1
// says which port it is: so Watch counts the flows, and looks up their ports once the
// number grows fast.
const (
	watchEvery = 150 * time.Millisecond
	flowsFew   = 1500 // with fewer, nothing is slow
	growsFast  = 1000 // flows a second more than at the last check
	flowsMany  = 20000

	// A port with more flows floods the cache: flows that served few packets, and all
	// flows. A port that talks to many addresses for long does not flood.
	portMostIdle = 1200
	portMost     = 5000

	// Some packets have to go through ovs-vswitchd whatever is cached: answers to ARP and
	// neighbour solicitations. slowMost is how many of them a second count as flooding.
	slowMost = 1000

	// Counting flows holds up the switch, the more so the more flows there are. After a
	// count that found no port, the next is countAgain later, unless there are countMore
	// times as many flows by then: a port may have been just below its limit.
	countAgain = 30 * time.Second
	countMore  = 1.5
	countFound = time.Second     // while flows of a penalized port remain
	countSoon  = 2 * time.Second // with fewer than countCheap flows
	countCheap = 5000

	slowLeast = 250 * time.Millisecond // between two counts

	lookLimit = 5 * time.Second // for all requests to the switch in one check

	// A penalty lasts for penaltyFirst, or twice as long as the one before if the port
	// floods again soon.
	penaltyFirst  = 30 * time.Second
	penaltyMost   = 8 * time.Minute
	penaltyForget = 10 * time.Minute
)

// Penalty is the penalty of one port.
type Penalty struct {
	Flows int // flows that the port had; 0: the penalty is for Asked
	Asked int // packets a second that ovs-vswitchd had to handle
	Until time.Time

	lasts time.Duration
}

// judge decides which ports get a penalty. It does no I/O.
type judge struct {
	last      int // flows at the last check
	looked    time.Time
	countNext time.Time
	countOver int                // number of flows above which to count before countNext; 0: never
	penalties map[uint32]Penalty // by OpenFlow port; ended ones too, for a while

	slow judgeSlow
}

// judgeSlow decides when to look for ports whose packets need ovs-vswitchd, which takes
// two checks.
type judgeSlow struct {
	last   uint64 // translations at the last check
	looked time.Time
	next   time.Time // earliest time of the next count

	counted time.Time // time of the count before; zero: none
	before  map[uint32]FlowCount
}

// suspicious reports whether to look up which ports the flows come from.
func (j *judge) suspicious(now time.Time, flows int) bool {
	grown, since, fresh := flows-j.last, now.Sub(j.looked), !j.looked.IsZero()
	j.last, j.looked = flows, now
	if !fresh || flows < flowsFew {
		return false
	}
	if now.Before(j.countNext) && (j.countOver == 0 || flows < j.countOver) {
		return false
	}
	return float64(grown) >= growsFast*since.Seconds() || flows >= flowsMany
}

// charge gives penalties to the ports that have too many flows.
func (j *judge) charge(now time.Time, counts map[uint32]FlowCount) (charged []uint32) {
	for _, p := range slices.Sorted(maps.Keys(counts)) {
		if counts[p].Idle < portMostIdle && counts[p].All < portMost {
			continue
		}
		if j.punish(now, p, Penalty{Flows: counts[p].All}) {
			charged = append(charged, p)
		}
	}
	if len(charged) == 0 {
		j.countNext, j.countOver = now.Add(countAgain), int(countMore*float64(j.last))
	} else {
		j.countNext, j.countOver = now.Add(countFound), 0
	}
	return charged
}

// punish gives a port a penalty, unless it has one already: its flows are then from before
// the penalty, or within its rate.
func (j *judge) punish(now time.Time, port uint32, p Penalty) bool {
	old := j.penalties[port]
	if now.Before(old.Until) {
		return false
	}
	p.lasts = penaltyFirst
	if old.lasts > 0 {
		p.lasts = min(2*old.lasts, penaltyMost)
	}
	p.Until = now.Add(p.lasts)
	if j.penalties == nil {
		j.penalties = map[uint32]Penalty{}
	}
	j.penalties[port] = p
	return true
}

// suspicious reports whether so many packets pass through the tables that it is worth
// looking up their ports.
func (j *judgeSlow) suspicious(now time.Time, translations uint64) bool {
	since, fresh := now.Sub(j.looked), !j.looked.IsZero() && translations >= j.last
	grown := translations - j.last
	j.last, j.looked = translations, now
	if !j.counted.IsZero() {
		return now.Sub(j.counted) >= slowLeast
	}
	return fresh && !now.Before(j.next) && float64(grown) >= slowMost*since.Seconds()
}

// chargeSlow gives penalties to the ports that sent, between two counts, too many packets
// that ovs-vswitchd had to handle. The first count gives none.
func (j *judge) chargeSlow(now time.Time, counts map[uint32]FlowCount) (charged []uint32) {
	s := &j.slow
	before, since := s.before, now.Sub(s.counted)
	if s.counted.IsZero() {
		s.before, s.counted = counts, now
		return nil
	}
	s.before, s.counted = nil, time.Time{}
	flows := 0
	for _, p := range slices.Sorted(maps.Keys(counts)) {
		flows += counts[p].All
		if counts[p].Slow <= before[p].Slow {
			continue
		}
		rate := float64(counts[p].Slow-before[p].Slow) / since.Seconds()
		if rate >= slowMost && j.punish(now, p, Penalty{Asked: int(rate)}) {
			charged = append(charged, p)
		}
	}
	switch {
	case len(charged) > 0:
		s.next = now.Add(countFound)
	case flows < countCheap:
		s.next = now.Add(countSoon)
	default:
		s.next = now.Add(countAgain)
	}
	return charged
}

// standing returns the penalties in force, and forgets old ones.
func (j *judge) standing(now time.Time) map[uint32]Penalty {
	maps.DeleteFunc(j.penalties, func(_ uint32, p Penalty) bool { return now.Sub(p.Until) > penaltyForget })
	in := maps.Clone(j.penalties)
	maps.DeleteFunc(in, func(_ uint32, p Penalty) bool { return !now.Before(p.Until) })
	return in
}

// Watch finds ports that flood the flow cache.
type Watch struct {
	// Set by NewWatch.
	dp     *Datapath
	bridge string
	log    *slog.Logger

	// Guarded by mu.
	mu       sync.Mutex
	standing map[uint32]Penalty
}

// NewWatch returns a Watch of the ports of a bridge.
func NewWatch(d *Datapath, bridge string, log *slog.Logger) *Watch {
	return &Watch{dp: d, bridge: bridge, log: log}
}

// Penalties returns the penalties in force, by OpenFlow port.
func (w *Watch) Penalties() map[uint32]Penalty {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.standing)
}

// Keep watches until ctx ends. It calls tell with all ports that have a penalty, by
// OpenFlow port, whenever they change.
func (w *Watch) Keep(ctx context.Context, tell func(context.Context, map[openflow.PortNo]bool)) error {
	var j judge
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		w.look(ctx, &j)
		now := j.standing(time.Now())
		w.mu.Lock()
		changed := !maps.Equal(w.standing, now)
		w.standing = now
		w.mu.Unlock()
		if changed {
			ports := map[openflow.PortNo]bool{}
			for p := range now {
				ports[openflow.PortNo(p)] = true
			}
			tell(ctx, ports)
		}
	}
}

func (w *Watch) look(ctx context.Context, j *judge) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	flows, err := w.dp.Flows(ctx)
	if err != nil {
		w.log.Debug("cannot count cached flows", "error", err) // ovs-vswitchd is away: its connection reports that
		j.looked, j.slow.looked = time.Time{}, time.Time{}
		return
	}
	w.lookSlow(ctx, j)
	if !j.suspicious(time.Now(), flows) {
		return
	}
	counts, err := w.dp.FlowsByPort(ctx, w.bridge)
	if err != nil {
		w.log.Debug("cannot count the cached flows of each port", "error", err)
		return
	}
	for _, p := range j.charge(time.Now(), counts) {
		w.log.Info("port makes too many cached flows; limiting its rate", "ofport", p, "flows", counts[p].All, "idle", counts[p].Idle, "until", j.penalties[p].Until.Round(time.Second))
	}
}

func (w *Watch) lookSlow(ctx context.Context, j *judge) {
	n, err := w.dp.Translations(ctx)
	if err != nil {
		w.log.Debug("cannot count packets that pass through the tables", "error", err)
		return
	}
	if !j.slow.suspicious(time.Now(), n) {
		return
	}
	counts, err := w.dp.FlowsByPort(ctx, w.bridge)
	if err != nil {
		w.log.Debug("cannot count packets of each port that pass through the tables", "error", err)
		return
	}
	for _, p := range j.chargeSlow(time.Now(), counts) {
		w.log.Info("port sends too many address requests; limiting its rate", "ofport", p, "rate", j.penalties[p].Asked, "until", j.penalties[p].Until.Round(time.Second))
	}
}
