package faults_test

// Random faults and random changes by other programs: no packet crosses tenants at any time,
// everything recovers, and status reports it. FAULT_SEED replays a run, FAULT_TIME makes it
// longer.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// faultRun is a lab with faults.
type faultRun struct {
	*overlay.Outdoors
	t       *testing.T
	rand    *rand.Rand
	tenants [][]*overlay.Machine
	heard   map[*overlay.Machine]*heardTags
	links   map[*lab.Host]int
	floats  map[*overlay.Machine]netip.Addr // floating addresses
	guests  map[*lab.Host]*overlay.Machine  // machines of tenants that come and go
	step    int
	count   map[string]int // of faults, by name
}

// heardTags is what one machine receives, and the tag that it may receive.
type heardTags struct {
	*lab.Capture
	own []byte
}

// tagOf is the tag in all packets of a tenant's machines.
func tagOf(tenant int) []byte { return []byte(fmt.Sprintf("%s%d;", anyTag, tenant)) }

// anyTag is the prefix of all tags.
const anyTag = "said by tenant "

// fault is a fault of a host; undo, unless nil, repairs what ovloom cannot repair.
type fault struct {
	name string
	do   func(*lab.Host) error
	undo func(*lab.Host) error

	// tellsNothing: the fault is outside of the host, which cannot detect it, or was requested.
	tellsNothing bool

	first bool // only on the first host, which has the store

	// opens: until ovloom has repaired it, as this function reports, Open vSwitch itself
	// connects the tenants with machines on the host.
	opens func(*lab.Host) error
}

func TestRandomFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("FAULT_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	length := 12 * time.Second
	if s := os.Getenv("FAULT_TIME"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FAULT_SEED=%d FAULT_TIME=%s", seed, length)
	r := newFaultRun(t, seed)
	ctx, stop := context.WithCancel(t.Context())
	var talkers sync.WaitGroup
	defer func() { stop(); talkers.Wait() }()
	for n, machines := range r.tenants {
		for _, m := range machines {
			talkers.Go(func() { r.talk(ctx, m, machines, tagOf(n)) })
		}
	}
	defer r.report()
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		r.step++
		r.oneStep(ctx)
	}
}

// report returns the faults that were caused.
func (r *faultRun) report() {
	total := 0
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.count)) {
		total += r.count[name]
		lines = append(lines, fmt.Sprintf("%4d %s", r.count[name], name))
	}
	r.t.Logf("%d steps, %d faults of %d kinds:\n%s", r.step, total, len(lines), strings.Join(lines, "\n"))
}

func newFaultRun(t *testing.T, seed uint64) *faultRun {
	o := overlay.NewOutdoors(t, 3)
	if err := o.AllowLog("."); err != nil { // daemons may log anything about faults, but must not end
		t.Fatal(err)
	}
	r := &faultRun{Outdoors: o, t: t, rand: rand.New(rand.NewPCG(seed, 0)), links: map[*lab.Host]int{},
		heard: map[*overlay.Machine]*heardTags{}, floats: map[*overlay.Machine]netip.Addr{}, guests: map[*lab.Host]*overlay.Machine{}, count: map[string]int{}}
	for n, name := range []string{"acme", "umbrella"} {
		machines := o.Tenant(name, o.Hosts...)
		o.SNAT(name, "internet")
		r.tenants = append(r.tenants, machines)
		for _, m := range machines {
			r.heard[m] = &heardTags{o.Capture(m), tagOf(n)}
		}
		m := machines[1+n]
		r.floats[m] = o.Float(m)
	}
	for _, h := range o.Hosts {
		r.onSmallDisk(h)
		w, err := h.NewWorkload(t.Context(), "guest")
		if err != nil {
			t.Fatal(err)
		}
		r.guests[h] = &overlay.Machine{Workload: w}
	}
	r.quiet("at the beginning")
	for _, h := range o.Hosts {
		r.links[h] = r.linksOf(h)
	}
	return r
}

