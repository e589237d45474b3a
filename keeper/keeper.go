// Package keeper keeps the integration bridge as wanted, whatever other programs do to it and
// however often ovs-vswitchd restarts. It keeps an OpenFlow connection to the bridge for the
// controller, puts back settings of the bridge and its ports, and watches for flows that other
// programs change.
//
//	keeper.go  Keeper: repairs, over one connection
//	link.go    Link: the connection, which reconnects when it breaks
//	bridge.go  Making and Bridges: the integration bridge and the underlay's bridge
package keeper

import (
	"context"
	"log/slog"
	"time"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/pipeline"
)

// Conn is a connection to the integration bridge; *ofconn.Conn is one.
type Conn interface {
	WatchFlows(ctx context.Context, tables ...uint8) (*ofconn.FlowWatch, error)
	Ports(ctx context.Context) ([]openflow.Port, error)
	SetPorts(ctx context.Context, ports ...openflow.Port) error
	PutConfigBack(ctx context.Context) (was string, err error)
}

// Keeper repairs what other programs change. It lives on from one connection to the next.
type Keeper struct {
	// Changes receives the connections' changes of ports (ofconn.Config.PortChanges).
	Changes chan openflow.PortChange

	// Wanted returns the settings that a port must have. To leave a port alone it returns the
	// port's current settings.
	Wanted func(openflow.Port) openflow.PortConfig

	// Repaired is called after a port's settings were put back.
	Repaired func(p openflow.Port)

	// FragmentsRepaired is called after the treatment of fragments was put back; was names the
	// other treatment.
	FragmentsRepaired func(was string)

	Log *slog.Logger

	// Owned by Keep: since when ports are down that should be up.
	down map[openflow.PortNo]time.Time
}

// downPatience is how long a port may be down before it is set up. Programs that add an
// interface to the bridge often set it up a moment later themselves.
const downPatience = 300 * time.Millisecond

// configEvery is how often the switch's configuration is checked: OpenFlow does not report
// its changes.
const configEvery = 5 * time.Second

// portChangesQueued is how many changes of ports may wait. If more come, all ports are
// checked.
const portChangesQueued = 256

// New returns a Keeper with room for changes.
func New() *Keeper {
	return &Keeper{Changes: make(chan openflow.PortChange, portChangesQueued), down: map[openflow.PortNo]time.Time{}}
}

// Tables returns the tables that only ovloom changes: in the others flows are learned and
// expire.
func Tables() []uint8 {
	learned := map[uint8]bool{}
	for _, id := range pipeline.LearnedTables() {
		learned[id] = true
	}
	var ids []uint8
	for _, t := range pipeline.Tables() {
		if !learned[t.ID] {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// Begin starts to watch for flows that other programs change. It belongs before the first
// flow is sent. It returns nil if the switch has no flow monitor.
func (k *Keeper) Begin(ctx context.Context, conn Conn) *ofconn.FlowWatch {
	w, err := conn.WatchFlows(ctx, Tables()...)
	if err != nil {
		if ctx.Err() == nil {
			k.Log.Info("the switch has no flow monitor; comparing flows periodically", "error", err)
		}
		return nil
	}
	return w
}

// Keep calls disturbed when other programs have changed flows, and puts back the settings of
// ports and the switch's configuration, until ctx ends.
func (k *Keeper) Keep(ctx context.Context, conn Conn, watch *ofconn.FlowWatch, disturbed func()) {
	var flows <-chan struct{}
	if watch != nil {
		flows = watch.C()
	}
	clear(k.down) // of another connection, or of a switch that has started anew
	k.lookAtPorts(ctx, conn)
	config := time.NewTicker(configEvery)
	defer config.Stop()
	for {
		var later <-chan time.Time
		if len(k.down) > 0 {
			later = time.After(downPatience)
		}
		select {
		case <-ctx.Done():
			return
		case <-config.C:
			if was, err := conn.PutConfigBack(ctx); err != nil && ctx.Err() == nil {
				k.Log.Info("cannot restore the switch's configuration", "error", err)
			} else if was != "" {
				k.FragmentsRepaired(was)
			}
		case <-later:
			k.lookAtPorts(ctx, conn)
		case <-flows:
			seen := watch.Take()
			attrs := []any{"added", seen.Added, "removed", seen.Removed, "modified", seen.Modified}
			for _, c := range seen.First {
				attrs = append(attrs, "flow", c.Event.String()+" "+c.Flow.String())
				break
			}
			k.Log.Debug("another program changed flows", attrs...)
			disturbed()
		case c := <-k.Changes:
			if len(k.Changes) > portChangesQueued/2 {
				for len(k.Changes) > 0 {
					<-k.Changes
				}
				k.lookAtPorts(ctx, conn)
			} else if c.Event != openflow.PortDeleted {
				k.putBack(ctx, conn, c.Port)
			}
		}
	}
}

// lookAtPorts puts back the settings of all ports.
func (k *Keeper) lookAtPorts(ctx context.Context, conn Conn) {
	ports, err := conn.Ports(ctx)
	if err != nil {
		return // the connection reports its own failure
	}
	was := k.down
	k.down = map[openflow.PortNo]time.Time{}
	for _, p := range ports {
		if since, ok := was[p.No]; ok && p.Down {
			k.down[p.No] = since
		}
	}
	k.putBack(ctx, conn, ports...)
}

func (k *Keeper) putBack(ctx context.Context, conn Conn, ports ...openflow.Port) {
	for _, p := range ports {
		want := k.Wanted(p)
		if p.Down && !want.Down && !k.downForLong(p.No) {
			want.Down = true
		} else {
			delete(k.down, p.No)
		}
		if want == p.PortConfig {
			continue
		}
		was := p
		p.PortConfig = want
		if err := conn.SetPorts(ctx, p); err != nil {
			// It may be gone, or have another number by now; then another change is told.
			if ctx.Err() == nil {
				k.Log.Info("cannot set a port", "port", p.Name, "error", err)
			}
			continue
		}
		k.Repaired(was)
	}
}

// downForLong reports whether a port has been down for longer than downPatience. The first
// call for a port starts the clock.
func (k *Keeper) downForLong(p openflow.PortNo) bool {
	since, ok := k.down[p]
	if !ok {
		k.down[p] = time.Now()
	}
	return ok && time.Since(since) >= downPatience
}

// FlowConn is the connection that KeepNormal needs; *ofconn.Conn is one.
type FlowConn interface {
	WatchFlows(ctx context.Context, tables ...uint8) (*ofconn.FlowWatch, error)
	CookieFlows(ctx context.Context, cookie, mask uint64) ([]openflow.Flow, error)
	Apply(ctx context.Context, mods []openflow.Mod) error
}

// KeepNormal keeps a bridge forwarding as a plain learning switch: when all its flows have
// been deleted, KeepNormal adds the NORMAL flow that Open vSwitch gives a new bridge, and
// calls repaired. Flows of other programs stay. It returns when ctx ends, or when the switch
// refuses a request.
func KeepNormal(ctx context.Context, conn FlowConn, repaired func()) error {
	watch, err := conn.WatchFlows(ctx, openflow.TableAll)
	if err != nil {
		return err
	}
	for {
		flows, err := conn.CookieFlows(ctx, 0, 0)
		if err == nil && len(flows) == 0 {
			normal := openflow.Flow{Actions: []openflow.Action{openflow.Output{Port: openflow.PortNormal}}}
			if err = conn.Apply(ctx, []openflow.Mod{&openflow.FlowMod{Command: openflow.FlowAdd, Flow: normal}}); err == nil {
				repaired()
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-watch.C():
			watch.Take()
		}
	}
}
