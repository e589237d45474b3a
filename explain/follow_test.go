package explain

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// A tenant with three hosts, the last of which is down.
var (
	testNet = intent.Network{Tenant: "acme", Name: "web", ID: 2, VNI: 10000, Subnets: []intent.Subnet{
		{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}}}
	testSnapshot = intent.Snapshot{
		Tenant: intent.Tenant{Name: "acme"}, Networks: []intent.Network{testNet},
		Ports: []intent.Port{
			{Tenant: "acme", Network: "web", Name: "a", MAC: intent.MAC{2, 0, 0, 0, 0, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
			{Tenant: "acme", Network: "web", Name: "b", MAC: intent.MAC{2, 0, 0, 0, 0, 2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
			{Tenant: "acme", Network: "web", Name: "off", MAC: intent.MAC{2, 0, 0, 0, 0, 3}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.4")}},
		},
		Bindings: []intent.Binding{{Tenant: "acme", Network: "web", Port: "a", Host: "host1", Generation: 2},
			{Tenant: "acme", Network: "web", Port: "a", Host: "host2", Generation: 1}},
		Peers: []intent.Peer{{Tenant: "acme", Network: "web", Name: "tor1", VTEP: netip.MustParseAddr("192.0.2.9")}},
	}
	testHosts = []intent.HostState{
		{Host: intent.Host{Name: "host1", VTEP: netip.MustParseAddr("192.0.2.1")}, Alive: true},
		{Host: intent.Host{Name: "host2", VTEP: netip.MustParseAddr("192.0.2.2")}, Alive: true},
		{Host: intent.Host{Name: "host3", VTEP: netip.MustParseAddr("192.0.2.3")}},
	}
	answer    = intent.TraceEnd{Kind: intent.TraceAnswered, Table: "arp_nd", Port: "acme/web/a", Words: "answered by the switch", Answer: "02:00:00:00:00:02"}
	delivered = intent.TraceEnd{Kind: intent.TraceDelivered, Table: "output", Port: "acme/web/b", Words: "to port acme/web/b"}
)

func tunnelTo(vtep string) intent.TraceEnd {
	return intent.TraceEnd{Kind: intent.TraceTunnelled, Table: "output", VTEP: netip.MustParseAddr(vtep), VNI: 10000, Packet: "ip"}
}

func drop(table, reason string) intent.TraceEnd {
	return intent.TraceEnd{Kind: intent.TraceDropped, Table: table, Reason: reason, Words: "it is so"}
}

// fakeHosts answers by host and kind of packet.
type fakeHosts map[string][]intent.TraceEnd // "host1 arp", "host2 ip"

func (f fakeHosts) hop(_ context.Context, host string, r Request) (intent.TraceHop, error) {
	kind := "ip"
	if strings.HasPrefix(r.Packet, "arp") {
		kind = "arp"
	}
	ends, ok := f[host+" "+kind]
	if !ok {
		return intent.TraceHop{}, intent.Unavailablef("host %s does not answer", host).WithHint("look there")
	}
	return intent.TraceHop{Host: host, Ends: ends, Packet: r.Packet}, nil
}

func TestTracer(t *testing.T) {
	for _, c := range []struct {
		name    string
		to      string
		edit    func(*intent.TraceQuery)
		hosts   fakeHosts
		verdict intent.TraceVerdict
		summary string
		silent  string
		advice  string
	}{
		{"on one host", "10.0.0.3", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {delivered}},
			intent.TraceDelivered, "delivered to acme/web/b on host1", "[]", ""},
		{"through the tunnel", "acme/web/b", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {tunnelTo("192.0.2.2")}, "host2 ip": {delivered}},
			intent.TraceDelivered, "delivered to acme/web/b on host2", "[]", ""},
		{"dropped beyond the tunnel", "10.0.0.3", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {tunnelTo("192.0.2.2")}, "host2 ip": {drop("tunnel_in", "unknown-vni")}},
			intent.TraceDropped, "dropped on host2 in table tunnel_in: unknown-vni, it is so", "[]", "`ovloom port list acme`"},
		{"a silent host", "10.0.0.3", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {tunnelTo("192.0.2.2")}},
			intent.TraceUnknown, "what host2 does is not known: host host2 does not answer", "[host2]", "see whether host2 is up"},
		{"a host that is down is not asked", "10.0.0.3", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {tunnelTo("192.0.2.3")}, "host3 ip": {delivered}},
			intent.TraceUnknown, "what host3 does is not known: host host3 is down", "[host3]", ""},
		{"flooded, with a silent host", "broadcast", nil, fakeHosts{"host1 ip": {delivered, tunnelTo("192.0.2.2"), tunnelTo("192.0.2.3")}, "host2 ip": {drop("flood", "unknown-vni")}},
			intent.TraceDelivered, "delivered to acme/web/b on host1; what host3 does is not known: host host3 is down", "[host3]", ""},
		{"to a peer", "02:00:00:00:00:99", nil, fakeHosts{"host1 ip": {tunnelTo("192.0.2.9")}},
			intent.TraceLeft, "leaves on host1: through the tunnel to peer acme/web/tor1 (192.0.2.9), VNI 10000", "[]", ""},
		{"to a VTEP of nobody", "02:00:00:00:00:99", nil, fakeHosts{"host1 ip": {tunnelTo("192.0.2.77")}},
			intent.TraceUnknown, "through the tunnel to 192.0.2.77, VNI 10000, but which host that is is not known on host1", "[192.0.2.77]", ""},
		{"the address does not exist", "10.0.0.99", nil, fakeHosts{"host1 arp": {drop("arp_nd", "no-such-address")}},
			intent.TraceDropped, "no packet is sent: the question who has 10.0.0.99 is dropped on host1 in table arp_nd: no-such-address, it is so", "[]", "ovloom port add acme/web/NAME"},
		{"the gateway answers", "10.9.0.1", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {drop("route", "no-route")}},
			intent.TraceDropped, "dropped on host1 in table route: no-route", "[]", ""},
		{"a question that is flooded to the port asked for", "10.0.0.3", nil,
			fakeHosts{"host1 arp": {tunnelTo("192.0.2.2")}, "host2 arp": {delivered}, "host2 ip": {delivered}, "host1 ip": {delivered}},
			intent.TraceDelivered, "delivered to acme/web/b on host1", "[]", ""},
		{"a question that is flooded to others", "10.0.0.9", nil, fakeHosts{"host1 arp": {delivered}},
			intent.TraceUnknown, "whether anybody has 10.0.0.9 shows only when it is asked for: the question is delivered to acme/web/b on host1", "[]", "trace to that"},
		{"the question alone", "10.0.0.3", func(q *intent.TraceQuery) { q.Ask = true }, fakeHosts{"host1 arp": {answer}},
			intent.TraceAnswered, "answered by the switch of host1 with 02:00:00:00:00:02", "[]", ""},
		{"to ovloomd", "10.0.0.3", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {{Kind: intent.TraceHanded, Table: "unresolved", Words: "asks for it"}}},
			intent.TraceUnknown, "ovloomd of host1: asks for it", "[]", ""},
		{"held by ovloomd", "10.0.0.3", nil, fakeHosts{"host1 arp": {answer}, "host1 ip": {{Kind: intent.TraceHanded, Table: "external_send", Words: "a next hop to ask for"}, drop("external_send", "next-hop")}},
			intent.TraceUnknown, "ovloomd of host1: a next hop to ask for", "[]", "try again"},
		{"the subnet's last address is for all", "10.0.0.255", nil, fakeHosts{"host1 ip": {delivered}},
			intent.TraceDelivered, "delivered to acme/web/b on host1", "[]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := intent.TraceQuery{From: intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, To: c.to}
			if c.edit != nil {
				c.edit(&q)
			}
			got, err := tracer(c.hosts).Trace(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got.Verdict != c.verdict || !strings.HasPrefix(got.Summary, c.summary) || fmt.Sprint(got.Silent) != c.silent {
				t.Errorf("%s: %s, silent %v\nwant %s: %s, silent %s", got.Verdict, got.Summary, got.Silent, c.verdict, c.summary, c.silent)
			}
			if !strings.Contains(strings.Join(got.Advice, "\n"), c.advice) {
				t.Errorf("advice %q, want %q", got.Advice, c.advice)
			}
		})
	}
}

