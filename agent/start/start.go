// Package start prepares a host for its daemon: it connects to the local database, puts the
// underlay in place, opens the store, and begins to create the integration bridge.
package start

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ovloom/ovloom/agent"
	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/config"
	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/process"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/underlay"
)

// Timeout bounds how long Prepare waits for ovsdb-server, ovs-vswitchd and an embedded store
// together.
const Timeout = 30 * time.Second

// Host is a host that has been prepared.
type Host struct {
	Config config.Config
	Self   intent.Host // as registered; the store has assigned the ID

	DB       *ovsdb.DB
	Underlay *underlay.Underlay
	NIC      string         // in the underlay's bridge; "": none
	Making   *keeper.Making // of the integration bridge
	Store    *store.Store
}

// Prepare prepares the host. Creating the bridge continues in the background until ctx ends.
// If Prepare fails, it waits for everything that it has begun, so that no NIC is left half
// way into a bridge.
func Prepare(ctx context.Context, cfg config.Config, log *slog.Logger) (*Host, error) {
	limited, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	stored := cfg.Cluster(log.With("part", "store"))
	if err := stored.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	db, err := ovsdb.Connect(limited, ovsdb.Config{
		Socket: cfg.OVSDB, Owner: cfg.HostName, Version: api.BuildVersion(), Log: log.With("part", "ovsdb"), Record: filepath.Join(cfg.StateDir, "bridges")})
	if err != nil {
		return nil, fmt.Errorf("connect to ovsdb-server (--ovsdb): %w", err)
	}
	h := &Host{Config: cfg, DB: db, Self: intent.Host{Name: cfg.HostName, Version: api.BuildVersion()},
		Underlay: underlay.New(underlay.Config{StateDir: cfg.StateDir, Bridge: cfg.PhyBridge, Switch: db, Log: log.With("part", "underlay")})}
	if h.Self.Datapath, err = hostnet.Datapath(cfg.Datapath); err == nil {
		// Before a NIC is taken: a daemon that does not run cannot give it back.
		err = db.CheckBridge(limited, h.Bridge())
	}
	if err == nil {
		stored.WithoutMember, stored.Attempt, stored.Traces = true, process.Attempts(), func() []string { return agent.Traces(cfg.Bridge, h.Interfaces()) }
		h.Store, err = store.OpenWhile(limited, stored, func(limited context.Context) error { return h.settle(ctx, limited) })
	}
	if err != nil {
		if h.Making != nil {
			<-h.Making.Done()
		}
		db.Close()
		return nil, err
	}
	return h, nil
}

// settle puts the underlay in place, which determines the VTEP address, and begins to create
// the bridge, which continues until ctx ends.
func (h *Host) settle(ctx, limited context.Context) (err error) {
	want := underlay.Want{VTEP: h.Config.VTEP, Userspace: h.Userspace(), NIC: h.Config.TakeNIC}
	if h.Self.VTEP, h.NIC, err = h.Underlay.Settle(limited, want); err != nil {
		return err
	}
	if h.Self.UnderlayMTU, _, err = hostnet.UnderlayMTU(h.Self.VTEP); err != nil {
		return err
	}
	if err := h.Self.Validate(); err != nil {
		return err
	}
	bridge := h.Bridge()
	h.Making = keeper.Make(ctx, Timeout, func(ctx context.Context) error { return h.DB.EnsureBridge(ctx, bridge) })
	return nil
}

// Close closes the store and the connection to the database, after creation of the bridge
// has ended. The context of Prepare must have ended.
func (h *Host) Close() error {
	<-h.Making.Done()
	err := h.Store.Close()
	h.DB.Close()
	return err
}

// Userspace reports whether the host uses the userspace datapath.
func (h *Host) Userspace() bool { return h.Self.Datapath == ovsdb.DatapathNetdev }

// Interfaces returns the interfaces of the integration bridge.
func (h *Host) Interfaces() []ovsdb.Interface { return h.DB.Interfaces(h.Config.Bridge) }

// Bridge returns the wanted integration bridge.
func (h *Host) Bridge() ovsdb.Bridge {
	return ovsdb.Bridge{
		Name: h.Config.Bridge, Datapath: h.Self.Datapath, VTEP: h.Self.VTEP,
		VXLANPort: h.Config.VXLANName, VXLANUDPPort: h.Config.VXLANPort, Prefixes: pipeline.Prefixes(),
	}
}
