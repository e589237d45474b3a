package main

// This file is a fleet: 200 hosts without switches, with 20,000 ports of 50 tenants,
// on a store of three members.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// The shape of the fleet: a tenant is on 16 hosts, and a host has 25 ports of each of 4
// tenants.
const (
	fleetHosts    = 200
	fleetTenants  = 50
	fleetNetworks = 4   // of each tenant
	fleetPorts    = 400 // of each tenant
	fleetSpread   = 16  // hosts of a tenant
	fleetChanges  = 150
	fleetRestarts = 3  // more would take too long
	fleetWriters  = 32 // to fill the store
)

// fleet is the hosts and their store.
type fleet struct {
	dir     string
	members *members
	store   *store.Store // the client that makes changes
	agents  []*agent
	changed chan struct{}
	up      chan intent.PortRef
}

// hostsOf returns the agents that have ports of a tenant.
func (f *fleet) hostsOf(tenant int) []*agent {
	var list []*agent
	for k := range fleetSpread {
		list = append(list, f.agents[(tenant*fleetHosts/fleetTenants+k)%fleetHosts])
	}
	return list
}

// fleetPort is a port of a tenant; its network follows from its number.
func fleetPort(tenant, n int) intent.Port {
	return intent.Port{Tenant: fleetTenant(tenant), Network: fmt.Sprintf("n%d", n%fleetNetworks), Name: fmt.Sprintf("p%d", n),
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(n % fleetNetworks), byte(n>>7) + 1, byte(n&0x7f) + 2})}}
}

func fleetTenant(n int) string { return fmt.Sprintf("t%d", n) }

// fleet measures the time until changes reach all hosts that they concern, and a restart of all
// hosts.
func (b *bench) fleet(ctx context.Context) (_ []figure, err error) {
	f, err := raise(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if _, err := f.startAll(ctx); err != nil {
		return nil, err
	}
	changes, err := f.change(ctx)
	if err != nil {
		return nil, err
	}
	restarts, err := f.restart(ctx, min(b.rounds, fleetRestarts))
	return append(changes, restarts), err
}

// raise fills a store and creates the agents, which do not run yet.
func raise(ctx context.Context) (f *fleet, err error) {
	f = &fleet{changed: make(chan struct{}, 1), up: make(chan intent.PortRef, fleetHosts)}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if f.dir, err = os.MkdirTemp("", "ovloom-fleet-"); err != nil {
		return f, err
	}
	if f.members, err = newMembers(filepath.Join(f.dir, "store")); err != nil {
		return f, err
	}
	if err := f.members.start(ctx, carefree); err != nil {
		return f, err
	}
	if f.store, err = store.Open(ctx, f.config("changes")); err != nil {
		return f, err
	}
	for i := range fleetHosts {
		name := fmt.Sprintf("host%d", i)
		f.agents = append(f.agents, &agent{
			host:    intent.Host{Name: name, VTEP: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), Datapath: intent.DatapathNetdev},
			tenants: map[string]bool{}, config: f.config(name), changed: f.changed, up: f.up,
			rows: map[string]controller.Interface{},
		})
	}
	if err := f.populate(ctx); err != nil {
		return f, err
	}
	// From here on the members write as in production.
	if err := f.members.stop(); err != nil {
		return f, err
	}
	return f, f.members.start(ctx, syncs)
}

func (f *fleet) config(name string) cluster.Config {
	return cluster.Config{StateDir: filepath.Join(f.dir, name), Endpoints: f.members.clients, Timeout: waitLimit}
}

// populate writes hosts, tenants, networks, ports and claims.
func (f *fleet) populate(ctx context.Context) error {
	if err := until(ctx, func() error { _, err := f.store.Ping(ctx); return err }); err != nil {
		return err
	}
	for _, a := range f.agents {
		if _, err := f.store.Register(ctx, a.host); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fleetWriters)
	for t := range fleetTenants {
		if _, _, err := f.store.Add(ctx, intent.Tenant{Name: fleetTenant(t)}); err != nil {
			return err
		}
		for n := range fleetNetworks {
			if _, _, err := f.store.Add(ctx, intent.Network{Tenant: fleetTenant(t), Name: fmt.Sprintf("n%d", n),
				Subnets: []intent.Subnet{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16)}}}); err != nil {
				return err
			}
		}
		hosts := f.hostsOf(t)
		for _, a := range hosts {
			a.tenants[fleetTenant(t)] = true
		}
		for n := range fleetPorts {
			g.Go(func() error { return f.populatePort(ctx, fleetPort(t, n), hosts[n%len(hosts)]) })
		}
	}
	return g.Wait()
}

// populatePort writes a port that is plugged on a host and up.
func (f *fleet) populatePort(ctx context.Context, p intent.Port, a *agent) error {
	o, _, err := f.store.Add(ctx, p)
	if err != nil {
		return err
	}
	p = o.(intent.Port)
	b, err := f.store.Claim(ctx, p.Ref(), a.host.Name, 0)
	if err != nil {
		return err
	}
	if err := f.store.MarkUp(ctx, p.Ref(), a.host.Name, b.Generation, true, ""); err != nil {
		return err
	}
	a.plug(controller.Interface{UUID: p.UUID, Name: p.Name, IfaceID: p.UUID, Generation: b.Generation, Installed: true})
	return nil
}

