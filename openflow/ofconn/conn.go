package ofconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ovloom/ovloom/openflow/ofp"
)

// Conn is one connection to a switch.
type Conn struct {
	// Set by Dial.
	cfg      Config
	conn     net.Conn
	framer   *framer
	features ofp.Features
	out      chan []byte   // messages for the writer, which returns them to buffers
	done     chan struct{} // closed when the connection is over
	applying chan struct{} // full while an Apply runs
	work     sync.WaitGroup

	buffers  sync.Pool // of *[]byte
	dropped  counters
	watch    atomic.Pointer[FlowWatch] // nil: none
	bundleID atomic.Uint32

	mu sync.Mutex
	// Guarded by mu.
	calls   []*call
	nextXID uint32
	err     error // why the connection is over
}

// call is a request, or several with successive xids, that waits for answers.
type call struct {
	first, last uint32        // xids
	news        chan struct{} // holds a token after handle ran

	mu sync.Mutex
	// Guarded by mu.
	handle func(h ofp.Header, body []byte) // handles one answer; nil once the caller has left
}

// Done is closed when the connection is over.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection is over: net.ErrClosed after Close; nil while it is
// up.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits until its goroutines are gone. Flows stay.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	c.work.Wait()
	return nil
}

// DatapathID is the switch's id, from its features reply.
func (c *Conn) DatapathID() uint64 { return c.features.DatapathID }

// fail ends the connection because of err; the first reason is kept.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	c.conn.Close() // wakes the reader and the writer
}

// ofp10 is the version in which some switches send unsolicited messages, whatever was
// negotiated.
const ofp10 = 0x01

// read dispatches messages until the connection is over.
func (c *Conn) read() {
	defer c.work.Done()
	asked := false // an echo request is pending
	for {
		c.conn.SetReadDeadline(time.Now().Add(c.cfg.EchoInterval))
		h, body, err := c.framer.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && !asked:
			asked = true
			c.trySend(ofp.AppendEchoRequest(c.buffer(), c.reserve(1)))
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			err = fmt.Errorf("the switch did not answer an echo within %s: %w", c.cfg.EchoInterval, err)
		case err == nil && h.Version != ofp.Version && !(h.Version == ofp10 && h.Type == ofp.TypeExperimenter):
			err = fmt.Errorf("the switch sent a %s of OpenFlow version %#x, want %#x", h.Type, h.Version, ofp.Version)
		}
		if err != nil {
			c.fail(fmt.Errorf("openflow connection: %w", err))
			return
		}
		asked = false
		c.dispatch(h, body)
	}
}

// dispatch passes one message to its receiver.
func (c *Conn) dispatch(h ofp.Header, body []byte) {
	switch h.Type {
	case ofp.TypeEchoRequest:
		if b, err := ofp.AppendEchoReply(c.buffer(), h.XID, body); err == nil {
			c.trySend(b)
		}
	case ofp.TypeEchoReply:
	case ofp.TypePortStatus, ofp.TypeFlowRemoved, ofp.TypeExperimenter:
		c.deliver(h, body)
	case ofp.TypeMultipartReply:
		if h.XID == 0 { // unsolicited: no request has xid 0
			c.watched(body)
			return
		}
		c.answer(h, body)
	default:
		c.answer(h, body)
	}
}

