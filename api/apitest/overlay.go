// Package apitest is an overlay in memory that an api.Server can serve in
// tests: it keeps intent by the same rules as a real one, with one host, and
// can be told to fail and to lag.
package apitest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
)

// Overlay is an overlay in memory. Make it with New. It satisfies api.Store,
// api.Plugger, api.Local and api.Upkeep.
type Overlay struct {
	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, by every change
	revision int64
	nextID   intent.ID
	nets     uint64 // how many networks were given a VNI
	tenants  map[string]intent.Tenant
	networks map[intent.NetworkRef]intent.Network
	ports    map[intent.PortRef]intent.Port
	claims   map[intent.PortRef][]intent.Binding
	peers    map[intent.PeerRef]intent.Peer
	hosts    map[string]intent.HostState
	plugged  map[intent.PortRef]api.PlugRequest
	left     bool

	routes    map[intent.RouteRef]intent.Route
	externals map[string]intent.External
	snats     map[intent.SNATRef]intent.SNAT
	floatings map[intent.FloatingRef]intent.Floating
	forwards  map[intent.ForwardRef]intent.Forward
	taken     []intent.NATAddress

	// Set by tests.
	fail    func(op string) error
	pending []string // hosts that do not apply anything
	state   api.Status
	flows   []api.Flow

	connections []intent.Connection
	learned     []intent.LearnedMAC
	diff        []string
	health      intent.Health
	trace       intent.Trace
	lacks       []string
}

// ThisHost is the host that ports are plugged on.
const ThisHost = "host1"

// New returns an overlay without tenants and with two hosts, host1 and host2.
func New() *Overlay {
	o := &Overlay{
		changed: make(chan struct{}), revision: 10, nextID: 2,
		tenants: map[string]intent.Tenant{}, networks: map[intent.NetworkRef]intent.Network{},
		ports: map[intent.PortRef]intent.Port{}, claims: map[intent.PortRef][]intent.Binding{},
		peers: map[intent.PeerRef]intent.Peer{},
		hosts: map[string]intent.HostState{}, plugged: map[intent.PortRef]api.PlugRequest{},
		routes: map[intent.RouteRef]intent.Route{}, externals: map[string]intent.External{}, snats: map[intent.SNATRef]intent.SNAT{},
		floatings: map[intent.FloatingRef]intent.Floating{}, forwards: map[intent.ForwardRef]intent.Forward{},
		fail: func(string) error { return nil },
	}
	for i, name := range []string{ThisHost, "host2"} {
		o.hosts[name] = intent.HostState{Host: intent.Host{Name: name, ID: intent.ID(i + 1),
			VTEP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), UnderlayMTU: 1500, Datapath: intent.DatapathSystem, Version: "v0.1.0"},
			Alive: true, Applied: 10}
	}
	return o
}

// Backend returns what an api.Server needs to serve the overlay.
func (o *Overlay) Backend() api.Backend {
	return api.Backend{Store: o, Local: o, Plug: o, Upkeep: o, Status: o.status, Flows: o.listFlows, FlowsDiff: o.listDiff, Health: o.examined, Trace: o.traced, Fix: o.fix,
		Connections: func(context.Context, intent.Snapshot) ([]intent.Connection, error) { return o.connections, nil },
		Learned: func(context.Context, intent.Snapshot, intent.Network) ([]intent.LearnedMAC, error) {
			return o.learned, nil
		}}
}

// FailWith makes every later call of an operation fail with f's result, unless
// that is nil. op is the method's name.
func (o *Overlay) FailWith(f func(op string) error) { o.locked(func() { o.fail = f }) }

// SetPending makes hosts lag: waits end only when it is called without any.
func (o *Overlay) SetPending(hosts ...string) { o.locked(func() { o.pending = hosts }) }

// SetStatus sets what the status is but for what the overlay knows itself.
func (o *Overlay) SetStatus(s api.Status) { o.locked(func() { o.state = s }) }

// SetDiff sets how the switch differs from what it should hold.
func (o *Overlay) SetDiff(mods ...string) { o.locked(func() { o.diff = mods }) }

// SetTrace sets what a trace is but for what was asked.
func (o *Overlay) SetTrace(t intent.Trace) { o.locked(func() { o.trace = t }) }

// SetHealth sets what an examination finds.
func (o *Overlay) SetHealth(h intent.Health) { o.locked(func() { o.health = h }) }

// SetLacks sets what a call of Fix will set on this host.
func (o *Overlay) SetLacks(what ...string) { o.locked(func() { o.lacks = what }) }

