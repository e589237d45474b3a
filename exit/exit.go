// Package exit reconciles a host's uplinks: their ports on the integration bridge, and
// the addresses, routes and packet filter of the host uplink. Their flows are the
// controller's.
//
// A Gatherer collects the wanted Config and passes it whole to a Reconciler, which makes
// it so, keeps it so, and reports the uplinks to the controller. Neither holds a lock
// while it calls out.
//
//	gather.go   Gatherer: collect the wanted Config
//	exit.go     Reconciler: reconcile the uplinks
//	ports.go    their ports on the integration bridge
//	keep.go     repair and probe the host uplink
//	service.go  forwards of ports that the host's own programs use
//	fix.go      remove the host's own obstacles, on request
//	report.go   report uplinks and forbidden addresses to the controller
//	status.go   status and warnings for users
//	own.go      the host's part of the guard
//	linux.go    the host's network
package exit

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/repair"
)

const (
	ownEvery = 2 * time.Second  // how often the host's own addresses are read
	lookEach = 5                // every how many of those reads everything else is checked, too
	atMost   = 10 * time.Second // for one check with its repairs

	// Changes that other programs make to the host uplink are put back once keepPause has
	// passed without another; after tooOften repairs within a minute, once per fightPause.
	keepPause  = 300 * time.Millisecond
	fightPause = 5 * time.Second
	tooOften   = 20

	fixRounds = 5 // of Fix: one obstacle may hide the next

	lostMany = 3 // lost probes in a row that count as a fault

	// goneMany checks in a row must miss Link before it is recreated: ovs-vswitchd, when it
	// starts, creates it by itself.
	goneMany = 2

	// viaHost is ovsdb.Uplink.Via of the host uplink's interface, which all externals of
	// kind host share. For externals of kind bridge it is viaBridge and the bridge's name.
	viaHost   = "host"
	viaBridge = "bridge:"
)

// uplinkMAC is the MAC of the host uplink's interface, the same on all hosts: no frame with
// it leaves a host.
var uplinkMAC = intent.MAC{0x0e, 0x0f, 0x0f, 0x0f, 0x0f, 0x02}

// Config is everything that the uplinks depend on.
type Config struct {
	Externals []intent.External
	VTEPs     []netip.Addr     // of hosts and of all tenants' peers
	Hosts     []netip.Addr     // other IPv4 addresses of hosts
	Underlays []netip.Prefix   // networks that carry tunnels
	Store     []netip.Addr     // endpoints of the store
	Forwards  []intent.Forward // of externals of kind host

	// StoreKnown and ForwardsKnown say that Store and Forwards are known. Until both are, the
	// host uplink stays as an earlier ovloomd left it.
	StoreKnown, ForwardsKnown bool
}

// Settings are fixed for the life of a Reconciler.
type Settings struct {
	Bridge      string // the integration bridge
	Link        string // the host uplink's interface
	VXLANPort   int    // UDP
	UnderlayMTU int    // bytes of IP packet
	StateDir    string // keeps the list of forwards in force; "": do not keep it
}

// Switch is the local Open_vSwitch database; *ovsdb.DB implements it.
type Switch interface {
	State() ovsdb.State
	Watch() <-chan struct{}
	Interfaces(bridge string) []ovsdb.Interface
	EnsureUplinks(ctx context.Context, bridge string, want []ovsdb.Uplink) (faults map[string]error, err error)
	WaitOFPort(ctx context.Context, name string) (int, error)
	DelPort(ctx context.Context, bridge, name string) error
}

