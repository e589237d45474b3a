// Package exit reconciles uplinks, apart from flows: ports of
// the integration bridge, and the host's own addresses, routes and packet filter.
//
// A Gatherer learns what is wanted and gives all of it to a Reconciler, which makes it
// true, keeps it so, and tells the controller what there is. Neither holds a lock while
// it calls something else.
//
//	gather.go   Gatherer: what is wanted
//	exit.go     Reconciler: making it true
//	ports.go    the ports of the integration bridge
//	keep.go     the way through the host, put back and tried
//	service.go  forwards, and the host's own programs
//	fix.go      what the host lacks, set right on request
//	tell.go     what the controller is told
//	status.go   what people are told
//	own.go      what this host has that tenants are kept from
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
	lookEach = 5                // at every which of those all else is looked at, without a reason
	atMost   = 10 * time.Second // for one look, with what it sets right

	// What somebody changes of the way through the host is put back as soon as nothing
	// was for keepPause; if it was tooOften in a minute, after fightPause only.
	keepPause  = 300 * time.Millisecond
	fightPause = 5 * time.Second
	tooOften   = 20

	fixRounds = 5 // of setting right what is in the way

	lostMany = 3 // probes that do not arrive tell something

	// goneMany looks in turn must miss Link before it is made again: ovs-vswitchd makes it
	// when it starts.
	goneMany = 2

	// viaHost is ovsdb.Uplink.Via of the interface that faces the host's own routing,
	// which all externals of kind host share; viaBridge stands before the name of the
	// bridge that others share.
	viaHost   = "host"
	viaBridge = "bridge:"
)

// uplinkMAC is the address of the interface that faces the host's own routing. It is
// the same on all hosts: no frame with it leaves one.
var uplinkMAC = intent.MAC{0x0e, 0x0f, 0x0f, 0x0f, 0x0f, 0x02}

// Config is the uplinks that are wanted.
type Config struct {
	Externals []intent.External
	VTEPs     []netip.Addr     // where tunnels end, of hosts and of all tenants' peers
	Hosts     []netip.Addr     // what hosts have besides, IPv4
	Underlays []netip.Prefix   // where tunnels run
	Store     []netip.Addr     // endpoints of the store
	Forwards  []intent.Forward // of externals of kind host

	// Until these are true the field is not known, and what an earlier ovloomd made with
	// it stays.
	StoreKnown, ForwardsKnown bool
}

// Settings are what does not change about this host.
type Settings struct {
	Bridge      string // the integration bridge
	Link        string // the interface that faces the host's own routing
	VXLANPort   int    // of UDP
	UnderlayMTU int    // bytes of IP packet
	StateDir    string // where to remember which forwards are in force; "": nowhere
}

// Switch is the local Open_vSwitch database, which *ovsdb.DB is.
type Switch interface {
	State() ovsdb.State
	Watch() <-chan struct{}
	Interfaces(bridge string) []ovsdb.Interface
	EnsureUplinks(ctx context.Context, bridge string, want []ovsdb.Uplink) (faults map[string]error, err error)
	WaitOFPort(ctx context.Context, name string) (int, error)
	DelPort(ctx context.Context, bridge, name string) error
}

