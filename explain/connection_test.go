package explain

import (
	"context"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

// Open vSwitch does not say which connection a traced packet belongs to, nor where it goes
// behind connection tracking when a path is recirculated.
func TestConnectionOfAForward(t *testing.T) {
	const flow = "udp,reg0=0x200,reg1=0x9,metadata=0x1fff002,in_port=9,vlan_tci=0x0000,dl_src=02:00:5e:00:53:01,dl_dst=0e:0e:00:00:00:02,nw_src=203.0.113.5,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=5038,"
	texts := []string{`Flow: ` + flow + `nw_dst=203.0.113.13,tp_dst=8080

bridge("br-int")
----------------
 2. ip,nw_dst=203.0.113.13, priority 40
    ct(table=6,zone=16384,nat)
    nat
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table 6.

Final flow: unchanged
Datapath actions: ct(zone=16384,nat),recirc(0x58)

===============================================================================
recirc(0x58) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)
Replacing src/dst IP/ports to simulate NAT:
 Initial flow: 
 Modified flow: 
===============================================================================

Flow: recirc_id=0x58,ct_state=new|trk,ct_zone=16384,eth,` + flow + `nw_dst=203.0.113.13,tp_dst=8080

bridge("br-int")
----------------
    thaw
        Resuming from table 6
 6. priority 0
    drop

Final flow: unchanged
Datapath actions: drop
`, `Flow: ct_state=new|trk,ct_zone=16384,` + flow + `nw_dst=203.0.113.13,tp_dst=8080

bridge("br-int")
----------------
    resubmit(,6)
 6. ct_state=+new+trk,ip,nw_dst=203.0.113.13, priority 20
    ct(commit,table=56,zone=16384,nat(dst=10.0.1.3:9))
    nat(dst=10.0.1.3:9)
     -> A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table 56.

Final flow: unchanged
Datapath actions: ct(commit,zone=16384,nat(dst=10.0.1.3:9)),recirc(0x59)

===============================================================================
recirc(0x59) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)
Replacing src/dst IP/ports to simulate NAT:
 Initial flow: nw_src=203.0.113.5,tp_src=5038,nw_dst=203.0.113.13,tp_dst=8080
 Modified flow: nw_src=203.0.113.5,tp_src=5038,nw_dst=10.0.1.3,tp_dst=9
===============================================================================

Flow: recirc_id=0x59,ct_state=new|trk,ct_zone=16384,eth,` + flow + `nw_dst=10.0.1.3,tp_dst=9

bridge("br-int")
----------------
thaw
     >>>> Recirculation conflict (actions)! <<<<

Final flow: unchanged
Datapath actions: drop
Translation failed (Recirculation conflict), packet is dropped.
`, `Flow: ct_state=new|trk,ct_zone=16384,` + flow + `nw_dst=10.0.1.3,tp_dst=9

bridge("br-int")
----------------
    resubmit(,56)
56. ip, priority 10
    output:2

Final flow: unchanged
Datapath actions: 2
`}
	wants := [][]string{nil,
		{"resubmit(,6)", "ct_state=new|trk", "ct_nw_proto=17", "ct_nw_dst=203.0.113.13", "ct_tp_dst=8080", "nw_dst=203.0.113.13,", "metadata=0x1fff002", "in_port=9"},
		{"resubmit(,56)", "ct_nw_dst=203.0.113.13", "ct_tp_dst=8080", ",nw_dst=10.0.1.3", "udp_dst=9"},
	}
	calls := 0
	s := testSwitch("")
	s.Call = func(_ context.Context, _ string, params ...string) (string, error) {
		if calls == len(texts) {
			t.Fatalf("asked once more: %v", params)
		}
		for _, want := range wants[calls] {
			if !strings.Contains(strings.Join(params, " "), want) {
				t.Errorf("call %d has no %s: %v", calls, want, params)
			}
		}
		calls++
		return texts[calls-1], nil
	}
	hop, err := s.Trace(t.Context(), Request{External: "campus", Packet: "udp,nw_src=203.0.113.5,nw_dst=203.0.113.13,udp_src=5038,udp_dst=8080"})
	if err != nil || calls != len(texts) || len(hop.Ends) != 1 || hop.Ends[0].Port != "acme/web/a" {
		t.Fatalf("%d calls, %v: %+v", calls, err, hop)
	}
	var all []string
	for _, step := range hop.Steps {
		all = append(all, step.Table+": "+step.Words)
	}
	if got := strings.Join(all, "\n"); !strings.Contains(got, "destination 203.0.113.13 port 8080 becomes 10.0.1.3 port 9") || strings.Contains(got, "priority 0") {
		t.Errorf("the steps are\n%s", got)
	}
}

// Packets larger than a check allows take another path.
func TestLarger(t *testing.T) {
	text := strings.Replace(recorded(t)["larger"], "    84. priority 0\n            output:3\n", "    84. reg0=0x20/0x20, priority 5\n            output:9\n", 1)
	for size, want := range map[int]intent.TraceVerdict{0: intent.TraceDelivered, 1386: intent.TraceDelivered, 1387: intent.TraceLeft} {
		r := Request{Port: &intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, Packet: "ip,nw_ttl=64", Size: size}
		hop, err := testSwitch(text).Trace(t.Context(), r)
		if err != nil || len(hop.Ends) != 1 || hop.Ends[0].Kind != want {
			t.Errorf("%d bytes: %+v, %v; want %s", size, hop.Ends, err, want)
		}
	}
}