// Host is the host's own network; Linux implements it by package hostnet.
type Host interface {
	OwnAddrs() ([]netip.Addr, error)
	// HasAddr reports whether an interface has an IPv4 address.
	HasAddr(link string) bool
	Listens(p intent.Protocol, port uint16) (hostnet.Service, error)
	EnsureExit(ctx context.Context, e hostnet.Exit) error
	RemoveExit(ctx context.Context, link string) error
	ExitFaults(ctx context.Context, e hostnet.Exit) ([]hostnet.ExitFault, error)
	FixExit(ctx context.Context, faults []hostnet.ExitFault) (done []string, err error)
	LinkExists(name string) bool
	ExitTable(ctx context.Context, link string) (string, error)
	ExitChanged(ctx context.Context, e hostnet.Exit, table string) ([]string, error)
	ProbeExit(ctx context.Context, e hostnet.Exit, send func(context.Context, ...[]byte) error) ([]hostnet.ExitFault, error)
	WatchExit(ctx context.Context, link string, deliver func(hostnet.ExitEvent)) error
}

// Controller receives the uplinks that exist and the addresses that tenants must not reach.
type Controller interface {
	SetUplinks(ctx context.Context, uplinks map[string]controller.Uplink)
	SetSurroundings(ctx context.Context, s controller.Surroundings)
}

// Deps are what a Reconciler works on.
type Deps struct {
	Switch     Switch
	Host       Host
	Controller Controller
	// Send injects packets into the switch. If nil, the host uplink is not probed.
	Send    func(ctx context.Context, packets ...of.PacketOut) error
	Repairs *repair.Log
	Log     *slog.Logger
}

// Reconciler creates uplinks and keeps them as wanted.
type Reconciler struct {
	// Set by New.
	set  Settings
	deps Deps
	log  *slog.Logger
	wake chan struct{} // has an element when the Config changed
	asks chan ask
	stop context.CancelFunc
	done chan struct{} // closed when run has returned

	events chan struct{} // has an element when own or other became true
	own    atomic.Bool   // the host uplink itself changed
	other  atomic.Bool   // something changed that may obstruct it

	up atomic.Bool // Link is set up

	// Owned by run.
	first                map[string]bool // forwards in force, which outrank users' programs; by portKey
	made                 *hostnet.Exit   // the host uplink as last made; nil: not made yet
	table                string          // its packet filter, as nft prints it
	putBack              []time.Time     // the last minute's repairs
	gone                 int             // checks in a row that did not find Link
	lost                 int             // probes in a row that were lost
	noProbe              string          // why the last probe could not be sent
	reportedUplinks      map[string]controller.Uplink
	reportedSurroundings *controller.Surroundings // nil: none yet

	// Guarded by mu.
	mu     sync.Mutex
	config *Config // nil: none yet; nothing is touched
	seen   seen
}

// seen is the outcome of the last check.
type seen struct {
	config    Config
	uplinks   map[string]error // faults of ports of the integration bridge
	err       error            // why the host uplink could not be made
	faults    []hostnet.ExitFault
	probe     string // probePassed, probeDropped, or "": no probe
	forwarded []hostnet.ExitForward
	taken     []hostnet.ExitForward // not in force: programs of this host use these ports
	deaf      []hostnet.ExitForward // in force: programs that bound these ports later receive nothing
}

// ask is a call of Fix on its way to run.
type ask struct {
	ctx    context.Context
	answer chan<- fixed
}

type fixed struct {
	done []string
	err  error
}

// New starts a Reconciler, which works until Close. It changes nothing before Set.
func New(s Settings, d Deps) *Reconciler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Reconciler{set: s, deps: d, log: d.Log, wake: make(chan struct{}, 1), asks: make(chan ask), stop: stop, done: make(chan struct{}), events: make(chan struct{}, 1)}
	r.loadFirst()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx)
	}()
	go func() {
		defer close(r.done)
		r.run(ctx)
		<-watched
	}()
	return r
}

// Close stops the Reconciler and waits until it has stopped. The uplinks stay.
func (r *Reconciler) Close() {
	r.stop()
	<-r.done
}

// Set replaces the wanted Config. It does not wait until the uplinks follow it.
func (r *Reconciler) Set(c Config) {
	r.mu.Lock()
	r.config = &c
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// wanted returns the last Config of Set.
func (r *Reconciler) wanted() (Config, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config == nil {
		return Config{}, false
	}
	return *r.config, true
}

// note records findings of a check.
func (r *Reconciler) note(change func(*seen)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.seen)
}

