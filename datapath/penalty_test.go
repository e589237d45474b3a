package datapath

import (
	"maps"
	"testing"
	"time"
)

func TestFlowsByPort(t *testing.T) {
	v := &vswitchd{answers: map[string]string{
		"upcall/show": "netdev@ovs-netdev:\n  flows         : (current 189000) (avg 4) (max 6) (limit 200000)\n  offloaded flows : 0\n",
		"dpif/show":   "netdev@ovs-netdev: hit:5 missed:2\n  br-int:\n    br-int 65534/1: (tap)\n    br-int-x2 4/none: (patch: peer=x)\n    ovlab 3/4: (system)\n    ovlcd 12/7: (system)\n    vx0 1/6: (vxlan: key=flow)\n  br-phy:\n    eth1 3/9: (system)\n",
		"dpctl/dump-flows": "flow-dump from the main thread:\n" +
			"recirc_id(0),in_port(4),packet_type(ns=0,id=0),eth(dst=02:00:00:00:00:01),eth_type(0x0800), packets:0, actions:drop\n" +
			"recirc_id(0x5),in_port(4),eth_type(0x0800), packets:0, actions:drop\n" +
			"recirc_id(0),in_port(9),eth_type(0x0800), packets:0, actions:drop\n" +
			"recirc_id(0),tunnel(tun_id=0x1),in_port(6),eth_type(0x0800), packets:0, actions:7\n",
	}}
	d := of(v, false)
	if n, err := d.Flows(t.Context()); n != 189000 || err != nil {
		t.Errorf("flows: %d, %v", n, err)
	}
	got, err := d.FlowsByPort(t.Context(), "br-int")
	if want := map[uint32]int{3: 2, 1: 1}; err != nil || !maps.Equal(got, want) {
		t.Errorf("by port %v, want %v; %v", got, want, err)
	}
}

func TestPenalties(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var j judge
	if j.suspicious(at(0), 50000) {
		t.Error("the first look is no growth")
	}
	j = judge{}
	for i, c := range []struct {
		flows int
		want  bool
	}{{100, false}, {1900, false}, {2000, false}, {12000, true}} {
		if got := j.suspicious(at(i), c.flows); got != c.want {
			t.Errorf("look %d at %d flows: %t", i, c.flows, got)
		}
	}
	if got := j.charge(at(3), map[uint32]int{3: 11000, 4: 300}); len(got) != 1 || got[0] != 3 {
		t.Fatalf("charged %v", got)
	}
	if got := j.charge(at(5), map[uint32]int{3: 11000}); len(got) != 0 {
		t.Errorf("charged again for what it left: %v", got)
	}
	if s := j.standing(at(10)); len(s) != 1 || s[3].Flows != 11000 {
		t.Errorf("in force %v", s)
	}
	if s := j.standing(at(34)); len(s) != 0 {
		t.Errorf("it does not end: %v", s)
	}
	j.charge(at(40), map[uint32]int{3: 9000})
	if s := j.standing(at(99)); len(s) != 1 {
		t.Error("the second is not longer")
	}
	if s := j.standing(at(101)); len(s) != 0 {
		t.Error("the second does not end")
	}
	j.standing(at(3000))
	j.charge(at(3000), map[uint32]int{3: 9000})
	if s := j.standing(at(3031)); len(s) != 0 {
		t.Error("old penalties are not forgotten")
	}

	// Many ports with few flows each are no attack, and are not counted again and again.
	j = judge{}
	j.suspicious(at(0), 0)
	if !j.suspicious(at(1), 30000) {
		t.Error("not looked at")
	}
	if got := j.charge(at(1), map[uint32]int{1: 1000, 2: 1000}); len(got) != 0 || j.suspicious(at(2), 60000) || !j.suspicious(at(32), 90000) {
		t.Errorf("charged %v, or counted again at once", got)
	}
}