// talk sends the tag to all machines of the tenant until ctx ends.
func (r *faultRun) talk(ctx context.Context, from *overlay.Machine, all []*overlay.Machine, tag []byte) {
	for n := 0; ctx.Err() == nil; n++ {
		for _, to := range all {
			if to != from {
				_ = from.SendFrame("eth0", overlay.Datagram(from.Port.MAC, to.Port.MAC, from.V4(), to.V4(), tag))
			}
		}
		_ = from.SendFrame("eth0", overlay.Datagram(from.Port.MAC, lab.Broadcast, from.V4(), from.V4(), tag))
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// oneStep causes one or two faults, watches, repairs what ovloom cannot, and waits until all is
// well.
func (r *faultRun) oneStep(ctx context.Context) {
	r.t.Helper()
	type broken struct {
		fault
		on *lab.Host
	}
	var now []broken
	for range 1 + r.rand.IntN(2) {
		all := r.faults() // new ones, because each remembers what it did
		b := broken{all[r.rand.IntN(len(all))], r.Hosts[r.rand.IntN(len(r.Hosts))]}
		if b.first {
			b.on = r.Hosts[0]
		}
		if !slices.ContainsFunc(now, func(o broken) bool { return o.on == b.on }) {
			now = append(now, b)
		}
	}
	hold := time.Duration(300+r.rand.IntN(4700)) * time.Millisecond
	if r.rand.IntN(4) == 0 {
		hold += lab.Patient(seeWithin) // so that status has to report it
	}
	var names []string
	for _, b := range now {
		names = append(names, b.name+" on "+b.on.Name)
	}
	name := fmt.Sprintf("step %d: %s, for %s", r.step, strings.Join(names, " and "), hold)
	r.t.Log(name)
	began := time.Now()
	for _, b := range now {
		switch err := b.do(b.on); {
		case err == nil:
			r.count[b.name]++
		case ctx.Err() == nil: // for example, because another fault made this one impossible
			r.t.Logf("step %d: %s: %v", r.step, b.name, err)
		}
	}
	known := slices.ContainsFunc(now, func(b broken) bool { return b.tellsNothing })
	for _, b := range now {
		if b.opens == nil {
			continue
		}
		// Only that: packets received later, or elsewhere, count.
		lab.Eventually(r.t, 3*time.Second, name+": the switch to be closed again", func() error { return b.opens(b.on) })
		r.t.Logf("step %d: open for less than %s", r.step, time.Since(began).Round(time.Millisecond))
		for m, c := range r.heard {
			if m.Host == b.on {
				c.Reset()
			}
		}
	}
	r.watch(name, began, hold, known)
	r.nothingEnded(name)
	// One repair may need another one first, such as the store's.
	lab.Eventually(r.t, overlay.PollTime, name+": all to be undone", func() error {
		var errs []error
		now = slices.DeleteFunc(now, func(b broken) bool {
			if b.undo == nil {
				return true
			}
			err := b.undo(b.on)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s on %s: %w", b.name, b.on.Name, err))
			}
			return err == nil
		})
		return errors.Join(errs...)
	})
	r.quiet(name)
	r.nothingEnded(name)
	if out, err := r.Hosts[0].Ovloom(r.t.Context(), "store", "check"); err != nil {
		r.t.Errorf("%s: the store: %v\n%s", name, err, out)
	}
	for _, h := range r.Hosts {
		if n := r.linksOf(h); n != r.links[h] {
			r.t.Errorf("%s: %s has %d links, and had %d", name, h.Name, n, r.links[h])
		}
	}
	r.nothingCrossed(name)
}

// seeWithin is the time within which ovloom has to detect a fault.
const seeWithin = 2 * time.Second

// watch probes for a while. If a pair stays unreachable, some host's status must report it.
func (r *faultRun) watch(name string, began time.Time, hold time.Duration, known bool) {
	patience := lab.Patient(seeWithin)
	silent := map[string]time.Time{}
	for end := time.Now().Add(hold); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		failed := r.failures(400 * time.Millisecond)
		for pair := range silent {
			if failed[pair] == nil {
				delete(silent, pair)
			}
		}
		for pair, err := range failed {
			since, was := silent[pair]
			switch {
			case !was:
				silent[pair] = time.Now()
			case time.Since(since) > patience && !known:
				if known = r.anyHostReports(began); !known {
					r.t.Errorf("%s: %v, for %s, and no status reports trouble", name, err, time.Since(since).Round(time.Millisecond))
					known = true
				}
			}
		}
		r.nothingCrossed(name)
	}
}

