package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/repair"
)

// fakeHost is a switch, a store and the kernel's interfaces, in memory. It logs each change.
type fakeHost struct {
	mu       sync.Mutex
	ports    map[intent.PortRef]intent.Port
	networks map[intent.NetworkRef]intent.Network
	switched map[string]ovsdb.Interface // on br-int, by name
	links    map[string]int             // index by name
	next     int
	specs    map[string]hostnet.PlugSpec // of the veth pairs, by host end
	specsOf  []hostnet.PlugSpec          // all arguments of Plug
	tapErr   error                       // of CheckTap
	addErr   error                       // of AddPort
	readyErr error                       // of ReadyTap
	foreign  map[string]string           // default routes elsewhere, by gateway
	holder   string                      // the live host that holds the port
	claimed  uint64                      // the last generation
	remain   int                         // the calls of Bindings that still show a claim of host1
	asked    int                         // the number of calls of Bindings

	bindingsErr error
	deliver     func(hostnet.Change)
	down        map[string]bool
	ended       bool // the namespace has ended
	log         []string
}

func newFakeHost() *fakeHost {
	return &fakeHost{
		ports: map[intent.PortRef]intent.Port{}, networks: map[intent.NetworkRef]intent.Network{},
		switched: map[string]ovsdb.Interface{}, links: map[string]int{}, next: 10, specs: map[string]hostnet.PlugSpec{},
		foreign: map[string]string{}, down: map[string]bool{},
	}
}

func (f *fakeHost) did(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fakeHost) Port(_ context.Context, ref intent.PortRef) (intent.Port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.ports[ref]
	if !ok {
		return p, intent.NotFoundf("port %s does not exist", ref)
	}
	return p, nil
}

func (f *fakeHost) Network(_ context.Context, ref intent.NetworkRef) (intent.Network, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.networks[ref]
	if !ok {
		return n, intent.NotFoundf("network %s does not exist", ref)
	}
	return n, nil
}

func (f *fakeHost) Free(_ context.Context, ref intent.PortRef, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.holder != "" {
		return intent.Conflictf("port %s is plugged on host %s", ref, f.holder).WithHint("--take")
	}
	return nil
}

func (f *fakeHost) ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	if err := f.Free(ctx, ref, host); err != nil {
		return intent.Binding{}, err
	}
	return f.Claim(ctx, ref, host, have)
}

func (f *fakeHost) Claim(_ context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if have == 0 || have != f.claimed {
		f.claimed++
	}
	return intent.Binding{Generation: f.claimed}, nil
}

func (f *fakeHost) Release(_ context.Context, _ intent.PortRef, _ string, generation uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("release %d", generation)
	return nil
}

// Bindings returns the remaining claims, one fewer each time.
func (f *fakeHost) Bindings(context.Context, intent.PortRef) ([]intent.Binding, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.remain == 0 {
		return []intent.Binding{{Host: "another"}}, f.bindingsErr
	}
	f.remain--
	return []intent.Binding{{Host: "another"}, {Host: "host1", Generation: f.claimed}}, f.bindingsErr
}

func (f *fakeHost) Interfaces(string) []ovsdb.Interface {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.switched), func(a, b ovsdb.Interface) int { return len(a.Name) - len(b.Name) })
}

func (f *fakeHost) PortBridge(name string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, ok := f.switched[name]
	return i.Bridge, ok
}

func (f *fakeHost) AddPort(_ context.Context, bridge string, p ovsdb.PortSpec) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.addErr != nil {
		return f.addErr
	}
	f.did("add port %s", p.Name)
	f.switched[p.Name] = ovsdb.Interface{UUID: p.Name, Name: p.Name, Bridge: bridge, IfaceID: p.IfaceID, PluggedFor: p.PluggedFor, OFPort: 5, Generation: p.Generation}
	return nil
}

func (f *fakeHost) DelPort(_ context.Context, _, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.switched[name]; ok {
		f.did("delete port %s", name)
		delete(f.switched, name)
	}
	return nil
}