func tracer(hosts fakeHosts) Tracer {
	return Tracer{
		Snapshot: func(_ context.Context, tenant string) (intent.Snapshot, error) {
			if tenant != "acme" {
				return intent.Snapshot{}, intent.NotFoundf("tenant %s does not exist", tenant)
			}
			return testSnapshot, nil
		},
		Hosts: func(context.Context) ([]intent.HostState, error) { return testHosts, nil },
		Hop:   hosts.hop,
	}
}

// Without the store's list of hosts, the sender's own host is traced.
func TestTracerWithoutStore(t *testing.T) {
	tr := tracer(fakeHosts{"host1 arp": {answer}, "host1 ip": {tunnelTo("192.0.2.2")}})
	tr.Hosts = func(context.Context) ([]intent.HostState, error) {
		return nil, intent.Unavailablef("the store is down")
	}
	got, err := tr.Trace(t.Context(), intent.TraceQuery{From: intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}, To: "10.0.0.3"})
	if err != nil || got.Verdict != intent.TraceUnknown || len(got.Silent) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Every reason for dropping has a remedy.
func TestEveryReasonHasAdvice(t *testing.T) {
	for _, r := range pipeline.Reasons() {
		if adviceFor[r.String()] == "" {
			t.Errorf("no advice for reason %s: %s", r, r.Meaning())
		}
	}
	if n := len(pipeline.Reasons()); len(adviceFor) != n {
		t.Errorf("advice for %d reasons, want %d", len(adviceFor), n)
	}
}

