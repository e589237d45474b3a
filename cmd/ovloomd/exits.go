// The ways out of the overlay, as far as they are not flows: ports of the
// integration bridge, and the host's own addresses and packet filter.

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
)

const (
	exitsEvery  = 10 * time.Second // how often the host is looked at without a reason
	exitsAtMost = 10 * time.Second // for one look, with what it sets right

	// viaHost is ovsdb.Uplink.Via of the interface that faces the host's own routing,
	// which all externals of kind host share; viaExternal stands before the name of one
	// of kind bridge.
	viaHost     = "host"
	viaExternal = "external:"
)

// uplinkMAC is the address of the interface that faces the host's own routing. It is
// the same on all hosts: no frame with it leaves one.
var uplinkMAC = intent.MAC{0x0e, 0x0f, 0x0f, 0x0f, 0x0f, 0x02}

// exits makes the ways out of the overlay and keeps them.
type exits struct {
	*daemon
	changed chan struct{} // has one when something below changed

	making sync.Mutex    // held while the way through the host is made
	made   *hostnet.Exit // what was last made of it; nil: nothing yet

	// Guarded by mu.
	mu        sync.Mutex
	heard     bool // of externals: until then nothing is touched
	externals []intent.External
	// Until the controller has told of forwards, the rules of an earlier ovloomd stay.
	forwardsHeard bool
	vteps         []netip.Addr
	endpoints     []netip.Addr     // of the store
	forwards      []intent.Forward // of externals of kind host

	uplinkFaults map[string]error // by port of the integration bridge
	exitError    error            // why the way through the host is not made
	exitFaults   []hostnet.ExitFault
	taken        []hostnet.ExitForward // left out: this host's own programs serve those ports
}

func newExits(d *daemon) *exits {
	return &exits{daemon: d, changed: make(chan struct{}, 1)}
}

// keep makes and repairs the ways out until ctx ends.
func (x *exits) keep(ctx context.Context) error {
	go x.watch(ctx)
	go x.tellSurroundings(ctx)
	db := x.db.Watch()
	timer := time.NewTicker(exitsEvery)
	defer timer.Stop()
	for {
		look := false // also at what somebody else may have changed
		select {
		case <-ctx.Done():
			return nil
		case <-x.changed:
		case <-db:
		case <-timer.C:
			look = true
		}
		x.mu.Lock()
		heard := x.heard
		x.mu.Unlock()
		if !heard || !x.db.State().Connected {
			continue
		}
		x.tellUplinks(ctx) // what is there already need not wait
		limited, cancel := context.WithTimeout(ctx, exitsAtMost)
		x.ensure(limited, look)
		cancel()
		x.tellUplinks(ctx)
	}
}

// watch takes in what the store says of externals and hosts.
func (x *exits) watch(ctx context.Context) {
	source := span{x.store}
	go func() {
		err := source.WatchHosts(ctx, func(u intent.HostsUpdate) {
			var vteps []netip.Addr
			for _, h := range u.Hosts {
				vteps = append(vteps, h.VTEP)
			}
			slices.SortFunc(vteps, netip.Addr.Compare)
			x.set(func() { x.vteps = vteps })
		})
		if err != nil && ctx.Err() == nil {
			x.log.Error("the watch on hosts ended", "error", err)
		}
	}()
	err := source.WatchExternals(ctx, func(u intent.ExternalsUpdate) {
		x.set(func() { x.externals, x.heard = u.Externals, true })
	})
	if err != nil && ctx.Err() == nil {
		x.log.Error("the watch on externals ended", "error", err)
	}
}

// set changes what is wanted and wakes keep.
func (x *exits) set(change func()) {
	x.mu.Lock()
	change()
	x.mu.Unlock()
	select {
	case x.changed <- struct{}{}:
	default:
	}
}

