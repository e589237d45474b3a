package datapath

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ovloom/ovloom/openflow"
)

func TestFlowsByPort(t *testing.T) {
	v := &vswitchd{answers: map[string]string{
		"coverage/read-counter": "60205\n",
		"upcall/show":           "netdev@ovs-netdev:\n  flows         : (current 189000) (avg 4) (max 6) (limit 200000)\n  offloaded flows : 0\n",
		"dpif/show":             "netdev@ovs-netdev: hit:5 missed:2\n  br-int:\n    br-int 65534/1: (tap)\n    br-int-x2 4/none: (patch: peer=x)\n    ovlab 3/4: (system)\n    ovlcd 12/7: (system)\n    vx0 1/6: (vxlan: key=flow)\n  br-phy:\n    eth1 3/9: (system)\n",
		"dpctl/dump-flows": "flow-dump from the main thread:\n" +
			"recirc_id(0),in_port(4),packet_type(ns=0,id=0),eth(dst=02:00:00:00:00:01),eth_type(0x0800), packets:0, actions:drop\n" +
			"recirc_id(0x5),in_port(4),eth_type(0x0800), packets:5, bytes:300, used:0.1s, actions:drop\n" +
			"recirc_id(0),in_port(9),eth_type(0x0800), packets:0, actions:drop\n" +
			"recirc_id(0),in_port(7),eth_type(0x0806),arp(op=1), packets:10261, bytes:430962, used:0.547s, actions:userspace(pid=0,slow_path(action))\n" +
			"recirc_id(0),tunnel(tun_id=0x1),in_port(6),eth_type(0x0800), packets:0, actions:7\n",
	}}
	d := of(v, false)
	if n, err := d.Flows(t.Context()); n != 189000 || err != nil {
		t.Errorf("flows: %d, %v", n, err)
	}
	if n, err := d.Translations(t.Context()); n != 60205 || err != nil {
		t.Errorf("translations: %d, %v", n, err)
	}
	got, err := d.FlowsByPort(t.Context(), "br-int")
	if want := map[uint32]FlowCount{3: {All: 2, Idle: 1}, 12: {All: 1, Slow: 10261}, 1: {All: 1, Idle: 1}}; err != nil || !maps.Equal(got, want) {
		t.Errorf("by port %v, want %v; %v", got, want, err)
	}
}

func TestPenalties(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	idle := func(n int) FlowCount { return FlowCount{All: n, Idle: n} }
	var j judge
	if j.suspicious(at(0), 50000) {
		t.Error("the first look is no growth")
	}
	j = judge{}
	for _, c := range []struct {
		at    float64
		flows int
		want  bool
	}{{0, 100, false}, {0.1, 1400, false}, {0.2, 1500, true}, {0.3, 1550, false}, {2.3, 3500, false}, {2.5, 3750, true}} {
		if got := j.suspicious(at(c.at), c.flows); got != c.want {
			t.Errorf("look after %v s at %d flows: %t", c.at, c.flows, got)
		}
	}
	if got := j.charge(at(3), map[uint32]FlowCount{3: idle(11000), 4: idle(300)}); len(got) != 1 || got[0] != 3 {
		t.Fatalf("charged %v", got)
	}
	if got := j.charge(at(5), map[uint32]FlowCount{3: idle(11000)}); len(got) != 0 {
		t.Errorf("charged again for what it left: %v", got)
	}
	if s := j.standing(at(10)); len(s) != 1 || s[3].Flows != 11000 {
		t.Errorf("in force %v", s)
	}
	if s := j.standing(at(34)); len(s) != 0 {
		t.Errorf("it does not end: %v", s)
	}
	j.charge(at(40), map[uint32]FlowCount{3: idle(9000)})
	if s := j.standing(at(99)); len(s) != 1 {
		t.Error("the second is not longer")
	}
	if s := j.standing(at(101)); len(s) != 0 {
		t.Error("the second does not end")
	}
	j.standing(at(3000))
	j.charge(at(3000), map[uint32]FlowCount{3: idle(9000)})
	if s := j.standing(at(3031)); len(s) != 0 {
		t.Error("old penalties are not forgotten")
	}

	// Who talks to many for long is no flood, up to a point.
	j = judge{}
	if got := j.charge(at(0), map[uint32]FlowCount{1: {All: 4000, Idle: 1000}, 2: {All: 1500, Idle: 1300}, 3: {All: 6000}}); !slices.Equal(got, []uint32{2, 3}) {
		t.Errorf("charged %v", got)
	}

	// Many ports with few flows each are no attack, and are not counted again and again:
	// only when there are many more.
	j = judge{}
	j.suspicious(at(0), 0)
	if !j.suspicious(at(1), 30000) {
		t.Error("not looked at")
	}
	if got := j.charge(at(1), map[uint32]FlowCount{1: idle(1000), 2: idle(1000)}); len(got) != 0 || j.suspicious(at(2), 44000) || !j.suspicious(at(32), 46000) {
		t.Errorf("charged %v, or counted again at once", got)
	}
	// A flood that had just begun when ports were counted is found when it has grown.
	j = judge{}
	j.suspicious(at(0), 0)
	if !j.suspicious(at(0.15), 2000) {
		t.Error("not looked at")
	}
	if got := j.charge(at(0.2), map[uint32]FlowCount{1: idle(1100)}); len(got) != 0 {
		t.Errorf("charged %v", got)
	}
	if !j.suspicious(at(0.3), 4000) {
		t.Error("a flood that goes on growing is not counted for half a minute")
	}
}

