package doctor

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/ovloom/ovloom/intent"
)

// Packet is a frame to be sent through the tunnel to a VTEP.
type Packet struct {
	To    netip.Addr
	Frame []byte
}

// Target is a host to be probed.
type Target struct {
	Host   string
	VTEP   netip.Addr
	Wanted int // the size that must pass, in bytes of the underlay's IP packet
}

// How often to send a probe, and how long to wait for each answer. The first packet of a
// tunnel may be lost while its neighbour is resolved.
const (
	firstTries = 5
	firstWait  = 300 * time.Millisecond
	fullTries  = 4
	sizeTries  = 2
	sizeWait   = 200 * time.Millisecond
)

// runsKept bounds how many examinations are remembered; older ones are forgotten.
const runsKept = 8

// Prober probes other hosts, and answers their probes. Its methods are safe for concurrent
// use.
type Prober struct {
	send func(context.Context, []Packet) error

	// Guarded by mu.
	mu    sync.Mutex
	runs  map[uint64]*run
	order []uint64 // of runs, the oldest first
}

// run is one examination.
type run struct {
	heard   map[netip.Addr]bool // hosts whose probes were received
	answers map[sent]reply
	news    chan struct{} // has one element after answers grew
}

// sent identifies a request: a path and a size.
type sent struct {
	to   netip.Addr
	size int
}

// reply is the fastest answer to a request.
type reply struct{ skew, rtt time.Duration }

// NewProber returns a prober that sends with send, which must not wait for Receive.
func NewProber(send func(context.Context, []Packet) error) *Prober {
	return &Prober{send: send, runs: map[uint64]*run{}}
}

// Receive handles a frame received through the tunnel from a VTEP: its head, and its
// original length. It answers a request.
func (p *Prober) Receive(ctx context.Context, from netip.Addr, head []byte, frameLen int) error {
	now := time.Now()
	got, err := parse(head, frameLen)
	if err != nil {
		return err
	}
	if got.Kind == answer {
		p.take(from, got, now)
		return nil
	}
	p.mu.Lock()
	p.run(got.Run).heard[from] = true
	p.mu.Unlock()
	got.Kind, got.Back = answer, now.UnixNano()
	return p.send(ctx, []Packet{{from, got.append(nil, sizeMin)}})
}

// take records an answer, unless there was no request for it.
func (p *Prober) take(from netip.Addr, got probe, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.runs[got.Run]
	if r == nil {
		return
	}
	skew, rtt := got.offset(now)
	key := sent{from, int(got.Size)}
	if old, ok := r.answers[key]; !ok || rtt < old.rtt {
		r.answers[key] = reply{skew, rtt}
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// run is called with mu held.
func (p *Prober) run(id uint64) *run {
	if r := p.runs[id]; r != nil {
		return r
	}
	if len(p.order) == runsKept {
		delete(p.runs, p.order[0])
		p.order = p.order[1:]
	}
	r := &run{heard: map[netip.Addr]bool{}, answers: map[sent]reply{}, news: make(chan struct{}, 1)}
	p.runs[id], p.order = r, append(p.order, id)
	return r
}

// Examine probes all targets: whether anything passes, whether a packet of full size
// passes, and if not, the largest size that does. It takes some milliseconds when all
// paths work, and up to ten seconds otherwise.
func (p *Prober) Examine(ctx context.Context, id uint64, targets []Target) []intent.PathReport {
	p.mu.Lock()
	r := p.run(id)
	p.mu.Unlock()
	paths := make([]intent.PathReport, len(targets))
	fails := make([]int, len(targets)) // the smallest size known not to pass; 0: none
	var first, full []sent
	for _, t := range targets {
		first = append(first, sent{t.VTEP, sizeMin})
	}
	failed := p.ask(ctx, id, r, first, firstTries, firstWait)
	for i, t := range targets {
		paths[i] = intent.PathReport{To: t.Host, Wanted: t.Wanted}
		if p.answered(r, first[i], &paths[i]) {
			full = append(full, sent{t.VTEP, t.Wanted})
		}
	}
	p.ask(ctx, id, r, full, fullTries, firstWait)
	for i, t := range targets {
		if paths[i].Passes > 0 && !p.answered(r, sent{t.VTEP, t.Wanted}, &paths[i]) {
			fails[i] = t.Wanted
		}
	}
	for p.halve(ctx, id, r, targets, paths, fails) {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range targets {
		paths[i].HeardOf = r.heard[t.VTEP]
		if failed != nil && paths[i].Passes == 0 {
			paths[i].SendFail = failed.Error()
		}
	}
	return paths
}

// halve probes each path with the size in the middle between what passes and what does
// not, and reports whether any size was left to try.
func (p *Prober) halve(ctx context.Context, id uint64, r *run, targets []Target, paths []intent.PathReport, fails []int) bool {
	var middle []sent
	for i, t := range targets {
		if fails[i]-paths[i].Passes > 1 {
			middle = append(middle, sent{t.VTEP, (paths[i].Passes + fails[i]) / 2})
		}
	}
	if len(middle) == 0 || ctx.Err() != nil {
		return false
	}
	p.ask(ctx, id, r, middle, sizeTries, sizeWait)
	for i, t := range targets {
		if size := (paths[i].Passes + fails[i]) / 2; fails[i]-paths[i].Passes > 1 && !p.answered(r, sent{t.VTEP, size}, &paths[i]) {
			fails[i] = size
		}
	}
	return true
}

// answered reports whether a probe was answered, and records the result in path.
func (p *Prober) answered(r *run, s sent, path *intent.PathReport) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := r.answers[s]
	if ok {
		path.Passes = max(path.Passes, s.size)
		if path.RTT == 0 || a.rtt < path.RTT {
			path.RTT, path.Skew = a.rtt, a.skew
		}
	}
	return ok
}

// ask sends probes and waits for their answers; it repeats unanswered probes. The error is
// why the last probe could not be sent.
func (p *Prober) ask(ctx context.Context, id uint64, r *run, all []sent, tries int, wait time.Duration) error {
	var err error
	for range tries {
		var packets []Packet
		for _, s := range p.open(r, all) {
			ask := probe{Kind: request, Size: uint16(s.size), Run: id, Sent: time.Now().UnixNano()}
			packets = append(packets, Packet{s.to, ask.append(nil, s.size)})
		}
		if len(packets) == 0 {
			break
		}
		err = p.send(ctx, packets)
		late := time.NewTimer(wait)
		for waiting := true; waiting && len(p.open(r, all)) > 0; {
			select {
			case <-r.news:
			case <-late.C:
				waiting = false
			case <-ctx.Done():
				late.Stop()
				return err
			}
		}
		late.Stop()
	}
	return err
}

// open returns the probes without an answer.
func (p *Prober) open(r *run, all []sent) []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	var open []sent
	for _, s := range all {
		if _, ok := r.answers[s]; !ok {
			open = append(open, s)
		}
	}
	return open
}
