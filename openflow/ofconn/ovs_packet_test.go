package ofconn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
	"github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofp"
)

// These tests send packets through a real Open vSwitch.

// twoPorts adds the dummy ports p1 and p2 with numbers 1 and 2.
func twoPorts(s *ovstest.Switch) {
	for i := 1; i <= 2; i++ {
		s.Vsctl("add-port", "br0", fmt.Sprintf("p%d", i), "--", "set", "Interface", fmt.Sprintf("p%d", i), "type=dummy", fmt.Sprintf("ofport_request=%d", i))
	}
}

// arpIn lets an ARP request for 10.0.0.2 come in by a port.
func arpIn(s *ovstest.Switch, port string) {
	s.Appctl("netdev-dummy/receive", port, "in_port(1),eth(src=02:00:00:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),arp(sip=10.0.0.1,tip=10.0.0.2,op=1,sha=02:00:00:00:00:01,tha=00:00:00:00:00:00)")
}

// packetsOf returns how often the flow with this cookie was hit.
func packetsOf(t *testing.T, c *Conn, cookie uint64) uint64 {
	flows, err := c.Flows(t.Context(), FlowFilter{Cookie: cookie, CookieMask: ^uint64(0)})
	if err != nil || len(flows) != 1 {
		t.Fatalf("flow with cookie %#x: %v, %v", cookie, flows, err)
	}
	return flows[0].Packets
}

func TestPacketInPauseAndResume(t *testing.T) {
	s := ovstest.StartBridge(t)
	twoPorts(s)
	packets := make(chan openflow.PacketIn, 10)
	c := dialOVS(t, s, Config{ControllerID: 7, PacketIns: packets})
	silent := dialOVS(t, s, Config{PacketIns: make(chan openflow.PacketIn)}) // another id: must not get it
	if err := c.Apply(t.Context(), []openflow.Mod{
		&openflow.FlowMod{Flow: openflow.Flow{Priority: 5, Cookie: 0x11, Match: openflow.MatchOf(openflow.InPort(1)), Actions: []openflow.Action{
			openflow.Set(openflow.FieldReg4, 0xabcd),
			openflow.ToController{MaxLen: 0xffff, ID: 7, Reason: openflow.ReasonAction, Userdata: "who are you", Pause: true},
			openflow.Resubmit{InPort: openflow.PortInPort, Table: 3},
		}}},
		&openflow.FlowMod{Flow: openflow.Flow{Table: 3, Cookie: 0x22, Priority: 1,
			Match:   openflow.MatchOf(openflow.Exact(openflow.FieldReg4, 0xabcd), openflow.Exact(openflow.FieldReg5, 0x77)),
			Actions: []openflow.Action{openflow.Output{Port: 2}}}},
	}); err != nil {
		t.Fatal(err)
	}
	arpIn(s, "p1")
	p := receive(t, packets)
	if p.Userdata != "who are you" || p.Cookie != 0x11 || p.Table != 0 || p.Reason != openflow.ReasonAction || p.Continuation == "" {
		t.Errorf("packet-in %+v", p)
	}
	if len(p.Packet) != p.FullLen || string(p.Packet[:6]) != "\xff\xff\xff\xff\xff\xff" {
		t.Errorf("packet %x of %d bytes", p.Packet, p.FullLen)
	}
	if got := p.Metadata.String(); got != "reg4=0xabcd,in_port=1" {
		t.Errorf("metadata %s, want reg4=0xabcd,in_port=1", got)
	}
	// It waits; then it goes on with what the controller added.
	if n := packetsOf(t, c, 0x22); n != 0 {
		t.Errorf("the held packet went on before it was resumed: %d packets", n)
	}
	p.Metadata = openflow.MatchOf(append(p.Metadata.Terms, openflow.Exact(openflow.FieldReg5, 0x77))...)
	if err := c.Resume(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the resumed packet passes the second table", func() bool { return packetsOf(t, c, 0x22) == 1 })

	p.Continuation = p.Continuation[:len(p.Continuation)/2]
	var refused *ofp.Error
	if err := c.Resume(t.Context(), p); !errors.As(err, &refused) {
		t.Errorf("resume with half a continuation: %v, want an error of the switch", err)
	}
	if d := silent.Dropped(); d != (Dropped{}) {
		t.Errorf("the connection with another id got packet-ins: %+v", d)
	}
}

func TestPacketOut(t *testing.T) {
	s := ovstest.StartBridge(t)
	twoPorts(s)
	c := dialOVS(t, s, Config{})
	if err := c.Apply(t.Context(), []openflow.Mod{&openflow.FlowMod{Flow: openflow.Flow{Cookie: 0x33,
		Match: openflow.MatchOf(openflow.InPort(1), openflow.Exact(openflow.FieldReg6, 9)), Actions: []openflow.Action{openflow.Output{Port: 2}}}}}); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, 60)
	out := openflow.PacketOut{Packet: packet, InPort: 1,
		Metadata: openflow.MatchOf(openflow.Exact(openflow.FieldReg6, 9)),
		Actions:  []openflow.Action{openflow.Resubmit{InPort: openflow.PortInPort, Table: 0}}}
	bad := openflow.PacketOut{Packet: packet, InPort: openflow.PortFlood, Actions: out.Actions}
	err := c.PacketOut(t.Context(), bad, out)
	if err == nil || !strings.Contains(err.Error(), "OFPBRC_BAD_PORT") {
		t.Errorf("packet-out from FLOOD: %v", err)
	}
	eventually(t, "the good packet is counted", func() bool { return packetsOf(t, c, 0x33) == 1 })
}

func TestWhatComesUnasked(t *testing.T) {
	s := ovstest.StartBridge(t)
	removed := make(chan openflow.FlowRemoved, 10)
	ports := make(chan openflow.PortChange, 10)
	c := dialOVS(t, s, Config{FlowsRemoved: removed, PortChanges: ports})
	twoPorts(s)
	for no := openflow.PortNo(1); no <= 2; { // with changes of the first between
		switch p := receive(t, ports); {
		case p.Event == openflow.PortAdded && p.Port.No == no && p.Port.Name == fmt.Sprintf("p%d", no):
			no++
		case p.Event != openflow.PortModified:
			t.Errorf("port %+v, want port %d added", p, no)
		}
	}
	list, err := c.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list {
		names = append(names, fmt.Sprintf("%s %s", p.Name, p.No))
	}
	slices.Sort(names)
	if got := strings.Join(names, ", "); got != "br0 LOCAL, p1 1, p2 2" {
		t.Errorf("ports %s", got)
	}
	f := testFlow(3)
	f.Flags = openflow.SendFlowRem
	f.HardTimeout = 1
	if err := c.Apply(t.Context(), []openflow.Mod{&openflow.FlowMod{Flow: f}}); err != nil {
		t.Fatal(err)
	}
	r := receive(t, removed)
	f.Flags, f.Actions = 0, nil
	if r.Reason != openflow.RemovedHardTimeout || r.Flow.String() != f.String() || r.Duration < 1 {
		t.Errorf("removed %+v, want %s", r, f)
	}
}
