package leave

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/exit"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/underlay"
)

// aloneTime is how long a host may take to leave by itself.
const aloneTime = 30 * time.Second

// AloneConfig is the part of the configuration that Alone needs.
type AloneConfig struct {
	Socket     string // of the API
	Group      string // that may use the API
	Host       string
	OVSDB      string // socket of the local ovsdb-server
	Bridge     string // the integration bridge
	PhyBridge  string // the bridge that has the underlay's NIC
	HostUplink string // the host uplink's interface
	VXLANPort  int    // UDP
	StateDir   string

	Log *slog.Logger
}

// Alone takes a host out of the overlay without its daemon and without the store. It writes
// to out what it did, and how to remove the host from the store on another host.
func Alone(ctx context.Context, cfg AloneConfig, out io.Writer) error {
	// Holding the socket keeps a daemon from starting, and fails if one runs.
	listener, err := api.Listen(cfg.Socket, cfg.Group)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(ctx, aloneTime)
	defer cancel()
	db, err := ovsdb.Connect(ctx, ovsdb.Config{Socket: cfg.OVSDB, Owner: cfg.Host, Version: api.BuildVersion(), Log: cfg.Log.With("part", "ovsdb")})
	if err != nil {
		return fmt.Errorf("connect to ovsdb-server (--ovsdb): %w", err)
	}
	defer db.Close()
	ports, err := agent.New(agent.Config{
		Host: cfg.Host, Bridge: cfg.Bridge, StateDir: cfg.StateDir, Switch: db,
		Network: agent.Kernel{VTEP: func() netip.Addr { return netip.Addr{} }}, Log: cfg.Log.With("part", "agent"),
	})
	if err != nil {
		return err
	}
	exits := exit.New(exit.Settings{Bridge: cfg.Bridge, Link: cfg.HostUplink, VXLANPort: cfg.VXLANPort, StateDir: cfg.StateDir},
		exit.Deps{Switch: db, Host: exit.Linux{}, Log: cfg.Log.With("part", "exit")})
	exits.Close() // it must be closed for Remove
	steps := unplug(ports)
	if len(db.Interfaces(cfg.Bridge)) > 0 {
		steps = append(steps, step{"remove the uplinks", exits.Remove})
	}
	aside := hostnet.NewAside(cfg.Bridge)
	card := underlay.New(underlay.Config{StateDir: cfg.StateDir, Bridge: cfg.PhyBridge, Switch: db, Log: cfg.Log.With("part", "underlay")})
	steps = append(steps,
		deleteBridge(db, cfg.Bridge, aside.Remove),
		step{"give back the network card, if ovloomd took one", card.Return},
	)
	if err := run(ctx, steps, func(what string) { fmt.Fprintf(out, "done: %s\n", what) }); err != nil {
		return err
	}
	fmt.Fprintf(out, "the store still lists this host; on another one: ovloom host remove %s --cascade\n", cfg.Host)
	return nil
}
