// The wiring: which part is started when, and what it is given.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/process"
	"github.com/ovloom/ovloom/repair"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/underlay"
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
	bridges    linkState   // whether they are as they must be
	parts      statusParts
	started    time.Time
	db         *ovsdb.DB
	datapath   string // ovsdb.DatapathSystem or ovsdb.DatapathNetdev
	dp         *datapath.Datapath
	fair       *datapath.Watch
	neighbours *datapath.Neighbourhood
	uplink     *underlay.Underlay
	card       string      // in the underlay's bridge; "": none
	host       intent.Host // as it is registered; the ID is the store's
	making     *making     // the integration bridge; nil: it has not begun
	store      *store.Store

	agent      *agent.Agent
	aside      *hostnet.Aside // nil: the datapath keeps ports apart from the host
	controller *controller.Controller
	router     atomic.Pointer[controller.Router] // nil: it does not run yet
	openflow   *openflowLink
	storeLink  *storeLink
	exit       *exit.Reconciler
	end        context.CancelCauseFunc // ends the daemon, and says why
	stopLoops  func()                  // ends what drives the switch and shows the host to be alive
}

// errLeft ends a daemon that has left the overlay.
var errLeft = errors.New("this host has left the overlay")

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
		<-d.making.done
	}()

	err = d.run(ctx, listener)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLeft):
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
			d.making = d.makeBridge(whole)
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
		<-d.making.done
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
	vtep, err := d.settleUnderlay(ctx)
	if err != nil {
		return err
	}
	d.host = intent.Host{Name: d.cfg.HostName, VTEP: vtep, Datapath: d.datapath, Version: api.BuildVersion()}
	if d.host.UnderlayMTU, _, err = hostnet.UnderlayMTU(vtep); err != nil {
		return err
	}
	return d.host.Validate()
}