func (r *Reconciler) lastSeen() seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// run reconciles the uplinks until ctx ends.
func (r *Reconciler) run(ctx context.Context) {
	db := r.deps.Switch.Watch()
	timer := time.NewTicker(ownEvery)
	defer timer.Stop()
	soon := time.NewTimer(0) // when to handle events
	<-soon.C
	armed, due := false, false
	var kept time.Time
	for n := 1; ; {
		// What to do in this round: read addresses, check everything, reconcile.
		around, look, ways := true, false, true
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-db:
			around = false
		case a := <-r.asks:
			done, err := r.fix(a.ctx)
			a.answer <- fixed{done, err}
		case <-r.events:
			if !armed {
				armed = true
				soon.Reset(max(0, r.pause()-time.Since(kept)))
			}
			continue
		case <-soon.C:
			armed, kept = false, time.Now()
			due = r.other.Swap(false) || due
			if r.own.Swap(false) {
				limited, cancel := context.WithTimeout(ctx, atMost)
				if err := r.keep(limited); err != nil {
					due = true // the full check reports the error
				}
				cancel()
			}
			continue
		case <-timer.C:
			look = n%lookEach == 0 || due || r.gone > 0
			ways, due = look, false
			n++
		}
		c, ok := r.wanted()
		if !ok {
			continue
		}
		if around {
			r.reportSurroundings(ctx, c)
		}
		if !ways || !r.deps.Switch.State().Connected {
			continue
		}
		r.reportUplinks(ctx, c) // uplinks that exist already need not wait
		limited, cancel := context.WithTimeout(ctx, atMost)
		r.ensure(limited, c, look)
		cancel()
		if r.reportedSurroundings != nil && !slices.Equal(r.inForce(), r.reportedSurroundings.Forwards) {
			r.reportSurroundings(ctx, c)
		}
		r.reportUplinks(ctx, c)
	}
}

