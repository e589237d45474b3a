package ofp_test

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// wire is a bare OpenFlow connection to a switch: just enough to send what the
// package encodes and to read what it decodes.
type wire struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dial connects to a private switch and says hello.
func dial(t testing.TB, s *ovstest.Switch) *wire {
	t.Helper()
	conn, err := net.Dial("unix", s.Mgmt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	w := &wire{t, conn, bufio.NewReader(conn)}
	w.send(ofp.AppendHello(nil, 0))
	return w
}

func (w *wire) send(b []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// receive reads one message.
func (w *wire) receive() (ofp.Header, []byte) {
	w.t.Helper()
	head := make([]byte, ofp.HeaderLen)
	if _, err := io.ReadFull(w.in, head); err != nil {
		w.t.Fatal(err)
	}
	h, err := ofp.DecodeHeader(head)
	if err != nil {
		w.t.Fatal(err)
	}
	body := make([]byte, int(h.Length)-len(head))
	if _, err := io.ReadFull(w.in, body); err != nil {
		w.t.Fatal(err)
	}
	return h, body
}

// apply sends changes, each with its number as xid, and returns what the switch
// refuses by that number.
func (w *wire) apply(mods ...openflow.Mod) map[int]error {
	w.t.Helper()
	refused := map[int]error{}
	var out []byte
	for i, m := range mods {
		var err error
		if out, err = ofp.AppendMod(out, uint32(i+1), m); err != nil {
			w.t.Fatalf("%s: %v", m, err)
		}
	}
	const last = 0xffffffff
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.conn.Write(ofp.AppendBarrierRequest(out, last))
	}()
	for {
		h, body := w.receive()
		switch h.Type {
		case ofp.TypeError:
			e, err := ofp.DecodeError(body)
			if err != nil {
				w.t.Fatal(err)
			}
			refused[int(h.XID)-1] = e
		case ofp.TypeBarrierReply:
			<-done
			return refused
		}
	}
}

// mustApply is apply for changes that the switch takes.
func (w *wire) mustApply(mods ...openflow.Mod) {
	w.t.Helper()
	for i, err := range w.apply(mods...) {
		w.t.Errorf("%s: %v", mods[i], err)
	}
}

// ask sends a multipart request and calls part with each part of the reply.
func (w *wire) ask(t ofp.MultipartType, request []byte, part func([]byte) error) {
	w.t.Helper()
	b, err := ofp.AppendMultipartRequest(nil, 7, t, request)
	if err != nil {
		w.t.Fatal(err)
	}
	w.send(b)
	for {
		h, body := w.receive()
		switch h.Type {
		case ofp.TypeError:
			e, _ := ofp.DecodeError(body)
			w.t.Fatalf("multipart request: %v", e)
		case ofp.TypeMultipartReply:
			_, p, more, err := ofp.DecodeMultipart(body)
			if err == nil {
				err = part(p)
			}
			if err != nil {
				w.t.Fatal(err)
			}
			if !more {
				return
			}
		}
	}
}

// flows dumps all flows of the switch.
func (w *wire) flows() []openflow.FlowStats {
	w.t.Helper()
	request, err := ofp.AppendFlowRequest(nil, &ofp.FlowFilter{Table: openflow.TableAll})
	if err != nil {
		w.t.Fatal(err)
	}
	var flows []openflow.FlowStats
	w.ask(ofp.MultipartFlowDesc, request, func(part []byte) error {
		more, err := ofp.DecodeFlowStats(part)
		flows = append(flows, more...)
		return err
	})
	return flows
}

// groups dumps all groups of the switch.
func (w *wire) groups() []openflow.Group {
	w.t.Helper()
	var groups []openflow.Group
	w.ask(ofp.MultipartGroupDesc, ofp.AppendGroupRequest(nil), func(part []byte) error {
		more, err := ofp.DecodeGroupDesc(part)
		groups = append(groups, more...)
		return err
	})
	return groups
}

// meters dumps all meters of the switch.
func (w *wire) meters() []openflow.Meter {
	w.t.Helper()
	var meters []openflow.Meter
	w.ask(ofp.MultipartMeterConfig, ofp.AppendMeterRequest(nil), func(part []byte) error {
		more, err := ofp.DecodeMeterConfig(part)
		meters = append(meters, more...)
		return err
	})
	return meters
}