func TestTracesThatMakeNoSense(t *testing.T) {
	from := intent.PortRef{Tenant: "acme", Network: "web", Port: "a"}
	for name, c := range map[string]struct {
		q    intent.TraceQuery
		kind intent.Kind
		said string
	}{
		"no such port":           {intent.TraceQuery{From: intent.PortRef{Tenant: "acme", Network: "web", Port: "z"}, To: "broadcast"}, intent.NotFound, "port acme/web/z does not exist"},
		"a port that is nowhere": {intent.TraceQuery{From: intent.PortRef{Tenant: "acme", Network: "web", Port: "off"}, To: "broadcast"}, intent.Conflict, "port acme/web/off is not plugged"},
		"to no such port":        {intent.TraceQuery{From: from, To: "acme/web/z"}, intent.NotFound, "port acme/web/z does not exist"},
		"to another tenant":      {intent.TraceQuery{From: from, To: "umbrella/web/z"}, intent.NotFound, "tenant umbrella does not exist"},
		"to nonsense":            {intent.TraceQuery{From: from, To: "over there"}, intent.Invalid, "neither an address nor a port"},
		"another family":         {intent.TraceQuery{From: from, To: "fd00::1"}, intent.Invalid, "has no IPv6 address"},
		"a lie of another":       {intent.TraceQuery{From: from, To: "10.0.0.3", SrcAddr: netip.MustParseAddr("fd00::1")}, intent.Invalid, "different families"},
		"asking for a MAC":       {intent.TraceQuery{From: from, To: "02:00:00:00:00:99", Ask: true}, intent.Invalid, "has no address to ask for"},
		"TCP to a MAC":           {intent.TraceQuery{From: from, To: "02:00:00:00:00:99", Protocol: intent.TCP, DstPort: 80}, intent.Invalid, "needs an IP address"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tracer(fakeHosts{}).Trace(t.Context(), c.q)
			if intent.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.said) {
				t.Errorf("%v; want %s: %s", err, c.kind, c.said)
			}
		})
	}
}