// SetObserved sets what the switch has found out by itself.
func (o *Overlay) SetObserved(c []intent.Connection, l []intent.LearnedMAC) {
	o.locked(func() { o.connections, o.learned = c, l })
}

// SetFlows sets the switch's flows.
func (o *Overlay) SetFlows(fs ...api.Flow) { o.locked(func() { o.flows = fs }) }

// SetHost adds or replaces a host.
func (o *Overlay) SetHost(h intent.HostState) { o.locked(func() { o.hosts[h.Name] = h }) }

// Claim makes host claim a port with the next generation.
func (o *Overlay) Claim(ref intent.PortRef, host string, up bool) {
	o.locked(func() { o.claim(ref, host, up) })
}

// Left says whether this host has left.
func (o *Overlay) Left() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.left
}

// locked runs f and wakes those who wait for a change.
func (o *Overlay) locked(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *Overlay) claim(ref intent.PortRef, host string, up bool) {
	o.claims[ref] = slices.DeleteFunc(o.claims[ref], func(b intent.Binding) bool { return b.Host == host })
	o.revision++
	o.claims[ref] = append(o.claims[ref], intent.Binding{Tenant: ref.Tenant, Network: ref.Network, Port: ref.Port,
		Host: host, Generation: uint64(o.revision), Up: up})
}

// begin locks the overlay for one operation; the caller defers the result.
func (o *Overlay) begin(ctx context.Context, op string) (func(), error) {
	if err := ctx.Err(); err != nil {
		return func() {}, err
	}
	o.mu.Lock()
	fail := o.fail
	o.mu.Unlock()
	// fail may block or panic, so it runs without the lock.
	if err := fail(op); err != nil {
		return func() {}, err
	}
	o.mu.Lock()
	return o.mu.Unlock, nil
}

func (o *Overlay) id() intent.ID {
	o.nextID++
	return o.nextID
}

func (o *Overlay) write() int64 {
	o.revision++
	return o.revision
}

// WaitApplied implements api.TenantStore.
func (o *Overlay) WaitApplied(ctx context.Context, tenant string, revision int64, progress func([]string)) error {
	if _, err := o.begin(ctx, "WaitApplied"); err != nil {
		return err
	}
	for {
		pending, changed := o.pending, o.changed
		o.mu.Unlock()
		if len(pending) == 0 {
			return nil
		}
		progress(pending)
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d of %s: %w", revision, tenant, ctx.Err())
		case <-changed:
		}
		o.mu.Lock()
	}
}

// Hosts implements api.HostStore.
func (o *Overlay) Hosts(ctx context.Context) ([]intent.HostState, error) {
	end, err := o.begin(ctx, "Hosts")
	defer end()
	if err != nil {
		return nil, err
	}
	var hs []intent.HostState
	for _, h := range o.hosts {
		hs = append(hs, h)
	}
	return hs, nil
}

func (o *Overlay) hostUsers(name string) []string {
	var users []string
	for ref, cs := range o.claims {
		for _, c := range cs {
			if c.Host == name {
				users = append(users, "binding "+ref.String()+" on "+name)
			}
		}
	}
	sort.Strings(users)
	return users
}

// HostUsers implements api.HostStore.
func (o *Overlay) HostUsers(ctx context.Context, name string) ([]string, error) {
	end, err := o.begin(ctx, "HostUsers")
	defer end()
	if err != nil {
		return nil, err
	}
	return o.hostUsers(name), nil
}

// RemoveHost implements api.HostStore.
func (o *Overlay) RemoveHost(ctx context.Context, name string, cascade bool) ([]string, int64, error) {
	end, err := o.begin(ctx, "RemoveHost")
	defer end()
	if err != nil {
		return nil, 0, err
	}
	h, ok := o.hosts[name]
	if !ok {
		return nil, 0, intent.NotFoundf("host %s does not exist", name)
	}
	if h.Alive && !cascade {
		return nil, 0, intent.InUseBy("host "+name, []string{"its running ovloomd"})
	}
	users := o.hostUsers(name)
	if len(users) > 0 && !cascade {
		return nil, 0, intent.InUseBy("host "+name, users)
	}
	for ref := range o.claims {
		o.claims[ref] = slices.DeleteFunc(o.claims[ref], func(b intent.Binding) bool { return b.Host == name })
	}
	delete(o.hosts, name)
	return append(users, "host "+name), o.write(), nil
}

