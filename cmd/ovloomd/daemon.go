// The wiring: the parts of the daemon, their dependencies and the order of their start.

package main

import (
	"cmp"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/agent/leave"
	"github.com/ovloom/ovloom/agent/start"
	"github.com/ovloom/ovloom/agent/status"
	"github.com/ovloom/ovloom/agent/upkeep"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/config"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/doctor"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/explain"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/pki"
	"github.com/ovloom/ovloom/process"
	"github.com/ovloom/ovloom/repair"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/unixctl"

	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// daemon is a prepared host, and the function that ends its daemon.
type daemon struct {
	*start.Host
	log     *slog.Logger
	end     context.CancelCauseFunc // ends the daemon, with a cause
	started time.Time
}

// serve runs a daemon until ctx ends or the host leaves the overlay.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	d := &daemon{log: log, started: time.Now()}
	log.Info("starting", "version", api.BuildVersion(), "host", cfg.HostName)

	// Listen first: a second daemon is refused before it changes anything.
	listener, err := api.Listen(cfg.Socket, cfg.Group)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, d.end = context.WithCancelCause(ctx)
	defer d.end(nil)
	if d.Host, err = start.Prepare(ctx, cfg, log); err != nil {
		return err
	}
	err = d.run(ctx, listener)
	cause := context.Cause(ctx)
	d.end(nil)
	if closed := d.Close(); closed != nil {
		log.Info("cannot close the store in an orderly way", "error", closed)
	}
	switch {
	case errors.Is(cause, leave.ErrLeft):
		log.Info("this host has left the overlay")
		return nil
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return err
}

func (d *daemon) part(name string) *slog.Logger { return d.log.With("part", name) }

// run starts the loops and returns when ctx ends or one of them fails.
func (d *daemon) run(ctx context.Context, listener net.Listener) error {
	cfg, host, db := d.Config, d.Self, d.DB
	repairs := &repair.Log{Logger: d.part("repair")}
	paths := datapath.New(cfg.OVSRunDir, !d.Userspace())
	fair := datapath.NewWatch(paths, cfg.Bridge, d.part("datapath"))
	neighbours := &datapath.Neighbourhood{Datapath: paths, WhoHas: hostnet.WhoHas, PutBack: datapath.RecordIn(repairs), Log: d.part("datapath")}
	zones := datapath.Zones{Notes: db, Bridge: cfg.Bridge, Log: d.log}
	var aside *hostnet.Aside // nil: the datapath keeps interfaces apart from the host
	if d.Userspace() {
		aside = hostnet.NewAside(cfg.Bridge)
		aside.VTEP, aside.VXLANPort = host.VTEP, cfg.VXLANPort
	}

	// The controller, and what it shares with the other parts.
	var (
		control  *controller.Controller
		link     *keeper.Link
		exits    *exit.Reconciler
		gatherer *exit.Gatherer
	)
	ports, err := agent.New(agent.Config{
		Host: host.Name, Bridge: cfg.Bridge, Datapath: host.Datapath, StateDir: cfg.StateDir,
		Switch: db, Store: d.Store, Claims: d.Store, Network: agent.Kernel{VTEP: func() netip.Addr { return host.VTEP }, Aside: aside}, Repairs: repairs, Log: d.part("agent"),
		Known: func(ctx context.Context, ref intent.PortRef) (intent.Port, bool) {
			view, known, err := control.Port(ctx, ref)
			return view.Port, known && err == nil
		},
		Card:     func() string { return d.NIC },
		Expect:   func(ctx context.Context, ref intent.PortRef) func(error) { return control.Expect(ctx, ref) },
		Unexpect: func(ctx context.Context, ref intent.PortRef) { control.Unexpect(ctx, ref) },
	})
	if err != nil {
		return err
	}
	conntrack := paths.Conntrack(func() (datapath.Flusher, error) { return link.Conn() })
	cached := store.Cached{Store: d.Store, Told: ports.Told}
	control = controller.New(host.Name, controller.Deps{
		Span: cached, Claims: d.Store, Progress: d.Store, Interfaces: db,
		NAT: &controller.NAT{Externals: cached, Guard: cached, Zones: zones, Conntrack: conntrack, Addresses: d.Store,
			HostForwards: func(list []intent.Forward) { gatherer.SetForwards(list) }},
		KernelDatapath: !d.Userspace(), Repairs: repairs, Log: d.part("controller"),
	})
	owned := agent.Owned{Tunnel: cfg.VXLANName, HostUplink: cfg.HostUplink, Interfaces: d.Interfaces, HostUplinkMade: func() bool { return exits.LinkMade() }}
	link = keeper.NewLink(keeper.LinkConfig{Bridge: cfg.Bridge, RunDir: cfg.OVSRunDir, Controller: control, Fragments: paths, Wanted: owned.Wanted, Repairs: repairs, Log: d.part("openflow")})
	exits = exit.New(exit.Settings{Bridge: cfg.Bridge, Link: cfg.HostUplink, VXLANPort: cfg.VXLANPort, UnderlayMTU: host.UnderlayMTU, StateDir: cfg.StateDir},
		exit.Deps{Switch: db, Host: exit.Linux{}, Controller: control, Send: link.Send, Repairs: repairs, Log: d.part("exit")})
	defer exits.Close()
	upkept := upkeep.Store{Store: d.Store}
	gatherer = exit.NewGatherer(exit.Sources{
		Hosts: cached.WatchHosts, Externals: cached.WatchExternals, Guard: cached.WatchGuard, Members: upkept.MemberURLs,
		Own: func() (intent.Guarded, error) { return exit.Own(host.Name, host.VTEP) }, Publish: d.Store.SetGuardedHost,
		Endpoints: slices.Concat(cfg.Store, cfg.StoreListen), Log: d.part("exit")}, exits)
	router := control.Router(link.Send)

	// The parts that keep the host as it should be.
	presence := agent.NewPresence(agent.PresenceConfig{Host: host, Store: d.Store, Underlay: func() agent.Underlay { return ports.Underlay(host.VTEP) },
		UnderlayChanged: ports.UnderlayChanged(), Claimed: control.Claimed, Log: d.log})
	bridges := &keeper.Bridges{Database: db, Bridge: d.Bridge(), Underlay: d.Underlay, Disturbed: link.Disturbed, Repairs: repairs, Log: d.log}
	passing := &agent.Interfaces{Agent: ports, Database: db, Tunnel: cfg.VXLANName, SetInterfaces: control.SetInterfaces, SetTunnel: link.SetTunnel, Log: d.log}
	leaving := &leave.Host{Name: host.Name, Bridge: cfg.Bridge, HasStore: len(cfg.Store) == 0,
		Ports: ports, Store: d.Store, Switch: db, Underlay: d.Underlay, RemoveExits: exits.Remove, End: d.end}
	state := status.Config{
		Host: host, Bridge: cfg.Bridge, Store: cmp.Or(strings.Join(cfg.Store, ","), "embedded in this process"), OVSDB: cfg.OVSDB, OpenFlow: link.Addr(), Started: d.started,
		Controller: control, Switch: link, Database: db, Follows: d.Store, Presence: presence, Agent: ports, BridgesFault: bridges.Err, CardFault: d.Underlay.Fault,
		Exits: exits.Status, Penalties: fair.Penalties, Cache: paths.CacheStats, Repairs: repairs.Entries, TooLarge: router.TooLarge}
	if aside != nil {
		passing.Apart, leaving.RemoveApart, state.ApartFault = aside, aside.Remove, aside.Fault
	}

	// The parts that answer users and other hosts.
	reader := store.Reader{Store: d.Store, Down: presence.Down, Copied: api.NoteCopy, Host: host.Name, Since: time.Now()}
	examiner := doctor.NewExaminer(doctor.Config{
		Name: host.Name, VXLANName: cfg.VXLANName, VXLANPort: cfg.VXLANPort, Userspace: d.Userspace(), Certificate: pki.Files{CA: cfg.StoreCA, Cert: cfg.StoreCert, Key: cfg.StoreKey},
		Examinations: d.Store, Intent: d.Store, Switch: link, Host: doctor.Linux{}, Self: presence.Host,
		Underlay:   func() (fault, do string) { u := ports.Underlay(host.VTEP); return u.Fault, u.Do },
		Interfaces: d.Interfaces, Neighbours: paths.Neighbours, Moved: neighbours.Changed, CutOff: exits.CutOff, Log: d.log})
	here := &explain.Here{Host: host.Name, VTEP: host.VTEP, Bridge: cfg.Bridge, Controller: control, Connection: link, Interfaces: d.Interfaces,
		Externals: reader.Externals, Call: unixctl.New(cfg.OVSRunDir, "ovs-vswitchd").Call, Forward: exits.Forward, Log: d.log}
	hops := explain.Hops{Host: host.Name, Here: here.Trace, Ask: d.Store.Ask, Down: presence.Down}
	tracer := explain.Tracer{Snapshot: reader.Snapshot, Hosts: presence.Hosts, Externals: reader.Externals, Hop: hops.Hop}
	byHand := agent.ByHand{Host: host.Name, Status: control.Status, Configured: ports.Configured, Ask: d.Store.Ask}
	topics := map[string]func(context.Context, json.RawMessage) any{explain.Topic: hops.Answer, agent.ByHandTopic: byHand.Answer}
	observer := &status.Observer{Bridge: cfg.Bridge, Controller: control, Switch: link, Interfaces: d.Interfaces, Hosts: d.Store.Hosts, Zones: zones.LoadZones, Connections: conntrack.Lines}
	server := api.NewServer(api.Backend{
		Store: reader, Local: leaving, Plug: plugger{ports, control}, Upkeep: upkept, Status: status.New(state).Status, Flows: observer.Flows, FlowsDiff: observer.FlowsDiff,
		Started: d.Making.Started, Health: examiner.Health, Trace: tracer.Trace, ByHand: byHand.Ports, Fix: exits.Fix, Connections: observer.TenantConnections, Learned: observer.Learned,
	}, d.part("api"))

	g, ctx := errgroup.WithContext(ctx)
	loopsCtx, stop := context.WithCancel(ctx)
	defer stop()
	var loops sync.WaitGroup
	begin := func(list ...func(context.Context) error) {
		for _, loop := range list {
			loops.Add(1)
			g.Go(func() error { defer loops.Done(); return loop(loopsCtx) })
		}
	}
	leaving.StopLoops = func() { stop(); loops.Wait() }
	packets, probes := make(chan of.PacketIn, controller.PacketsQueued), make(chan of.PacketIn, doctor.ProbesQueued)
	// Whatever needs only the store or the host does not wait for the bridge. Interfaces
	// are observed only after the rules are in place that keep the host apart from them.
	begin(presence.Run, d.Store.KeepGuard, passing.RunApart, d.reopenStore)
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error {
		if err := d.Making.Wait(ctx); err != nil {
			return err
		}
		// The controller reads the owners of conntrack zones from the bridge's row.
		begin(control.Run, ports.Run, presence.RunUnderlay, passing.Run, bridges.Run, d.Underlay.AnnounceAgain, link.Run, neighbours.Keep,
			func(ctx context.Context) error { return bridges.RunUnderlay(ctx, cfg.OVSRunDir, cfg.PhyBridge) },
			func(ctx context.Context) error { router.Run(ctx, packets); return nil },
			func(ctx context.Context) error { return link.Receive(ctx, pipeline.RouterController, packets) },
			func(ctx context.Context) error { d.Store.ServeQuestions(ctx, host.Name, topics); return nil },
			func(ctx context.Context) error { return examiner.Run(ctx, probes) },
			func(ctx context.Context) error { return link.Receive(ctx, pipeline.ProbeController, probes) },
			func(ctx context.Context) error { return fair.Keep(ctx, control.SetPenalties) },
			func(ctx context.Context) error { defer exits.Close(); return gatherer.Run(ctx) })
		control.Recall(ctx, d.Store.CopiedTenants())
		d.Making.Use()
		if err := process.NotifyReady(); err != nil {
			d.log.Warn("cannot tell systemd that ovloomd is ready", "error", err)
		}
		d.log.Info("ready", "vtep", host.VTEP, "datapath", host.Datapath, "bridge", cfg.Bridge, "socket", cfg.Socket)
		return nil
	})
	return g.Wait()
}

// plugger implements api.Plugger.
type plugger struct {
	*agent.Agent
	*controller.Controller
}

// reopenStore ends this daemon in an orderly way if it runs without the store's member and
// the member would start in the next process. Packets keep flowing, as in any restart.
func (d *daemon) reopenStore(ctx context.Context) error {
	if n, ok := d.Store.AwaitRepair(ctx); ok {
		d.log.Info("restarting to open the store again")
		d.end(&process.Replace{Attempts: n})
	}
	return nil
}