// answer gives a reply or an error to the call that waits for it.
func (c *Conn) answer(h ofp.Header, body []byte) {
	c.mu.Lock()
	i := slices.IndexFunc(c.calls, func(k *call) bool { return k.first <= h.XID && h.XID <= k.last })
	var k *call
	if i >= 0 {
		k = c.calls[i]
	}
	c.mu.Unlock()
	if k == nil {
		if h.Type == ofp.TypeError {
			c.cfg.Log.Warn("openflow error without a pending request", "xid", h.XID, "error", decodeError(body))
		}
		return
	}
	k.mu.Lock()
	if k.handle != nil {
		k.handle(h, body)
	}
	k.mu.Unlock()
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// write sends queued messages until the connection is over.
func (c *Conn) write() {
	defer c.work.Done()
	for {
		select {
		case b := <-c.out:
			c.conn.SetWriteDeadline(time.Now().Add(c.cfg.Timeout))
			if _, err := c.conn.Write(b); err != nil {
				// Part of a message may have been sent: the stream is unusable.
				c.fail(fmt.Errorf("openflow connection: %w", err))
				return
			}
			c.buffers.Put(&b)
		case <-c.done:
			return
		}
	}
}

// buffer returns an empty buffer for messages. Sending gives it away.
func (c *Conn) buffer() []byte {
	if b, ok := c.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

// send queues messages for the writer, which owns b from then on. It blocks while the
// switch does not read.
func (c *Conn) send(ctx context.Context, b []byte) error {
	select {
	case c.out <- b:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.done:
		return c.Err()
	}
}

// trySend is send for messages that may be dropped.
func (c *Conn) trySend(b []byte) {
	select {
	case c.out <- b:
	default:
	}
}

// reserve returns the first of n successive xids.
func (c *Conn) reserve(n uint32) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reserveLocked(n)
}

func (c *Conn) reserveLocked(n uint32) uint32 {
	first := c.nextXID
	if first+n < first || first == 0 {
		first = 1 // 0 is the xid of unsolicited messages
	}
	c.nextXID = first + n
	return first
}

// expect reserves n xids, whose answers go to handle: in the reader's goroutine, one
// after the other. handle must not keep body. The caller must call forget.
func (c *Conn) expect(n int, handle func(h ofp.Header, body []byte)) *call {
	k := &call{news: make(chan struct{}, 1), handle: handle}
	c.mu.Lock()
	defer c.mu.Unlock()
	k.first = c.reserveLocked(uint32(n))
	k.last = k.first + uint32(n) - 1
	c.calls = append(c.calls, k)
	return k
}

// forget ends a call: its handle does not run any more.
func (c *Conn) forget(k *call) {
	c.mu.Lock()
	if i := slices.Index(c.calls, k); i >= 0 {
		c.calls = slices.Delete(c.calls, i, i+1)
	}
	c.mu.Unlock()
	k.mu.Lock()
	k.handle = nil
	k.mu.Unlock()
}

// locked runs f when no answer is being handled.
func (k *call) locked(f func() bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return f()
}

// wait returns when ready returns true, or an error when ctx or the connection ends
// first, or no answer comes within the timeout.
func (c *Conn) wait(ctx context.Context, k *call, ready func() bool) error {
	timer := time.NewTimer(c.cfg.Timeout)
	defer timer.Stop()
	for !k.locked(ready) {
		select {
		case <-k.news:
			timer.Reset(c.cfg.Timeout)
		case <-timer.C:
			return fmt.Errorf("the switch did not answer for %s: %w", c.cfg.Timeout, os.ErrDeadlineExceeded)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.done:
			if k.locked(ready) { // the reader may have handled the last answer meanwhile
				return nil
			}
			return c.Err()
		}
	}
	return nil
}

// refusal is the switch's error to one of several messages.
type refusal struct {
	index int
	err   error
}

// confirm sends n messages without replies, then a barrier, and returns the switch's
// refusals once it has processed them all. encode appends message i.
func (c *Conn) confirm(ctx context.Context, n int, encode func(b []byte, i int, xid uint32) ([]byte, error)) ([]refusal, error) {
	var refused []refusal
	var done bool
	var k *call
	k = c.expect(n+1, func(h ofp.Header, body []byte) {
		switch {
		case done:
		case h.Type == ofp.TypeError:
			refused = append(refused, refusal{int(h.XID - k.first), decodeError(body)})
			done = h.XID == k.last
		case h.Type == ofp.TypeBarrierReply:
			done = true
		}
	})
	defer c.forget(k)
	b := c.buffer()
	for i := range n {
		var err error
		if b, err = encode(b, i, k.first+uint32(i)); err != nil {
			return nil, err
		}
	}
	if err := c.send(ctx, ofp.AppendBarrierRequest(b, k.last)); err != nil {
		return nil, err
	}
	if err := c.wait(ctx, k, func() bool { return done }); err != nil {
		return nil, err
	}
	return refused, nil
}

// decodeError returns the switch's error, or the error of decoding it.
func decodeError(body []byte) error {
	e, err := ofp.DecodeError(body)
	if err != nil {
		return err
	}
	return e
}

// Barrier returns when the switch has processed all that this connection sent.
func (c *Conn) Barrier(ctx context.Context) error {
	refused, err := c.confirm(ctx, 0, nil)
	if err == nil && len(refused) > 0 {
		err = refused[0].err
	}
	if err != nil {
		return fmt.Errorf("openflow barrier: %w", err)
	}
	return nil
}
