package agent

// Reports of the bridge's interfaces, and the isolation of the host's own network from them.

import (
	"context"
	"log/slog"
	"time"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/ovsdb"
)

// Database is the local Open_vSwitch database; *ovsdb.DB is one.
type Database interface {
	Interfaces(bridge string) []ovsdb.Interface
	State() ovsdb.State
	Watch() <-chan struct{}
}

// Apart isolates the host's own network from packets that ports send; *hostnet.Aside
// implements it.
type Apart interface {
	// Keep sets the interfaces that ports have. With all it also repairs what other programs
	// changed.
	Keep(ctx context.Context, links []string, all bool) error
}

// Interfaces reports the bridge's interfaces, and whether they can carry their ports.
type Interfaces struct {
	Agent    *Agent
	Database Database
	Tunnel   string // the tunnel port
	Apart    Apart  // nil: the datapath keeps ports apart

	// SetInterfaces receives the bridge's interfaces, and SetTunnel the tunnel port's number,
	// 0 if there is none.
	SetInterfaces func(ctx context.Context, list []controller.Interface)
	SetTunnel     func(n of.PortNo)

	Log *slog.Logger
}

// Run reports the interfaces whenever they or their states change, until ctx ends. While
// the database is away, the last report stays in force.
func (i *Interfaces) Run(ctx context.Context) error {
	database, agent := i.Database.Watch(), i.Agent.Changed()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-agent:
		case <-database:
			if !i.Database.State().Connected {
				continue
			}
		}
		i.pass(ctx)
	}
}

func (i *Interfaces) pass(ctx context.Context) {
	all := i.Database.Interfaces(i.Agent.cfg.Bridge)
	if i.Apart != nil {
		// First, isolate new ports. If this fails, RunApart logs the error and tries again.
		_ = i.Apart.Keep(ctx, portLinks(all), false)
	}
	i.Agent.Switched(all)
	states := i.Agent.States()
	var list []controller.Interface
	tunnel := of.PortNo(0)
	for _, x := range all {
		if x.Name == i.Tunnel {
			tunnel = of.PortNo(max(x.OFPort, 0))
			continue
		}
		c := controller.Interface{
			UUID: x.UUID, Name: x.Name, IfaceID: x.IfaceID, OFPort: of.PortNo(max(x.OFPort, 0)),
			Generation: x.Generation, Installed: x.Installed, Error: x.Error,
			Plugged: x.PluggedFor != "",
		}
		if s := states[x.Name]; s.Down {
			c.OFPort, c.Fault = 0, s.What
		}
		list = append(list, c)
	}
	i.SetInterfaces(ctx, list)
	i.SetTunnel(tunnel)
}

// ApartEvery is how often RunApart repairs the rules if another program changed them.
const ApartEvery = 10 * time.Second

// RunApart isolates the host's own network from its ports until ctx ends.
func (i *Interfaces) RunApart(ctx context.Context) error {
	if i.Apart == nil {
		return nil
	}
	last := ""
	loop.Every(ctx, ApartEvery, func(ctx context.Context) {
		failed := ""
		if err := i.Apart.Keep(ctx, portLinks(i.Database.Interfaces(i.Agent.cfg.Bridge)), true); err != nil && ctx.Err() == nil {
			if failed = err.Error(); failed != last {
				i.Log.Error("cannot isolate the host's own network from ports; ports may reach the host and its routes", "error", err)
			}
		}
		last = failed
	})
	return nil
}

// portLinks returns the ports' interfaces that the kernel receives packets on, too: all but
// the interfaces that Open vSwitch itself creates.
func portLinks(all []ovsdb.Interface) []string {
	var links []string
	for _, i := range all {
		if (i.IfaceID != "" || i.PluggedFor != "") && i.Uplink == "" && (i.Type == "" || i.Type == "system" || i.Type == "afxdp") {
			links = append(links, i.Name)
		}
	}
	return links
}