// failures pings, concurrently, between all machines that should reach each other, and returns
// what failed.
func (r *faultRun) failures(limit time.Duration) map[string]error {
	ctx, cancel := context.WithTimeout(r.t.Context(), lab.Patient(limit))
	defer cancel()
	var mu sync.Mutex
	failed := map[string]error{}
	var wait sync.WaitGroup
	probe := func(name string, ping func() error) {
		wait.Go(func() {
			if err := ping(); err != nil {
				mu.Lock()
				failed[name] = err
				mu.Unlock()
			}
		})
	}
	for _, machines := range r.tenants {
		for _, from := range machines {
			for _, to := range machines {
				if from != to {
					probe(fmt.Sprintf("%s to %s", from.Port.Ref(), to.Port.Ref()), func() error { _, err := from.Ping(ctx, to.V4()); return err })
				}
			}
			probe(fmt.Sprintf("%s to the internet", from.Port.Ref()), func() error { _, err := from.Ping(ctx, lab.InternetServer); return err })
		}
	}
	for m, a := range r.floats {
		probe(fmt.Sprintf("%s to the campus", m.Port.Ref()), func() error { _, err := m.Ping(ctx, lab.CampusServer); return err })
		probe(fmt.Sprintf("the campus to %s", m.Port.Ref()), func() error { _, err := r.Outside.Ping(ctx, a); return err })
	}
	wait.Wait()
	return failed
}

// anyHostReports reports whether the status of any host has reported trouble since began.
func (r *faultRun) anyHostReports(began time.Time) bool {
	for _, h := range r.Hosts {
		s, err := r.statusOf(h)
		if err != nil || len(trouble(s)) > 0 || s.Resync.At.After(began) || slices.ContainsFunc(s.Repairs, func(x api.Repair) bool { return x.At.After(began) }) {
			return true
		}
	}
	return false
}

func (r *faultRun) statusOf(h *lab.Host) (s api.Status, err error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), lab.Patient(5*time.Second))
	defer cancel()
	out, err := h.Ovloom(ctx, "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

// trouble returns the faults that a status reports now.
func trouble(s api.Status) []string {
	var list []string
	for _, w := range s.Warnings {
		list = append(list, w.What)
	}
	for _, x := range s.Stale {
		list = append(list, "stale: "+x.Part)
	}
	for _, c := range s.Connections {
		if !c.Connected {
			list = append(list, "no connection to "+c.Name)
		}
	}
	for _, p := range s.Ports {
		if !p.Up {
			list = append(list, "not up: "+p.Port)
		}
	}
	for _, u := range s.Uplinks {
		if u.Fault != "" {
			list = append(list, u.Fault)
		}
	}
	return list
}

// quiet waits until all machines reach each other as they should, every switch is right, and
// every status says so.
func (r *faultRun) quiet(name string) {
	r.t.Helper()
	lab.Eventually(r.t, 40*time.Second, name+": all to talk again", func() error {
		var errs []error
		for what, err := range r.failures(time.Second) {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
		return errors.Join(errs...)
	})
	for _, h := range r.Hosts {
		lab.Eventually(r.t, 40*time.Second, name+": "+h.Name+" to be right", func() error {
			if err := overlay.FlowsAreRight(r.t.Context(), h); err != nil {
				return err
			}
			s, err := r.statusOf(h)
			if list := trouble(s); err == nil && len(list) > 0 {
				err = fmt.Errorf("status reports %q", list)
			}
			if err == nil && len(s.Ports) != len(r.tenants) {
				err = fmt.Errorf("status shows %d ports", len(s.Ports))
			}
			return err
		})
	}
}

// nothingEnded checks that no daemon has ended by itself.
func (r *faultRun) nothingEnded(name string) {
	r.t.Helper()
	for _, h := range r.Hosts {
		for _, p := range []*lab.Process{h.Ovloomd, h.Vswitchd, h.OVSDB} {
			if !p.Running() && !p.Ended() {
				r.t.Errorf("%s: %s of %s has ended", name, p.Name, h.Name)
			}
		}
	}
}

// nothingCrossed checks the tags that all machines received, and forgets them.
func (r *faultRun) nothingCrossed(name string) {
	r.t.Helper()
	for _, c := range r.heard {
		foreign := func(p lab.Packet) bool {
			return bytes.Contains(p.Payload, []byte(anyTag)) && !bytes.Contains(p.Payload, c.own)
		}
		if n := c.Count(foreign); n > 0 {
			r.t.Errorf("%s: %s received %d packets of another tenant", name, c.Name, n)
		}
		c.Reset()
	}
}

// linksOf counts the network devices of a host.
func (r *faultRun) linksOf(h *lab.Host) int {
	return strings.Count(r.Exec(h, "ip", "-o", "link"), "\n")
}
