package ofconn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// unhex returns the bytes of a test's hex string.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Messages' bodies that a switch sends.
var (
	portBody    = unhex("00000003" + "00280000" + "0200000000050000" + "76657468310000000000000000000000" + "00000000" + "00000004")
	portStatus  = append(make([]byte, 8), portBody...)
	packetIn    = unhex("00002320" + "0000001e" + "00000006aabb0000")
	flowRemoved = unhex("0500" + "0064" + "000a" + "0000" + "0000000000000077" + "0001000400000000" + "0000000400000000")
	flowDesc    = unhex("0028" + "0000" + "05" + "00" + "0064" + "0000" + "0000" + "0000" + "0000" + "0000000000000077" + "0001000400000000" + "0000000400000000")
)

func TestADumpOfManyPartsAmongOtherMessages(t *testing.T) {
	const parts = 50
	ports := make(chan openflow.PortChange, 100*parts)
	packets := make(chan openflow.PacketIn, 100*parts)
	c, _ := dialFake(t, Config{PortChanges: ports, PacketIns: packets}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type != ofp.TypeMultipartRequest {
				return false
			}
			for i := range parts {
				f.part(h.XID, ofp.MultipartFlowDesc, i < parts-1, append(append([]byte{}, flowDesc...), flowDesc...))
				f.reply(ofp.TypePortStatus, 0, portStatus)
				f.reply(ofp.TypeExperimenter, 0, packetIn)
				f.reply(ofp.TypeEchoRequest, uint32(i), nil)
			}
			return true
		}
		f.serve()
	})
	flows, err := c.Flows(t.Context(), FlowFilter{Cookie: 0x77, CookieMask: ^uint64(0)}) // one slice
	if err != nil || len(flows) != 2*parts {
		t.Fatalf("%d flows, %v; want %d", len(flows), err, 2*parts)
	}
	if got := flows[99].Flow.String(); !strings.Contains(got, "cookie=0x77") {
		t.Errorf("flow %s", got)
	}
	eventually(t, "all that came between", func() bool { return len(ports) == parts && len(packets) == parts })
}

func TestDumpsThatGoWrong(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(f *fake, xid uint32)
		want   string
	}{
		{"error after the first part", func(f *fake, xid uint32) {
			f.part(xid, ofp.MultipartFlowDesc, true, flowDesc)
			f.refuse(xid, 1, 15)
		}, "multipart reply took too long (OFPBRC_MULTIPART_REPLY_TIMEOUT)"},
		{"answer to another question", func(f *fake, xid uint32) {
			f.part(xid, ofp.MultipartPortDesc, false, nil)
		}, "the switch answered with a multipart reply of kind 13, want kind 1"},
		{"part that cannot be read", func(f *fake, xid uint32) {
			f.part(xid, ofp.MultipartFlowDesc, true, flowDesc[:30])
			f.part(xid, ofp.MultipartFlowDesc, false, flowDesc)
		}, "says 40 bytes, 30 are there"},
		{"reply without a head", func(f *fake, xid uint32) {
			f.reply(ofp.TypeMultipartReply, xid, nil)
		}, "multipart reply: 0 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := dialFake(t, Config{}, func(f *fake) {
				f.handle = func(h ofp.Header, body []byte) bool {
					if h.Type == ofp.TypeMultipartRequest {
						test.answer(f, h.XID)
						return true
					}
					return false
				}
				f.serve()
			})
			flows, err := c.Flows(t.Context(), FlowFilter{})
			if err == nil || !strings.Contains(err.Error(), test.want) || flows != nil {
				t.Errorf("%d flows, error %v; want none and %s", len(flows), err, test.want)
			}
			if err := c.Barrier(t.Context()); err != nil {
				t.Errorf("the connection is of no more use: %v", err)
			}
		})
	}
}

func TestAVisitorEndsTheDump(t *testing.T) {
	c, _ := dialFake(t, Config{}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type == ofp.TypeMultipartRequest {
				f.part(h.XID, ofp.MultipartFlowDesc, false, append(append([]byte{}, flowDesc...), flowDesc...))
				return true
			}
			return false
		}
		f.serve()
	})
	enough := errors.New("enough")
	n := 0
	err := c.EachFlow(t.Context(), FlowFilter{}, func(openflow.FlowStats) error {
		n++
		return enough
	})
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d visits, error %v; want one", n, err)
	}
}

