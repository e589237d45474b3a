package main

// This file is hosts with an overlay, whose store also has many ports that hosts of
// its own making have plugged.

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store"
)

// overlay is hosts that run ovloomd, in one network of one tenant.
type overlay struct {
	*lab.Lab
	clients  []*api.Client // by host
	store    *store.Store  // nil until grow
	ports    int           // that grow has made
	stations int           // that were made, to give each another address
}

// station is a workload with a port.
type station struct {
	*lab.Workload
	ref  intent.PortRef
	mac  intent.MAC
	addr netip.Addr
}

// startOverlay starts hosts and makes a network.
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

// found starts ovloomd on all hosts and makes the network.
func (o *overlay) found(ctx context.Context) error {
	if err := o.StartOvloomd(ctx); err != nil {
		return err
	}
	for _, h := range o.Hosts {
		o.clients = append(o.clients, api.NewClient(h.Socket()))
	}
	if _, err := o.clients[0].AddTenant(ctx, api.TenantSpec{Name: web.Tenant}); err != nil {
		return err
	}
	_, err := o.clients[0].AddNetwork(ctx, web.Tenant, api.NetworkSpec{Name: web.Name, Subnets: []intent.Subnet{{Prefix: prefix}}})
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

// station makes a workload on a host and says what its port will be.
func (o *overlay) station(ctx context.Context, host int) (*station, error) {
	o.stations++
	name := fmt.Sprintf("s%d", o.stations)
	w, err := o.Hosts[host].NewWorkload(ctx, name)
	if err != nil {
		return nil, err
	}
	n := uint32(o.stations)
	return &station{
		Workload: w, ref: intent.PortRef{Tenant: web.Tenant, Network: web.Name, Port: name},
		mac:  intent.MAC{2, 0xbe, 0, byte(n >> 16), byte(n >> 8), byte(n)},
		addr: netip.AddrFrom4([4]byte{10, 200, byte(n >> 8), byte(n)}),
	}, nil
}

// add stores a station's port.
func (o *overlay) add(ctx context.Context, c *api.Client, s *station) error {
	_, err := c.AddPort(ctx, s.ref.NetworkRef(), api.PortSpec{Name: s.ref.Port, MAC: s.mac, Addrs: []netip.Addr{s.addr}})
	return err
}

// plug stores a station's port and plugs it, and returns when its flows are in.
func (o *overlay) plug(ctx context.Context, host int) (*station, error) {
	s, err := o.station(ctx, host)
	if err != nil {
		return nil, err
	}
	return s, o.attach(ctx, host, s)
}

// attach stores and plugs the port of a station.
func (o *overlay) attach(ctx context.Context, host int, s *station) error {
	c := o.clients[host]
	if err := o.add(ctx, c, s); err != nil {
		return err
	}
	if _, err := c.Plug(ctx, api.PlugRequest{Ref: s.ref, Netns: s.NetNS}); err != nil {
		return err
	}
	return c.WaitUp(ctx, s.ref, waitLimit)
}

// pair plugs a station on each of the first two hosts, between which packets pass.
func (o *overlay) pair(ctx context.Context) (a, b *station, err error) {
	if a, err = o.plug(ctx, 0); err != nil {
		return nil, nil, err
	}
	if b, err = o.plug(ctx, 1); err != nil {
		return nil, nil, err
	}
	// The first packets may be lost: the switches look for each other's VTEP.
	return a, b, until(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := a.Ping(ctx, b.addr)
		return err
	})
}

// grow brings the network to n ports that hosts without a switch have claimed.
func (o *overlay) grow(ctx context.Context, n int) error {
	const writers = 32
	if o.store == nil {
		var err error
		if o.store, err = store.Open(ctx, store.Config{
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
			if _, _, err := o.store.AddPort(ctx, p); err != nil {
				return err
			}
			_, err := o.store.Claim(ctx, p.Ref(), "far"+hostOf(i), 0)
			return err
		})
	}
	return g.Wait()
}

// settled waits until a host's switch has at least that many flows.
func (o *overlay) settled(ctx context.Context, host, flows int) error {
	return until(ctx, func() error {
		n, err := o.flows(ctx, host)
		if err == nil && n < flows {
			err = fmt.Errorf("the switch of %s has %d of %d flows", o.Hosts[host].Name, n, flows)
		}
		return err
	})
}

// flows asks a host's switch how many flows it has.
func (o *overlay) flows(ctx context.Context, host int) (n int, err error) {
	h := o.Hosts[host]
	out, err := h.Exec(ctx, "ovs-ofctl", "-O", "OpenFlow15", "dump-aggregate", "unix:"+h.MgmtSock("br-int"))
	if err != nil {
		return 0, err
	}
	_, count, _ := strings.Cut(out, "flow_count=")
	if _, err := fmt.Sscanf(count, "%d", &n); err != nil {
		return 0, fmt.Errorf("read the count of flows in %q: %w", out, err)
	}
	return n, nil
}
