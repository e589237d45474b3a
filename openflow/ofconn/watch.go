package ofconn

import (
	"context"
	"fmt"
	"sync"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// This file watches for foreign changes to flows, and configures ports.

// FlowWatch collects changes to a switch's flows by other connections: a hundred
// thousand changes take no more memory than one.
type FlowWatch struct {
	changed chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	seen FlowChanges
}

// FlowChanges counts changes of flows.
type FlowChanges struct {
	Added, Removed, Modified int
	Incomplete               bool                  // the switch had to drop some events
	First                    []openflow.FlowChange // the first few
}

// firstChanges is how many changes a FlowWatch keeps individually.
const firstChanges = 3

// C receives a value after flows were changed.
func (w *FlowWatch) C() <-chan struct{} { return w.changed }

// Take returns the changes since the last call.
func (w *FlowWatch) Take() FlowChanges {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = FlowChanges{}
	return seen
}

func (w *FlowWatch) note(c openflow.FlowChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch c.Event {
	case openflow.FlowAdded:
		w.seen.Added++
	case openflow.FlowGone:
		w.seen.Removed++
	case openflow.FlowModified:
		w.seen.Modified++
	case openflow.FlowUpdatesPaused, openflow.FlowUpdatesResumed:
		w.seen.Incomplete = true
		return
	}
	if len(w.seen.First) < firstChanges {
		w.seen.First = append(w.seen.First, c)
	}
}

func (w *FlowWatch) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// WatchFlows makes the switch report changes to the flows of these tables by other
// connections, until the connection ends. Changes by Apply on this connection are left
// out. It may be called once.
func (c *Conn) WatchFlows(ctx context.Context, tables ...uint8) (*FlowWatch, error) {
	w := &FlowWatch{changed: make(chan struct{}, 1)}
	if !c.watch.CompareAndSwap(nil, w) {
		return nil, fmt.Errorf("openflow watch of flows: there is one already")
	}
	var answered int
	var failed error
	k := c.expect(len(tables), func(h ofp.Header, body []byte) {
		switch h.Type {
		case ofp.TypeError:
			answered++
			failed = decodeError(body)
		case ofp.TypeMultipartReply:
			if _, _, more, err := ofp.DecodeMultipart(body); err != nil || !more {
				answered++
			}
		}
	})
	defer c.forget(k)
	b := c.buffer()
	for i, t := range tables {
		var err error
		if b, err = ofp.AppendMultipartRequest(b, k.first+uint32(i), ofp.MultipartFlowMonitor, ofp.AppendMonitorRequest(nil, uint32(i)+1, t)); err != nil {
			return nil, fmt.Errorf("openflow watch of flows: %w", err)
		}
	}
	err := c.send(ctx, b)
	if err == nil {
		err = c.wait(ctx, k, func() bool { return answered == len(tables) })
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("openflow watch of flows: %w", err)
	}
	return w, nil
}

// watched handles a multipart reply without a request.
func (c *Conn) watched(body []byte) {
	w := c.watch.Load()
	if w == nil {
		return
	}
	kind, part, _, err := ofp.DecodeMultipart(body)
	if err == nil && kind != ofp.MultipartFlowMonitor {
		return
	}
	any := false
	if err == nil {
		err = ofp.EachFlowUpdate(part, func(f openflow.FlowChange) error {
			w.note(f)
			any = true
			return nil
		})
	}
	if err != nil {
		c.cfg.Log.Warn("unreadable openflow message", "type", "flow update", "error", err)
		w.note(openflow.FlowChange{Event: openflow.FlowUpdatesPaused})
		any = true
	}
	if any {
		w.wake()
	}
}

// SetPorts sets the configuration of ports, which the switch finds by number and MAC.
func (c *Conn) SetPorts(ctx context.Context, ports ...openflow.Port) error {
	return c.packets(ctx, "port-mod", len(ports), func(b []byte, i int, xid uint32) ([]byte, error) {
		return ofp.AppendPortMod(b, xid, ports[i]), nil
	})
}