// uplinks returns the ports that externals need. A tenant leaves by one of kind host
// on every host, by one of kind bridge where there is a bridge of that name.
func (x *exits) uplinks(externals []intent.External) []ovsdb.Uplink {
	var list []ovsdb.Uplink
	host := false
	for _, e := range externals {
		if e.Kind == intent.ExternalHost {
			host = true
			continue
		}
		list = append(list, ovsdb.Uplink{Name: x.portOf(e), Via: viaExternal + e.Name, Bridge: e.Bridge})
	}
	if host {
		list = append(list, ovsdb.Uplink{Name: x.cfg.HostUplink, Via: viaHost, MAC: uplinkMAC.String(),
			MTU: intent.Network{}.PortMTU(x.host.UnderlayMTU)})
	}
	return list
}

// portOf returns the name of the port of the integration bridge that leads to an
// external.
func (x *exits) portOf(e intent.External) string {
	if e.Kind == intent.ExternalHost {
		return x.cfg.HostUplink
	}
	return fmt.Sprintf("%s-x%d", x.cfg.Bridge, e.Number)
}

// ensure makes what is wanted true, and notes what is in the way.
func (x *exits) ensure(ctx context.Context, look bool) {
	x.mu.Lock()
	externals, exit := x.externals, x.exit()
	x.mu.Unlock()
	taken, err := x.leaveServices(&exit)
	if err != nil {
		x.log.Warn("cannot see which ports of this host are in use", "error", err)
	}

	faults, err := x.db.EnsureUplinks(ctx, x.cfg.Bridge, x.uplinks(externals))
	if errors.Is(ctx.Err(), context.Canceled) {
		return // ovloomd ends
	}
	if err != nil {
		x.log.Warn("cannot put the ways out right", "error", err)
		return
	}
	if e := faults[x.cfg.HostUplink]; e == nil {
		err = x.ensureExit(ctx, exit, look)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil && text(err) != text(x.exitError) {
		x.log.Warn("cannot set up the way out through the host", "error", err)
	}
	x.uplinkFaults, x.exitError, x.taken = faults, err, taken
}

// leaveServices drops the forwards of ports that programs of this host serve, or would
// not hear from anybody any more, and returns them.
func (x *exits) leaveServices(e *hostnet.Exit) (taken []hostnet.ExitForward, err error) {
	e.Forwards = slices.DeleteFunc(e.Forwards, func(f hostnet.ExitForward) bool {
		used := f.Protocol == intent.UDP && int(f.Port) == x.cfg.VXLANPort
		if !used {
			var failed error
			used, failed = hostnet.Listens(f.Protocol, f.Port)
			err = errors.Join(err, failed)
		}
		if used {
			taken = append(taken, f)
		}
		return used
	})
	return taken, err
}

// exit returns the way out through the host as it must be; without Subnets: none.
func (x *exits) exit() hostnet.Exit {
	e := hostnet.Exit{Link: x.cfg.HostUplink}
	for _, ext := range x.externals {
		if ext.Kind != intent.ExternalHost {
			continue
		}
		e.Subnets = append(e.Subnets, intent.Subnet{Prefix: ext.Subnet, Gateway: ext.Gateway})
		e.Allowed = append(e.Allowed, ext.Allow...)
	}
	if len(e.Subnets) == 0 {
		return e
	}
	for _, a := range slices.Concat(x.vteps, x.endpoints) {
		e.Forbidden = append(e.Forbidden, netip.PrefixFrom(a, a.BitLen()))
	}
	e.Forbidden = append(e.Forbidden, netip.MustParsePrefix("169.254.0.0/16"))
	for _, f := range x.forwards {
		e.Forwards = append(e.Forwards, hostnet.ExitForward{Protocol: f.Protocol, Port: f.Port, To: netip.AddrPortFrom(f.Address, f.Port)})
	}
	return e
}

// ensureExit makes the way through the host, if it differs from what was made or to
// look is wanted: whoever flushes the host's packet filter flushes our table too. It
// then sees what the host lacks.
func (x *exits) ensureExit(ctx context.Context, want hostnet.Exit, look bool) error {
	x.making.Lock()
	defer x.making.Unlock()
	x.mu.Lock()
	heard := x.forwardsHeard
	x.mu.Unlock()
	if !heard {
		return nil
	}
	if x.made != nil && reflect.DeepEqual(want, *x.made) && !(look && len(want.Subnets) > 0) {
		return nil
	}
	if len(want.Subnets) == 0 {
		x.setExitFaults(nil)
		if err := hostnet.RemoveExit(ctx, want.Link); err != nil {
			return err
		}
		x.made = &want
		return nil
	}
	if _, err := x.db.WaitOFPort(ctx, want.Link); err != nil {
		return err
	}
	if err := hostnet.EnsureExit(ctx, want); err != nil {
		return err
	}
	if x.made == nil || !reflect.DeepEqual(want, *x.made) {
		x.log.Info("way out through the host set up", "interface", want.Link, "subnets", len(want.Subnets), "forwards", len(want.Forwards))
	}
	x.made = &want
	faults, err := hostnet.ExitFaults(ctx, want)
	if err != nil {
		return err
	}
	x.setExitFaults(faults)
	return nil
}

func (x *exits) setExitFaults(f []hostnet.ExitFault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.exitFaults = f
}

// fix implements api.Backend.
func (x *exits) fix(ctx context.Context) (done []string, err error) {
	x.mu.Lock()
	exit := x.exit()
	x.mu.Unlock()
	if len(exit.Subnets) == 0 {
		return nil, nil
	}
	if _, err := x.leaveServices(&exit); err != nil {
		return nil, err
	}
	// What was seen last may be old, or nothing yet.
	if err := x.ensureExit(ctx, exit, true); err != nil {
		return nil, err
	}
	x.mu.Lock()
	faults := x.exitFaults
	x.mu.Unlock()
	done, err = hostnet.FixExit(ctx, faults)
	for _, what := range done {
		x.log.Info("host changed on request", "what", what)
	}
	return done, errors.Join(err, x.ensureExit(ctx, exit, true))
}

// status returns the ways out, and what is wrong with them.
func (x *exits) status() (uplinks []api.Uplink, warnings []api.Warning) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ofports := map[string]int{}
	errs := map[string]string{}
	for _, i := range x.db.Interfaces(x.cfg.Bridge) {
		ofports[i.Name], errs[i.Name] = i.OFPort, i.Error
	}
	for _, e := range x.externals {
		port := x.portOf(e)
		u := api.Uplink{External: e.Name, Via: e.Bridge, Interface: port, OFPort: uint32(max(ofports[port], 0)), Fault: errs[port]}
		if e.Kind == intent.ExternalHost {
			u.Via = viaHost
			u.Fault = text(errors.Join(x.exitError))
			for _, f := range x.exitFaults {
				u.Fault = f.What
			}
		}
		if err := x.uplinkFaults[port]; err != nil {
			u.Fault = text(err)
			// A host need not have every bridge: that is no warning.
			if intent.KindOf(err) != intent.NotFound {
				warnings = append(warnings, warning(err))
			}
		}
		uplinks = append(uplinks, u)
	}
	if x.exitError != nil {
		warnings = append(warnings, warning(x.exitError))
	}
	for _, f := range x.taken {
		warnings = append(warnings, api.Warning{
			What: fmt.Sprintf("%s port %d is not forwarded from this host's own addresses: a program of the host serves it", f.Protocol, f.Port),
			Do:   "forward another port"})
	}
	for _, f := range x.exitFaults {
		warnings = append(warnings, api.Warning{What: f.What + ": tenants cannot leave through it",
			Do: "ovloom status --fix, or by hand: " + f.Do})
	}
	return uplinks, warnings
}

// warning turns an error into one.
func warning(err error) api.Warning {
	w := api.Warning{What: text(err)}
	if e := new(intent.Error); errors.As(err, &e) {
		w.Do = e.Hint
	}
	return w
}

// leave removes all that keep has made, but for the ports of the integration bridge
// that go with it.
func (x *exits) leave(ctx context.Context) error {
	_, err := x.db.EnsureUplinks(ctx, x.cfg.Bridge, nil)
	return errors.Join(err, hostnet.RemoveExit(ctx, x.cfg.HostUplink))
}
