// Package agent is what one host does for the ports that are plugged into it: it puts
// interfaces where workloads are, remembers what it put where, and keeps that as it is
// wanted.
//
//	agent.go    Agent, and what it needs of the rest of ovloomd
//	plug.go     Plug: look, change, and undo on failure
//	unplug.go   Unplug
//	record.go   what was plugged, on disk
//	keep.go     Run: what is plugged is kept as it is wanted
//	intent.go   Told: what is wanted
//	state.go    State: what keeps an interface from carrying its port
//	adopt.go    records of what an ovloomd without records has plugged
//	limit.go    how much is done at a time
//
// Beside that it is what one host does with its switch and in the store:
//
//	interfaces.go  Interfaces: what interfaces the bridge has, and the host kept apart from them
//	owned.go       Owned: how the bridge's ports must be set
//	presence.go    Presence: this host, registered and alive in the store
//	byhand.go      ByHand: ports whose interfaces are configured by hand
package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/repair"
)

// Switch is the local Open vSwitch.
type Switch interface {
	Interfaces(bridge string) []ovsdb.Interface
	// PortBridge returns the bridge that has a port of that name.
	PortBridge(name string) (bridge string, ok bool)
	AddPort(ctx context.Context, bridge string, p ovsdb.PortSpec) error
	DelPort(ctx context.Context, bridge, name string) error
}

// Store is where ports and networks are kept.
type Store interface {
	Port(ctx context.Context, ref intent.PortRef) (intent.Port, error)
	Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error)
}

// Claims are the claims of hosts on ports, in the store.
type Claims interface {
	// Free refuses (Conflict) a port that another live host holds.
	Free(ctx context.Context, ref intent.PortRef, host string) error
	// Claim takes the port for the host, or confirms the claim with generation have;
	// ClaimFree is refused as Free is.
	Claim(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error)
	ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error)
	Release(ctx context.Context, ref intent.PortRef, host string, generation uint64) error
	// Bindings returns the claims of all hosts on the port.
	Bindings(ctx context.Context, ref intent.PortRef) ([]intent.Binding, error)
}

// Network is the host's own network: Kernel, or a stand-in of a test.
type Network interface {
	Plug(ctx context.Context, p hostnet.PlugSpec) (hostnet.Plugged, error)
	Unplug(ctx context.Context, port string) error
	CheckTap(name string, any bool) (hostnet.Tap, error)
	ReadyTap(t hostnet.Tap, mtu int) (undo func() error, err error)
	// Watch tells of all links, then of each change, until ctx ends.
	Watch(ctx context.Context, deliver func(hostnet.Change)) error
	// Stands says whether a target still leads where it led.
	Stands(t hostnet.Target, p hostnet.Place) bool
	FindEnd(name string) (t hostnet.Target, p hostnet.Place, ifname string, err error)
	SetUp(name string) error
	// Underlay returns the MTU, in bytes of IP packet, of the interface that holds the
	// VTEP address, and its name.
	Underlay() (mtu int, ifname string, err error)
}

// Config says what to work on. Every field but Known, Expect, Unexpect and Card is required.
type Config struct {
	Host     string
	Bridge   string // the integration bridge
	Datapath string // ovsdb.DatapathSystem or ovsdb.DatapathNetdev
	StateDir string // it must exist

	Switch  Switch
	Store   Store
	Claims  Claims
	Network Network
	Repairs *repair.Log
	Log     *slog.Logger

	// Known returns a port from memory, for the time when the store does not answer.
	Known func(ctx context.Context, ref intent.PortRef) (intent.Port, bool)

	// Expect is told of a port before it is claimed, and then what came of plugging it: a
	// claim is heard of before its interface, and must not be given up for having none.
	Expect func(ctx context.Context, ref intent.PortRef) (done func(error))

	// Unexpect is told of a port that was unplugged: its interface may go before anything
	// has heard of it, and its claim must go with it.
	Unexpect func(ctx context.Context, ref intent.PortRef)

	// Card returns the card by which tunnels leave, if it is in a bridge that holds the VTEP
	// address; "": in none. It must not wait.
	Card func() string
}

// Agent looks after the ports plugged into this host.
type Agent struct {
	// Set by New.
	cfg     Config
	log     *slog.Logger
	records *records
	slots   chan struct{} // held by who plugs
	locks   locks

	judging sync.Mutex    // held by judgeOthers
	wake    chan struct{} // has an element when something is due
	changed chan struct{} // has an element when Changed has something to tell
	moved   chan struct{} // and UnderlayChanged

	mu sync.Mutex
	// Guarded by mu.
	links     map[string]hostnet.LinkState // nil: not known yet
	names     map[int]string               // of links, by index
	inside    map[int]string               // the port whose namespace has a number
	switched  map[string]ovsdb.Interface   // on the bridge, by name; nil: not known yet
	due       map[string]time.Time         // ports to be looked at, by UUID
	states    map[string]State             // by interface; those that are as they should be are left out
	fixes     map[string][]time.Time       // by port: when it was put right
	wantsBy   map[string]wants             // by port
	plugging  map[intent.PortRef]int       // whose record may come
	deletedBy map[string]bool              // ports that the store has no more
	missed    map[string]time.Time         // by port: since when the switch lacks its interface
	below     underlay
}

// New returns the agent of this host, with what it remembers from before. It changes
// nothing.
func New(cfg Config) (*Agent, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Known == nil {
		cfg.Known = func(context.Context, intent.PortRef) (intent.Port, bool) { return intent.Port{}, false }
	}
	if cfg.Expect == nil {
		cfg.Expect = func(context.Context, intent.PortRef) func(error) { return func(error) {} }
	}
	if cfg.Unexpect == nil {
		cfg.Unexpect = func(context.Context, intent.PortRef) {}
	}
	r, err := loadRecords(cfg.StateDir, cfg.Log)
	if err != nil {
		return nil, err
	}
	return &Agent{
		cfg: cfg, log: cfg.Log, records: r, slots: make(chan struct{}, plugsAtOnce),
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		inside: map[int]string{}, due: map[string]time.Time{}, states: map[string]State{}, fixes: map[string][]time.Time{},
		wantsBy: map[string]wants{}, plugging: map[intent.PortRef]int{}, deletedBy: map[string]bool{}, missed: map[string]time.Time{},
	}, nil
}
