package main

// This file compiles all that a crowded host needs: many tenants, each with networks, ports and
// NAT, which the store sends at once.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
)

// The size of the crowd.
const (
	crowdTenants  = 50
	crowdNetworks = 4   // of each tenant
	crowdPorts    = 100 // of each network; the first is on this host
	crowdHosts    = 100 // besides this one
	crowdNAT      = 4   // floating addresses of each tenant, and as many forwards; the first of each leads to this host
	crowdUplink   = 3   // OpenFlow number of the external's port
)

const crowdTarget = 500 * time.Millisecond

// compile measures the start of a controller that gets everything at once, until it has all
// messages for an empty switch, and until a switch has applied them.
func (b *bench) compile(ctx context.Context) (_ []figure, err error) {
	s, err := newCrowdSwitch(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	c := newCrowd()
	if _, err := c.start(ctx, nil); err != nil { // gives each tenant its zone
		return nil, err
	}
	var compiled, cpus, installed []time.Duration
	var rss int64
	var messages int
	for range b.rounds {
		debug.FreeOSMemory() // so that earlier garbage does not count
		before := ownCPU()
		got, err := c.start(ctx, nil)
		if err != nil {
			return nil, err
		}
		compiled, cpus, messages = append(compiled, got.compiled), append(cpus, ownCPU()-before), got.messages
		self, err := usageOf(os.Getpid())
		if err != nil {
			return nil, err
		}
		rss = max(rss, self.rss)
		if err := s.empty(ctx); err != nil {
			return nil, err
		}
		runtime.GC()
		if got, err = c.start(ctx, s.conn); err != nil {
			return nil, err
		}
		installed = append(installed, got.applied)
	}
	what := fmt.Sprintf("%d ports in %d networks of %d tenants with NAT", crowdTenants*crowdNetworks*crowdPorts,
		crowdTenants*crowdNetworks, crowdTenants)
	return []figure{
		{what: what + ": from snapshots to messages", ours: fmt.Sprintf("%s, %d messages", ms(median(compiled)), messages),
			target: "≤ " + ms(crowdTarget), met: judge(median(compiled) <= crowdTarget), cpu: seconds(median(cpus)), rss: megabytes(rss)},
		{what: "the same, to the switch's barrier", ours: ms(median(installed))},
	}, nil
}

// crowd plays the store and the host: it holds what the controller gets from both.
type crowd struct {
	snapshots  map[string]intent.SpanUpdate
	refs       map[string]intent.PortRef // of this host's ports, by interface id
	interfaces []controller.Interface

	mu    sync.Mutex
	zones map[string]uint16 // guarded by mu; as stored on the bridge
}

var crowdExternal = intent.External{
	Name: "campus", ID: 1, Number: 1, Kind: intent.ExternalBridge, Bridge: "br-ex", Subnet: netip.MustParsePrefix("203.0.0.0/16"),
	Gateway: netip.MustParseAddr("203.0.0.1"), Pool: intent.AddrRange{First: crowdOuter(0), Last: crowdOuter(20_000)},
}.WithDefaults()

// crowdOuter is an address of the external's pool.
func crowdOuter(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(1 + n>>8), byte(n)}) }

func crowdHost(n int) string { return fmt.Sprintf("host%d", n) }

// newCrowd creates the intent. Host 0 is this host.
func newCrowd() *crowd {
	c := &crowd{snapshots: map[string]intent.SpanUpdate{}, refs: map[string]intent.PortRef{}, zones: map[string]uint16{}}
	last := intent.ID(1000) // of the objects
	id := func() intent.ID { last++; return last }
	outer := 0
	for t := range crowdTenants {
		name := fmt.Sprintf("t%d", t)
		s := &intent.Snapshot{Revision: 1, Tenant: intent.Tenant{Name: name, ID: id(), VRF: uint32(1 + t)}}
		for n := range crowdNetworks {
			s.Networks = append(s.Networks, intent.Network{Tenant: name, Name: fmt.Sprintf("n%d", n), ID: id(), VNI: uint32(10_000 + t*crowdNetworks + n),
				Subnets: []intent.Subnet{{Prefix: netip.PrefixFrom(crowdInner(n, 0), 24), Gateway: crowdInner(n, 1)}}}.WithDefaults())
			for i := range crowdPorts {
				c.addPort(s, s.Networks[n], i, id())
			}
		}
		next := func() netip.Addr { outer++; return crowdOuter(outer) }
		s.SNATs = []intent.SNAT{{Tenant: name, External: crowdExternal.Name, ID: id()}}
		s.NATAddresses = []intent.NATAddress{{Tenant: name, External: crowdExternal.Name, Host: crowdHost(0), Address: next()}}
		forwarded := next()
		for i := range crowdNAT {
			p := s.Ports[i*crowdPorts+i%2] // two are here, two elsewhere
			s.Floatings = append(s.Floatings, intent.Floating{Tenant: name, Network: p.Network, Port: p.Name, ID: id(), External: crowdExternal.Name, Address: next()})
			s.Forwards = append(s.Forwards, intent.Forward{Tenant: name, External: crowdExternal.Name, Protocol: intent.TCP,
				Port: uint16(8080 + i), ID: id(), Address: forwarded, To: p.Ref(), ToPort: 80})
		}
		c.snapshots[name] = intent.SpanUpdate{Tenant: name, Revision: 1, Snapshot: s}
	}
	return c
}

