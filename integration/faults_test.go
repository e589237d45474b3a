package integration_test

// Random faults and random hands: nothing crosses tenants at any time, all comes back, and
// status knew. FAULT_SEED replays a run, FAULT_TIME makes it longer.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/pipeline"
)

// faultRun is a lab in which things break.
type faultRun struct {
	*outdoors
	t       *testing.T
	rand    *rand.Rand
	tenants [][]*machine
	heard   []*heardTags
	links   map[*lab.Host]int
	step    int
}

// heardTags is what one machine hears, and the tag that it must not.
type heardTags struct {
	*lab.Capture
	on      *lab.Host
	foreign []byte
}

// tagOf is in everything that a tenant's machines say.
func tagOf(tenant int) []byte { return []byte(fmt.Sprintf("said by tenant %d;", tenant)) }

// fault is something that breaks on a host, or is done to it; undo, if there is one, is
// what ovloom cannot put right by itself.
type fault struct {
	name string
	do   func(*lab.Host) error
	undo func(*lab.Host) error

	// tellsNothing: what is broken is outside of the host, of which its status knows nothing.
	tellsNothing bool

	// opens: until ovloom has put it back, which this says, Open vSwitch itself lets tenants
	// meet that have machines on the host.
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
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		r.step++
		r.oneStep(ctx)
	}
	t.Logf("%d steps", r.step)
}

func newFaultRun(t *testing.T, seed uint64) *faultRun {
	o := newOutdoors(t, 3)
	if err := o.AllowLog("."); err != nil { // what daemons say about faults is up to them; that they end is not
		t.Fatal(err)
	}
	r := &faultRun{outdoors: o, t: t, rand: rand.New(rand.NewPCG(seed, 0)), links: map[*lab.Host]int{}}
	for n, name := range []string{"acme", "umbrella"} {
		machines := o.tenant(name, o.Hosts...)
		o.snat(name, "internet")
		r.tenants = append(r.tenants, machines)
		for _, m := range machines {
			r.heard = append(r.heard, &heardTags{o.capture(m), m.Host, tagOf(1 - n)})
		}
	}
	r.quiet("at the beginning")
	for _, h := range o.Hosts {
		r.links[h] = r.linksOf(h)
	}
	return r
}

