// What the gateways do that flows cannot: the packets that the switch hands to
// ovloomd for it.

package main

import (
	"context"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/pipeline"
)

// routerQueued is how many packets may wait to be taken in.
const routerQueued = 1024

// routerLink is the router's connection to the switch: its packets wait neither for
// flows nor for probes.
type routerLink struct {
	*daemon
	packets chan of.PacketIn
}

func newRouterLink(d *daemon) *routerLink {
	return &routerLink{daemon: d, packets: make(chan of.PacketIn, routerQueued)}
}

// keep routes what the switch hands over until ctx ends.
func (l *routerLink) keep(ctx context.Context) error {
	router := l.controller.Router(l.send)
	l.router.Store(router)
	go router.Run(ctx, l.packets)
	// Without a log: the other connection to the same switch tells how that is.
	_ = ofconn.Keep(ctx, l.openflow.addr(), ofconn.Config{ControllerID: pipeline.RouterController, PacketIns: l.packets},
		func(ctx context.Context, _ *ofconn.Conn) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
	return nil
}

// send puts packets into the switch.
func (l *routerLink) send(ctx context.Context, packets ...of.PacketOut) error {
	conn, err := l.openflow.current()
	if err != nil {
		return err
	}
	return conn.PacketOut(ctx, packets...)
}
