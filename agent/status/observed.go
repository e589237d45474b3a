// The switch's own state: tracked connections and learned MACs.

package status

import (
	"context"
	"slices"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/explain"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/keeper"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/pipeline"
)

// TenantConnections implements api.Backend.
func (o *Observer) TenantConnections(ctx context.Context, snap intent.Snapshot) ([]intent.Connection, error) {
	zones, err := o.Zones(ctx)
	if err != nil {
		return nil, err
	}
	zone, ok := zones[controller.ZoneName(snap.Tenant)]
	if !ok {
		return nil, nil // the tenant has no NAT on this host
	}
	lines, err := o.Connections(ctx, zone)
	if err != nil {
		return nil, intent.Unavailablef("%w", err).WithHint(keeper.HintVswitchd)
	}
	return explain.Connections(snap, lines)
}

// Learned implements api.Backend.
func (o *Observer) Learned(ctx context.Context, snap intent.Snapshot, n intent.Network) ([]intent.LearnedMAC, error) {
	flows, err := o.Switch.Flows(ctx, ofconn.FlowFilter{Tables: pipeline.LearnedTables()})
	if err != nil {
		return nil, err
	}
	hosts, err := o.Hosts(ctx)
	if err != nil {
		hosts = nil // VTEPs then appear without host names
	}
	var list []intent.LearnedMAC
	for _, f := range flows {
		l, ok := pipeline.LearnedOf(f.Flow)
		if !ok || l.VNI != n.VNI {
			continue
		}
		m := intent.LearnedMAC{MAC: l.MAC, VTEP: l.VTEP, Idle: f.IdleAge, Age: f.Duration}
		switch {
		case l.VTEP.IsValid():
			m.Behind = "VTEP " + l.VTEP.String()
			for _, h := range hosts {
				if h.VTEP == l.VTEP {
					m.Behind = "host " + h.Name
				}
			}
			for _, p := range snap.Peers {
				if p.VTEP == l.VTEP && p.Network == n.Name {
					m.Behind = "peer " + p.Ref().String()
				}
			}
		default:
			m.Behind = "a port here"
			for _, i := range o.Interfaces() {
				if i.OFPort == int(l.Port) {
					m.Behind = "interface " + i.Name
					for _, p := range snap.Ports {
						if p.UUID == i.IfaceID || p.Ref().String() == i.IfaceID {
							m.Behind = "port " + p.Ref().String()
						}
					}
				}
			}
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b intent.LearnedMAC) int {
		return intent.Natural(a.Behind+a.MAC.String(), b.Behind+b.MAC.String())
	})
	return list, nil
}