func (f *fakeHost) Plug(_ context.Context, p hostnet.PlugSpec) (hostnet.Plugged, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := hostnet.HostIfName(p.Port)
	r := hostnet.Plugged{HostIf: name, IfIndex: f.links[name], Place: hostnet.Place{Namespace: hostnet.NamespaceID{Device: 4, Inode: 40}}}
	for _, g := range p.Gateways {
		if where, ok := f.foreign[g.String()]; ok {
			r.Elsewhere = map[netip.Addr]string{g: where}
		}
	}
	f.specsOf = append(f.specsOf, p)
	if r.IfIndex == 0 {
		if p.OnlyExisting {
			return r, intent.NotFoundf("interface %s does not exist", name)
		}
		f.next++
		r.IfIndex, r.Made, r.Changed = f.next, true, true
		f.links[name] = f.next
		f.did("make %s", name)
	} else if old := f.specs[name]; !slices.Equal(old.Addrs, p.Addrs) || old.MTU != p.MTU || old.MAC != p.MAC {
		r.Changed, r.Did = true, []string{"set its addresses"}
		f.did("change %s", name)
	}
	f.specs[name] = p
	return r, nil
}

func (f *fakeHost) Unplug(_ context.Context, port string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name := hostnet.HostIfName(port); f.links[name] != 0 {
		f.did("delete %s", name)
		delete(f.links, name)
	}
	return nil
}

func (f *fakeHost) CheckTap(name string, _ bool) (hostnet.Tap, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.links[name] == 0 && f.tapErr == nil {
		return hostnet.Tap{}, intent.NotFoundf("interface %s does not exist on this host", name)
	}
	return hostnet.Tap{Name: name, IfIndex: f.links[name], MTU: 1500}, f.tapErr
}

func (f *fakeHost) ReadyTap(t hostnet.Tap, mtu int) (func() error, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("ready %s mtu %d", t.Name, mtu)
	return func() error { f.mu.Lock(); defer f.mu.Unlock(); f.did("restore %s", t.Name); return nil }, f.readyErr
}

func (f *fakeHost) Watch(ctx context.Context, deliver func(hostnet.Change)) error {
	f.mu.Lock()
	f.deliver = deliver
	f.mu.Unlock()
	f.tellLinks()
	<-ctx.Done()
	return nil
}

// tellLinks gives the agent the current links.
func (f *fakeHost) tellLinks() {
	f.mu.Lock()
	c := hostnet.Change{All: true}
	for name, index := range f.links {
		c.Links = append(c.Links, hostnet.LinkState{Name: name, Index: index, Kind: "veth", MTU: 1500, Up: !f.down[name], Carrier: true, Inside: -1})
	}
	deliver := f.deliver
	f.mu.Unlock()
	deliver(c)
}

func (f *fakeHost) Stands(hostnet.Target, hostnet.Place) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.ended
}

func (f *fakeHost) FindEnd(name string) (hostnet.Target, hostnet.Place, string, error) {
	return hostnet.Target{Netns: "found"}, hostnet.Place{}, "eth0", nil
}

func (f *fakeHost) SetUp(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("up %s", name)
	f.down[name] = false
	return nil
}

func (f *fakeHost) Underlay() (int, string, error) { return 1600, "eth1", nil }

// took returns the changes since the last call.
func (f *fakeHost) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.log
	f.log = nil
	return l
}

const uuid1 = "6f5902ac-237b-4ca5-b3c7-1b2f1a9b1a01"

var (
	c1  = intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}
	if1 = hostnet.HostIfName(uuid1)
)

// newHost returns an agent on a host whose store has port acme/web/c1.
func newHost(t *testing.T) (*Agent, *fakeHost) {
	t.Helper()
	f := newFakeHost()
	f.networks[c1.NetworkRef()] = intent.Network{Tenant: "acme", Name: "web", Subnets: []intent.Subnet{
		{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}}}
	f.ports[c1] = intent.Port{Tenant: "acme", Network: "web", Name: "c1", UUID: uuid1, MAC: intent.MAC{2, 0, 0, 0, 0, 1},
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}}
	return f.agent(t, t.TempDir()), f
}

func (f *fakeHost) agent(t *testing.T, stateDir string) *Agent {
	t.Helper()
	a, err := New(Config{Host: "host1", Bridge: "br-int", Datapath: ovsdb.DatapathNetdev, StateDir: stateDir,
		Switch: f, Store: f, Claims: f, Network: f, Repairs: &repair.Log{}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind intent.Kind) {
	t.Helper()
	if intent.KindOf(err) != kind {
		t.Errorf("got %v, want an error of kind %s", err, kind)
	}
}

func wantList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

var errFake = errors.New("it does not work")
