// The loops that connect the controller with the switch, its database and the
// store.

package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
)

// linkState is whether another process answers, and since when.
type linkState struct {
	mu        sync.Mutex
	connected bool
	since     time.Time
	err       error
}

func (s *linkState) set(connected bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connected != connected || s.since.IsZero() {
		s.since = time.Now()
	}
	s.connected, s.err = connected, err
}

func (s *linkState) get() (connected bool, since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected, s.since, s.err
}

// watchDB calls do at first and whenever the database changed. While the database
// is gone it says nothing: what was known still holds.
func (d *daemon) watchDB(ctx context.Context, do func(context.Context)) error {
	loop.OnChange(ctx, d.db.Watch(), func(ctx context.Context) error {
		if d.db.State().Connected {
			do(ctx)
		}
		return nil
	})
	return nil
}

// tellInterfaces tells the agent and the controller of the bridge's interfaces whenever
// they change, or whether they can carry their ports does.
func (d *daemon) tellInterfaces(ctx context.Context) error {
	var one sync.Mutex // or an older list could come after a newer one
	tell := func(ctx context.Context) {
		one.Lock()
		defer one.Unlock()
		d.tellInterfacesNow(ctx)
	}
	go func() {
		for {
			select {
			case <-d.agent.Changed():
				tell(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return d.watchDB(ctx, tell)
}

func (d *daemon) tellInterfacesNow(ctx context.Context) {
	all := d.db.Interfaces(d.cfg.Bridge)
	if d.aside != nil {
		// What fails is said, and tried again, by keepAside.
		_ = d.aside.Keep(ctx, portLinks(all), false)
	}
	d.agent.Switched(all)
	states := d.agent.States()
	var list []controller.Interface
	tunnel := 0
	for _, i := range all {
		if i.Name == d.cfg.VXLANName {
			tunnel = i.OFPort
			continue
		}
		c := controller.Interface{
			UUID: i.UUID, Name: i.Name, IfaceID: i.IfaceID, OFPort: of.PortNo(max(i.OFPort, 0)),
			Generation: i.Generation, Installed: i.Installed, Error: i.Error,
			Plugged: i.PluggedFor != "",
		}
		if s := states[i.Name]; s.Down {
			c.OFPort, c.Fault = 0, s.What
		}
		list = append(list, c)
	}
	d.controller.SetInterfaces(ctx, list)
	d.openflow.setTunnel(tunnel)
}

// keepBridge puts the bridges right whenever another program changed them, or a restart
// of ovs-vswitchd did.
func (d *daemon) keepBridge(ctx context.Context) error {
	said := ""
	loop.OnChange(ctx, d.db.Watch(), func(ctx context.Context) error {
		if !d.db.State().Connected {
			return nil // and when it is, that is a change
		}
		changed, err := d.db.KeepBridge(ctx, d.bridge())
		if len(changed) > 0 {
			d.repairs.Put("bridge settings changed by another program", len(changed), strings.Join(changed, "; "))
			if conn, err := d.openflow.current(); err == nil {
				d.controller.Disturbed(ctx, conn) // who changes the one may have changed the other
			}
		}
		why := ""
		if err = errors.Join(err, d.uplink.Keep(ctx)); err != nil {
			why = err.Error()
		}
		if why != "" && why != said && ctx.Err() == nil {
			d.log.Warn("cannot put the bridges right", "error", err)
		}
		said = why
		d.bridges.set(err == nil, err)
		return err
	})
	return nil
}

// keepUnderlay keeps the bridge that ovloom moved the underlay's card into from switching
// nothing.
func (d *daemon) keepUnderlay(ctx context.Context) error {
	if nic, err := d.uplink.Taken(); err != nil || nic == "" {
		return nil
	}
	// Without a log: the connection to the integration bridge tells how the same switch is.
	_ = ofconn.Keep(ctx, "unix:"+d.cfg.OVSRunDir+"/"+d.cfg.PhyBridge+".mgmt", ofconn.Config{}, func(ctx context.Context, conn *ofconn.Conn) error {
		return keeper.KeepNormal(ctx, conn, func() {
			d.repairs.Put("flows changed by another program", 1, "bridge "+d.cfg.PhyBridge+" had none and switched nothing")
		})
	})
	return nil
}

// announce tells the neighbours again where the tunnels end: soon, because the first
// word may be lost, and when no Open vSwitch remembers that any more (see
// underlay.Underlay.Announce).
func (d *daemon) announce(ctx context.Context) error {
	for _, wait := range []time.Duration{time.Second, 11 * time.Second} {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		if err := d.uplink.Announce(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("cannot announce the underlay's addresses", "error", err)
		}
	}
	return nil
}

// openflowLink is the connection to ovs-vswitchd.
type openflowLink struct {
	*daemon
	linkState
	tunnelMu sync.Mutex
	tunnel   int           // OpenFlow number of the tunnel port; 0: none yet
	moved    chan struct{} // closed when tunnel changes
	conn     *ofconn.Conn  // nil: not connected; guarded by tunnelMu
	keeper   *keeper.Keeper
}

func (l *openflowLink) addr() string {
	return "unix:" + l.cfg.OVSRunDir + "/" + l.cfg.Bridge + ".mgmt"
}

// keep connects again and again, and hands each connection to the controller.
func (l *openflowLink) keep(ctx context.Context) error {
	l.keeper = keeper.New()
	l.keeper.Log = l.log.With("part", "openflow")
	l.keeper.Wanted, l.keeper.Repaired, l.keeper.FragmentsRepaired = l.wantedPort, l.repairedPort, l.repairedFragments
	err := ofconn.Keep(ctx, l.addr(), ofconn.Config{Log: l.log.With("part", "openflow"), PortChanges: l.keeper.Changes}, l.use)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// metersLeast is how many meters a datapath must have to be used: some for each port.
const metersLeast = 4096

// use lends a connection to the controller until it breaks or the tunnel port
// gets another number, which concerns every flow.
func (l *openflowLink) use(ctx context.Context, conn *ofconn.Conn) error {
	tunnel, moved, err := l.awaitTunnel(ctx)
	if err != nil {
		return err
	}
	if err := l.dp.TakeFragments(ctx); err != nil {
		l.log.Warn("small fragments of tenants' packets will be lost on their way out", "error", err)
	}
	meters, err := conn.MaxMeters(ctx)
	if err != nil {
		return err
	}
	if meters < metersLeast {
		l.log.Info("the datapath has no meters: nothing holds a port or tenant to a share of what all have in common", "meters", meters)
	}
	l.controller.SetMeters(ctx, meters >= metersLeast)
	watch := l.keeper.Begin(ctx, conn) // before the first comparison: what changes after that is told
	l.setConn(conn)
	l.set(true, nil)
	l.controller.Connected(ctx, conn, of.PortNo(tunnel))
	connected, ended := context.WithCancel(ctx)
	defer ended()
	go l.dp.KeepFragments(connected, l.repairedReassembly, func(err error) {
		l.log.Warn("cannot look how the connection tracker takes fragments", "error", err)
	})
	go l.keeper.Keep(ctx, conn, watch, func() { l.controller.Disturbed(ctx, conn) })
	defer func() {
		l.setConn(nil)
		l.set(false, conn.Err())
		l.controller.Disconnected(context.WithoutCancel(ctx), conn)
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-moved:
		return nil
	}
}

// wantedPort says how a port of the bridge must be set: all are ovloom's to keep open, but
// whether a device is up is its owner's to say unless ovloom made it.
func (l *openflowLink) wantedPort(p of.Port) of.PortConfig {
	if p.No == of.PortLocal {
		return p.PortConfig
	}
	down := p.Down
	if p.Name == l.cfg.VXLANName {
		down = false
	}
	for _, i := range l.db.Interfaces(l.cfg.Bridge) {
		switch {
		case i.Name != p.Name:
		case i.Name == l.cfg.HostUplink && !l.exit.LinkMade(): // it is about to be set up
		case i.Uplink != "", i.Name == hostnet.HostIfName(i.IfaceID):
			down = false
		}
	}
	return of.PortConfig{Down: down}
}

func (l *openflowLink) repairedPort(p of.Port) {
	l.repairs.Put("port settings changed by another program", 1, p.Name+": "+p.PortConfig.String())
}

func (l *openflowLink) repairedFragments(was string) {
	l.repairs.Put("fragments treated otherwise by another program", 0, "ovs-ofctl set-frags "+l.cfg.Bridge+" "+was)
}

func (l *openflowLink) repairedReassembly(was string) {
	l.repairs.Put("fragments of connections bounded otherwise by another program", 0, was)
}

// setTunnel takes in the number of the tunnel port.
func (l *openflowLink) setTunnel(n int) {
	l.tunnelMu.Lock()
	defer l.tunnelMu.Unlock()
	if n == l.tunnel && l.moved != nil {
		return
	}
	l.tunnel = n
	if l.moved != nil {
		close(l.moved)
	}
	l.moved = make(chan struct{})
}

// awaitTunnel returns the number of the tunnel port, and what is closed when it
// changes.
func (l *openflowLink) awaitTunnel(ctx context.Context) (int, <-chan struct{}, error) {
	for {
		l.tunnelMu.Lock()
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		n, moved := l.tunnel, l.moved
		l.tunnelMu.Unlock()
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

func (l *openflowLink) setConn(c *ofconn.Conn) {
	l.tunnelMu.Lock()
	defer l.tunnelMu.Unlock()
	l.conn = c
}

// tunnelPort returns the number of the tunnel port; 0: there is none yet.
func (l *openflowLink) tunnelPort() of.PortNo {
	l.tunnelMu.Lock()
	defer l.tunnelMu.Unlock()
	return of.PortNo(max(l.tunnel, 0))
}

// hintVswitchd is for whoever asks what only a running ovs-vswitchd knows.
const hintVswitchd = "see whether ovs-vswitchd runs: systemctl status openvswitch-switch"

// current returns the connection, or says that there is none.
func (l *openflowLink) current() (*ofconn.Conn, error) {
	l.tunnelMu.Lock()
	defer l.tunnelMu.Unlock()
	if l.conn == nil {
		return nil, intent.Unavailablef("ovs-vswitchd does not answer on %s", l.addr()).WithHint(hintVswitchd)
	}
	return l.conn, nil
}

// storeLink keeps this host registered and alive in the store.
type storeLink struct {
	*daemon
	linkState
}

// Times between attempts to reach the store.
const (
	storeRetry = time.Second
	storeProbe = 2 * time.Second
	claimsAge  = 15 * time.Second // how often the host's claims are read, to find forgotten ones
)

// keep registers the host and shows it to be alive. It fails only when another
// living process has the host's name or VTEP.
func (l *storeLink) keep(ctx context.Context) error {
	go l.probe(ctx)
	reported := false
	for {
		h, err := l.store.Register(ctx, l.hostNow())
		if err == nil {
			l.log.Info("registered", "host", h.Name, "vtep", h.VTEP, "id", h.ID)
			err = l.store.KeepAlive(ctx, h.Name)
		}
		if ctx.Err() != nil {
			return nil
		}
		switch intent.KindOf(err) {
		case intent.Conflict, intent.Invalid:
			return err
		case intent.NotFound:
			l.log.Warn("this host was removed from the overlay; registering it again", "host", l.host.Name)
		default:
			if !reported { // not every attempt of many
				l.log.Warn("cannot register this host yet; going on without", "host", l.host.Name, "error", err)
			}
			reported = true
		}
		select {
		case <-time.After(storeRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

// probe learns whether the store answers, for status, and now and then which
// ports it says that this host claims.
func (l *storeLink) probe(ctx context.Context) {
	var read time.Time
	for {
		_, err := l.store.Ping(ctx)
		l.set(err == nil, err)
		if err == nil && time.Since(read) > claimsAge {
			if refs, err := l.store.ClaimedBy(ctx, l.host.Name); err == nil {
				l.controller.Claimed(ctx, refs)
				read = time.Now()
			}
		}
		select {
		case <-time.After(storeProbe):
		case <-ctx.Done():
			return
		}
	}
}
