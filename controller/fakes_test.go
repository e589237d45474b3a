package controller

// Fakes of what a Controller acts on, at the level of messages: a store with watches
// (fakestore_test.go), a database with rows, a switch with tables. All log the controller's
// calls in one list.

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/controller/internal/switchtest"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/router"
)

const self = "host1"

// rig is a controller of host1 with fakes around it, in a synctest bubble: time passes only
// while all goroutines wait.
type rig struct {
	*Controller
	t     *testing.T
	ctx   context.Context
	stop  func() // stops the controller
	calls *calls
	store *fakeStore
	rows  *fakeRows
	sw    *fakeSwitch

	mu        sync.Mutex
	announced []router.Arrival // guarded by mu
}

// newRig returns a rig with host1 and host2, tenant acme, network acme/web and its ports c1 and
// c2 in the store. The controller does not run yet.
func newRig(t *testing.T) *rig {
	ctx, stop := context.WithCancel(t.Context())
	log := &calls{start: time.Now()}
	r := &rig{t: t, ctx: ctx, stop: stop, calls: log,
		store: newFakeStore(log),
		rows:  &fakeRows{calls: log, rows: map[string]Interface{}},
		sw:    &fakeSwitch{Table: switchtest.New()},
	}
	r.Controller = New(self, Deps{Span: r.store, Claims: r.store, Progress: r.store, Interfaces: r.rows})
	r.announce = func(a router.Arrival) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.announced = append(r.announced, a)
	}
	r.rows.tell = func(list []Interface) { r.SetInterfaces(ctx, list) }
	t.Cleanup(func() { stop(); synctest.Wait() })

	for i, name := range []string{self, "host2"} {
		r.store.hosts = append(r.store.hosts, intent.Host{Name: name, ID: intent.ID(100 + i), VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})})
	}
	r.store.put("acme", intent.Tenant{Name: "acme", ID: 1, VRF: 1})
	r.store.put("acme", intent.Network{Tenant: "acme", Name: "web", ID: 2, VNI: 5001, Unknown: intent.UnknownDrop})
	r.addPort("c1", 11)
	r.addPort("c2", 12)
	return r
}

// addPort puts a port of acme/web into the store. Its UUID is made from its id.
func (r *rig) addPort(name string, id intent.ID) {
	r.store.put("acme", intent.Port{Tenant: "acme", Network: "web", Name: name, ID: id, UUID: uuidOf(id), MAC: intent.MAC{2, 0, 0, 0, 0, byte(id)}})
}

func uuidOf(id intent.ID) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", id) }

func portRef(name string) intent.PortRef {
	return intent.PortRef{Tenant: "acme", Network: "web", Port: name}
}

// run starts the controller, with all inputs that a daemon gives it at the start.
func (r *rig) run() {
	go r.Run(r.ctx)
	r.rows.say()
	r.Recall(r.ctx, nil)
	r.Connected(r.ctx, r.sw, 1)
	synctest.Wait()
}

// withTimeout is context.WithTimeout in the rig's bubble.
func withTimeout(r *rig, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, d)
}

// did waits until the controller is idle and compares the calls since the last check. The order
// of calls to different fakes does not matter.
func (r *rig) did(want ...string) {
	r.t.Helper()
	time.Sleep(2 * tick) // unfinished work is retried at each
	r.didSoFar(want...)
}

// didSoFar is did without waiting.
func (r *rig) didSoFar(want ...string) {
	r.t.Helper()
	synctest.Wait()
	got := r.calls.take()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("did\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// right checks that the switch holds what a new process would compute.
func (r *rig) right() {
	r.t.Helper()
	synctest.Wait()
	if mods, clashes, err := r.Compare(r.ctx); err != nil || len(mods)+len(clashes) > 0 {
		r.t.Errorf("the switch is not right: %v, %v, %v", mods, clashes, err)
	}
}

// entry returns the flow that admits a port's packets, as ovs-ofctl writes it, or "" without
// one.
func (r *rig) entry(id intent.ID) string {
	r.t.Helper()
	synctest.Wait()
	r.sw.mu.Lock()
	defer r.sw.mu.Unlock()
	for _, f := range r.sw.Flows {
		if pipeline.Cookie(f.Cookie) == pipeline.MakeCookie(pipeline.KindPort, id) && f.Table == pipeline.EntryTable() {
			return f.String()
		}
	}
	return ""
}

// speaks checks that a port's packets are admitted from that OpenFlow port; 0: from none.
func (r *rig) speaks(id intent.ID, p of.PortNo) {
	r.t.Helper()
	switch flow := r.entry(id); {
	case p == 0 && strings.Contains(flow, "goto_table") && strings.Contains(flow, "metadata"):
		r.t.Errorf("the packets of port %d are admitted: %s", id, flow)
	case p != 0 && (!strings.Contains(flow, fmt.Sprintf("in_port=%d ", p)) || !strings.Contains(flow, "metadata")):
		r.t.Errorf("the packets of port %d are not admitted from OpenFlow port %d: %q", id, p, flow)
	}
}

// calls lists the calls of the fakes, in order.
type calls struct {
	start time.Time
	mu    sync.Mutex
	lines []string // guarded by mu
	times []time.Duration
}

func (c *calls) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
	c.times = append(c.times, time.Since(c.start))
}

// take returns the calls since the last take.
func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lines
	c.lines, c.times = nil, nil
	return lines
}