func (d *daemon) storeConfig() store.Config {
	return store.Config{
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

// settleUnderlay returns this host's VTEP address, and on the userspace datapath
// makes sure that its card is inside Open vSwitch.
func (d *daemon) settleUnderlay(ctx context.Context) (netip.Addr, error) {
	d.uplink = underlay.New(underlay.Config{
		StateDir: d.cfg.StateDir, Bridge: d.cfg.PhyBridge, Switch: d.db, Log: d.log.With("part", "underlay")})
	if err := d.uplink.Recover(ctx); err != nil {
		return netip.Addr{}, err
	}
	if d.datapath == ovsdb.DatapathNetdev && d.cfg.TakeNIC != "" {
		if err := d.mayTake(); err != nil {
			return netip.Addr{}, err
		}
		if err := d.uplink.Take(ctx, d.cfg.TakeNIC); err != nil {
			return netip.Addr{}, err
		}
	}
	if err := d.uplink.Keep(ctx); err != nil {
		return netip.Addr{}, err
	}
	var err error
	if d.card, err = d.uplink.Taken(); err != nil {
		return netip.Addr{}, err
	}
	vtep, err := d.vtep()
	if err != nil {
		return netip.Addr{}, err
	}
	if d.datapath == ovsdb.DatapathNetdev {
		err = d.uplink.Check(vtep)
	}
	return vtep, err
}

// mayTake refuses to take a card when no tunnel of this host would leave by it.
func (d *daemon) mayTake() error {
	if taken, err := d.uplink.Taken(); err != nil || taken != "" {
		return err
	}
	vtep, err := d.vtep()
	if err != nil {
		return err
	}
	if owner, err := hostnet.AddrOwner(vtep); err != nil || owner == d.cfg.TakeNIC {
		return err
	}
	return d.uplink.Check(vtep)
}

// vtep returns the address where this host's tunnels end, which some interface
// has.
func (d *daemon) vtep() (netip.Addr, error) {
	if d.cfg.VTEP == "" {
		return hostnet.DefaultVTEP()
	}
	a, err := netip.ParseAddr(d.cfg.VTEP)
	if err != nil {
		return a, err
	}
	if _, err = hostnet.AddrOwner(a); intent.KindOf(err) == intent.NotFound {
		if nic, _ := d.uplink.Taken(); nic != "" {
			err = d.uplink.Check(a)
		} else {
			err = intent.NotFoundf("no interface of this host has the VTEP address %s (--vtep)", a).
				WithHint("put it back (ip addr add %s/LENGTH dev INTERFACE), or start ovloomd with an address that `ip addr` shows: --vtep ADDRESS", a)
		}
	}
	return a, err
}

// run starts the loops and returns when ctx ends or one of them fails.
func (d *daemon) run(ctx context.Context, listener net.Listener) error {
	if d.datapath == ovsdb.DatapathNetdev {
		d.aside = &hostnet.Aside{Table: hostnet.AsideTable(d.cfg.Bridge), VTEP: d.host.VTEP, VXLANPort: d.cfg.VXLANPort}
	}
	var err error
	if d.agent, err = d.newAgent(); err != nil {
		return err
	}
	gatherer := d.newExit()
	d.controller = controller.New(d.cfg.HostName, controller.Deps{
		Span: span{d.store, d.agent.Told}, Claims: d.store, Progress: d.store, Interfaces: d.db,
		NAT: &controller.NAT{
			Externals: span{d.store, nil}, Guard: span{d.store, nil}, Zones: datapath.Zones{Notes: d.db, Bridge: d.cfg.Bridge, Log: d.log}, Conntrack: d.conntrack(), Addresses: d.store,
			HostForwards: gatherer.SetForwards,
		},
		KernelDatapath: d.datapath == ovsdb.DatapathSystem,
		Repairs:        d.repairs,
		Log:            d.log.With("part", "controller"),
	})
	d.neighbours = &datapath.Neighbourhood{Datapath: d.dp, WhoHas: hostnet.WhoHas, PutBack: datapath.RecordIn(d.repairs), Log: d.log.With("part", "datapath")}
	d.openflow = &openflowLink{daemon: d}
	d.storeLink = &storeLink{daemon: d}
	doctor := newDoctorLink(d)
	trace := newTraceLink(d)
	server := api.NewServer(api.Backend{
		Store: reader{d.store, d.storeLink, time.Now()}, Local: leaver{d}, Plug: plugger{d.agent, d}, Upkeep: upkeep{d.store}, Status: d.status, Flows: d.flows, FlowsDiff: d.flowsDiff,
		Started: d.making.started, Health: doctor.health, Trace: trace.trace, ByHand: trace.byHand, Fix: d.exit.Fix, Connections: observer{d}.connections, Learned: observer{d}.learned,
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
	d.stopLoops = func() { stop(); loops.Wait() }
	// What is about the store or the host does not wait for the bridge. Of interfaces nobody
	// is told before the rules are there that keep the host apart from them.
	begin(d.storeLink.keep, d.store.KeepGuard, d.keepAside, d.reopenStore)
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error {
		if err := d.making.wait(ctx); err != nil {
			return err
		}
		// The controller reads from the bridge's row which zones of conntrack are whose.
		begin(d.controller.Run, d.agent.Run, d.tellUnderlay, d.tellInterfaces, d.keepBridge, d.keepUnderlay, d.announce, d.openflow.keep, doctor.keep, newRouterLink(d).keep, d.neighbours.Keep, func(ctx context.Context) error { return d.fair.Keep(ctx, d.controller.SetPenalties) }, trace.keep, d.keepExit(gatherer))
		d.controller.Recall(ctx, d.store.CopiedTenants())
		d.making.use()
		if err := process.NotifyReady(); err != nil {
			d.log.Warn("cannot tell systemd that ovloomd is ready", "error", err)
		}
		d.log.Info("ready", "vtep", d.host.VTEP, "datapath", d.datapath, "bridge", d.cfg.Bridge, "socket", d.cfg.Socket)
		return nil
	})
	return g.Wait()
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
