// Plugging ports into namespaces and taps of this host.

package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/ovsdb"
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
		Switch: d.db, Store: d.store, Claims: d.store, Network: agent.Kernel{VTEP: func() netip.Addr { return d.host.VTEP }, Aside: d.aside},
		Repairs: d.repairs, Log: d.log.With("part", "agent"),
		Known: func(ctx context.Context, ref intent.PortRef) (intent.Port, bool) {
			view, known, err := d.controller.Port(ctx, ref)
			return view.Port, known && err == nil
		},
		Card:     func() string { return d.card },
		Expect:   func(ctx context.Context, ref intent.PortRef) func(error) { return d.controller.Expect(ctx, ref) },
		Unexpect: func(ctx context.Context, ref intent.PortRef) { d.controller.Unexpect(ctx, ref) },
	})
}

// keepAside keeps the host's own network apart from its ports, on the userspace datapath.
func (d *daemon) keepAside(ctx context.Context) error {
	if d.aside == nil {
		return nil
	}
	var last string
	for {
		said := ""
		if err := d.aside.Keep(ctx, portLinks(d.db.Interfaces(d.cfg.Bridge)), true); err != nil && ctx.Err() == nil {
			said = err.Error()
			if said != last {
				d.log.Error("cannot keep this host's own network apart from its ports: they may reach the host, and what it routes to", "error", err)
			}
		}
		last = said
		select {
		case <-time.After(asideAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// asideAgain is how long it takes until what another program did to the rules is undone.
const asideAgain = 10 * time.Second

// portLinks lists the interfaces of ports that the kernel listens on, too: not those
// that Open vSwitch makes itself.
func portLinks(all []ovsdb.Interface) []string {
	var links []string
	for _, i := range all {
		if (i.IfaceID != "" || i.PluggedFor != "") && i.Uplink == "" && (i.Type == "" || i.Type == "system" || i.Type == "afxdp") {
			links = append(links, i.Name)
		}
	}
	return links
}