// talk says the tag to everybody of the tenant until ctx ends.
func (r *faultRun) talk(ctx context.Context, from *machine, all []*machine, tag []byte) {
	for n := 0; ctx.Err() == nil; n++ {
		for _, to := range all {
			if to != from {
				_ = from.SendFrame("eth0", datagram(from.port.MAC, to.port.MAC, from.v4(), to.v4(), tag))
			}
		}
		_ = from.SendFrame("eth0", datagram(from.port.MAC, lab.Broadcast, from.v4(), from.v4(), tag))
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// oneStep breaks one or two things, watches, undoes what ovloom cannot, and waits until all
// is well.
func (r *faultRun) oneStep(ctx context.Context) {
	r.t.Helper()
	all := r.faults()
	type broken struct {
		fault
		on *lab.Host
	}
	var now []broken
	for range 1 + r.rand.IntN(2) {
		b := broken{all[r.rand.IntN(len(all))], r.Hosts[r.rand.IntN(len(r.Hosts))]}
		if !slices.ContainsFunc(now, func(o broken) bool { return o.on == b.on }) {
			now = append(now, b)
		}
	}
	hold := time.Duration(300+r.rand.IntN(4700)) * time.Millisecond
	var names []string
	for _, b := range now {
		names = append(names, b.name+" on "+b.on.Name)
	}
	name := fmt.Sprintf("step %d: %s, for %s", r.step, strings.Join(names, " and "), hold)
	r.t.Log(name)
	began := time.Now()
	for _, b := range now {
		if err := b.do(b.on); err != nil && ctx.Err() == nil {
			r.t.Logf("step %d: %s: %v", r.step, b.name, err)
		}
	}
	known := slices.ContainsFunc(now, func(b broken) bool { return b.tellsNothing })
	for _, b := range now {
		if b.opens == nil {
			continue
		}
		// No more than that: what is heard later, or elsewhere, counts.
		lab.Eventually(r.t, 3*time.Second, name+": the switch to be closed again", func() error { return b.opens(b.on) })
		r.t.Logf("step %d: open for less than %s", r.step, time.Since(began).Round(time.Millisecond))
		for _, c := range r.heard {
			if c.on == b.on {
				c.Reset()
			}
		}
	}
	r.watch(name, began, hold, known)
	// One may need that another is undone first, as the store.
	lab.Eventually(r.t, pollTime, name+": all to be undone", func() error {
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

// watch probes for a while. A pair that stays silent must show in some host's status.
func (r *faultRun) watch(name string, began time.Time, hold time.Duration, known bool) {
	patience := lab.Patient(2 * time.Second) // how long ovloom may take to see what is wrong
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
				if known = r.somebodyKnows(began); !known {
					r.t.Errorf("%s: %v, for %s, and no status tells of anything", name, err, time.Since(since).Round(time.Millisecond))
					known = true
				}
			}
		}
		r.nothingCrossed(name)
	}
}

// failures pings between all that should talk, at once, and returns what failed.
func (r *faultRun) failures(limit time.Duration) map[string]error {
	ctx, cancel := context.WithTimeout(r.t.Context(), lab.Patient(limit))
	defer cancel()
	var mu sync.Mutex
	failed := map[string]error{}
	var wait sync.WaitGroup
	probe := func(name string, from *machine, ping func() error) {
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
					probe(fmt.Sprintf("%s to %s", from.port.Ref(), to.port.Ref()), from, func() error { _, err := from.Ping(ctx, to.v4()); return err })
				}
			}
			probe(fmt.Sprintf("%s to the internet", from.port.Ref()), from, func() error { _, err := from.Ping(ctx, lab.InternetServer); return err })
		}
	}
	wait.Wait()
	return failed
}

// somebodyKnows says whether the status of any host tells of trouble since began.
func (r *faultRun) somebodyKnows(began time.Time) bool {
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

// trouble returns what a status says is wrong now.
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

// quiet waits until all that should talk does, every switch is right, and every status
// says so.
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
			if err := flowsAreRight(r.t.Context(), h); err != nil {
				return err
			}
			s, err := r.statusOf(h)
			if list := trouble(s); err == nil && len(list) > 0 {
				err = fmt.Errorf("status says %q", list)
			}
			if err == nil && len(s.Ports) != len(r.tenants) {
				err = fmt.Errorf("status shows %d ports", len(s.Ports))
			}
			return err
		})
	}
}

// nothingCrossed checks what everybody has heard, and forgets it.
func (r *faultRun) nothingCrossed(name string) {
	r.t.Helper()
	for _, c := range r.heard {
		if n := c.Count(func(p lab.Packet) bool { return bytes.Contains(p.Payload, c.foreign) }); n > 0 {
			r.t.Errorf("%s: %s heard the other tenant %d times", name, c.Name, n)
		}
		c.Reset()
	}
}

// linksOf counts the network devices of a host.
func (r *faultRun) linksOf(h *lab.Host) int {
	return strings.Count(r.exec(h, "ip", "-o", "link"), "\n")
}

// machineOn returns a random machine of a host.
func (r *faultRun) machineOn(h *lab.Host) *machine {
	machines := r.tenants[r.rand.IntN(len(r.tenants))]
	for _, m := range machines {
		if m.Host == h {
			return m
		}
	}
	return machines[0]
}