// ensure reconciles the uplinks with c, and records what it found. look asks for a full
// check of the host uplink even if c is unchanged.
func (r *Reconciler) ensure(ctx context.Context, c Config, look bool) {
	exit := r.exit(c)
	taken, deaf, err := r.leaveServices(&exit)
	if err != nil {
		r.log.Warn("cannot list the ports of this host that are in use", "error", err)
	}
	faults, err := r.deps.Switch.EnsureUplinks(ctx, r.set.Bridge, r.ports(c.Externals))
	if errors.Is(ctx.Err(), context.Canceled) {
		return // ovloomd ends
	}
	if err != nil {
		r.log.Warn("cannot reconcile uplinks", "error", err)
		return
	}
	if faults[r.set.Link] == nil && c.StoreKnown && c.ForwardsKnown {
		err = r.ensureExit(ctx, exit, look)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if err != nil && intent.What(err) != intent.What(r.lastSeen().err) {
		r.log.Warn("cannot set up the host uplink", "error", err)
	}
	r.note(func(s *seen) {
		s.config, s.uplinks, s.err, s.forwarded, s.taken, s.deaf = c, faults, err, exit.Forwards, taken, deaf
	})
}

// exit returns the wanted host uplink. Without Subnets there is to be none.
func (r *Reconciler) exit(c Config) hostnet.Exit {
	e := hostnet.Exit{Link: r.set.Link}
	single := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
	for _, ext := range c.Externals {
		if ext.Kind != intent.ExternalHost {
			continue
		}
		e.Subnets = append(e.Subnets, intent.Subnet{Prefix: ext.Subnet, Gateway: ext.Gateway})
		e.Allowed = append(e.Allowed, ext.Allow...)
		if ext.Underlay == intent.UnderlayDeny && len(c.Underlays) > 0 {
			e.Walls = append(e.Walls, hostnet.Wall{From: ext.Subnet, To: c.Underlays})
		}
	}
	if len(e.Subnets) == 0 {
		return e
	}
	for _, a := range slices.Concat(c.VTEPs, c.Store) {
		e.Forbidden = append(e.Forbidden, single(a))
	}
	for _, a := range c.Hosts {
		e.Denied = append(e.Denied, single(a))
	}
	e.Denied = append(e.Denied, netip.MustParsePrefix("169.254.0.0/16"))
	for _, f := range c.Forwards {
		e.Forwards = append(e.Forwards, hostnet.ExitForward{Protocol: f.Protocol, Port: f.Port, To: netip.AddrPortFrom(f.Address, f.Port)})
	}
	return e
}

// ensureExit makes the host uplink if it has changed, and otherwise, if look is true,
// repairs it: a program that flushes the host's packet filter flushes ovloom's table, too.
// Then it checks whether the host lets tenants through.
func (r *Reconciler) ensureExit(ctx context.Context, want hostnet.Exit, look bool) error {
	same := r.made != nil && reflect.DeepEqual(want, *r.made)
	if same && !(look && len(want.Subnets) > 0) {
		return nil
	}
	if len(want.Subnets) == 0 {
		r.note(func(s *seen) { s.faults, s.probe = nil, "" })
		r.up.Store(false)
		if err := r.deps.Host.RemoveExit(ctx, want.Link); err != nil {
			return err
		}
		r.made = &want
		r.keepFirst(nil)
		return nil
	}
	port, err := r.deps.Switch.WaitOFPort(ctx, want.Link)
	if err == nil && !r.deps.Host.LinkExists(want.Link) {
		port, err = r.remakeLink(ctx, want.Link)
	}
	if err != nil {
		return err
	}
	r.gone = 0
	if same {
		err = r.keep(ctx)
	} else {
		err = r.make(ctx, want)
	}
	if err != nil {
		return err
	}
	if !same {
		r.log.Info("host uplink set up", "interface", want.Link, "subnets", len(want.Subnets), "forwards", len(want.Forwards))
	}
	r.keepFirst(want.Forwards)
	faults, err := r.deps.Host.ExitFaults(ctx, want)
	if err != nil {
		return err
	}
	probe := ""
	if len(faults) == 0 { // a known fault needs no probe
		faults, probe = r.probe(ctx, want, of.PortNo(port))
	}
	r.note(func(s *seen) { s.faults, s.probe = faults, probe })
	return nil
}

// remakeLink has ovs-vswitchd recreate the host uplink's interface. If the interface is
// deleted, ovs-vswitchd does not notice and keeps its port, so the port is deleted and added.
func (r *Reconciler) remakeLink(ctx context.Context, link string) (ofport int, err error) {
	missing := intent.NotFoundf("interface %s does not exist on this host: it was deleted", link).
		WithHint("it is made again as soon as ovs-vswitchd answers: see whether that runs")
	if r.gone++; r.gone < goneMany || r.deps.Send == nil {
		return 0, missing
	}
	if err := r.deps.Send(ctx); err != nil { // no packets: only to see whether ovs-vswitchd answers
		return 0, missing
	}
	c, _ := r.wanted()
	if err := r.deps.Switch.DelPort(ctx, r.set.Bridge, link); err != nil {
		return 0, err
	}
	if _, err := r.deps.Switch.EnsureUplinks(ctx, r.set.Bridge, r.ports(c.Externals)); err != nil {
		return 0, err
	}
	if ofport, err = r.deps.Switch.WaitOFPort(ctx, link); err != nil {
		return 0, err
	}
	r.deps.Repairs.Put("host uplink changed by another program", 1, "interface "+link+" was missing")
	return ofport, nil
}

// Remove removes the uplinks from the host. Their ports on the integration bridge stay
// until that is deleted. The Reconciler must be closed.
func (r *Reconciler) Remove(ctx context.Context) error {
	_, err := r.deps.Switch.EnsureUplinks(ctx, r.set.Bridge, nil)
	return errors.Join(err, r.deps.Host.RemoveExit(ctx, r.set.Link))
}

// LinkMade reports whether the host uplink's interface has been set up. If it is down after
// that, another program has set it down.
func (r *Reconciler) LinkMade() bool { return r.up.Load() }
