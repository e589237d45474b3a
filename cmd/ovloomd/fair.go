// What keeps one port from slowing down all others.

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/datapath"
	"github.com/ovloom/ovloom/hostnet"
	of "github.com/ovloom/ovloom/openflow"
)

// keepFair holds ports that make too many cached flows to a rate, and tunnels to where
// the other hosts are, until ctx ends.
func (d *daemon) keepFair(ctx context.Context) error {
	done := make(chan struct{})
	go func() { defer close(done); _ = d.neighbours.Keep(ctx) }()
	defer func() { <-done }()
	return d.fair.Keep(ctx, func(ctx context.Context, penalties map[uint32]datapath.Penalty) {
		ports := map[of.PortNo]bool{}
		for p := range penalties {
			ports[of.PortNo(p)] = true
		}
		d.controller.SetPenalties(ctx, ports)
	})
}

// newNeighbourhood watches where tunnels lead.
func (d *daemon) newNeighbourhood() *datapath.Neighbourhood {
	return &datapath.Neighbourhood{Datapath: d.dp, WhoHas: hostnet.WhoHas, Log: d.log.With("part", "datapath"),
		PutBack: func(n datapath.Neighbour, claimed string) {
			if claimed == "" {
				d.repairs.Put("tunnel neighbour missing", 0, fmt.Sprintf("%s: %s", n.Addr, n.MAC))
				return
			}
			d.repairs.Put("tunnel neighbour claimed by another MAC on the underlay", 0, fmt.Sprintf("%s: %s, not %s", n.Addr, n.MAC, claimed))
		}}
}

// fairWarnings names the ports that are held to a rate.
func (d *daemon) fairWarnings(c controller.Status) (w []api.Warning) {
	penalties := d.fair.Penalties()
	for _, ofport := range slices.Sorted(maps.Keys(penalties)) {
		i := slices.IndexFunc(c.Ports, func(p controller.PortStatus) bool { return uint32(p.OFPort) == ofport && p.InForce })
		if i < 0 {
			continue // no port of a network: nothing holds it
		}
		port, p := portName(c.Ports[i]), penalties[ofport]
		until := p.Until.UTC().Format(time.TimeOnly)
		if p.Flows == 0 {
			w = append(w, api.Warning{
				What: fmt.Sprintf("port %s sent so many ARP requests or neighbour solicitations (%d a second) that it slowed down the others: what it sends is limited until %s", port, p.Asked, until),
				Do:   "see what runs behind the port: a flood, or a loop"})
			continue
		}
		w = append(w, api.Warning{
			What: fmt.Sprintf("port %s sent from or to so many addresses at a time (%d cached flows) that it slowed down the others: what it sends is limited until %s", port, p.Flows, until),
			Do:   "see what runs behind the port: a scan or a flood, or an address of its own for each packet"})
	}
	return w
}
