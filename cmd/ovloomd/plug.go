// Plugging ports into namespaces and taps of this host.

package main

import (
	"context"
	"net/netip"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/intent"
)

// plugger implements api.Plugger.
type plugger struct {
	*agent.Agent
	d *daemon
}

// WaitUp implements api.Plugger.
func (p plugger) WaitUp(ctx context.Context, ref intent.PortRef) error {
	return p.d.controller.WaitUp(ctx, ref)
}

func (d *daemon) newAgent() (*agent.Agent, error) {
	return agent.New(agent.Config{
		Host: d.cfg.HostName, Bridge: d.cfg.Bridge, Datapath: d.datapath, StateDir: d.cfg.StateDir,
		Switch: d.db, Store: d.store, Claims: d.store, Network: agent.Kernel{VTEP: func() netip.Addr { return d.host.VTEP }},
		Repairs: d.repairs, Log: d.log.With("part", "agent"),
		Known: func(ctx context.Context, ref intent.PortRef) (intent.Port, bool) {
			view, known, err := d.controller.Port(ctx, ref)
			return view.Port, known && err == nil
		},
		Expect: func(ctx context.Context, ref intent.PortRef) func(error) { return d.controller.Expect(ctx, ref) },
	})
}
