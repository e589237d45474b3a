// The wiring: which part is started when, and what it is given.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/agent/leave"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/doctor"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/explain"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/pki"
	"github.com/ovloom/ovloom/process"
	"github.com/ovloom/ovloom/repair"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
	"github.com/ovloom/ovloom/underlay"
	"github.com/ovloom/ovloom/unixctl"
)

// startTimeout is how long the parts that a start waits for may take together:
// ovsdb-server, ovs-vswitchd and an embedded store.
const startTimeout = 30 * time.Second

// daemon is everything that a running ovloomd consists of.
type daemon struct {
	// Set by serve, in this order.
	cfg        config
	log        *slog.Logger
	repairs    *repair.Log // what was put back
	parts      statusParts
	started    time.Time
	db         *ovsdb.DB
	datapath   string // ovsdb.DatapathSystem or ovsdb.DatapathNetdev
	dp         *datapath.Datapath
	fair       *datapath.Watch
	neighbours *datapath.Neighbourhood
	uplink     *underlay.Underlay
	card       string         // in the underlay's bridge; "": none
	host       intent.Host    // as it is registered; the ID is the store's
	making     *keeper.Making // the integration bridge; nil: it has not begun
	store      *store.Store

	agent      *agent.Agent
	aside      *hostnet.Aside // nil: the datapath keeps ports apart from the host
	controller *controller.Controller
	conntrack  datapath.Conntrack
	router     *controller.Router
	link       *keeper.Link
	bridges    *keeper.Bridges
	presence   *agent.Presence
	exit       *exit.Reconciler
	end        context.CancelCauseFunc // ends the daemon, and says why
}

// serve runs a daemon until ctx ends or the host leaves the overlay.
func serve(ctx context.Context, cfg config, log *slog.Logger) error {
	d := &daemon{cfg: cfg, log: log, started: time.Now(), repairs: &repair.Log{Logger: log.With("part", "repair")}}
	log.Info("starting", "version", api.BuildVersion(), "host", cfg.HostName)

	// The socket comes first: it tells a second daemon off before it touches anything.
	listener, err := api.Listen(cfg.Socket, cfg.Group)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, d.end = context.WithCancelCause(ctx)
	defer d.end(nil)
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer d.db.Close()
	defer d.store.Close()
	defer func() {
		d.end(nil)
		<-d.making.Done()
	}()

	err = d.run(ctx, listener)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, leave.ErrLeft):
		log.Info("this host has left the overlay")
		return nil
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return err
}

// prepare brings the host to where it can be asked what concerns the store: the
// database is connected, the underlay in place, the store open. The bridge is being made.
func (d *daemon) prepare(whole context.Context) (err error) {
	ctx, cancel := context.WithTimeout(whole, startTimeout)
	defer cancel()
	if err := d.storeConfig().Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(d.cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	d.db, err = ovsdb.Connect(ctx, ovsdb.Config{
		Socket: d.cfg.OVSDB, Owner: d.cfg.HostName, Version: api.BuildVersion(), Log: d.log.With("part", "ovsdb"),
		Record: filepath.Join(d.cfg.StateDir, "bridges")})
	if err != nil {
		return fmt.Errorf("connect to ovsdb-server (--ovsdb): %w", err)
	}
	if d.datapath, err = d.chooseDatapath(); err != nil {
		return err
	}
	d.dp = datapath.New(d.cfg.OVSRunDir, d.datapath == ovsdb.DatapathSystem)
	d.fair = datapath.NewWatch(d.dp, d.cfg.Bridge, d.log.With("part", "datapath"))
	// A daemon that refuses to run cannot be asked to give a card back.
	if err := d.db.CheckBridge(ctx, d.bridge()); err != nil {
		return err
	}
	return d.openBesides(ctx, func(ctx context.Context) error {
		err := d.settleHost(ctx)
		if err == nil {
			d.making = keeper.Make(whole, startTimeout, func(ctx context.Context) error { return d.db.EnsureBridge(ctx, d.bridge()) })
		}
		return err
	})
}

// openBesides opens the store while do runs: both take a while, and neither needs
// the other. What do has begun it ends, also when the store cannot be opened: a card
// is not left on its way into a bridge.
func (d *daemon) openBesides(ctx context.Context, do func(context.Context) error) error {
	opening, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() (err error) {
		c := d.storeConfig()
		c.WithoutMember, c.Traces, c.Attempt = true, d.tracesOfStore, process.Attempts()
		d.store, err = store.Open(opening, c)
		return err
	})
	err := do(ctx)
	if err != nil {
		stop()
	}
	opened := g.Wait()
	if opened != nil && d.making != nil {
		<-d.making.Done()
	}
	switch {
	case err == nil:
		return opened
	case opened == nil:
		return errors.Join(err, d.store.Close())
	}
	return err
}

