package router

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/packet"
	"github.com/ovloom/ovloom/pipeline"
)

// testRouter returns the router of host 1, which knows acme/web (VNI 10) and acme/db (VNI 20),
// whose MTU is small.
func testRouter(t *testing.T) *Router {
	table := NewTable()
	table.SetTunnel(1)
	table.SetMAC(intent.RouterMAC(1))
	for _, n := range []struct {
		name   string
		vni    uint32
		mtu    int
		prefix string
	}{{"web", 10, 1450, "10.0.1.0/24"}, {"db", 20, 1300, "10.0.2.0/24"}} {
		p := netip.MustParsePrefix(n.prefix)
		table.SetNetwork(nil, &Network{Name: intent.NetworkRef{Tenant: "acme", Network: n.name}, VNI: n.vni, MTU: n.mtu,
			Subnets: []intent.Subnet{{Prefix: p, Gateway: intent.DefaultGateway(p)}}})
	}
	return New(table, slog.New(slog.DiscardHandler), func(context.Context, ...of.PacketOut) error { t.Error("sent by itself"); return nil })
}

// datagram returns a packet from 10.0.1.5 to an address, with flags and size bytes after its
// header.
func datagram(to string, flags uint16, size int) []byte {
	b := make([]byte, 14+20+size)
	copy(b, intent.GatewayMAC[:])
	copy(b[6:], []byte{2, 0, 0, 0, 0, 5})
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(20+size))
	binary.BigEndian.PutUint16(ip[6:], flags)
	copy(ip[12:], []byte{10, 0, 1, 5})
	copy(ip[16:], netip.MustParseAddr(to).AsSlice())
	return b
}

// packetIn returns a packet-in of a cause, with metadata.
func packetIn(cause pipeline.Cause, frame []byte, terms ...of.Term) of.PacketIn {
	return of.PacketIn{Packet: frame, Userdata: string([]byte{byte(cause)}), Metadata: of.MatchOf(terms...)}
}

func text(out []of.PacketOut) string {
	var lines []string
	for _, o := range out {
		lines = append(lines, of.ActionsString(o.Actions))
	}
	return strings.Join(lines, "; ")
}

var (
	inWeb = of.Exact(of.FieldMetadata, 7<<24|10)
	toDB  = of.Exact(of.FieldMetadata, 7<<24|20)
	web   = of.Exact(of.FieldReg9, 10)
	port3 = of.Exact(of.FieldReg1, 3)
)

func TestRouterTellsSenders(t *testing.T) {
	r := testRouter(t)
	peer := []of.Term{inWeb, of.Exact(of.FieldReg0, 1|8), of.Exact(of.FieldTunSrc, 0xc0000228)}
	other := []of.Term{inWeb, of.Exact(of.FieldReg0, 1), of.Exact(of.FieldTunSrc, 0xc0000202)}
	icmp := datagram("10.0.1.1", 0, 8)
	icmp[14+9] = 1
	for _, c := range []struct {
		name    string
		in      of.PacketIn
		actions string // "": nothing is sent
		src     intent.MAC
		from    string
		kind    [2]byte // type and code
	}{
		{"expired", packetIn(pipeline.CauseExpired, datagram("10.0.2.7", 0, 8), inWeb, port3), "output:3", intent.GatewayMAC, "10.0.1.1", [2]byte{11, 0}},
		{"a port of the gateway", packetIn(pipeline.CauseGateway, datagram("10.0.2.1", 0, 8), inWeb, port3), "output:3", intent.GatewayMAC, "10.0.2.1", [2]byte{3, 3}},
		{"ICMP to the gateway", packetIn(pipeline.CauseGateway, icmp, inWeb, port3), "", intent.MAC{}, "", [2]byte{}},
		{"no route", packetIn(pipeline.CauseNoRoute, datagram("10.7.0.1", 0, 8), inWeb, web, port3), "output:3", intent.GatewayMAC, "10.0.1.1", [2]byte{3, 0}},
		{"nobody there", packetIn(pipeline.CauseUnreachable, datagram("10.0.2.9", 0, 8), toDB, web, port3), "output:3", intent.GatewayMAC, "10.0.1.1", [2]byte{3, 1}},
		{"too large", packetIn(pipeline.CauseOversize, datagram("10.0.2.7", 0x4000, 1400), toDB, web, port3), "output:3", intent.GatewayMAC, "10.0.1.1", [2]byte{3, 4}},
		{"from a peer", packetIn(pipeline.CauseExpired, datagram("10.0.2.7", 0, 8), peer...),
			"set_field:10->tun_id,set_field:192.0.2.40->tun_dst,output:1", intent.GatewayMAC, "10.0.1.1", [2]byte{11, 0}},
		{"from another host", packetIn(pipeline.CauseExpired, datagram("10.0.2.7", 0, 8), other...),
			"set_field:10->tun_id,set_field:192.0.2.2->tun_dst,output:1", intent.RouterMAC(1), "10.0.1.1", [2]byte{11, 0}},
		{"from a network that is gone", packetIn(pipeline.CauseExpired, datagram("10.0.2.7", 0, 8), of.Exact(of.FieldMetadata, 99), port3), "", intent.MAC{}, "", [2]byte{}},
		{"rubbish", packetIn(pipeline.CauseExpired, []byte{1, 2, 3}, inWeb, port3), "", intent.MAC{}, "", [2]byte{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := r.receive(c.in, time.Now())
			if strings.ReplaceAll(text(out), "0xa->", "10->") != c.actions {
				t.Fatalf("does %q, want %q", text(out), c.actions)
			}
			if c.actions == "" {
				return
			}
			p, err := packet.ParseIP(out[0].Packet)
			if err != nil {
				t.Fatal(err)
			}
			if kind := [2]byte(out[0].Packet[34:]); p.EthSrc != c.src || p.Src.String() != c.from || kind != c.kind || p.Dst.String() != "10.0.1.5" {
				t.Errorf("%s %s says %v to %s", p.EthSrc, p.Src, kind, p.Dst)
			}
		})
	}
}

