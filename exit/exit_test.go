package exit

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

func TestWaysOutAreMade(t *testing.T) {
	b := newBed(t)
	c := complete(internet(), campus("br-ex"))
	c.Externals[0].Underlay = intent.UnderlayDeny
	c.Hosts, c.Underlays = addrs("192.0.2.2"), []netip.Prefix{netip.MustParsePrefix("172.31.0.0/24")}
	c.Forwards = []intent.Forward{forward(8080), forward(22)}
	b.host.serves[22] = hostnet.ServedByRoot
	b.Set(c)
	eventually(t, "the way through the host", func() bool { return b.host.now() != nil })
	e := b.host.now()
	if got := []string{e.Forbidden[0].String(), e.Forbidden[1].String()}; !slices.Equal(got, []string{"172.31.0.1/32", "10.0.0.1/32"}) {
		t.Errorf("forbidden %v", e.Forbidden)
	}
	if e.Denied[0].String() != "192.0.2.2/32" || len(e.Walls) != 1 || e.Walls[0].From != internet().Subnet {
		t.Errorf("denied %v, walls %v", e.Denied, e.Walls)
	}
	if len(e.Forwards) != 1 || e.Forwards[0].Port != 8080 {
		t.Errorf("forwards %v", e.Forwards)
	}
	eventually(t, "uplinks set", func() bool {
		b.loop.mu.Lock()
		defer b.loop.mu.Unlock()
		return len(b.loop.uplinks) == 2 && b.loop.uplinks["internet"].MAC == uplinkMAC && b.loop.uplinks["campus"].MAC.IsZero()
	})
	if got := b.loop.around; !slices.Equal(got.Addresses, addrs("192.0.2.1")) || !slices.Equal(got.Store, c.Store) {
		t.Errorf("surroundings %v", got)
	}
	eventually(t, "status", func() bool { return len(b.Status().Uplinks) == 2 })
	if w := b.Status().Warnings; len(w) != 1 || !strings.Contains(w[0].What, "tcp port 22 is not forwarded") {
		t.Errorf("warnings %v", w)
	}

	eventually(t, "the forward is reported in force", func() bool {
		b.loop.mu.Lock()
		defer b.loop.mu.Unlock()
		return slices.Equal(b.loop.around.Forwards, []controller.HostPort{{Protocol: intent.TCP, Port: 8080}})
	})
	asked := netip.MustParseAddrPort("192.0.2.1:8080")
	if to, source, ok := b.Forward(intent.TCP, netip.MustParseAddr("100.64.0.9"), asked); !ok || to.String() != "100.64.0.2:8080" || source.String() != "100.64.0.1" {
		t.Errorf("forwarded to %s from %s, %t", to, source, ok)
	}
	for _, to := range []string{"192.0.2.1:22", "192.0.2.7:8080"} {
		if _, _, ok := b.Forward(intent.TCP, netip.MustParseAddr("100.64.0.9"), netip.MustParseAddrPort(to)); ok {
			t.Errorf("%s is forwarded", to)
		}
	}

	b.Set(complete())
	eventually(t, "the exit is removed", func() bool { return b.host.now() == nil && len(b.bridge.Interfaces("")) == 0 })
}

func TestWhatIsNotKnownStays(t *testing.T) {
	b := newBed(t)
	c := complete(internet())
	c.StoreKnown, c.ForwardsKnown = false, false
	b.Set(c)
	eventually(t, "ports of the bridge are made", func() bool { return len(b.bridge.Interfaces("")) == 1 })
	eventually(t, "the uplink is set", func() bool { b.loop.mu.Lock(); defer b.loop.mu.Unlock(); return len(b.loop.uplinks) == 1 })
	if _, err := b.Fix(t.Context()); intent.KindOf(err) != intent.Unavailable {
		t.Errorf("fixing an unknown external: %v", err)
	}
	b.loop.mu.Lock()
	around := b.loop.around
	b.loop.mu.Unlock()
	if b.host.now() != nil || around != nil {
		t.Error("the host was touched")
	}
}