func TestPenaltiesForQuestions(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	slow := func(n uint64) map[uint32]FlowCount {
		return map[uint32]FlowCount{3: {All: 1, Slow: n}, 4: {All: 1, Slow: 70}}
	}
	var j judge
	if j.slow.suspicious(at(0), 1000000) {
		t.Error("the first look is no growth")
	}
	if j.slow.suspicious(at(1), 1000500) {
		t.Error("500 a second are no flood")
	}
	if j.slow.suspicious(at(2), 10) {
		t.Error("ovs-vswitchd started anew, and that is taken for growth")
	}
	if !j.slow.suspicious(at(3), 5010) {
		t.Fatal("5,000 a second are none")
	}
	if got := j.chargeSlow(at(3), slow(100000)); len(got) != 0 {
		t.Errorf("charged %v at the first count, whatever was before", got)
	}
	if j.slow.suspicious(at(3.1), 5010) {
		t.Error("counted a second time before there is anything to tell")
	}
	if !j.slow.suspicious(at(3.3), 5010) {
		t.Fatal("not counted a second time")
	}
	if got := j.chargeSlow(at(3.3), slow(101500)); !slices.Equal(got, []uint32{3}) {
		t.Fatalf("charged %v", got)
	}
	if s := j.standing(at(10)); len(s) != 1 || s[3].Asked != 5000 || s[3].Flows != 0 {
		t.Errorf("in force %v", s)
	}
	if s := j.standing(at(34)); len(s) != 0 {
		t.Errorf("it does not end: %v", s)
	}
	// Nobody's: the tables were passed for other reasons. Where there are few flows it is
	// soon looked at again.
	for _, c := range []struct {
		at    float64
		flows int
		again float64
	}{{40, 1, 2}, {50, 20000, 30}} {
		if !j.slow.suspicious(at(c.at), uint64(c.at)*1e5) {
			t.Fatal("not looked at")
		}
		few := map[uint32]FlowCount{3: {All: c.flows, Slow: 100}}
		j.chargeSlow(at(c.at), few)
		few[3] = FlowCount{All: c.flows, Slow: 110}
		if got := j.chargeSlow(at(c.at+0.3), few); len(got) != 0 {
			t.Errorf("charged %v for 30 packets a second", got)
		}
		if j.slow.suspicious(at(c.at+c.again), uint64(c.at)*1e5+1e5) {
			t.Errorf("with %d flows, counted again too soon", c.flows)
		}
		if !j.slow.suspicious(at(c.at+c.again+1), uint64(c.at)*1e5+2e5) {
			t.Errorf("with %d flows, not counted again", c.flows)
		}
	}
}

// A port that makes too many cached flows is told of once, and once more when its penalty
// has ended.
func TestWatchTellsOfPenalties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vswitchd{answers: map[string]string{
			"upcall/show":           "netdev@ovs-netdev:\n  flows         : (current 30000) (avg 1) (max 1) (limit 200000)\n",
			"coverage/read-counter": "0\n",
			"dpif/show":             "netdev@ovs-netdev: hit:1 missed:1\n  br-int:\n    ovl1 7/3: (system)\n    ovl2 8/4: (system)\n",
			"dpctl/dump-flows":      strings.Repeat("in_port(3), packets:0, actions:drop\n", portMost) + "in_port(4), packets:9, actions:drop\n",
		}}
		w := NewWatch(of(v, false), "br-int", slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		told := make(chan map[openflow.PortNo]bool, 10)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = w.Keep(ctx, func(_ context.Context, ports map[openflow.PortNo]bool) { told <- ports })
		}()
		if got := <-told; len(got) != 1 || !got[7] {
			t.Errorf("told of %v, want port 7", got)
		}
		if p := w.Penalties(); p[7].Flows != portMost {
			t.Errorf("penalties: %v", p)
		}
		v.mu.Lock()
		v.answers["upcall/show"] = "netdev@ovs-netdev:\n  flows         : (current 10) (avg 1) (max 1) (limit 200000)\n"
		v.mu.Unlock()
		began := time.Now()
		if got := <-told; len(got) != 0 || time.Since(began) > penaltyFirst+watchEvery {
			t.Errorf("told of %v after %s", got, time.Since(began))
		}
		stop()
		<-done
	})
}
