package explain

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testSwitch answers every trace with text.
func testSwitch(text string) *Switch {
	return &Switch{
		Host: "host1", VTEP: netip.MustParseAddr("172.31.0.1"), Bridge: "br-int", Tunnel: 1,
		Ports: map[of.PortNo]Attached{2: {Port: "acme/web/a"}, 3: {Port: "acme/web/b"}, 9: {Uplink: "bridge br-ex", Bridge: "br-ex"}},
		Externals: map[uint32]intent.External{
			1: {Name: "campus", Kind: intent.ExternalBridge, Bridge: "br-ex"}, 2: {Name: "tagged", Kind: intent.ExternalBridge, Bridge: "br-ex", VLAN: 20},
		},
		Call: func(context.Context, string, ...string) (string, error) {
			return text, nil
		},
		Object: func(c pipeline.Cookie) string { return fmt.Sprintf("%s %d", c.Kind(), c.ID()) },
		Note:   func(of.Flow) string { return "" },
		Room:   func(uint64, uint32, intent.MAC) bool { return false },
	}
}

// recorded returns what a real Open vSwitch 3.1 printed, by name.
func recorded(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	all := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".trace")] = string(b)
	}
	return all
}

func TestRecordings(t *testing.T) {
	for name, text := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			r := Request{Port: &intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, Packet: "ip,nw_ttl=64"}
			hop, err := testSwitch(text).Trace(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			for _, s := range hop.Steps {
				fmt.Fprintf(&b, "%s%-14s %-16s %s\n", strings.Repeat("  ", s.Branch), s.Table, s.Object, s.Words)
			}
			for _, e := range hop.Ends {
				fmt.Fprintf(&b, "=> %s in %s: %s\n   %s\n", e.Kind, e.Table, e.Words, e.Packet)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("got:\n%s\nwant:\n%s", b.Bytes(), want)
			}
		})
	}
}

// The packet that the walk ends with is the one that Open vSwitch prints.
func TestFieldsAreTracked(t *testing.T) {
	for name, text := range recorded(t) {
		w := walk{sw: testSwitch("")}
		for i, r := range parseOutput(text).rounds {
			w.round(r)
			final := parseFields(r.final)
			if r.final == "unchanged" {
				final = parseFields(r.flow)
			}
			if len(final) == 0 {
				t.Errorf("%s, round %d: no final flow", name, i)
			}
			for field, want := range final {
				if field == of.FieldTCPFlags {
					continue
				}
				if got := w.state[field]; got != want {
					t.Errorf("%s, round %d: %s is %x, Open vSwitch says %x", name, i, field, got, want)
				}
			}
		}
	}
}

// Where learning is limited, the walk continues as the switch does while there is room.
func TestLearningWithRoom(t *testing.T) {
	text := recorded(t)["learn"]
	s := testSwitch("")
	s.Room = func(_ uint64, limit uint32, mac intent.MAC) bool {
		return limit == 2 && mac == intent.MAC{2, 0, 0, 0, 0, 2}
	}
	var calls []string
	s.Call = func(_ context.Context, method string, params ...string) (string, error) {
		calls = append(calls, method+" "+strings.Join(params, " "))
		if len(calls) == 1 {
			return text, nil
		}
		return recorded(t)["nothing"], nil
	}
	hop, err := s.Trace(t.Context(), Request{Port: &intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, Packet: "ip"})
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || !strings.HasPrefix(calls[1], "ofproto/trace-packet-out br-int tcp,reg0=0x4,reg1=0x2,in_port=2,dl_src=02:00:00:00:00:02") ||
		!strings.HasSuffix(calls[1], " resubmit(,70)") {
		t.Errorf("calls: %q", calls)
	}
	if len(hop.Ends) != 1 || hop.Ends[0].Kind != intent.TraceDropped {
		t.Errorf("ends as if the first trace were right: %+v", hop.Ends)
	}
}