// faults lists all that can be done. What is random about one is chosen when it is done,
// in one order, so that a seed replays.
func (r *faultRun) faults() []fault {
	ctx := r.t.Context()
	run := func(args ...string) func(*lab.Host) error {
		return func(h *lab.Host) error {
			limited, cancel := context.WithTimeout(ctx, lab.Patient(10*time.Second))
			defer cancel()
			_, err := h.Exec(limited, args...)
			return err
		}
	}
	port := func(command ...string) func(*lab.Host) error {
		return func(h *lab.Host) error {
			m := r.machineOn(h)
			var args []string
			for _, a := range command {
				args = append(args, strings.ReplaceAll(a, "PORT", hostIf(m)))
			}
			return run(args...)(h)
		}
	}
	inside := func(command ...string) func(*lab.Host) error {
		return func(h *lab.Host) error {
			_, err := r.machineOn(h).Exec(ctx, command...)
			return err
		}
	}
	ovloom := func(args ...string) func(*lab.Host) error {
		return func(h *lab.Host) error {
			_, err := h.Ovloom(ctx, args...)
			return err
		}
	}
	signal := func(of func(*lab.Host) *lab.Process, s unix.Signal) func(*lab.Host) error {
		return func(h *lab.Host) error { return of(h).Signal(s) }
	}
	ofctl := func(args ...string) func(*lab.Host) error {
		return run(append([]string{"ovs-ofctl", "-O", "OpenFlow15", "--timeout=5"}, args...)...)
	}
	vsctl := func(args ...string) func(*lab.Host) error {
		return run(append([]string{"ovs-vsctl", "--timeout=5"}, args...)...)
	}
	daemon := func(h *lab.Host) *lab.Process { return h.Ovloomd }
	vswitchd := func(h *lab.Host) *lab.Process { return h.Vswitchd }
	ovsdb := func(h *lab.Host) *lab.Process { return h.OVSDB }
	start := func(of func(*lab.Host) *lab.Process, start func(context.Context, *lab.Host) error) func(*lab.Host) error {
		return func(h *lab.Host) error {
			if of(h).Running() {
				return nil
			}
			return start(ctx, h)
		}
	}
	fork := pipeline.TableByName("fork").ID
	return []fault{
		{name: "kill -9 ovloomd", do: func(h *lab.Host) error { return h.Ovloomd.Kill() },
			undo: start(daemon, func(ctx context.Context, h *lab.Host) error { _, err := h.StartOvloomd(ctx); return err })},
		{name: "SIGSTOP ovloomd", do: signal(daemon, unix.SIGSTOP), undo: signal(daemon, unix.SIGCONT)},
		{name: "kill -9 ovs-vswitchd", do: func(h *lab.Host) error { return h.Vswitchd.Kill() },
			undo: start(vswitchd, func(ctx context.Context, h *lab.Host) error { return h.StartVswitchd(ctx) })},
		{name: "SIGSTOP ovs-vswitchd", do: signal(vswitchd, unix.SIGSTOP), undo: signal(vswitchd, unix.SIGCONT)},
		{name: "kill -9 ovsdb-server", do: func(h *lab.Host) error { return h.OVSDB.Kill() },
			undo: start(ovsdb, func(ctx context.Context, h *lab.Host) error { return h.StartOVSDB(ctx) })},
		{name: "SIGSTOP ovsdb-server", do: signal(ovsdb, unix.SIGSTOP), undo: signal(ovsdb, unix.SIGCONT)},

		{name: "del-flows", do: ofctl("del-flows", "br-int")},
		{name: "del-flows of one table", do: func(h *lab.Host) error {
			tables := pipeline.Tables()
			return ofctl("del-flows", "br-int", fmt.Sprintf("table=%d", tables[r.rand.IntN(len(tables))].ID))(h)
		}},
		{name: "a flow past port security", do: func(h *lab.Host) error {
			return ofctl("add-flow", "br-int", fmt.Sprintf("table=%d,priority=65535,actions=goto_table:%d", pipeline.TableByName("port_security").ID, fork))(h)
		}},
		{name: "a flow that drops all", do: ofctl("add-flow", "br-int", "table=0,priority=65535,actions=drop")},
		{name: "del-flows of the underlay's bridge", do: ofctl("del-flows", "br-phy")},
		{name: "del-groups", do: ofctl("del-groups", "br-int")},
		{name: "del-meters", do: ofctl("del-meters", "br-int")},
		{name: "mod-port down", do: port("ovs-ofctl", "-O", "OpenFlow15", "--timeout=5", "mod-port", "br-int", "PORT", "down")},
		{name: "mod-port no-forward", do: ofctl("mod-port", "br-int", "vx0", "no-forward")},
		{name: "mod-port no-receive", do: port("ovs-ofctl", "-O", "OpenFlow15", "--timeout=5", "mod-port", "br-int", "PORT", "no-receive")},

		{name: "del-port", do: port("ovs-vsctl", "--timeout=5", "del-port", "br-int", "PORT")},
		{name: "del-port vx0", do: vsctl("del-port", "br-int", "vx0")},
		{name: "del-br", do: vsctl("del-br", "br-int")},
		{name: "external_ids of the bridge cleared", do: vsctl("clear", "Bridge", "br-int", "external_ids")},
		{name: "external_ids of a port cleared", do: port("ovs-vsctl", "--timeout=5", "clear", "Interface", "PORT", "external_ids")},
		{name: "set-controller", do: vsctl("set-controller", "br-int", "tcp:127.0.0.1:9")},
		{name: "fail mode", do: vsctl("set-fail-mode", "br-int", "standalone"), opens: func(h *lab.Host) error {
			if mode, err := h.Exec(ctx, "ovs-vsctl", "--timeout=5", "get-fail-mode", "br-int"); err != nil || mode != "secure\n" {
				return fmt.Errorf("fail mode %q: %v", mode, err)
			}
			if flows, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", "--timeout=5", "dump-flows", "br-int", "table=0"); err != nil || strings.Contains(flows, "NORMAL") {
				return fmt.Errorf("flows of table 0: %v\n%s", err, flows)
			}
			return run("ovs-appctl", "--timeout=5", "revalidator/wait")(h) // what it has cached goes
		}},
		{name: "protocols", do: vsctl("set", "bridge", "br-int", "protocols=OpenFlow10")},

		{name: "a port's link down", do: port("ip", "link", "set", "PORT", "down")},
		{name: "the underlay's cable out", do: func(h *lab.Host) error { return h.LinkDown() }, undo: func(h *lab.Host) error { return h.LinkUp() }, tellsNothing: true},
		{name: "the management's cable out", do: func(h *lab.Host) error { return h.ManagementDown() }, undo: func(h *lab.Host) error { return h.ManagementUp() }},
		{name: "addresses inside flushed", do: inside("ip", "addr", "flush", "dev", "eth0", "scope", "global")},
		{name: "the MTU inside changed", do: inside("ip", "link", "set", "eth0", "mtu", "1200")},
		{name: "the link inside down", do: inside("ip", "link", "set", "eth0", "down")},

		{name: "nft flushed", do: run("nft", "flush", "ruleset")},
		{name: "forwarding off", do: run("sysctl", "-qw", "net.ipv4.ip_forward=0"), undo: run("sysctl", "-qw", "net.ipv4.ip_forward=1")},

		{name: "a port added", do: ovloom("port", "add", "acme/web/more", "--no-wait"), undo: func(h *lab.Host) error {
			_, err := h.Ovloom(ctx, "port", "delete", "acme/web/more", "--cascade", "--no-wait")
			if lab.ExitCode(err) == 3 { // it was never added
				err = nil
			}
			return err
		}},
		{name: "the MTU of a network set", do: ovloom("network", "set", "umbrella/web", "--mtu", "1300", "--no-wait"),
			undo: ovloom("network", "set", "umbrella/web", "--mtu", "1500", "--no-wait")},
	}
}
