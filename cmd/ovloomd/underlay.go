// Telling the store and the user of the underlay as it is now.

package main

import (
	"context"
	"errors"
	"time"

	"github.com/ovloom/ovloom/hostnet"
	"github.com/ovloom/ovloom/intent"
)

// hostNow is the host as it is to be registered: with the underlay as it is now.
func (d *daemon) hostNow() intent.Host {
	h := d.host
	u := d.agent.Underlay(h.VTEP)
	h.Fault = u.Fault
	if u.MTU != 0 {
		h.UnderlayMTU = u.MTU
	}
	return h
}

// uplinkFault returns why the underlay's card, if it is in a bridge, is not there as it
// should be.
func (d *daemon) uplinkFault() error {
	nic, err := d.uplink.Taken()
	if err != nil || nic == "" || hostnet.LinkExists(nic) {
		return err
	}
	return d.uplink.Missing()
}

// hintOf is what an error says to do.
func hintOf(err error) string {
	var told *intent.Error
	if errors.As(err, &told) {
		return told.Hint
	}
	return ""
}

// underlayRetry is the time between attempts to tell the store.
const underlayRetry = 2 * time.Second

// tellUnderlay tells the store of the underlay whenever it changed, until ctx ends.
func (d *daemon) tellUnderlay(ctx context.Context) error {
	told := d.host
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.agent.UnderlayChanged():
		case <-again:
		}
		again = nil
		now := d.hostNow()
		if now.Fault == told.Fault && now.UnderlayMTU == told.UnderlayMTU {
			continue
		}
		d.log.Info("underlay changed", "mtu", now.UnderlayMTU, "was", told.UnderlayMTU, "fault", now.Fault)
		if _, err := d.store.Register(ctx, now); err != nil {
			d.log.Info("cannot tell the store of the underlay yet", "error", err, "retry-in", underlayRetry)
			again = time.After(underlayRetry)
			continue
		}
		told = now
	}
}
