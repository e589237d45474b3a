// The ways out of the overlay: what they are given.

package main

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/exit"
)

// newExit makes what keeps the ways out, and what tells it how they are to be.
func (d *daemon) newExit() *exit.Gatherer {
	log := d.log.With("part", "exit")
	d.exit = exit.New(exit.Settings{
		Bridge: d.cfg.Bridge, Link: d.cfg.HostUplink, VXLANPort: d.cfg.VXLANPort, UnderlayMTU: d.host.UnderlayMTU, StateDir: d.cfg.StateDir,
	}, exit.Deps{Switch: d.db, Host: exit.Linux{}, Controller: toController{d}, Log: log})
	source := span{d.store, nil}
	return exit.NewGatherer(exit.Sources{
		Hosts: source.WatchHosts, Externals: source.WatchExternals, Members: d.storeURLs,
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