// Plug implements api.Plugger.
func (o *Overlay) Plug(ctx context.Context, r api.PlugRequest) (api.PlugResult, error) {
	end, err := o.begin(ctx, "Plug")
	defer end()
	if err != nil {
		return api.PlugResult{}, err
	}
	p, ok := o.ports[r.Ref]
	if !ok {
		return api.PlugResult{}, intent.NotFoundf("port %s does not exist", r.Ref)
	}
	if _, ok := o.plugged[r.Ref]; ok {
		return api.PlugResult{}, intent.Conflictf("port %s is plugged on this host", r.Ref).WithHint("unplug it first")
	}
	o.plugged[r.Ref] = r
	o.claim(r.Ref, ThisHost, len(o.pending) == 0)
	name := fmt.Sprintf("ovl%x", uint64(p.ID))
	if r.Tap != "" {
		name = r.Tap
	}
	return api.PlugResult{Interface: name, Ifname: r.Ifname, MAC: p.MAC, Addrs: p.Addrs, MTU: o.networks[r.Ref.NetworkRef()].PortMTU(1500)}, nil
}

// WaitUp implements api.Plugger.
func (o *Overlay) WaitUp(ctx context.Context, ref intent.PortRef) error {
	return o.WaitApplied(ctx, ref.Tenant, 0, func([]string) {})
}

// Unplug implements api.Plugger.
func (o *Overlay) Unplug(ctx context.Context, ref intent.PortRef) error {
	end, err := o.begin(ctx, "Unplug")
	defer end()
	if err != nil {
		return err
	}
	if _, ok := o.plugged[ref]; !ok {
		return intent.NotFoundf("port %s is not plugged on this host", ref)
	}
	delete(o.plugged, ref)
	o.claims[ref] = slices.DeleteFunc(o.claims[ref], func(b intent.Binding) bool { return b.Host == ThisHost })
	o.write()
	return nil
}

// Plugged returns the request that plugged a port.
func (o *Overlay) Plugged(ref intent.PortRef) (api.PlugRequest, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.plugged[ref]
	return r, ok
}

// PlanLeave implements api.Local.
func (o *Overlay) PlanLeave(ctx context.Context) ([]string, error) {
	end, err := o.begin(ctx, "PlanLeave")
	defer end()
	if err != nil {
		return nil, err
	}
	return append(o.hostUsers(ThisHost), "bridge br-int", "host "+ThisHost), nil
}

// Leave implements api.Local.
func (o *Overlay) Leave(ctx context.Context, cascade bool) ([]string, error) {
	plan, err := o.PlanLeave(ctx)
	if err != nil {
		return nil, err
	}
	if users := plan[:len(plan)-2]; len(users) > 0 && !cascade {
		return nil, intent.InUseBy("host "+ThisHost, users)
	}
	end, err := o.begin(ctx, "Leave")
	defer end()
	if err != nil {
		return plan[:len(plan)-1], err
	}
	delete(o.hosts, ThisHost)
	o.left = true
	return plan, nil
}

func (o *Overlay) status(ctx context.Context) (api.Status, error) {
	end, err := o.begin(ctx, "Status")
	defer end()
	if err != nil {
		return api.Status{}, err
	}
	s := o.state
	s.Host, s.VTEP, s.Revision = ThisHost, netip.MustParseAddr("192.0.2.1"), o.revision
	s.Uptime = int64(time.Hour / time.Second)
	for ref := range o.plugged {
		s.Ports = append(s.Ports, api.BoundPort{Port: ref.String(), Interface: fmt.Sprintf("ovl%x", uint64(o.ports[ref].ID)), OFPort: 5, Up: true})
	}
	return s, nil
}

func (o *Overlay) fix(ctx context.Context) (done []string, err error) {
	o.locked(func() { done, o.lacks = o.lacks, nil })
	return done, nil
}

func (o *Overlay) examined(ctx context.Context) (intent.Health, error) {
	end, err := o.begin(ctx, "Health")
	defer end()
	return o.health, err
}

func (o *Overlay) traced(ctx context.Context, q intent.TraceQuery) (intent.Trace, error) {
	end, err := o.begin(ctx, "Trace")
	defer end()
	t := o.trace
	t.From, t.To = q.From.String(), q.To
	return t, err
}

func (o *Overlay) listDiff(ctx context.Context) ([]string, error) {
	end, err := o.begin(ctx, "FlowsDiff")
	defer end()
	if err != nil {
		return nil, err
	}
	return o.diff, nil
}

func (o *Overlay) listFlows(ctx context.Context, q api.FlowQuery) ([]api.Flow, error) {
	end, err := o.begin(ctx, "Flows")
	defer end()
	if err != nil {
		return nil, err
	}
	var fs []api.Flow
	for _, f := range o.flows {
		if (q.Table == "" || q.Table == f.Table) && (q.Object == "" || "port "+q.Object == f.Object) {
			fs = append(fs, f)
		}
	}
	return fs, nil
}