// crowdInner is an address in a tenant's network.
func crowdInner(network, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(network), byte(n)})
}

// addPort adds port number i of a network, which is plugged.
func (c *crowd) addPort(s *intent.Snapshot, n intent.Network, i int, id intent.ID) {
	p := intent.Port{Tenant: n.Tenant, Network: n.Name, Name: fmt.Sprintf("p%d", i), ID: id, UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", uint64(id)),
		MAC: intent.DerivedMAC(id), Addrs: []netip.Addr{crowdInner(int(n.Subnets[0].Prefix.Addr().As4()[2]), 10+i)}}
	host := 0
	if i > 0 {
		host = 1 + int(id)%crowdHosts
	} else {
		c.refs[p.UUID] = p.Ref()
		c.interfaces = append(c.interfaces, controller.Interface{UUID: p.UUID, Name: p.UUID, IfaceID: p.UUID,
			OFPort: of.PortNo(10 + len(c.interfaces)), Generation: 1, Installed: true})
	}
	s.Ports = append(s.Ports, p)
	s.Bindings = append(s.Bindings, intent.Binding{Tenant: p.Tenant, Network: p.Network, Port: p.Name, Host: crowdHost(host), Generation: 1, Up: true})
}

// started is the duration of a start, and its result.
type started struct {
	compiled, applied time.Duration
	messages          int
}

// start starts a controller that knows everything except tenants, lets the store send them, and
// returns when the controller has finished. Conn is a switch that applies the messages; nil:
// they are dropped.
func (c *crowd) start(ctx context.Context, conn *ofconn.Conn) (got started, err error) {
	run := &crowdRun{crowd: c, conn: conn, open: make(chan struct{}), calls: make(chan struct{}, crowdTenants+1), compiled: make(chan int, 16), applied: make(chan error, 16)}
	ctl := controller.New(crowdHost(0), controller.Deps{Span: run, Claims: nothing{}, Progress: nothing{}, Interfaces: nothing{},
		NAT: &controller.NAT{Externals: run, Guard: run, Zones: run, Conntrack: run, Addresses: run}})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- ctl.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	ctl.SetInterfaces(ctx, c.interfaces)
	ctl.SetUplinks(ctx, map[string]controller.Uplink{crowdExternal.Name: {OFPort: crowdUplink}})
	ctl.SetSurroundings(ctx, controller.Surroundings{})
	var tenants []string
	for t := range c.snapshots {
		tenants = append(tenants, t)
	}
	ctl.Recall(ctx, tenants)
	ctl.Connected(ctx, run, tunnelPort)
	for range crowdTenants { // all are requested
		if err := take(ctx, run.calls); err != nil {
			return got, err
		}
	}
	if _, err := ctl.Status(ctx); err != nil { // answered after the inputs above
		return got, err
	}
	start := time.Now()
	close(run.open)
	select {
	case got.messages = <-run.compiled:
		got.compiled = time.Since(start)
	case <-ctx.Done():
		return got, ctx.Err()
	}
	select {
	case err := <-run.applied:
		got.applied = time.Since(start)
		if err != nil {
			return got, err
		}
	case <-ctx.Done():
		return got, ctx.Err()
	}
	return got, until(ctx, func() error { // for the first start
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.zones); n < crowdTenants {
			return fmt.Errorf("%d tenants have a zone", n)
		}
		return nil
	})
}