func TestRouterFragments(t *testing.T) {
	r := testRouter(t)
	out := r.receive(packetIn(pipeline.CauseOversize, datagram("10.0.2.7", 0, 1420), toDB, web, port3, of.Exact(of.FieldReg0, 0x20)), time.Now())
	if text(out) != "resubmit(,72); resubmit(,72)" || len(out[0].Packet) != 14+20+712 {
		t.Fatalf("does %q", text(out))
	}
	for _, o := range out {
		if at := pipeline.PlaceOf(o.Metadata); at.Network != 20 || at.Source != 10 || o.Metadata.String() != "reg0=0,reg1=0x3,reg9=0xa,metadata=0x7000014" {
			t.Errorf("a fragment goes on with %s", o.Metadata)
		}
	}
}

func TestRouterAsksForNeighbours(t *testing.T) {
	r := testRouter(t)
	now := time.Now()
	question := packetIn(pipeline.CauseQuestion, datagram("10.0.2.50", 0, 8), toDB, web, port3, of.Exact(of.FieldReg4, 0x0a000232))
	out := r.receive(question, now)
	if text(out) != "resubmit(,52)" {
		t.Fatalf("does %q", text(out))
	}
	n, err := packet.ParseNeighbour(out[0].Packet)
	if err != nil || n.Answer || n.MAC != intent.RouterMAC(1) || !n.Sender.IsUnspecified() || n.Target.String() != "10.0.2.50" {
		t.Errorf("asks %+v, %v", n, err)
	}
	if out := r.receive(question, now); len(out) > 0 {
		t.Errorf("asks again at once: %q", text(out))
	}
	if out := r.due(now.Add(askEvery)); text(out) != "resubmit(,52)" {
		t.Errorf("later it does %q, want to ask again", text(out))
	}

	reply := make([]byte, 42)
	copy(reply, []byte{0x0e, 0x0e, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9, 10, 0, 2, 50})
	if out := r.receive(packetIn(pipeline.CauseAnswer, reply, inWeb), now); len(out) > 0 {
		t.Errorf("an answer from another network is taken: %q", text(out))
	}
	if out := r.receive(packetIn(pipeline.CauseAnswer, reply, toDB), now); text(out) != "resubmit(,64); resubmit(,64)" {
		t.Errorf("after the answer it does %q, want both packets sent on", text(out))
	}
	if len(r.questions.all()) != 0 || r.questions.held != 0 {
		t.Errorf("%d questions and %d packets are left", len(r.questions.all()), r.questions.held)
	}

	for range heldEach + 5 {
		r.receive(question, now)
	}
	if out := r.due(now.Add(askUntil)); len(out) != heldEach || out[0].Packet[34] != 3 || out[0].Packet[35] != 1 || r.questions.held != 0 {
		t.Errorf("without an answer %d senders are told, and %d packets are left", len(out), r.questions.held)
	}
	for i := range asksMax + 10 {
		q := question
		q.Metadata = of.MatchOf(toDB, web, port3, of.Exact(of.FieldReg4, uint64(i+1)))
		r.receive(q, now)
	}
	if len(r.questions.all()) != asksMax {
		t.Errorf("%d addresses are asked for at a time", len(r.questions.all()))
	}
}

