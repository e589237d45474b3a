// Taking this host out of the overlay when ovloomd cannot run.

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/underlay"
)

// leaveAlone does what ovloom host leave does, except for what the store has to be told:
// that is left to another host. It can be repeated, also when it was cut short.
func leaveAlone(ctx context.Context, cfg config, log *slog.Logger, out io.Writer) error {
	// The socket tells off a daemon that runs, and is told off by one.
	listener, err := api.Listen(cfg.Socket, cfg.Group)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := ovsdb.Connect(ctx, ovsdb.Config{Socket: cfg.OVSDB, Owner: cfg.HostName, Version: api.BuildVersion(), Log: log.With("part", "ovsdb")})
	if err != nil {
		return fmt.Errorf("connect to ovsdb-server (--ovsdb): %w", err)
	}
	defer db.Close()
	agent, err := agent.New(agent.Config{
		Host: cfg.HostName, Bridge: cfg.Bridge, StateDir: cfg.StateDir, Switch: db,
		Network: agent.Kernel{VTEP: func() netip.Addr { return netip.Addr{} }}, Log: log.With("part", "agent"),
	})
	if err != nil {
		return err
	}
	var steps []step
	for _, p := range agent.Plugged() {
		steps = append(steps, step{"unplug " + p.String(), func(ctx context.Context) error { return agent.Remove(ctx, p) }})
	}
	exits := exit.New(exit.Settings{Bridge: cfg.Bridge, Link: cfg.HostUplink, VXLANPort: cfg.VXLANPort, StateDir: cfg.StateDir},
		exit.Deps{Switch: db, Host: exit.Linux{}, Log: log.With("part", "exit")})
	if len(db.Interfaces(cfg.Bridge)) > 0 {
		steps = append(steps, step{"remove the ways out", exits.Remove})
	}
	uplink := underlay.New(underlay.Config{StateDir: cfg.StateDir, Bridge: cfg.PhyBridge, Switch: db, Log: log.With("part", "underlay")})
	steps = append(steps,
		step{"delete bridge " + cfg.Bridge, func(ctx context.Context) error {
			if err := db.DeleteBridge(ctx, cfg.Bridge); err != nil {
				return err
			}
			return (&hostnet.Aside{Table: hostnet.AsideTable(cfg.Bridge)}).Remove(ctx)
		}},
		step{"give back the network card, if ovloomd took one", uplink.Return},
	)
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("leaving stopped at %q: %w", s.what, err)
		}
		fmt.Fprintf(out, "done: %s\n", s.what)
	}
	fmt.Fprintf(out, "the store still lists this host; on another one: ovloom host remove %s --cascade\n", cfg.HostName)
	return nil
}