func TestWhatIsWrongIsShownAndFixed(t *testing.T) {
	b := newBed(t)
	b.host.faults = []hostnet.ExitFault{{What: "the host does not forward", Do: "sysctl"}}
	b.Set(complete(internet(), campus("missing")))
	eventually(t, "a warning", func() bool { return len(b.Status().Warnings) == 1 })
	s := b.Status()
	if want := "ovloom status --fix, or by hand: sysctl"; s.Warnings[0].Do != want || s.Uplinks[0].Fault != "the host does not forward" || s.Uplinks[1].Fault == "" {
		t.Errorf("status %+v", s)
	}
	done, err := b.Fix(t.Context())
	if err != nil || !slices.Equal(done, []string{"fixed: the host does not forward"}) {
		t.Errorf("fixed %q: %v", done, err)
	}
	if w := b.Status().Warnings; len(w) != 0 {
		t.Errorf("after it was fixed: %v", w)
	}
	b.host.mu.Lock()
	b.host.fail = errors.New("no nft")
	b.host.mu.Unlock()
	c := complete(internet())
	c.VTEPs = nil
	b.Set(c)
	eventually(t, "a failure is shown", func() bool {
		w := b.Status().Warnings
		return len(w) == 1 && w[0].What == "no nft"
	})
}

// The controller's loop calls back during a call into it: neither may wait for the other.
func TestTellingWaitsForNoLock(t *testing.T) {
	b := newBed(t)
	g := NewGatherer(Sources{}, b.Reconciler)
	b.loop.call = func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			g.SetForwards([]intent.Forward{forward(1)})
			b.Set(complete(internet()))
			b.Status()
		}()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("the controller's loop waits for a lock")
		}
	}
	b.Set(complete(internet(), campus("br-ex")))
	eventually(t, "the uplink is set", func() bool { b.loop.mu.Lock(); defer b.loop.mu.Unlock(); return len(b.loop.uplinks) > 0 })
}

func TestCloseInTheMidstOfWork(t *testing.T) {
	b := newBed(t)
	b.host.block = make(chan struct{})
	b.Set(complete(internet()))
	eventually(t, "the port", func() bool { return len(b.bridge.Interfaces("")) == 1 })
	b.Close()
	if _, err := b.Fix(t.Context()); err == nil {
		t.Error("a closed reconciler fixes faults")
	}
	if w := b.Status().Warnings; len(w) != 0 {
		t.Errorf("the end is reported as a failure: %v", w)
	}
	close(b.host.block)
	if err := b.Remove(context.Background()); err != nil || len(b.bridge.Interfaces("")) != 0 {
		t.Errorf("removed: %v", err)
	}
}

// sink records what it is given.
type sink struct {
	mu   sync.Mutex
	last *Config
}

func (s *sink) Set(c Config) { s.mu.Lock(); s.last = &c; s.mu.Unlock() }
func (s *sink) get() *Config { s.mu.Lock(); defer s.mu.Unlock(); return s.last }

func TestGathererGivesAllOfIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := &sink{}
	var hosts func(intent.HostsUpdate)
	ready := make(chan struct{})
	failed := 0
	underlay := netip.MustParsePrefix("172.31.0.0/24")
	published := make(chan intent.Guarded, 10)
	g := &Gatherer{to: to, wake: make(chan struct{}, 1), from: Sources{
		Log: slog.New(slog.DiscardHandler),
		Hosts: func(ctx context.Context, deliver func(intent.HostsUpdate)) error {
			hosts = deliver
			close(ready)
			<-ctx.Done()
			return nil
		},
		Externals: func(ctx context.Context, deliver func(intent.ExternalsUpdate)) error {
			if failed++; failed == 1 {
				return errors.New("a watch that fails is started again")
			}
			deliver(intent.ExternalsUpdate{Externals: []intent.External{internet()}})
			<-ctx.Done()
			return nil
		},
		Guard: func(ctx context.Context, deliver func(intent.GuardUpdate)) error {
			deliver(intent.GuardUpdate{Guarded: []intent.Guarded{
				{VTEP: netip.MustParseAddr("172.31.0.77")}, {VTEP: netip.MustParseAddr("172.31.0.77")}, {Host: "host2", Addresses: addrs("192.0.2.2"), Underlay: underlay}}})
			<-ctx.Done()
			return nil
		},
		Own: func() (intent.Guarded, error) {
			return intent.Guarded{Host: "host1", Addresses: addrs("192.0.2.1", "100.64.0.1")}, nil
		},
		Publish: func(_ context.Context, own intent.Guarded) error {
			published <- own
			return nil
		},
		Members: func(context.Context) ([]string, error) {
			return []string{"https://10.0.0.2:2380", "https://127.0.0.1:1"}, nil
		},
		Endpoints: []string{"https://10.0.0.1:2379", "unix:///run/x"},
	}}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-ready
	eventually(t, "the store is found", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.config.StoreKnown && g.known.externals && g.known.guard
	})
	if to.get() != nil {
		t.Fatal("given before the hosts are known")
	}
	hosts(intent.HostsUpdate{Hosts: []intent.Host{{VTEP: netip.MustParseAddr("172.31.0.2")}, {VTEP: netip.MustParseAddr("172.31.0.1")}}})
	want := Config{Externals: []intent.External{internet()}, VTEPs: addrs("172.31.0.1", "172.31.0.2", "172.31.0.77"),
		Hosts: addrs("192.0.2.2"), Underlays: []netip.Prefix{underlay}, Store: addrs("10.0.0.1", "10.0.0.2"), StoreKnown: true}
	eventually(t, "the whole config", func() bool { return to.get() != nil && reflect.DeepEqual(*to.get(), want) })
	g.SetForwards([]intent.Forward{forward(80)})
	eventually(t, "forwards", func() bool { return to.get().ForwardsKnown && len(to.get().Forwards) == 1 })
	if own := <-published; own.Host != "host1" || !slices.Equal(own.Addresses, addrs("192.0.2.1")) {
		t.Errorf("published %v", own)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// An external that was added before underlay access could be chosen keeps it, with a warning.
func TestOldExternalsKeepTheUnderlay(t *testing.T) {
	b := newBed(t)
	c := complete(internet())
	c.Underlays = []netip.Prefix{netip.MustParsePrefix("172.31.0.0/24")}
	b.Set(c)
	eventually(t, "made", func() bool { return b.host.now() != nil && len(b.Status().Warnings) == 1 })
	if w := b.Status().Warnings[0]; !strings.Contains(w.What, "lets them reach 172.31.0.0/24") || !strings.Contains(w.Do, "--underlay deny") {
		t.Errorf("warning %+v", w)
	}
	if len(b.host.now().Walls) != 0 {
		t.Error("underlay access is closed")
	}
	c = complete(internet())
	c.Underlays = []netip.Prefix{netip.MustParsePrefix("172.31.0.0/24")}
	c.Externals[0].Underlay = intent.UnderlayAllow
	b.Set(c)
	eventually(t, "chosen", func() bool { return len(b.Status().Warnings) == 0 })
}

// Externals of one bridge share a port, whose name depends on the bridge alone.
func TestBridgesHaveOnePortEach(t *testing.T) {
	r := &Reconciler{set: Settings{Bridge: "br-int", Link: "ovl0"}}
	external := func(number uint8, bridge string) intent.External {
		return intent.External{Number: number, Kind: intent.ExternalBridge, Bridge: bridge}
	}
	all := []intent.External{external(1, "br-ex"), external(2, "br-ex"), external(3, "br-two")}
	if a, b := r.portOf(all[0], all), r.portOf(all[1], all[1:]); a != b || len(a) > 11 {
		t.Errorf("the port of br-ex is %s, and without one of its externals %s", a, b)
	}
	if list := r.ports(all); len(list) != 2 || list[0].Name == list[1].Name {
		t.Errorf("two bridges have the ports %+v", list)
	}
}

func TestABridgeThatLeadsNowhereIsSaid(t *testing.T) {
	b := newBed(t)
	b.Set(complete(campus("br-ex")))
	eventually(t, "the uplink", func() bool { u := b.Status().Uplinks; return len(u) == 1 && u[0].OFPort != 0 && u[0].Fault == "" })
	change := func(own bool, cards ...ovsdb.Interface) {
		b.bridge.mu.Lock()
		b.bridge.cards = cards
		b.bridge.mu.Unlock()
		b.host.mu.Lock()
		b.host.onBridge = own
		b.host.mu.Unlock()
	}
	ours := ovsdb.Interface{Name: b.portOf(campus("br-ex"), []intent.External{campus("br-ex")}) + "-out", OFPort: 3}
	for _, cards := range [][]ovsdb.Interface{nil, {ours}, {ours, {Name: "eth2", OFPort: -1}}} {
		change(false, cards...)
		s := b.Status()
		if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].What, "bridge br-ex has no working port but ovloom's") || !strings.Contains(s.Warnings[0].Do, "ovs-vsctl add-port br-ex") {
			t.Errorf("with %v: warnings %v", cards, s.Warnings)
		}
		if s.Uplinks[0].Fault == "" {
			t.Errorf("with %v the uplink is up", cards)
		}
	}
	change(true, ours) // the host itself is in the segment
	if s := b.Status(); len(s.Warnings) != 0 || s.Uplinks[0].Fault != "" {
		t.Errorf("with the host's address on it: %v", s)
	}
	change(false, ours, ovsdb.Interface{Name: "eth2", OFPort: 1})
	if s := b.Status(); len(s.Warnings) != 0 || s.Uplinks[0].Fault != "" {
		t.Errorf("with its card again: %v", s)
	}
}
