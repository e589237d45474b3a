package main

// This file drives a controller with generated intent, on a real switch: it measures the
// controller, its connection and the switch, without the store.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
)

const (
	bridge     = "br-bench"
	remotes    = 20 // other hosts of the network
	localPort  = 1  // OpenFlow port numbers; no packet ever arrives there
	tunnelPort = 2
)

// driven is a controller on its own bridge, in a network with one local port and several on
// each other host, so that its group of hosts never changes.
type driven struct {
	*lab.Lab
	host   *lab.Host
	conn   *ofconn.Conn
	ctl    *controller.Controller
	told   chan func(intent.SpanUpdate) // delivers an update to the controller
	tell   func(intent.SpanUpdate)
	ran    context.CancelFunc
	ended  chan error
	number int64 // revision

	// What the controller did to the switch.
	applied chan []of.Mod // each successful Apply
	applies atomic.Int64
}

// drive starts a switch and a controller, and returns when the switch is up to date.
func drive(ctx context.Context) (d *driven, err error) {
	l, err := lab.Start(ctx, lab.Config{Hosts: 1})
	if err != nil {
		return nil, err
	}
	d = &driven{Lab: l, host: l.Hosts[0], told: make(chan func(intent.SpanUpdate), 1), ended: make(chan error, 1), applied: make(chan []of.Mod, 16)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if _, err := d.host.Vsctl(ctx, "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev", "fail_mode=secure"); err != nil {
		return d, err
	}
	if d.conn, err = ofconn.Dial(ctx, "unix:"+d.host.MgmtSock(bridge), ofconn.Config{}); err != nil {
		return d, err
	}
	d.ctl = controller.New("host0", controller.Deps{Span: d, Claims: nothing{}, Progress: nothing{}, Interfaces: nothing{}})
	run, stop := context.WithCancel(ctx)
	d.ran = stop
	go func() { d.ended <- d.ctl.Run(run) }()
	d.ctl.Recall(ctx, nil)
	d.ctl.SetInterfaces(ctx, []controller.Interface{{
		UUID: "local", Name: "local", IfaceID: port(0).UUID, OFPort: localPort, Generation: 1, Installed: true}})
	d.ctl.Connected(ctx, d, tunnelPort)
	select {
	case d.tell = <-d.told:
	case <-ctx.Done():
		return d, ctx.Err()
	}
	_, err = d.await(ctx)
	return d, err
}

func (d *driven) close() error {
	if d.ran != nil {
		d.ran()
		<-d.ended
	}
	if d.conn != nil {
		d.conn.Close()
	}
	return d.Close()
}

// await returns what the controller sends next, after the switch has applied it.
func (d *driven) await(ctx context.Context) ([]of.Mod, error) {
	select {
	case mods := <-d.applied:
		return mods, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the controller to change the switch: %w", ctx.Err())
	}
}

// reconnect makes the controller compare the whole switch, and returns afterwards.
func (d *driven) reconnect(ctx context.Context) error {
	before, err := d.ctl.Status(ctx)
	if err != nil {
		return err
	}
	d.ctl.Disconnected(ctx, d)
	d.ctl.Connected(ctx, d, tunnelPort)
	for {
		s, err := d.ctl.Status(ctx) // answered between two steps of the controller
		if err != nil || s.Resyncs > before.Resyncs {
			return err
		}
		if s.LastError != "" {
			return errors.New(s.LastError)
		}
	}
}

// Apply implements controller.Switch.
func (d *driven) Apply(ctx context.Context, mods []of.Mod) error {
	err := d.conn.Apply(ctx, mods)
	if err == nil {
		d.applies.Add(1)
		d.applied <- mods
	}
	return err
}

// Tables implements controller.Switch.
func (d *driven) Tables(ctx context.Context) ([]of.Flow, []of.Group, error) {
	return d.conn.Tables(ctx)
}

// Meters implements controller.Switch.
func (d *driven) Meters(ctx context.Context) ([]of.Meter, error) { return d.conn.Meters(ctx) }

// WatchTenant implements controller.Span. It first delivers a network with its first ports.
func (d *driven) WatchTenant(ctx context.Context, _ string, deliver func(intent.SpanUpdate)) error {
	deliver(d.snapshot(remotes))
	d.told <- deliver
	<-ctx.Done()
	return nil
}

// WatchResolve implements controller.Span.
func (d *driven) WatchResolve(ctx context.Context, _ string, deliver func(intent.PortRef, bool)) error {
	deliver(port(0).Ref(), true)
	<-ctx.Done()
	return nil
}

// WatchHosts implements controller.Span.
func (d *driven) WatchHosts(ctx context.Context, deliver func(intent.HostsUpdate)) error {
	var u intent.HostsUpdate
	for i := range remotes + 1 {
		u.Hosts = append(u.Hosts, intent.Host{Name: hostOf(i), ID: intent.ID(1 + i), VTEP: netip.AddrFrom4([4]byte{198, 18, 0, byte(1 + i)})})
	}
	deliver(u)
	<-ctx.Done()
	return nil
}

// DropCopy implements controller.Span.
func (d *driven) DropCopy(string) error { return nil }

// nothing ignores the controller's writes, which all succeed.
type nothing struct{}

func (nothing) Claim(_ context.Context, ref intent.PortRef, host string, _ uint64) (intent.Binding, error) {
	return intent.Binding{Tenant: ref.Tenant, Network: ref.Network, Port: ref.Port, Host: host, Generation: 1}, nil
}
func (nothing) Release(context.Context, intent.PortRef, string, uint64) error { return nil }
func (nothing) ClaimFree(context.Context, intent.PortRef, string, uint64) (intent.Binding, error) {
	return intent.Binding{}, nil
}
func (nothing) MarkUp(context.Context, intent.PortRef, string, uint64, bool, string) error {
	return nil
}
func (nothing) SetAppliedSpan(context.Context, string, map[string]int64) error { return nil }

func (nothing) WaitOthers(context.Context, string, string, int64) error { return nil }
func (nothing) SetGeneration(context.Context, string, uint64) error     { return nil }
func (nothing) SetInstalled(context.Context, string, bool) error        { return nil }

// The network. Port 0 is on host0, this host; the others are spread over the other hosts.
var (
	acme   = intent.Tenant{Name: "acme", ID: 1, VRF: 1}
	prefix = netip.MustParsePrefix("10.0.0.0/8")
	web    = intent.Network{Tenant: "acme", Name: "web", ID: 100, VNI: 10000,
		Subnets: []intent.Subnet{{Prefix: prefix, Gateway: netip.MustParseAddr("10.0.0.1")}}}.WithDefaults()
)

func hostOf(i int) string {
	if i == 0 {
		return "host0"
	}
	return fmt.Sprintf("host%d", 1+(i-1)%remotes)
}

func port(i int) intent.Port {
	p := intent.Port{Tenant: web.Tenant, Network: web.Name, Name: fmt.Sprintf("p%d", i), ID: intent.ID(1000 + i),
		UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i), Addrs: []netip.Addr{address(i)}}
	p.MAC = intent.DerivedMAC(p.ID)
	return p
}

