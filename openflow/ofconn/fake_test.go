package ofconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ovloom/ovloom/openflow/ofp"
)

// fake is a switch at the level of messages. It does what a good switch does, but
// for what a test makes it do.
type fake struct {
	t      *testing.T
	conn   net.Conn
	framer *framer

	// handle is asked first; true: the message has been dealt with. Set before serve.
	handle func(h ofp.Header, body []byte) bool

	mu sync.Mutex
	// Guarded by mu.
	steps []string // of bundles: "open 1", "add 1", …
}

// startFake starts a switch for one connection and returns its address. script runs
// when the connection is set up.
func startFake(t *testing.T, script func(f *fake)) (addr string, f *fake) {
	return startFakeWith(t, func(f *fake) {
		if f.setUp() {
			script(f)
		}
	})
}

// startFakeWith is startFake for scripts that do the set-up too.
func startFakeWith(t *testing.T, script func(f *fake)) (addr string, f *fake) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f = &fake{t: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		f.conn, f.framer = conn, newFramer(conn)
		script(f)
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return "unix:" + path, f
}

// dialFake returns a connection to a switch that runs script.
func dialFake(t *testing.T, cfg Config, script func(f *fake)) (*Conn, *fake) {
	t.Helper()
	addr, f := startFake(t, script)
	c, err := Dial(t.Context(), addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, f
}

// setUp answers up to the barrier that ends the set-up.
func (f *fake) setUp() bool {
	f.conn.Write(ofp.AppendHello(nil, 1))
	for {
		h, body, err := f.framer.next()
		if err != nil {
			return false
		}
		f.good(h, body)
		if h.Type == ofp.TypeBarrierRequest {
			return true
		}
	}
}

// serve is a good switch, but for handle, until the connection ends.
func (f *fake) serve() {
	for {
		h, body, err := f.framer.next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed) {
				f.t.Logf("the fake switch ends: %v", err)
			}
			return
		}
		if f.handle == nil || !f.handle(h, body) {
			f.good(h, body)
		}
	}
}

// good does what a good switch does.
func (f *fake) good(h ofp.Header, body []byte) {
	switch h.Type {
	case ofp.TypeEchoRequest:
		f.reply(ofp.TypeEchoReply, h.XID, body)
	case ofp.TypeFeaturesRequest:
		f.reply(ofp.TypeFeaturesReply, h.XID, make([]byte, 24))
	case ofp.TypeBarrierRequest:
		f.reply(ofp.TypeBarrierReply, h.XID, nil)
	case ofp.TypeBundleControl:
		id, step := f.note(body)
		f.reply(ofp.TypeBundleControl, h.XID, bundleBody(id, step+1))
	case ofp.TypeBundleAdd:
		f.noteAdd(body)
	}
}

// note notes a step of a bundle.
func (f *fake) note(body []byte) (uint32, ofp.BundleControl) {
	id, step, err := ofp.DecodeBundleControl(body)
	if err != nil {
		f.t.Errorf("bundle-control: %v", err)
	}
	f.add(fmt.Sprintf("%s %d", map[ofp.BundleControl]string{
		ofp.BundleOpen: "open", ofp.BundleClose: "close", ofp.BundleCommit: "commit", ofp.BundleDiscard: "discard"}[step], id))
	return id, step
}

func (f *fake) noteAdd(body []byte) {
	id, _, err := ofp.DecodeBundleAdd(body)
	if err != nil {
		f.t.Errorf("bundle-add-message: %v", err)
	}
	f.add(fmt.Sprintf("add %d", id))
}

func (f *fake) add(step string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps = append(f.steps, step)
}

// did returns the steps of bundles so far.
func (f *fake) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.steps)
}

// bundleBody is the body of a bundle-control message.
func bundleBody(id uint32, step ofp.BundleControl) []byte {
	return ofp.AppendBundleControl(nil, 0, id, step)[ofp.HeaderLen:]
}

// reply sends a message.
func (f *fake) reply(kind ofp.Type, xid uint32, body []byte) {
	b := []byte{ofp.Version, byte(kind), 0, 0}
	b = binary.BigEndian.AppendUint32(b, xid)
	b = append(b, body...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	f.conn.Write(b) // an error shows in what the test waits for
}

// refuse sends an error.
func (f *fake) refuse(xid uint32, kind, code uint16) {
	b := binary.BigEndian.AppendUint16(nil, kind)
	f.reply(ofp.TypeError, xid, binary.BigEndian.AppendUint16(b, code))
}

// part sends one part of a multipart reply.
func (f *fake) part(xid uint32, kind ofp.MultipartType, more bool, body []byte) {
	b := binary.BigEndian.AppendUint16(nil, uint16(kind))
	b = append(b, 0, 0, 0, 0, 0, 0)
	if more {
		b[3] = 1
	}
	f.reply(ofp.TypeMultipartReply, xid, append(b, body...))
}

// waitDone fails if the connection does not end.
func waitDone(t *testing.T, c *Conn) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection did not end within 10 s")
	}
}