func (f *fleet) close() error {
	errs := []error{f.stopAll()}
	if f.store != nil {
		errs = append(errs, f.store.Close())
	}
	if f.members != nil {
		errs = append(errs, f.members.stop())
	}
	if f.dir != "" {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	return errors.Join(errs...)
}

func (f *fleet) stopAll() error {
	var g errgroup.Group
	for _, a := range f.agents {
		g.Go(a.stop)
	}
	return g.Wait()
}

// startAll starts all agents at once, and returns the time until the store knew that each
// agent's switch had everything.
func (f *fleet) startAll(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	var g errgroup.Group
	for _, a := range f.agents {
		g.Go(func() error {
			if err := a.start(ctx); err != nil {
				return err
			}
			select {
			case <-a.full:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("%s is not in sync: %w", a.host.Name, ctx.Err())
			case <-time.After(2 * waitLimit):
				return fmt.Errorf("%s is not in sync", a.host.Name)
			}
		})
	}
	err := g.Wait()
	return time.Since(start), err
}

// change adds ports and plugs them, one after the other.
func (f *fleet) change(ctx context.Context) ([]figure, error) {
	var added, told, plugged []time.Duration
	before, _, err := f.members.usage()
	if err != nil {
		return nil, err
	}
	for i := range fleetChanges {
		t := i % fleetTenants
		hosts := f.hostsOf(t)
		start := time.Now()
		p := fleetPort(t, fleetPorts+i)
		_, revision, err := f.store.Add(ctx, p)
		if err != nil {
			return nil, err
		}
		if err := f.store.WaitApplied(ctx, p.Tenant, revision, nil); err != nil {
			return nil, err
		}
		told = append(told, time.Since(start))
		took, all := reached(hosts, start)
		if !all {
			return nil, fmt.Errorf("port %s counts as applied, and is not on every host of its tenant", p.Ref())
		}
		added = append(added, took)
		if took, err = f.plug(ctx, p, hosts[i%len(hosts)], hosts); err != nil {
			return nil, err
		}
		plugged = append(plugged, took)
	}
	after, largest, err := f.members.usage()
	if err != nil {
		return nil, err
	}
	store := seconds(after.cpu - before.cpu)
	memory := fmt.Sprintf("%s (largest member %s)", megabytes(after.rss), megabytes(largest))
	about := fmt.Sprintf("%d hosts without switches, %d ports, store of 3 members", fleetHosts, fleetTenants*fleetPorts)
	return []figure{{
		what: fmt.Sprintf("%s: a port added: the %d hosts of its tenant have the flows", about, fleetSpread),
		ours: fmt.Sprintf("p50 %s, p99 %s (who waits is told: p50 %s, p99 %s)",
			ms(median(added)), ms(percentile(added, 99)), ms(median(told)), ms(percentile(told, 99))),
		peer: "OVN, 3000 hosts, published: 400 ms",
	}, {
		what: fmt.Sprintf("the same: a port plugged: all %d know where it is", fleetSpread),
		ours: fmt.Sprintf("p50 %s, p99 %s", ms(median(plugged)), ms(percentile(plugged, 99))),
		cpu:  fmt.Sprintf("%s, the store for %d of both", store, fleetChanges), rss: memory,
	}}, nil
}

// reached returns how long after start the last of the hosts changed its switch; false if a
// host did not.
func reached(hosts []*agent, start time.Time) (time.Duration, bool) {
	var most time.Duration
	for _, a := range hosts {
		took := time.Unix(0, a.last.Load()).Sub(start)
		if took < 0 {
			return 0, false
		}
		most = max(most, took)
	}
	return most, true
}

// plug adds an interface on a host, and returns the time until all hosts had changed their
// switches. On the host itself, the last change is the one before the port is reported up.
func (f *fleet) plug(ctx context.Context, p intent.Port, a *agent, hosts []*agent) (time.Duration, error) {
	start := time.Now()
	a.plug(controller.Interface{UUID: p.UUID, Name: p.Name, IfaceID: p.UUID})
	a.tell(ctx)
	select {
	case <-f.up:
	case <-ctx.Done():
		return 0, fmt.Errorf("port %s does not come up: %w", p.Ref(), ctx.Err())
	}
	for {
		if took, all := reached(hosts, start); all {
			return took, nil
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			return 0, fmt.Errorf("port %s does not reach all hosts: %w", p.Ref(), ctx.Err())
		}
	}
}

// restart stops all agents and starts them again at once.
func (f *fleet) restart(ctx context.Context, rounds int) (figure, error) {
	var took []time.Duration
	var store, agents time.Duration
	var rss, largest int64
	for range rounds {
		if err := f.stopAll(); err != nil {
			return figure{}, err
		}
		before, _, err := f.members.usage()
		if err != nil {
			return figure{}, err
		}
		own := ownCPU()
		d, err := f.startAll(ctx)
		if err != nil {
			return figure{}, err
		}
		after, one, err := f.members.usage()
		if err != nil {
			return figure{}, err
		}
		took = append(took, d)
		store, agents = max(store, after.cpu-before.cpu), max(agents, ownCPU()-own)
		rss, largest = max(rss, after.rss), max(largest, one)
	}
	return figure{
		what: "the same: all hosts start at once, with empty switches: the last is in sync",
		ours: fmt.Sprintf("%s (all agents together: %s s CPU)", ms(median(took)), seconds(agents)),
		cpu:  seconds(store) + ", the store", rss: fmt.Sprintf("%s (largest member %s)", megabytes(rss), megabytes(largest)),
	}, nil
}

// percentile returns the value that p percent of a list are below; 0 for an empty list.
func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[min(len(list)*p/100, len(list)-1)]
}
