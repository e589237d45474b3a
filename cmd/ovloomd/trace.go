// Following packets that are not sent, for ovloom trace: through this host's switch,
// for itself and for other hosts, and from host to host.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ovloom/ovloom/controller"
	"github.com/ovloom/ovloom/explain"
	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/loop"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/ovsdb"
	"github.com/ovloom/ovloom/pipeline"
	"github.com/ovloom/ovloom/store"
	"github.com/ovloom/ovloom/unixctl"
)

// traceTopic is what hosts ask each other for.
const traceTopic = "part of a trace"

// traceLink traces.
type traceLink struct {
	*daemon
	vswitchd *unixctl.Client
}

func newTraceLink(d *daemon) *traceLink {
	return &traceLink{d, unixctl.New(d.cfg.OVSRunDir, "ovs-vswitchd")}
}

// traceAnswer is what one host tells another.
type traceAnswer struct {
	Hop   intent.TraceHop `json:"hop"`
	Error *intent.Error   `json:"error,omitempty"`
}

// keep does this host's part of other hosts' traces, until ctx ends.
func (l *traceLink) keep(ctx context.Context) error {
	loop.Watch(ctx, l.log, "other hosts' questions", func(ctx context.Context) error {
		return l.store.WatchQuestions(ctx, l.cfg.HostName, func(q store.Question) {
			switch q.Topic { // of another, that of a newer ovloomd, it hears that it gets no answer
			case traceTopic:
				go l.answer(ctx, q)
			case byHandTopic:
				go l.answerByHand(ctx, q)
			}
		})
	})
	return nil
}

func (l *traceLink) answer(ctx context.Context, q store.Question) {
	var r explain.Request
	var a traceAnswer
	err := json.Unmarshal(q.Body, &r)
	if err == nil {
		a.Hop, err = l.local(ctx, r)
	}
	if err != nil && !errors.As(err, &a.Error) {
		a.Error = &intent.Error{Kind: intent.Unavailable, What: err.Error()}
	}
	l.reply(ctx, q, a)
}

// reply answers another host.
func (l *traceLink) reply(ctx context.Context, q store.Question, answer any) {
	body, err := json.Marshal(answer)
	if err == nil {
		err = l.store.Answer(ctx, l.cfg.HostName, q, body)
	}
	if err != nil && ctx.Err() == nil && intent.KindOf(err) != intent.NotFound {
		l.log.Warn("cannot answer another host", "about", q.Topic, "error", err)
	}
}

// trace implements api.Backend.
func (l *traceLink) trace(ctx context.Context, q intent.TraceQuery) (intent.Trace, error) {
	r := reader{Store: l.store, link: l.presence}
	return explain.Tracer{Snapshot: r.Snapshot, Hosts: l.hosts, Externals: r.Externals, Hop: l.hop}.Trace(ctx, q)
}

// hosts returns all hosts, or that the store is down, for which it is not waited.
func (l *traceLink) hosts(ctx context.Context) ([]intent.HostState, error) {
	if err := l.presence.Down(); err != nil {
		return nil, err
	}
	return l.store.Hosts(ctx)
}

// hop has a host do its part of a trace.
func (l *traceLink) hop(ctx context.Context, host string, r explain.Request) (intent.TraceHop, error) {
	if host == l.cfg.HostName {
		return l.local(ctx, r)
	}
	if err := l.presence.Down(); err != nil {
		return intent.TraceHop{}, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return intent.TraceHop{}, err
	}
	raw, err := l.store.Ask(ctx, host, traceTopic, body)
	if err != nil {
		return intent.TraceHop{}, err
	}
	var a traceAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return a.Hop, err
	}
	if a.Error != nil {
		return a.Hop, a.Error
	}
	return a.Hop, nil
}

// local traces through this host's switch.
func (l *traceLink) local(ctx context.Context, r explain.Request) (intent.TraceHop, error) {
	status, err := l.controller.Status(ctx)
	if err != nil {
		return intent.TraceHop{}, err
	}
	objects, err := l.controller.Objects(ctx)
	if err != nil {
		return intent.TraceHop{}, err
	}
	s := explain.Switch{
		Host: l.cfg.HostName, VTEP: l.host.VTEP, Bridge: l.cfg.Bridge, Tunnel: l.link.Tunnel(),
		Ports: map[of.PortNo]explain.Attached{}, Externals: map[uint32]intent.External{},
		Call:   l.vswitchd.Call,
		Object: func(c pipeline.Cookie) string { return objects[c] },
		Note:   l.notes(ctx),
		Room: func(cookie uint64, limit uint32, mac intent.MAC) bool {
			return l.room(ctx, cookie, limit, mac)
		},
		Forward: l.exit.Forward,
	}
	for _, p := range status.Ports {
		if p.OFPort != 0 {
			s.Ports[p.OFPort] = explain.Attached{Port: p.Ref.String()}
		}
	}
	for _, i := range l.db.Interfaces(l.cfg.Bridge) {
		if i.Uplink != "" && i.OFPort > 0 {
			s.Ports[of.PortNo(i.OFPort)] = uplink(i)
		}
	}
	externals, err := reader{Store: l.store, link: l.presence}.Externals(ctx)
	if err != nil {
		l.log.Debug("externals without names in a trace", "error", err)
	}
	for _, e := range externals {
		s.Externals[e.VNI()] = e
	}
	return s.Trace(ctx, r)
}

// uplink says where an interface leads that leaves the overlay.
func uplink(i ovsdb.Interface) explain.Attached {
	if bridge, ok := strings.CutPrefix(i.Uplink, "bridge:"); ok {
		return explain.Attached{Uplink: "bridge " + bridge, Bridge: bridge}
	}
	return explain.Attached{Uplink: fmt.Sprintf("the host's own routing (%s)", i.Name)}
}

// room says whether the switch has learned a MAC address with a cookie, or may learn
// one more.
func (l *traceLink) room(ctx context.Context, cookie uint64, limit uint32, mac intent.MAC) bool {
	conn, err := l.link.Conn()
	if err != nil {
		return false
	}
	learned, err := conn.Flows(ctx, ofconn.FlowFilter{Cookie: cookie, CookieMask: ^uint64(0)})
	if err != nil {
		l.log.Debug("what is learned is not known to a trace", "error", err)
		return false
	}
	if uint32(len(learned)) < limit {
		return true
	}
	for _, f := range learned {
		for _, t := range f.Match.Terms {
			if t.Field == of.FieldEthDst && t.Value == of.BitsOfMAC(mac) {
				return true
			}
		}
	}
	return false
}

// notes returns what tells of a flow what it is for. It asks the controller once for
// each object.
func (l *traceLink) notes(ctx context.Context) func(of.Flow) string {
	known := controller.Notes{}
	return func(f of.Flow) string {
		owner := pipeline.Cookie(f.Cookie)
		if _, asked := known[owner]; !asked {
			notes, err := l.controller.Notes(ctx, map[pipeline.Cookie]bool{owner: true})
			if err != nil {
				l.log.Debug("flows without notes in a trace", "error", err)
			}
			known[owner] = notes[owner]
		}
		return words(f, known)
	}
}
