// The ways out of the overlay: what they are given.

package main

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// newExit makes what keeps the ways out, and what tells it how they are to be.
func (d *daemon) newExit() *exit.Gatherer {
	log := d.log.With("part", "exit")
	d.exit = exit.New(exit.Settings{
		Bridge: d.cfg.Bridge, Link: d.cfg.HostUplink, VXLANPort: d.cfg.VXLANPort, UnderlayMTU: d.host.UnderlayMTU, StateDir: d.cfg.StateDir,
	}, exit.Deps{Switch: d.db, Host: exit.Linux{}, Controller: toController{d}, Send: d.sendPackets, Repairs: d.repairs, Log: log})
	source := span{d.store, nil}
	return exit.NewGatherer(exit.Sources{
		Hosts: source.WatchHosts, Externals: source.WatchExternals, Guard: source.WatchGuard, Members: d.storeURLs,
		Own: d.guarded, Publish: d.store.SetGuardedHost,
		Endpoints: slices.Concat(d.cfg.Store, d.cfg.StoreListen), Log: log,
	}, d.exit)
}

// keepExit keeps the ways out until ctx ends.
func (d *daemon) keepExit(g *exit.Gatherer) func(context.Context) error {
	return func(ctx context.Context) error {
		defer d.exit.Close()
		return g.Run(ctx)
	}
}

// guarded returns what this host has that tenants are to be kept from.
func (d *daemon) guarded() (intent.Guarded, error) {
	own, err := hostnet.OwnAddrs()
	if err != nil {
		return intent.Guarded{}, err
	}
	underlay, err := hostnet.PrefixOf(d.host.VTEP)
	if err != nil && intent.KindOf(err) != intent.NotFound { // the address is away: others warn of that
		return intent.Guarded{}, err
	}
	return intent.Guarded{Host: d.cfg.HostName, Addresses: own, Underlay: underlay}, nil
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

// toController is the controller of a daemon, which is made after the exit.
type toController struct{ *daemon }

func (c toController) SetUplinks(ctx context.Context, u map[string]controller.Uplink) {
	c.controller.SetUplinks(ctx, u)
}

func (c toController) SetSurroundings(ctx context.Context, s controller.Surroundings) {
	c.controller.SetSurroundings(ctx, s)
}

// sendPackets puts packets into the switch.
func (d *daemon) sendPackets(ctx context.Context, packets ...of.PacketOut) error {
	conn, err := d.openflow.current()
	if err != nil {
		return err
	}
	return conn.PacketOut(ctx, packets...)
}