// settleHost finds out what this host is, and puts its underlay in place.
func (d *daemon) settleHost(ctx context.Context) error {
	d.uplink = underlay.New(underlay.Config{
		StateDir: d.cfg.StateDir, Bridge: d.cfg.PhyBridge, Switch: d.db, Log: d.log.With("part", "underlay")})
	vtep, card, err := d.uplink.Settle(ctx, underlay.Want{VTEP: d.cfg.VTEP, Userspace: d.datapath == ovsdb.DatapathNetdev, NIC: d.cfg.TakeNIC})
	if err != nil {
		return err
	}
	d.card = card
	d.host = intent.Host{Name: d.cfg.HostName, VTEP: vtep, Datapath: d.datapath, Version: api.BuildVersion()}
	if d.host.UnderlayMTU, _, err = hostnet.UnderlayMTU(vtep); err != nil {
		return err
	}
	return d.host.Validate()
}

func (d *daemon) storeConfig() cluster.Config {
	return cluster.Config{
		StateDir: filepath.Join(d.cfg.StateDir, "store"), Endpoints: d.cfg.Store, Listen: d.cfg.StoreListen,
		Name: d.cfg.HostName, Peer: d.cfg.StorePeer, Join: d.cfg.StoreJoin,
		CA: d.cfg.StoreCA, Cert: d.cfg.StoreCert, Key: d.cfg.StoreKey, Insecure: d.cfg.StoreInsecure,
		Logger: d.log.With("part", "store"),
	}
}

// tracesOfStore is what on the bridge says that this host has been part of an overlay:
// ports that it claimed.
func (d *daemon) tracesOfStore() []string {
	var traces []string
	ports := 0
	for _, i := range d.db.Interfaces(d.cfg.Bridge) {
		if i.Generation != 0 {
			ports++
		}
	}
	if ports > 0 {
		traces = append(traces, fmt.Sprintf("%d claimed ports on bridge %s", ports, d.cfg.Bridge))
	}
	return traces
}

// bridge is the integration bridge as it must be.
func (d *daemon) bridge() ovsdb.Bridge {
	return ovsdb.Bridge{
		Name: d.cfg.Bridge, Datapath: d.datapath, VTEP: d.host.VTEP,
		VXLANPort: d.cfg.VXLANName, VXLANUDPPort: d.cfg.VXLANPort, Prefixes: pipeline.Prefixes(),
	}
}

// chooseDatapath resolves --datapath auto.
func (d *daemon) chooseDatapath() (string, error) {
	if d.cfg.Datapath != "auto" {
		return d.cfg.Datapath, nil
	}
	kernel, err := hostnet.HasKernelDatapath()
	if err != nil {
		return "", err
	}
	if kernel {
		return ovsdb.DatapathSystem, nil
	}
	return ovsdb.DatapathNetdev, nil
}

