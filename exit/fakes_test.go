package exit

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/repair"
)

// bridge is a Switch that opens every port at once.
type bridge struct {
	mu      sync.Mutex
	down    bool
	uplinks []ovsdb.Uplink
	cards   []ovsdb.Interface // of br-ex
	wake    chan struct{}
	deleted []string
	remade  func() // called after a port was deleted
}

func (b *bridge) State() ovsdb.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return ovsdb.State{Connected: !b.down}
}

func (b *bridge) Watch() <-chan struct{} { return b.wake }

func (b *bridge) Interfaces(name string) (list []ovsdb.Interface) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(name, "br-ex") {
		return slices.Clone(b.cards)
	}
	for i, u := range b.uplinks {
		list = append(list, ovsdb.Interface{Name: u.Name, Uplink: u.Via, OFPort: 10 + i})
	}
	return list
}

func (b *bridge) EnsureUplinks(_ context.Context, _ string, want []ovsdb.Uplink) (map[string]error, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := map[string]error{}
	b.uplinks = nil
	for _, u := range want {
		if u.Bridge == "missing" {
			faults[u.Name] = intent.NotFoundf("bridge missing does not exist")
			continue
		}
		b.uplinks = append(b.uplinks, u)
	}
	return faults, nil
}

func (b *bridge) WaitOFPort(context.Context, string) (int, error) { return 10, nil }

func (b *bridge) DelPort(_ context.Context, _, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deleted = append(b.deleted, name)
	if b.remade != nil {
		b.remade()
	}
	return nil
}

// host is a Host in memory.
type host struct {
	mu       sync.Mutex
	own      []netip.Addr
	serves   map[uint16]hostnet.Service
	onBridge bool          // br-ex has an address
	exit     *hostnet.Exit // nil: none
	ensured  int
	faults   []hostnet.ExitFault
	fail     error
	cut      []hostnet.ExitFault // the probe's findings
	lost     error
	probes   int
	events   chan hostnet.ExitEvent
	block    chan struct{} // unless nil, EnsureExit waits for it
	gone     bool          // the link is missing
}

func (h *host) LinkExists(string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.gone
}

func (h *host) OwnAddrs() ([]netip.Addr, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.own), nil
}

func (h *host) HasAddr(string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.onBridge
}

func (h *host) Listens(_ intent.Protocol, port uint16) (hostnet.Service, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.serves[port], nil
}

func (h *host) EnsureExit(ctx context.Context, e hostnet.Exit) error {
	if h.block != nil {
		select {
		case <-h.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ensured++
	if h.fail != nil {
		return h.fail
	}
	h.exit = &e
	return nil
}

func (h *host) RemoveExit(context.Context, string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exit = nil
	return nil
}

func (h *host) ExitFaults(context.Context, hostnet.Exit) ([]hostnet.ExitFault, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.faults), nil
}

func (h *host) FixExit(_ context.Context, faults []hostnet.ExitFault) (done []string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range faults {
		done = append(done, "fixed: "+f.What)
	}
	h.faults = nil
	if len(h.cut) > 0 {
		h.cut = h.cut[1:]
	}
	return done, nil
}

func (h *host) ExitTable(context.Context, string) (string, error) { return "made", nil }

func (h *host) ExitChanged(context.Context, hostnet.Exit, string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.exit == nil {
		return []string{"the table was missing"}, nil
	}
	return nil, nil
}

func (h *host) ProbeExit(ctx context.Context, _ hostnet.Exit, send func(context.Context, ...[]byte) error) ([]hostnet.ExitFault, error) {
	if err := send(ctx, []byte("a frame")); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.probes++
	return slices.Clone(h.cut[:min(1, len(h.cut))]), h.lost // the probe does not see past the first
}

func (h *host) WatchExit(ctx context.Context, _ string, deliver func(hostnet.ExitEvent)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-h.events:
			deliver(e)
		}
	}
}

func (h *host) now() *hostnet.Exit {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.exit
}

type recorder struct {
	mu      sync.Mutex
	uplinks map[string]controller.Uplink
	around  *controller.Surroundings
	call    func() // unless nil, called without a lock in SetUplinks
}

func (l *recorder) SetUplinks(_ context.Context, u map[string]controller.Uplink) {
	if l.call != nil {
		l.call()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uplinks = u
}

func (l *recorder) SetSurroundings(_ context.Context, s controller.Surroundings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.around = &s
}

type bed struct {
	bridge *bridge
	host   *host
	loop   *recorder
	*Reconciler
	repairs *repair.Log

	mu    sync.Mutex
	sent  []of.PacketOut
	away  error // returned by sending
	asked int   // the number of questions whether the switch answers
}

func (b *bed) send(_ context.Context, out ...of.PacketOut) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(out) == 0 {
		b.asked++
	}
	b.sent = append(b.sent, out...)
	return b.away
}

func newBed(t *testing.T) *bed {
	b := &bed{bridge: &bridge{wake: make(chan struct{}), cards: []ovsdb.Interface{{Name: "eth2", OFPort: 1}}}, loop: &recorder{},
		host: &host{own: addrs("192.0.2.1", "100.64.0.1"), serves: map[uint16]hostnet.Service{}, events: make(chan hostnet.ExitEvent)}, repairs: &repair.Log{}}
	b.Reconciler = New(Settings{Bridge: "br-int", Link: "ovl0", VXLANPort: 4789, UnderlayMTU: 1500},
		Deps{Switch: b.bridge, Host: b.host, Controller: b.loop, Send: b.send, Repairs: b.repairs})
	t.Cleanup(b.Close)
	return b
}

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

func internet() intent.External {
	return intent.External{Name: "internet", ID: 1, Number: 1, Kind: intent.ExternalHost}.WithDefaults()
}

func campus(bridge string) intent.External {
	return intent.External{Name: "campus", ID: 2, Number: 2, Kind: intent.ExternalBridge, Bridge: bridge,
		Subnet: netip.MustParsePrefix("203.0.113.0/24")}.WithDefaults()
}

func forward(port uint16) intent.Forward {
	return intent.Forward{Tenant: "acme", External: "internet", Protocol: intent.TCP, Port: port, Address: netip.MustParseAddr("100.64.0.2")}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func complete(externals ...intent.External) Config {
	return Config{Externals: externals, VTEPs: addrs("172.31.0.1"), Store: addrs("10.0.0.1"), StoreKnown: true, ForwardsKnown: true}
}