// Host is the host's own network: functions of package hostnet, which Linux holds.
type Host interface {
	OwnAddrs() ([]netip.Addr, error)
	// HasAddr says whether an interface has an IPv4 address.
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

// Controller is told which uplinks there are.
type Controller interface {
	SetUplinks(ctx context.Context, uplinks map[string]controller.Uplink)
	SetSurroundings(ctx context.Context, s controller.Surroundings)
}

// Deps are the parts of the world that a Reconciler acts on.
type Deps struct {
	Switch     Switch
	Host       Host
	Controller Controller
	// Send puts packets into the switch; nil: the way through the host is not tried.
	Send    func(ctx context.Context, packets ...of.PacketOut) error
	Repairs *repair.Log
	Log     *slog.Logger
}

// Reconciler makes uplinks and keeps them.
type Reconciler struct {
	// Set by New.
	set  Settings
	deps Deps
	log  *slog.Logger
	wake chan struct{} // has one when the Config changed
	asks chan ask
	stop context.CancelFunc
	done chan struct{} // closed when run has returned

	events chan struct{} // has one when own or other became true
	own    atomic.Bool   // something happened to what was made of the way through the host
	other  atomic.Bool   // or to what else may be in its way

	up atomic.Bool // Link was set up

	// Owned by run.
	first      map[string]bool // forwards in force, which outrank programs of users: by portKey
	made       *hostnet.Exit   // what was last made of the way through the host; nil: nothing yet
	table      string          // its packet filter, in nft's words
	putBack    []time.Time     // when it was put back, lately
	gone       int             // how many looks in turn did not find Link
	lost       int             // how many probes in turn did not arrive
	noProbe    string          // why the last could not be made
	told       map[string]controller.Uplink
	toldAround *controller.Surroundings // nil: nothing yet

	// Guarded by mu.
	mu     sync.Mutex
	config *Config // nil: until there is one nothing is touched
	seen   seen
}

// seen is what the last look found.
type seen struct {
	config    Config
	uplinks   map[string]error // what is wrong with ports of the integration bridge
	err       error            // why the way through the host is not made
	faults    []hostnet.ExitFault
	probe     string // what became of the probe
	forwarded []hostnet.ExitForward
	taken     []hostnet.ExitForward // left out: this host's own programs serve those ports
	deaf      []hostnet.ExitForward // in force: programs came later to those ports, and hear nothing
}

// ask is a request to set right what the host lacks.
type ask struct {
	ctx    context.Context
	answer chan<- fixed
}

type fixed struct {
	done []string
	err  error
}

// New returns a Reconciler that works until Close. It does nothing before Set.
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

// Close ends the work and returns when it has ended. What was made stays.
func (r *Reconciler) Close() {
	r.stop()
	<-r.done
}

// Set says what is wanted from now on. It does not wait for it to be made.
func (r *Reconciler) Set(c Config) {
	r.mu.Lock()
	r.config = &c
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// wanted returns what Set was last given.
func (r *Reconciler) wanted() (Config, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config == nil {
		return Config{}, false
	}
	return *r.config, true
}

// note keeps what was found.
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

// run makes and repairs uplinks until ctx ends.
func (r *Reconciler) run(ctx context.Context) {
	db := r.deps.Switch.Watch()
	timer := time.NewTicker(ownEvery)
	defer timer.Stop()
	soon := time.NewTimer(0) // when to see what the events were about
	<-soon.C
	armed, due := false, false
	var kept time.Time
	for n := 1; ; {
		// What somebody else may have changed: addresses, and all else.
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
					due = true // which tells
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
			r.tellSurroundings(ctx, c)
		}
		if !ways || !r.deps.Switch.State().Connected {
			continue
		}
		r.tellUplinks(ctx, c) // what is there already need not wait
		limited, cancel := context.WithTimeout(ctx, atMost)
		r.ensure(limited, c, look)
		cancel()
		if r.toldAround != nil && !slices.Equal(r.inForce(), r.toldAround.Forwards) {
			r.tellSurroundings(ctx, c)
		}
		r.tellUplinks(ctx, c)
	}
}

// ensure makes what is wanted true, and notes what is in the way.
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

// exit returns the host uplink as it must be; without Subnets: none.
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

// ensureExit makes the way through the host, if it differs from what was made or to
// look is wanted: whoever flushes the host's packet filter flushes our table too. It
// then sees what the host lacks.
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
	if len(faults) == 0 { // else it is known that tenants are cut off
		faults, probe = r.probe(ctx, want, of.PortNo(port))
	}
	r.note(func(s *seen) { s.faults, s.probe = faults, probe })
	return nil
}

// remakeLink has ovs-vswitchd make the interface that faces the host's own routing again:
// if somebody deletes that, ovs-vswitchd keeps the port and does not notice.
func (r *Reconciler) remakeLink(ctx context.Context, link string) (ofport int, err error) {
	missing := intent.NotFoundf("interface %s does not exist on this host: it was deleted", link).
		WithHint("it is made again as soon as ovs-vswitchd answers: see whether that runs")
	if r.gone++; r.gone < goneMany || r.deps.Send == nil {
		return 0, missing
	}
	if err := r.deps.Send(ctx); err != nil { // nothing: it answers, or does not
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

// Remove removes all that was made, but for the ports of the integration bridge that go
// with it. The Reconciler must be closed.
func (r *Reconciler) Remove(ctx context.Context) error {
	_, err := r.deps.Switch.EnsureUplinks(ctx, r.set.Bridge, nil)
	return errors.Join(err, r.deps.Host.RemoveExit(ctx, r.set.Link))
}

// LinkMade says whether the interface that faces the host's own routing has been set up:
// whoever sets it down then is somebody else.
func (r *Reconciler) LinkMade() bool { return r.up.Load() }