func TestRouterAdvertisesWhereTheSwitchCannot(t *testing.T) {
	r := testRouter(t)
	ask := packet.Ask(intent.MAC{2, 0, 0, 0, 0, 5}, netip.Addr{}, netip.MustParseAddr("fd00::1"))
	out := r.receive(packetIn(pipeline.CauseSolicitation, ask, inWeb, port3), time.Now())
	if text(out) != "output:3" {
		t.Fatalf("does %q", text(out))
	}
	n, err := packet.ParseNeighbour(out[0].Packet)
	if err != nil || !n.Answer || n.MAC != intent.GatewayMAC || n.Target.String() != "fd00::1" {
		t.Errorf("advertises %+v, %v", n, err)
	}
}

// A host that becomes the gateway of a network's peers announces it once, unless another host
// is the gateway again by then.
func TestRouterAnnouncesItself(t *testing.T) {
	r := testRouter(t)
	now := time.Now()
	elect := func(yes bool) {
		old, _ := r.table.network(10)
		is := old
		is.Elected = yes
		r.table.SetNetwork(&old, &is)
	}
	elect(true)
	if out := r.due(now); len(out) > 0 {
		t.Errorf("announces before its flows can be there: %q", text(out))
	}
	out := r.due(now.Add(announceAfter))
	if text(out) != "set_field:0xa->tun_id,group:50331658" {
		t.Fatalf("does %q", text(out))
	}
	if n, err := packet.ParseNeighbour(out[0].Packet); err != nil || n.MAC != intent.GatewayMAC || n.Sender.String() != "10.0.1.1" {
		t.Errorf("announces %+v, %v", n, err)
	}
	elect(false)
	elect(true)
	r.due(now)
	elect(false)
	if out := r.due(now.Add(announceAfter)); len(out) > 0 {
		t.Errorf("announces the gateway although another host is it: %q", text(out))
	}
}

// Every cause for which the switch punts packets has a handler: without one, its packets would
// be lost silently.
func TestEveryCauseHasAHandler(t *testing.T) {
	for _, c := range pipeline.Causes() {
		if handlers[c] == nil {
			t.Errorf("no handler for %s", c)
		}
	}
	if n := len(pipeline.Causes()); n != len(handlers) {
		t.Errorf("%d handlers for %d causes", len(handlers), n)
	}
}

// A port that came up is announced with each of its addresses, to its network but not to
// itself; the rate is limited, because many announcements would keep the switch from its other
// work.
func TestRouterAnnouncesPorts(t *testing.T) {
	r := testRouter(t)
	r.table.Announce(Arrival{Port: 5, VNI: 10, VRF: 7, MAC: intent.MAC{2, 0, 0, 0, 0, 11},
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("fd00::2")}})
	out := r.due(time.Now())
	if len(out) != 2 {
		t.Fatalf("does %q", text(out))
	}
	for i, want := range []string{"10.0.1.2", "fd00::2"} {
		n, err := packet.ParseNeighbour(out[i].Packet)
		if err != nil || n.Target.String() != want || n.Sender != n.Target || n.MAC != (intent.MAC{2, 0, 0, 0, 0, 11}) || out[i].InPort != 5 {
			t.Errorf("announces %+v not to %v, %v", n, out[i].InPort, err)
		}
	}
	for range announceAtATime + 1 {
		r.table.Announce(Arrival{Port: 5, VNI: 10, VRF: 7, Addrs: []netip.Addr{netip.MustParseAddr("10.0.1.2")}})
	}
	if first, second, third := len(r.due(time.Now())), len(r.due(time.Now())), len(r.due(time.Now())); first != announceAtATime || second != 1 || third != 0 {
		t.Errorf("announces %d, then %d, then %d", first, second, third)
	}
}