func address(i int) netip.Addr {
	n := i + 10
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func binding(i int) intent.Binding {
	p := port(i)
	return intent.Binding{Tenant: p.Tenant, Network: p.Network, Port: p.Name, Host: hostOf(i), Generation: 1, Up: true}
}

// snapshot is the network with port 0 and n others.
func (d *driven) snapshot(n int) intent.SpanUpdate {
	s := &intent.Snapshot{Tenant: acme, Networks: []intent.Network{web}}
	for i := range n + 1 {
		s.Ports = append(s.Ports, port(i))
		s.Bindings = append(s.Bindings, binding(i))
	}
	d.number++
	s.Revision = d.number
	return intent.SpanUpdate{Tenant: acme.Name, Revision: d.number, Snapshot: s}
}

// change returns the update that adds or deletes port i.
func (d *driven) change(i int, deleted bool) intent.SpanUpdate {
	d.number++
	return intent.SpanUpdate{Tenant: acme.Name, Revision: d.number, Changes: []intent.Change{
		{Object: port(i), Deleted: deleted}, {Object: binding(i), Deleted: deleted}}}
}

// fill grows the network from its first ports to n others, and returns the duration and what
// was sent.
func (d *driven) fill(ctx context.Context, n int) (time.Duration, []of.Mod, error) {
	u := d.snapshot(n)
	start := time.Now()
	d.tell(u)
	mods, err := d.await(ctx)
	return time.Since(start), mods, err
}

// ofctl runs ovs-ofctl on the bridge, and returns its duration and CPU time.
func (d *driven) ofctl(ctx context.Context, args ...string) (took, cpu time.Duration, err error) {
	for i, a := range args {
		if a == bridge {
			args[i] = "unix:" + d.host.MgmtSock(bridge)
		}
	}
	cmd := exec.CommandContext(ctx, "ovs-ofctl", append([]string{"-O", "OpenFlow15"}, args...)...)
	cmd.Env = append(cmd.Environ(), "OVS_RUNDIR="+d.host.OVSRunDir())
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	if err != nil {
		return took, 0, fmt.Errorf("ovs-ofctl %s: %w", filepath.Base(args[0]), err)
	}
	return took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
