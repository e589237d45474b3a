package main

// This file is hosts with an overlay whose store also has many ports, which hosts without a
// switch have claimed.

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/store/cluster"
)

// overlay is hosts that run ovloomd, in one network of one tenant.
type overlay struct {
	*lab.Lab
	clients  []*api.Client // by host
	store    *store.Store  // nil until grow
	ports    int           // made by grow
	stations int           // made so far, to give each another address
}

// startOverlay starts hosts and adds a network.
func startOverlay(ctx context.Context, hosts int) (*overlay, error) {
	return startOverlayOn(ctx, lab.Config{Hosts: hosts})
}

func startOverlayOn(ctx context.Context, config lab.Config) (o *overlay, err error) {
	l, err := lab.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	o = &overlay{Lab: l}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	return o, o.found(ctx)
}

// found starts ovloomd on all hosts and adds the network.
func (o *overlay) found(ctx context.Context) error {
	if err := o.StartOvloomd(ctx); err != nil {
		return err
	}
	for _, h := range o.Hosts {
		o.clients = append(o.clients, api.NewClient(h.Socket()))
	}
	return o.makeNetwork(ctx)
}

// makeNetwork adds the tenant and its network.
func (o *overlay) makeNetwork(ctx context.Context) error {
	if _, err := o.clients[0].Add(ctx, intent.Tenant{Name: web.Tenant}); err != nil {
		return err
	}
	_, err := o.clients[0].Add(ctx, intent.Network{Tenant: web.Tenant, Name: web.Name, Subnets: []intent.Subnet{{Prefix: prefix}}})
	return err
}

func (o *overlay) close() error {
	var errs []error
	if o.store != nil {
		errs = append(errs, o.store.Close())
	}
	for _, c := range o.clients {
		c.Close()
	}
	return errors.Join(append(errs, o.Close())...)
}

// host implements system.
func (o *overlay) host(i int) *lab.Host { return o.Hosts[i] }

// restartController implements system.
func (o *overlay) restartController(ctx context.Context, host int) error {
	if err := o.Hosts[host].Ovloomd.Kill(); err != nil {
		return err
	}
	_, err := o.Hosts[host].StartOvloomd(ctx)
	return err
}

// daemons implements system.
func (o *overlay) daemons() []*lab.Process {
	var list []*lab.Process
	for _, h := range o.Hosts {
		list = append(list, h.Ovloomd)
	}
	return list
}

// station makes a workload on a host and chooses its port.
func (o *overlay) station(ctx context.Context, host int) (*station, error) {
	o.stations++
	return newStation(ctx, o.Hosts[host], o.stations)
}

// add adds a station's port, by a command on the given host or by its API.
func (o *overlay) add(ctx context.Context, by means, host int, s *station) error {
	if by == byCommands {
		return o.ovloom(ctx, host, "port", "add", s.ref.String(), "--mac", s.mac.String(), "--ip", s.addr.String())
	}
	_, err := o.clients[host].Add(ctx, intent.Port{Tenant: s.ref.Tenant, Network: s.ref.Network, Name: s.ref.Port, MAC: s.mac, Addrs: []netip.Addr{s.addr}})
	return err
}

// plug plugs a station's port.
func (o *overlay) plug(ctx context.Context, by means, host int, s *station) error {
	if by == byCommands {
		return o.ovloom(ctx, host, "port", "plug", s.ref.String(), "--netns", s.NetNS)
	}
	_, err := o.clients[host].Plug(ctx, api.PlugRequest{Ref: s.ref, Netns: s.NetNS})
	return err
}

// ovloom runs the CLI against a host's ovloomd. It does not wait for the hosts, like ovn-nbctl
// by default.
func (o *overlay) ovloom(ctx context.Context, host int, args ...string) error {
	return command(ctx, []string{"OVLOOM_SOCKET=" + o.Hosts[host].Socket()}, append([]string{filepath.Join(lab.Programs(), "ovloom"), "--no-wait"}, args...)...)
}

// remove removes a station.
func (o *overlay) remove(ctx context.Context, host int, s *station) error {
	c := o.clients[host]
	if err := c.WaitUp(ctx, s.ref, waitLimit); err != nil {
		return err
	}
	if err := c.Unplug(ctx, s.ref); err != nil {
		return err
	}
	_, err := c.Delete(ctx, s.ref, api.DeleteMode{Cascade: true})
	return err
}

// attached makes a station with its port plugged and its flows installed.
func (o *overlay) attached(ctx context.Context, host int) (*station, error) {
	s, err := o.station(ctx, host)
	if err != nil {
		return nil, err
	}
	return s, o.attach(ctx, host, s)
}

// attach adds and plugs the port of a station.
func (o *overlay) attach(ctx context.Context, host int, s *station) error {
	err := o.add(ctx, byAPI, host, s)
	if err == nil {
		err = o.plug(ctx, byAPI, host, s)
	}
	if err != nil {
		return err
	}
	return o.clients[host].WaitUp(ctx, s.ref, waitLimit)
}

// pair plugs a station on each of the first two hosts, and returns when packets pass between
// them.
func (o *overlay) pair(ctx context.Context) (a, b *station, err error) {
	if a, err = o.attached(ctx, 0); err != nil {
		return nil, nil, err
	}
	if b, err = o.attached(ctx, 1); err != nil {
		return nil, nil, err
	}
	return a, b, pings(ctx, a, b)
}

// grow grows the network to n ports, which hosts without a switch have claimed.
func (o *overlay) grow(ctx context.Context, n int) error {
	const writers = 32
	if o.store == nil {
		var err error
		if o.store, err = store.Open(ctx, cluster.Config{
			StateDir:  filepath.Join(o.Dir, "bench-state"),
			Endpoints: []string{"unix://" + filepath.Join(o.Hosts[0].StateDir(), "store", "etcd", "etcd.sock")},
			Timeout:   waitLimit,
		}); err != nil {
			return err
		}
		for i := range remotes {
			h := intent.Host{Name: "far" + hostOf(i+1), VTEP: netip.AddrFrom4([4]byte{198, 18, 0, byte(1 + i)}), Datapath: intent.DatapathNetdev}
			if _, err := o.store.Register(ctx, h); err != nil {
				return err
			}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for ; o.ports < n; o.ports++ {
		i := o.ports + 1
		g.Go(func() error {
			p := port(i)
			p.ID, p.MAC = 0, intent.MAC{} // the store chooses
			if _, _, err := o.store.Add(ctx, p); err != nil {
				return err
			}
			_, err := o.store.Claim(ctx, p.Ref(), "far"+hostOf(i), 0)
			return err
		})
	}
	return g.Wait()
}
