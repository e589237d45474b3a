package keeper

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
)

// HintVswitchd is the hint of errors that only a running ovs-vswitchd can cure.
const HintVswitchd = "see whether ovs-vswitchd runs: systemctl status openvswitch-switch"

// metersLeast is how many meters a datapath must have to be used: some for each port.
const metersLeast = 4096

// Controller computes the bridge's wanted flows; *controller.Controller is one.
type Controller interface {
	SetMeters(ctx context.Context, some bool)
	Connected(ctx context.Context, sw controller.Switch, tunnel openflow.PortNo)
	Disconnected(ctx context.Context, sw controller.Switch)
	Disturbed(ctx context.Context, sw controller.Switch)
}

// Fragments is how the switch's connection tracker treats fragments; *datapath.Datapath is
// one.
type Fragments interface {
	TakeFragments(ctx context.Context) error
	KeepFragments(ctx context.Context, repaired func(was string), failed func(error))
}

// Repairs records repairs; *repair.Log is one.
type Repairs interface {
	Put(what string, count int, detail string)
}

// LinkConfig configures a Link. Every field is required.
type LinkConfig struct {
	Bridge string
	RunDir string // of ovs-vswitchd

	Controller Controller
	Fragments  Fragments

	// Wanted is Keeper.Wanted.
	Wanted func(openflow.Port) openflow.PortConfig

	Repairs Repairs
	Log     *slog.Logger
}

// Link is the connection to the integration bridge. It reconnects whenever the connection
// breaks. The controller uses one connection for as long as it lasts and the tunnel port keeps
// its number.
type Link struct {
	// Set by NewLink.
	cfg    LinkConfig
	keeper *Keeper
	state  loop.State

	mu sync.Mutex
	// Guarded by mu.
	tunnel openflow.PortNo // 0: there is none yet
	moved  chan struct{}   // closed when tunnel changes
	conn   *ofconn.Conn    // nil: not connected
}

// NewLink returns a Link that connects when Run is called.
func NewLink(cfg LinkConfig) *Link {
	l := &Link{cfg: cfg, keeper: New(), moved: make(chan struct{})}
	l.keeper.Log = cfg.Log
	l.keeper.Wanted = cfg.Wanted
	l.keeper.Repaired = func(p openflow.Port) {
		cfg.Repairs.Put("port settings changed by another program", 1, p.Name+": "+p.PortConfig.String())
	}
	l.keeper.FragmentsRepaired = func(was string) {
		cfg.Repairs.Put("fragments treated otherwise by another program", 0, "ovs-ofctl set-frags "+cfg.Bridge+" "+was)
	}
	return l
}

// Addr is where the bridge's OpenFlow connections are made: its management socket.
func (l *Link) Addr() string { return managementAddr(l.cfg.RunDir, l.cfg.Bridge) }

func managementAddr(runDir, bridge string) string { return "unix:" + runDir + "/" + bridge + ".mgmt" }

