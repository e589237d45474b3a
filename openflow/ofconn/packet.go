package ofconn

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// This file delivers the switch's unsolicited messages, and sends packets to it.

// counters count messages dropped because a channel was full.
type counters struct{ packetIns, portChanges, flowsRemoved atomic.Uint64 }

// Dropped counts messages that found their channel full.
type Dropped struct{ PacketIns, PortChanges, FlowsRemoved uint64 }

// Dropped returns how many messages found their channel full since Dial. After a
// dropped PortChange or FlowRemoved, read the state from Ports and Flows.
func (c *Conn) Dropped() Dropped {
	return Dropped{c.dropped.packetIns.Load(), c.dropped.portChanges.Load(), c.dropped.flowsRemoved.Load()}
}

// deliver passes on an unsolicited message.
func (c *Conn) deliver(h ofp.Header, body []byte) {
	var err error
	switch h.Type {
	case ofp.TypePortStatus:
		err = offer(c.cfg.PortChanges, &c.dropped.portChanges, ofp.DecodePortStatus, body)
	case ofp.TypeFlowRemoved:
		err = offer(c.cfg.FlowsRemoved, &c.dropped.flowsRemoved, ofp.DecodeFlowRemoved, body)
	default:
		if e, ok := ofp.MonitorPause(body); ok {
			if w := c.watch.Load(); w != nil {
				w.note(openflow.FlowChange{Event: e})
				w.wake()
			}
			return
		}
		if !ofp.IsPacketIn2(body) {
			return // an unknown extension
		}
		err = offer(c.cfg.PacketIns, &c.dropped.packetIns, ofp.DecodePacketIn, body)
	}
	if err != nil {
		c.cfg.Log.Warn("unreadable openflow message", "type", h.Type.String(), "error", err)
	}
}

// offer decodes body for ch, unless ch is nil or full.
func offer[T any](ch chan<- T, dropped *atomic.Uint64, decode func([]byte) (T, error), body []byte) error {
	if ch == nil {
		return nil
	}
	if cap(ch) > 0 && len(ch) == cap(ch) {
		dropped.Add(1) // without decoding it
		return nil
	}
	v, err := decode(body)
	if err != nil {
		return err
	}
	select {
	case ch <- v:
	default:
		dropped.Add(1)
	}
	return nil
}

// PacketOut puts packets into the pipeline and returns once the switch has processed
// them. A refused packet does not affect the others.
func (c *Conn) PacketOut(ctx context.Context, packets ...openflow.PacketOut) error {
	return c.packets(ctx, "packet-out", len(packets), func(b []byte, i int, xid uint32) ([]byte, error) {
		return ofp.AppendPacketOut(b, xid, packets[i])
	})
}

// Resume resumes held packets, each from the action ToController that held it, with the
// packet and metadata that p has now. It returns once the switch has processed them.
// Each packet-in can be resumed once. The pipeline holds no packets yet: tests show that
// the codec agrees with Open vSwitch.
func (c *Conn) Resume(ctx context.Context, packets ...openflow.PacketIn) error {
	return c.packets(ctx, "resume", len(packets), func(b []byte, i int, xid uint32) ([]byte, error) {
		return ofp.AppendResume(b, xid, packets[i])
	})
}

func (c *Conn) packets(ctx context.Context, what string, n int, encode func([]byte, int, uint32) ([]byte, error)) error {
	refused, err := c.confirm(ctx, n, encode)
	errs := []error{err}
	for _, r := range refused {
		errs = append(errs, r.err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("openflow %s: %w", what, err)
	}
	return nil
}