func TestFullChannelsDropAndCount(t *testing.T) {
	packets := make(chan openflow.PacketIn, 2)
	ports := make(chan openflow.PortChange, 1)
	removed := make(chan openflow.FlowRemoved, 1)
	c, _ := dialFake(t, Config{PacketIns: packets, PortChanges: ports, FlowsRemoved: removed}, func(f *fake) {
		for range 5 {
			f.reply(ofp.TypeExperimenter, 0, packetIn)
			f.reply(ofp.TypePortStatus, 0, portStatus)
			f.reply(ofp.TypeFlowRemoved, 0, flowRemoved)
		}
		f.serve()
	})
	if err := c.Barrier(t.Context()); err != nil { // and so all before has been dealt with
		t.Fatal(err)
	}
	if d := c.Dropped(); d != (Dropped{PacketIns: 3, PortChanges: 4, FlowsRemoved: 4}) {
		t.Errorf("dropped %+v", d)
	}
	if p := <-packets; string(p.Packet) != "\xaa\xbb" {
		t.Errorf("packet %x", p.Packet)
	}
	if r := <-removed; r.Flow.Cookie != 0x77 || r.Flow.Table != 5 {
		t.Errorf("removed %+v", r)
	}
	if p := <-ports; p.Port.Name != "veth1" || p.Port.Down || p.Port.LinkDown {
		t.Errorf("port %+v", p)
	}
}

// logged collects what a connection logs.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestWhatNobodyWaitsForIsLogged(t *testing.T) {
	var log logged
	c, _ := dialFake(t, Config{PortChanges: make(chan openflow.PortChange, 1), Log: slog.New(slog.NewTextHandler(&log, nil))}, func(f *fake) {
		f.refuse(0x7fff, 2, 9)
		f.reply(ofp.TypePortStatus, 0, portStatus[:10])
		f.reply(ofp.TypeExperimenter, 0, []byte{1, 2, 3, 4, 5, 6, 7, 8}) // of someone else: not worth a word
		f.serve()
	})
	if err := c.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OFPBAC_BAD_OUT_GROUP", "unreadable openflow message"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, log.String())
	}
}

func TestAnOldSwitchSaysThatItCannotFlushTuples(t *testing.T) {
	c, _ := dialFake(t, Config{}, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type == ofp.TypeExperimenter && body[7] == 32 { // NXT_CT_FLUSH
				f.refuse(h.XID, 1, 4)
			}
			return false
		}
		f.serve()
	})
	if err := c.CTFlush(t.Context(), openflow.Connections{Zone: 4}); err != nil {
		t.Errorf("flush of a zone: %v", err)
	}
	err := c.CTFlush(t.Context(), openflow.Connections{Zone: 4}, openflow.Connections{Zone: 5, Orig: openflow.Tuple{Proto: 6}})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "in zone 5") || strings.Contains(err.Error(), "in zone 4") {
		t.Errorf("flush of a tuple: %v", err)
	}
}

func TestEchoes(t *testing.T) {
	t.Run("a silent switch is given up", func(t *testing.T) {
		c, _ := dialFake(t, Config{EchoInterval: 20 * time.Millisecond}, func(f *fake) {
			f.handle = func(ofp.Header, []byte) bool { return true }
			f.serve()
		})
		waitDone(t, c)
		if err := c.Err(); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "did not answer an echo within 20ms") {
			t.Errorf("the connection ended with %v", err)
		}
	})
	t.Run("an idle one is kept", func(t *testing.T) {
		echoes := make(chan struct{}, 100)
		c, _ := dialFake(t, Config{EchoInterval: 20 * time.Millisecond}, func(f *fake) {
			f.handle = func(h ofp.Header, body []byte) bool {
				if h.Type == ofp.TypeEchoRequest {
					echoes <- struct{}{}
				}
				return false
			}
			f.serve()
		})
		for range 5 {
			receive(t, echoes)
		}
		if c.Err() != nil {
			t.Errorf("the connection ended with %v", c.Err())
		}
	})
	t.Run("the switch's own are answered", func(t *testing.T) {
		answers := make(chan string, 1)
		dialFake(t, Config{}, func(f *fake) {
			f.reply(ofp.TypeEchoRequest, 77, []byte("are you there"))
			f.handle = func(h ofp.Header, body []byte) bool {
				if h.Type == ofp.TypeEchoReply {
					answers <- fmt.Sprintf("%d %s", h.XID, body)
				}
				return false
			}
			f.serve()
		})
		if got := receive(t, answers); got != "77 are you there" {
			t.Errorf("answer %q", got)
		}
	})
}