// Run keeps the connection until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	err := ofconn.Keep(ctx, l.Addr(), ofconn.Config{Log: l.cfg.Log, PortChanges: l.keeper.Changes}, func(ctx context.Context, conn *ofconn.Conn) error {
		return l.serve(ctx, conn, func(up bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.conn = nil; up {
				l.conn = conn
			}
		})
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Receive sends to packets all packets that the switch punts with the given controller ID,
// until ctx ends. It uses a connection of its own, so that packets and flows do not wait for
// each other.
func (l *Link) Receive(ctx context.Context, controllerID uint16, packets chan openflow.PacketIn) error {
	// Without a log: the first connection to the same switch tells how that is.
	_ = ofconn.Keep(ctx, l.Addr(), ofconn.Config{ControllerID: controllerID, PacketIns: packets}, func(ctx context.Context, _ *ofconn.Conn) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	return nil
}

// bridge is a connection to the switch, as serve uses it; *ofconn.Conn is one.
type bridge interface {
	Conn
	controller.Switch
	MaxMeters(ctx context.Context) (uint32, error)
	Err() error
}

// serve runs the controller on a connection until ctx ends or the tunnel port gets another
// number, which changes every flow. It calls up when the connection becomes usable, and when
// it no longer is.
func (l *Link) serve(ctx context.Context, conn bridge, up func(bool)) error {
	tunnel, moved, err := l.awaitTunnel(ctx)
	if err != nil {
		return err
	}
	if err := l.cfg.Fragments.TakeFragments(ctx); err != nil {
		l.cfg.Log.Warn("cannot lower the connection tracker's minimum fragment size; small IPv4 fragments to externals will be dropped", "error", err)
	}
	meters, err := conn.MaxMeters(ctx)
	if err != nil {
		return err
	}
	if meters < metersLeast {
		l.cfg.Log.Info("the datapath has no meters; ports and tenants have no rate limits", "meters", meters)
	}
	l.cfg.Controller.SetMeters(ctx, meters >= metersLeast)
	watch := l.keeper.Begin(ctx, conn) // before the first comparison: what changes after that is told
	up(true)
	l.state.Set(true, nil)
	l.cfg.Controller.Connected(ctx, conn, tunnel)
	connected, end := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		l.cfg.Fragments.KeepFragments(connected, func(was string) {
			l.cfg.Repairs.Put("fragments of connections bounded otherwise by another program", 0, was)
		}, func(err error) {
			l.cfg.Log.Warn("cannot read conntrack's fragment settings", "error", err)
		})
	})
	keeping.Go(func() {
		l.keeper.Keep(connected, conn, watch, func() { l.cfg.Controller.Disturbed(connected, conn) })
	})
	defer func() {
		end()
		up(false)
		l.state.Set(false, conn.Err())
		l.cfg.Controller.Disconnected(context.WithoutCancel(ctx), conn)
		keeping.Wait()
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-moved:
		return nil
	}
}

// SetTunnel sets the number of the tunnel port; 0: there is none.
func (l *Link) SetTunnel(n openflow.PortNo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == l.tunnel {
		return
	}
	l.tunnel = n
	close(l.moved)
	l.moved = make(chan struct{})
}

// Tunnel returns the number of the tunnel port; 0: there is none yet.
func (l *Link) Tunnel() openflow.PortNo {
	n, _ := l.tunnelNow()
	return n
}

func (l *Link) tunnelNow() (openflow.PortNo, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tunnel, l.moved
}

// awaitTunnel waits for the tunnel port, and returns its number and a channel that is closed
// when the number changes.
func (l *Link) awaitTunnel(ctx context.Context) (openflow.PortNo, <-chan struct{}, error) {
	for {
		n, moved := l.tunnelNow()
		if n > 0 {
			return n, moved, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
}

// Conn returns the connection. Without one the error is Unavailable.
func (l *Link) Conn() (*ofconn.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, intent.Unavailablef("ovs-vswitchd does not answer on %s", l.Addr()).WithHint(HintVswitchd)
	}
	return l.conn, nil
}

// State returns whether the bridge is connected, since when, and why not.
func (l *Link) State() (connected bool, since time.Time, err error) { return l.state.Get() }

// Send injects packets into the switch. Without a connection the error is Unavailable.
func (l *Link) Send(ctx context.Context, packets ...openflow.PacketOut) error {
	conn, err := l.Conn()
	if err != nil {
		return err
	}
	return conn.PacketOut(ctx, packets...)
}

// Flows returns flows of the switch. Without a connection the error is Unavailable.
func (l *Link) Flows(ctx context.Context, filter ofconn.FlowFilter) ([]openflow.FlowStats, error) {
	conn, err := l.Conn()
	if err != nil {
		return nil, err
	}
	return conn.Flows(ctx, filter)
}

// MeterStats returns the counters of all meters. Without a connection the error is
// Unavailable.
func (l *Link) MeterStats(ctx context.Context) ([]openflow.MeterStats, error) {
	conn, err := l.Conn()
	if err != nil {
		return nil, err
	}
	return conn.MeterStats(ctx)
}

// Disturbed has the controller compare the bridge's flows, if it is connected: another
// program may have changed them.
func (l *Link) Disturbed(ctx context.Context) {
	if conn, err := l.Conn(); err == nil {
		l.cfg.Controller.Disturbed(ctx, conn)
	}
}