// forget removes optional lines from the log.
func (c *calls) forget(lines ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < len(c.lines); i++ {
		if slices.Contains(lines, c.lines[i]) {
			c.lines, c.times = slices.Delete(c.lines, i, i+1), slices.Delete(c.times, i, i+1)
			i--
		}
	}
}

// takeTimes returns when the calls since the last take were made.
func (c *calls) takeTimes() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := c.times
	c.lines, c.times = nil, nil
	return times
}

// fakeRows implements Interfaces with the rows of a bridge's interfaces.
type fakeRows struct {
	calls *calls
	tell  func([]Interface)

	telling sync.Mutex // so that lists arrive in order
	mu      sync.Mutex
	rows    map[string]Interface // guarded by mu
}

// plug adds or changes an interface. Its row is named after it.
func (r *fakeRows) plug(i Interface) {
	i.UUID = "row " + i.Name
	r.mu.Lock()
	r.rows[i.UUID] = i
	r.mu.Unlock()
	r.say()
}

func (r *fakeRows) unplug(name string) {
	r.mu.Lock()
	delete(r.rows, "row "+name)
	r.mu.Unlock()
	r.say()
}

func (r *fakeRows) row(name string) Interface {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows["row "+name]
}

// say gives the controller the list of all interfaces.
func (r *fakeRows) say() {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	list := slices.Collect(maps.Values(r.rows))
	r.mu.Unlock()
	r.tell(list)
}

func (r *fakeRows) set(uuid string, edit func(*Interface)) error {
	r.mu.Lock()
	i, ok := r.rows[uuid]
	if ok {
		edit(&i)
		r.rows[uuid] = i
	}
	r.mu.Unlock()
	if !ok {
		return intent.NotFoundf("interface row %s is gone", uuid)
	}
	r.say()
	return nil
}

// SetGeneration implements Interfaces.
func (r *fakeRows) SetGeneration(_ context.Context, uuid string, generation uint64) error {
	r.calls.add("%s: generation %d", uuid, generation)
	return r.set(uuid, func(i *Interface) { i.Generation = generation })
}

// SetInstalled implements Interfaces.
func (r *fakeRows) SetInstalled(_ context.Context, uuid string, on bool) error {
	r.calls.add("%s: installed: %v", uuid, on)
	return r.set(uuid, func(i *Interface) { i.Installed = on })
}

// fakeSwitch is a Switch with tables.
type fakeSwitch struct {
	mu sync.Mutex
	*switchtest.Table
	meters         []of.Meter
	fail           error
	applies, dumps int // calls, including failed ones
	dumping        func()
}

// Apply implements Switch.
func (s *fakeSwitch) Apply(_ context.Context, mods []of.Mod) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applies++
	if s.fail != nil {
		return s.fail
	}
	var others []of.Mod
	for _, m := range mods {
		if mm, ok := m.(*of.MeterMod); ok {
			s.meters = slices.DeleteFunc(s.meters, func(m of.Meter) bool { return m.ID == mm.Meter.ID })
			if mm.Command != of.MeterDelete {
				s.meters = append(s.meters, mm.Meter)
			}
		} else {
			others = append(others, m)
		}
	}
	return s.Table.Apply(others)
}

// Meters implements Switch.
func (s *fakeSwitch) Meters(context.Context) ([]of.Meter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meters, nil
}

// Tables implements Switch.
func (s *fakeSwitch) Tables(context.Context) ([]of.Flow, []of.Group, error) {
	if s.dumping != nil {
		s.dumping()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dumps++
	flows, groups := s.Table.Dump()
	return flows, groups, s.fail
}

// Groups implements Switch.
func (s *fakeSwitch) Groups(context.Context) ([]of.Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, groups := s.Table.Dump()
	return groups, s.fail
}

// CookieFlows implements Switch.
func (s *fakeSwitch) CookieFlows(_ context.Context, cookie, mask uint64) ([]of.Flow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	flows, _ := s.Table.Dump()
	return slices.DeleteFunc(flows, func(f of.Flow) bool { return (f.Cookie^cookie)&mask != 0 }), s.fail
}

func (s *fakeSwitch) failing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// asked returns the numbers of Apply calls and dumps since the last call.
func (s *fakeSwitch) asked() (applies, dumps int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	applies, dumps = s.applies, s.dumps
	s.applies, s.dumps = 0, 0
	return applies, dumps
}
