// Package agent does one host's work for the ports plugged into it: it puts interfaces into
// workloads, keeps records of them, and reconciles them with intent.
//
//	agent.go    Agent, and the interfaces to the rest of ovloomd
//	plug.go     Plug: check, change, and undo on failure
//	unplug.go   Unplug
//	record.go   records of plugged ports, on disk
//	keep.go     Run: reconcile what is plugged
//	intent.go   Told: intent for plugged ports
//	state.go    State: why an interface does not carry its port
//	adopt.go    records for ports plugged by an ovloomd that kept none
//	limit.go    limits on concurrent work
//
// It also does one host's work at its switch and in the store:
//
//	interfaces.go  Interfaces: the bridge's interfaces, and the host's isolation from them
//	owned.go       Owned: settings of the bridge's ports
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
	// PortBridge returns the bridge that has the named port.
	PortBridge(name string) (bridge string, ok bool)
	AddPort(ctx context.Context, bridge string, p ovsdb.PortSpec) error
	DelPort(ctx context.Context, bridge, name string) error
}

// Store holds ports and networks.
type Store interface {
	Port(ctx context.Context, ref intent.PortRef) (intent.Port, error)
	Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error)
}

// Claims are the claims of hosts on ports, in the store.
type Claims interface {
	// Free fails with a Conflict if another live host holds the port.
	Free(ctx context.Context, ref intent.PortRef, host string) error
	// Claim takes the port for the host, or confirms the host's claim of generation have.
	// ClaimFree does the same, but fails as Free does.
	Claim(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error)
	ClaimFree(ctx context.Context, ref intent.PortRef, host string, have uint64) (intent.Binding, error)
	Release(ctx context.Context, ref intent.PortRef, host string, generation uint64) error
	// Bindings returns the claims of all hosts on the port.
	Bindings(ctx context.Context, ref intent.PortRef) ([]intent.Binding, error)
}

// Network is the host's own network; Kernel implements it.
type Network interface {
	Plug(ctx context.Context, p hostnet.PlugSpec) (hostnet.Plugged, error)
	Unplug(ctx context.Context, port string) error
	CheckTap(name string, any bool) (hostnet.Tap, error)
	ReadyTap(t hostnet.Tap, mtu int) (undo func() error, err error)
	// Watch delivers all links, then each change, until ctx ends.
	Watch(ctx context.Context, deliver func(hostnet.Change)) error
	// Stands reports whether a target still refers to the same place.
	Stands(t hostnet.Target, p hostnet.Place) bool
	FindEnd(name string) (t hostnet.Target, p hostnet.Place, ifname string, err error)
	SetUp(name string) error
	// Underlay returns the MTU, in bytes of IP packet, of the interface that holds the
	// VTEP address, and its name.
	Underlay() (mtu int, ifname string, err error)
}

// Config configures an Agent. Every field but Known, Expect, Unexpect and Card is required.
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

	// Known returns a port from memory while the store does not answer.
	Known func(ctx context.Context, ref intent.PortRef) (intent.Port, bool)

	// Expect is called before a port is claimed, and done with the outcome of plugging it.
	// In between, the claim must not be released for lack of an interface: the claim
	// becomes visible first.
	Expect func(ctx context.Context, ref intent.PortRef) (done func(error))

	// Unexpect is called when a port was unplugged, so that its claim is released even if
	// its interface goes before it was ever seen.
	Unexpect func(ctx context.Context, ref intent.PortRef)

	// Card returns the underlay's NIC if it is in a bridge, which then holds the VTEP address;
	// "" if it is not. It must not block.
	Card func() string
}

// Agent plugs ports into this host and keeps them as wanted.
type Agent struct {
	// Set by New.
	cfg     Config
	log     *slog.Logger
	records *records
	slots   chan struct{} // one element for each Plug under way
	locks   locks

	judging sync.Mutex    // held by judgeOthers
	wake    chan struct{} // has an element when a port is due
	changed chan struct{} // returned by Changed
	moved   chan struct{} // returned by UnderlayChanged

	mu sync.Mutex
	// Guarded by mu.
	links     map[string]hostnet.LinkState // nil: not known yet
	names     map[int]string               // of links, by index
	inside    map[int]string               // ports, by the kernel's ID of their namespace
	switched  map[string]ovsdb.Interface   // on the bridge, by name; nil: not known yet
	due       map[string]time.Time         // when to check a port, by UUID
	states    map[string]State             // by interface; only faults
	fixes     map[string][]time.Time       // by port: recent repairs
	wantsBy   map[string]wants             // by port
	plugging  map[intent.PortRef]int       // how many calls of Plug are under way
	deletedBy map[string]bool              // by port: deleted from the store
	missed    map[string]time.Time         // by port: since when the switch lacks its interface
	below     underlay
}

// New returns the agent of this host, with the records of earlier runs. It changes nothing.
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