func take(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crowdRun is one start.
type crowdRun struct {
	*crowd
	conn     *ofconn.Conn  // nil: messages are dropped
	open     chan struct{} // closed when the store may send tenants
	calls    chan struct{} // an element for each requested tenant
	compiled chan int      // the number of messages of each Apply, once computed
	applied  chan error    // an element once the switch has applied them
}

// Apply implements controller.Switch.
func (r *crowdRun) Apply(ctx context.Context, mods []of.Mod) (err error) {
	r.compiled <- len(mods)
	if r.conn != nil {
		err = r.conn.Apply(ctx, mods)
	}
	r.applied <- err
	return err
}

// Tables implements controller.Switch.
func (r *crowdRun) Tables(context.Context) ([]of.Flow, []of.Group, error) { return nil, nil, nil }

// Meters implements controller.Switch.
func (r *crowdRun) Meters(context.Context) ([]of.Meter, error) { return nil, nil }

// WatchTenant implements controller.Span.
func (r *crowdRun) WatchTenant(ctx context.Context, tenant string, deliver func(intent.SpanUpdate)) error {
	r.calls <- struct{}{}
	if err := take(ctx, r.open); err == nil {
		deliver(r.snapshots[tenant])
	}
	<-ctx.Done()
	return nil
}

// WatchResolve implements controller.Span.
func (r *crowdRun) WatchResolve(ctx context.Context, ifaceID string, deliver func(intent.PortRef, bool)) error {
	deliver(r.refs[ifaceID], true)
	<-ctx.Done()
	return nil
}

// WatchHosts implements controller.Span.
func (r *crowdRun) WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error {
	var u intent.HostsUpdate
	for i := range crowdHosts + 1 {
		u.Hosts = append(u.Hosts, intent.Host{Name: crowdHost(i), ID: intent.ID(1 + i), VTEP: netip.AddrFrom4([4]byte{198, 18, 0, byte(1 + i)})})
	}
	deliver(u)
	<-ctx.Done()
	return nil
}

// DropCopy implements controller.Span.
func (r *crowdRun) DropCopy(string) error { return nil }

// WatchExternals implements controller.Externals.
func (r *crowdRun) WatchExternals(ctx context.Context, deliver func(intent.ExternalsUpdate)) error {
	deliver(intent.ExternalsUpdate{Revision: 1, Externals: []intent.External{crowdExternal}})
	<-ctx.Done()
	return nil
}

// WatchGuard implements controller.Guard.
func (r *crowdRun) WatchGuard(ctx context.Context, deliver func(intent.GuardUpdate)) error {
	deliver(intent.GuardUpdate{Revision: 1})
	<-ctx.Done()
	return nil
}

// LoadZones implements controller.Zones.
func (r *crowdRun) LoadZones(context.Context) (map[string]uint16, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.zones), nil
}

// SaveZones implements controller.Zones.
func (r *crowdRun) SaveZones(_ context.Context, zones map[string]uint16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.zones = maps.Clone(zones)
	return nil
}

// Connections implements controller.Conntrack: there are none.
func (r *crowdRun) Connections(context.Context, uint16) ([]of.Connections, error) { return nil, nil }

// Cut implements controller.Conntrack.
func (r *crowdRun) Cut(context.Context, ...of.Connections) error { return nil }

// Limit implements controller.Conntrack.
func (r *crowdRun) Limit(context.Context, uint16, uint32) error { return nil }

// ClaimNATAddress implements controller.NATAddresses.
func (r *crowdRun) ClaimNATAddress(_ context.Context, tenant, _, _ string) (netip.Addr, error) {
	return r.snapshots[tenant].Snapshot.NATAddresses[0].Address, nil
}

// ReleaseNATAddress implements controller.NATAddresses.
func (r *crowdRun) ReleaseNATAddress(context.Context, string, string, string) error { return nil }

// crowdSwitch is a bridge that applies the messages.
type crowdSwitch struct {
	*lab.Lab
	conn *ofconn.Conn
}

func newCrowdSwitch(ctx context.Context) (s *crowdSwitch, err error) {
	l, err := lab.Start(ctx, lab.Config{Hosts: 1})
	if err != nil {
		return nil, err
	}
	s = &crowdSwitch{Lab: l}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	h := l.Hosts[0]
	if _, err := h.Vsctl(ctx, "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev", "fail_mode=secure"); err != nil {
		return s, err
	}
	s.conn, err = ofconn.Dial(ctx, "unix:"+h.MgmtSock(bridge), ofconn.Config{})
	return s, err
}

// empty deletes what an earlier start left behind.
func (s *crowdSwitch) empty(ctx context.Context) error {
	h := s.Hosts[0]
	for _, command := range []string{"del-flows", "del-groups", "del-meters"} {
		if _, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", command, "unix:"+h.MgmtSock(bridge)); err != nil {
			return err
		}
	}
	return nil
}

func (s *crowdSwitch) close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return s.Close()
}