// run starts the loops and returns when ctx ends or one of them fails.
func (d *daemon) run(ctx context.Context, listener net.Listener) error {
	userspace := d.datapath == ovsdb.DatapathNetdev
	interfaces := &agent.Interfaces{Database: d.db, Tunnel: d.cfg.VXLANName, Log: d.log}
	leaving := &leave.Host{Name: d.cfg.HostName, Bridge: d.cfg.Bridge, HasStore: len(d.cfg.Store) == 0, Store: d.store, Switch: d.db, Underlay: d.uplink, End: d.end}
	if userspace {
		d.aside = &hostnet.Aside{Table: hostnet.AsideTable(d.cfg.Bridge), VTEP: d.host.VTEP, VXLANPort: d.cfg.VXLANPort}
		interfaces.Apart, leaving.RemoveApart = d.aside, d.aside.Remove
	}
	vtep := func() netip.Addr { return d.host.VTEP }
	var err error
	if d.agent, err = agent.New(agent.Config{
		Host: d.cfg.HostName, Bridge: d.cfg.Bridge, Datapath: d.datapath, StateDir: d.cfg.StateDir,
		Switch: d.db, Store: d.store, Claims: d.store, Network: agent.Kernel{VTEP: vtep, Aside: d.aside},
		Repairs: d.repairs, Log: d.log.With("part", "agent"),
		Known: func(ctx context.Context, ref intent.PortRef) (intent.Port, bool) {
			view, known, err := d.controller.Port(ctx, ref)
			return view.Port, known && err == nil
		},
		Card:     func() string { return d.card },
		Expect:   func(ctx context.Context, ref intent.PortRef) func(error) { return d.controller.Expect(ctx, ref) },
		Unexpect: func(ctx context.Context, ref intent.PortRef) { d.controller.Unexpect(ctx, ref) },
	}); err != nil {
		return err
	}
	var gatherer *exit.Gatherer
	zones := datapath.Zones{Notes: d.db, Bridge: d.cfg.Bridge, Log: d.log}
	d.conntrack = d.dp.Conntrack(func() (datapath.Flusher, error) { return d.link.Conn() })
	d.controller = controller.New(d.cfg.HostName, controller.Deps{
		Span: span{d.store, d.agent.Told}, Claims: d.store, Progress: d.store, Interfaces: d.db,
		NAT: &controller.NAT{
			Externals: span{d.store, nil}, Guard: span{d.store, nil}, Zones: zones, Conntrack: d.conntrack, Addresses: d.store,
			HostForwards: func(list []intent.Forward) { gatherer.SetForwards(list) },
		},
		KernelDatapath: !userspace,
		Repairs:        d.repairs,
		Log:            d.log.With("part", "controller"),
	})
	d.presence = agent.NewPresence(agent.PresenceConfig{
		Host: d.host, Store: d.store, Underlay: func() agent.Underlay { return d.agent.Underlay(d.host.VTEP) }, UnderlayChanged: d.agent.UnderlayChanged(),
		Claimed: d.controller.Claimed, Log: d.log})
	owned := agent.Owned{Tunnel: d.cfg.VXLANName, HostUplink: d.cfg.HostUplink,
		Interfaces: func() []ovsdb.Interface { return d.db.Interfaces(d.cfg.Bridge) }, HostUplinkMade: func() bool { return d.exit.LinkMade() }}
	d.link = keeper.NewLink(keeper.LinkConfig{
		Bridge: d.cfg.Bridge, RunDir: d.cfg.OVSRunDir, Controller: d.controller, Fragments: d.dp, Wanted: owned.Wanted, Repairs: d.repairs, Log: d.log.With("part", "openflow")})
	d.bridges = &keeper.Bridges{Database: d.db, Bridge: d.bridge(), Underlay: d.uplink, Disturbed: d.link.Disturbed, Repairs: d.repairs, Log: d.log}
	interfaces.Agent, interfaces.SetInterfaces, interfaces.SetTunnel = d.agent, d.controller.SetInterfaces, d.link.SetTunnel
	d.router = d.controller.Router(d.link.Send)
	d.neighbours = &datapath.Neighbourhood{Datapath: d.dp, WhoHas: hostnet.WhoHas, PutBack: datapath.RecordIn(d.repairs), Log: d.log.With("part", "datapath")}
	d.exit = exit.New(exit.Settings{
		Bridge: d.cfg.Bridge, Link: d.cfg.HostUplink, VXLANPort: d.cfg.VXLANPort, UnderlayMTU: d.host.UnderlayMTU, StateDir: d.cfg.StateDir,
	}, exit.Deps{Switch: d.db, Host: exit.Linux{}, Controller: d.controller, Send: d.link.Send, Repairs: d.repairs, Log: d.log.With("part", "exit")})
	defer d.exit.Close()
	gatherer = exit.NewGatherer(exit.Sources{
		Hosts: span{d.store, nil}.WatchHosts, Externals: span{d.store, nil}.WatchExternals, Guard: span{d.store, nil}.WatchGuard, Members: d.storeURLs,
		Own: func() (intent.Guarded, error) { return exit.Own(d.cfg.HostName, d.host.VTEP) }, Publish: d.store.SetGuardedHost,
		Endpoints: slices.Concat(d.cfg.Store, d.cfg.StoreListen), Log: d.log.With("part", "exit"),
	}, d.exit)
	examiner := doctor.NewExaminer(doctor.Config{
		Name: d.cfg.HostName, VXLANName: d.cfg.VXLANName, VXLANPort: d.cfg.VXLANPort, Userspace: userspace,
		Certificate:  pki.Files{CA: d.cfg.StoreCA, Cert: d.cfg.StoreCert, Key: d.cfg.StoreKey},
		Examinations: d.store, Intent: d.store, Switch: d.link, Host: doctor.Linux{}, Self: d.presence.Host,
		Underlay:   func() (fault, do string) { u := d.agent.Underlay(d.host.VTEP); return u.Fault, u.Do },
		Interfaces: owned.Interfaces, Neighbours: d.dp.Neighbours, Moved: d.neighbours.Changed, CutOff: d.exit.CutOff, Log: d.log})
	reader := store.Reader{Store: d.store, Down: d.presence.Down, Copied: api.NoteCopy, Host: d.host.Name, Since: time.Now()}
	here := &explain.Here{Host: d.cfg.HostName, VTEP: d.host.VTEP, Bridge: d.cfg.Bridge, Controller: d.controller, Connection: d.link, Interfaces: owned.Interfaces,
		Externals: reader.Externals, Call: unixctl.New(d.cfg.OVSRunDir, "ovs-vswitchd").Call, Forward: d.exit.Forward, Log: d.log}
	hops := explain.Hops{Host: d.cfg.HostName, Here: here.Trace, Ask: d.store.Ask, Down: d.presence.Down}
	tracer := explain.Tracer{Snapshot: reader.Snapshot, Hosts: d.presence.Hosts, Externals: reader.Externals, Hop: hops.Hop}
	byHand := agent.ByHand{Host: d.cfg.HostName, Status: d.controller.Status, Configured: d.agent.Configured, Ask: d.store.Ask}
	leaving.Ports, leaving.RemoveExits = d.agent, d.exit.Remove
	server := api.NewServer(api.Backend{
		Store: reader, Local: leaving, Plug: plugger{d.agent, d.controller}, Upkeep: upkeep{d.store}, Status: d.status, Flows: d.flows, FlowsDiff: d.flowsDiff,
		Started: d.making.Started, Health: examiner.Health, Trace: tracer.Trace, ByHand: byHand.Ports, Fix: d.exit.Fix, Connections: observer{d}.connections, Learned: observer{d}.learned,
	}, d.log.With("part", "api"))

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
	packets, probes := make(chan of.PacketIn, routerQueued), make(chan of.PacketIn, doctor.ProbesQueued)
	// What is about the store or the host does not wait for the bridge. Of interfaces nothing
	// learns before the rules are there that keep the host apart from them.
	begin(d.presence.Run, d.store.KeepGuard, interfaces.RunApart, d.reopenStore)
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error {
		if err := d.making.Wait(ctx); err != nil {
			return err
		}
		// The controller reads from the bridge's row which zones of conntrack are whose.
		begin(d.controller.Run, d.agent.Run, d.presence.RunUnderlay, interfaces.Run, d.bridges.Run, d.uplink.AnnounceAgain, d.link.Run, d.neighbours.Keep,
			func(ctx context.Context) error { return d.bridges.RunUnderlay(ctx, d.cfg.OVSRunDir, d.cfg.PhyBridge) },
			func(ctx context.Context) error { d.router.Run(ctx, packets); return nil },
			func(ctx context.Context) error { return d.link.Receive(ctx, pipeline.RouterController, packets) },
			func(ctx context.Context) error {
				d.store.ServeQuestions(ctx, d.cfg.HostName, map[string]func(context.Context, json.RawMessage) any{explain.Topic: hops.Answer, agent.ByHandTopic: byHand.Answer})
				return nil
			},
			func(ctx context.Context) error { return examiner.Run(ctx, probes) },
			func(ctx context.Context) error { return d.link.Receive(ctx, pipeline.ProbeController, probes) },
			func(ctx context.Context) error { return d.fair.Keep(ctx, d.controller.SetPenalties) },
			func(ctx context.Context) error { defer d.exit.Close(); return gatherer.Run(ctx) })
		d.controller.Recall(ctx, d.store.CopiedTenants())
		d.making.Use()
		if err := process.NotifyReady(); err != nil {
			d.log.Warn("cannot tell systemd that ovloomd is ready", "error", err)
		}
		d.log.Info("ready", "vtep", d.host.VTEP, "datapath", d.datapath, "bridge", d.cfg.Bridge, "socket", d.cfg.Socket)
		return nil
	})
	return g.Wait()
}

// routerQueued is how many packets may wait to be taken in by the router.
const routerQueued = 1024

// plugger implements api.Plugger.
type plugger struct {
	*agent.Agent
	*controller.Controller
}

// storeURLs returns where members of the store serve and meet.
func (d *daemon) storeURLs(ctx context.Context) ([]string, error) {
	members, err := d.store.Members(ctx)
	var urls []string
	for _, m := range members {
		urls = append(append(urls, m.URLs...), m.Peer)
	}
	return urls, err
}

// reopenStore ends this daemon in an orderly way when the store's member, without which it
// runs, would come up in the next one. Packets keep flowing, as in any restart.
func (d *daemon) reopenStore(ctx context.Context) error {
	if n, ok := d.store.AwaitRepair(ctx); ok {
		d.log.Info("restarting to open the store again")
		d.end(&process.Replace{Attempts: n})
	}
	return nil
}