// A group whose bucket depends on the datapath's hash is traced with one possible hash.
func TestGroupThatHashes(t *testing.T) {
	const first = "Flow: ip,in_port=2\n\nbridge(\"br-int\")\n---\n 0. priority 0\n    group:1\n     -> no live bucket\n\nFinal flow: unchanged\nMegaflow: recirc_id=0\nDatapath actions: hash(sym_l4(0)),recirc(0x1)\n"
	s := testSwitch("")
	var asked []string
	s.Call = func(_ context.Context, _ string, params ...string) (string, error) {
		asked = append(asked, params[1])
		if len(asked) == 1 {
			return first, nil
		}
		return recorded(t)["select"], nil
	}
	hop, err := s.Trace(t.Context(), Request{Port: &intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, Packet: "ip"})
	if err != nil || len(hop.Ends) != 1 || hop.Ends[0].Port != "acme/web/b" {
		t.Errorf("%+v, %v", hop.Ends, err)
	}
	if want := []string{"in_port=2,ip", "in_port=2,dp_hash=1,ip"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestPacketsAsOpenVSwitchTakesThem(t *testing.T) {
	for text, want := range map[string]string{
		"udp,tp_src=1,tp_dst=2":                 "udp,udp_src=1,udp_dst=2",
		"tcp6,tp_dst=2":                         "tcp6,tcp_dst=2",
		"reg0=0x4,sctp,tp_dst=2":                "sctp,reg0=0x4,sctp_dst=2",
		"icmp6,icmp_type=135,nd_target=fd00::1": "icmp6,icmpv6_type=135,nd_target=fd00::1",
		"icmp,icmp_type=8":                      "icmp,icmp_type=8",
	} {
		m, err := of.ParseMatch(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := exact(m); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func FuzzTrace(f *testing.F) {
	for _, text := range recorded(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := Request{Tunnel: &Tunnel{Src: netip.MustParseAddr("172.31.0.2"), VNI: 5, SrcHost: "host2"}, Packet: "ip"}
		hop, err := testSwitch(text).Trace(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range hop.Ends {
			if e.Kind == "" || e.Words == "" {
				t.Errorf("an end without a verdict: %+v", e)
			}
			if e.Packet != "" {
				if _, err := of.ParseMatch(e.Packet); err != nil {
					t.Errorf("a packet that no other host would understand: %v", err)
				}
			}
		}
	})
}

// A port's addresses are in its network; an address behind the port has a route.
func TestAdviceOnSenders(t *testing.T) {
	j := &journey{network: intent.Network{Tenant: "acme", Name: "web", Subnets: []intent.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}},
		port: intent.Port{Addrs: []netip.Addr{netip.MustParseAddr("fd00::5"), netip.MustParseAddr("10.0.0.5")}}}
	for src, want := range map[string]string{
		"10.0.0.9":  "ovloom port set {port} --ip",
		"192.0.2.9": "ovloom route add {tenant} 192.0.2.9/32 --via 10.0.0.5",
	} {
		j.q.SrcAddr = netip.MustParseAddr(src)
		if got := j.adviceFor("spoof-ipv4"); !strings.Contains(got, want) {
			t.Errorf("%s: %s", src, got)
		}
	}
}

// Externals of one bridge share its port; the VLAN tag distinguishes them.
func TestFromExternalsOfOneBridge(t *testing.T) {
	for external, want := range map[string]string{"campus": "in_port=9,ip,nw_ttl=64", "tagged": "in_port=9,dl_vlan=20,ip,nw_ttl=64"} {
		s := testSwitch("")
		var asked string
		s.Call = func(_ context.Context, _ string, params ...string) (string, error) {
			asked = params[1]
			return recorded(t)["local"], nil
		}
		if _, err := s.Trace(t.Context(), Request{External: external, Packet: "ip,nw_ttl=64"}); err != nil || asked != want {
			t.Errorf("%s: traced %q, %v, want %q", external, asked, err, want)
		}
	}
	if _, err := testSwitch("").Trace(t.Context(), Request{External: "internet", Packet: "ip"}); intent.KindOf(err) != intent.NotFound {
		t.Errorf("an external without a port here: %v", err)
	}
}