func TestAStreamOfNoSense(t *testing.T) {
	for _, test := range []struct{ name, bytes, want string }{
		{"length shorter than a header", "0600000400000000", "shorter than a header"},
		{"another version", "0402000800000001", "OpenFlow version 0x4"},
		{"half a message", "0602000c00000001", "within a message"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, _ := dialFake(t, Config{}, func(f *fake) { f.conn.Write(unhex(test.bytes)) })
			waitDone(t, c)
			if err := c.Err(); !strings.Contains(err.Error(), test.want) {
				t.Errorf("the connection ended with %v, want %s", err, test.want)
			}
		})
	}
}

func TestHellosThatFail(t *testing.T) {
	for _, test := range []struct{ name, bytes, want string }{
		{"only older versions", "0100001000000001" + "000100080000001e", "does not offer OpenFlow 1.5"},
		{"an error", "0601000c00000001" + "00000000", "OFPHFC_INCOMPATIBLE"},
		{"no sense", "0600000c00000001" + "00010063", "hello: element says 99 bytes"},
		{"the end", "", "no hello from the switch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr, _ := startFakeWith(t, func(f *fake) {
				f.framer.next()
				f.conn.Write(unhex(test.bytes))
			})
			_, err := Dial(t.Context(), addr, Config{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Dial: %v, want %s", err, test.want)
			}
		})
	}
	t.Run("silence", func(t *testing.T) {
		wait := make(chan struct{})
		defer close(wait)
		addr, _ := startFakeWith(t, func(*fake) { <-wait })
		_, err := Dial(t.Context(), addr, Config{Timeout: 30 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "no hello from the switch: context deadline exceeded") {
			t.Errorf("Dial: %v", err)
		}
	})
}

func TestASwitchThatRefusesTheSetUp(t *testing.T) {
	addr, _ := startFakeWith(t, func(f *fake) {
		f.handle = func(h ofp.Header, body []byte) bool {
			if h.Type == ofp.TypeExperimenter && body[7] == 20 { // NXT_SET_CONTROLLER_ID
				f.refuse(h.XID, 1, 5)
			}
			return false
		}
		f.conn.Write(ofp.AppendHello(nil, 1))
		f.serve()
	})
	_, err := Dial(t.Context(), addr, Config{ControllerID: 3})
	if err == nil || !strings.Contains(err.Error(), "controller id: bad request: not permitted") {
		t.Errorf("Dial: %v", err)
	}
}

// FuzzFramer cuts any stream, also one that comes byte by byte, into the same
// messages.
func FuzzFramer(f *testing.F) {
	f.Add(ofp.AppendHello(ofp.AppendEchoRequest(nil, 1), 2))
	f.Add([]byte{6, 0, 0, 7, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		read := func(r io.Reader) (messages []string) {
			fr := newFramer(r)
			for {
				h, body, err := fr.next()
				if err != nil {
					return append(messages, err.Error())
				}
				messages = append(messages, fmt.Sprintf("%+v %x", h, body))
			}
		}
		whole := read(bytes.NewReader(stream))
		if single := read(iotest.OneByteReader(bytes.NewReader(stream))); fmt.Sprint(single) != fmt.Sprint(whole) {
			t.Errorf("byte by byte %q, at once %q", single, whole)
		}
	})
}

// FuzzDispatch gives any message to a connection on which everything is waited for.
func FuzzDispatch(f *testing.F) {
	for _, body := range [][]byte{portStatus, packetIn, flowRemoved, flowDesc, bundleBody(1, ofp.BundleClosed)} {
		for _, kind := range []ofp.Type{ofp.TypePortStatus, ofp.TypeExperimenter, ofp.TypeFlowRemoved, ofp.TypeMultipartReply, ofp.TypeBundleControl, ofp.TypeError} {
			f.Add(byte(kind), uint32(3), body)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, xid uint32, body []byte) {
		c := &Conn{cfg: Config{
			PacketIns: make(chan openflow.PacketIn, 1), PortChanges: make(chan openflow.PortChange, 1), FlowsRemoved: make(chan openflow.FlowRemoved, 1),
		}.withDefaults(), out: make(chan []byte, 1), nextXID: 1}
		ch := &chunk{mods: adds(0, 1)}
		ch.call = c.expect(xidMods+1, ch.answer)
		c.dispatch(ofp.Header{Version: ofp.Version, Type: ofp.Type(kind), XID: xid, Length: uint16(len(body) + ofp.HeaderLen)}, body)
		a := &applier{c: c}
		a.refuse(ch)
	})
}
