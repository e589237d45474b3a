package explain

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

func TestArrive(t *testing.T) {
	campus := intent.External{Name: "campus", Kind: intent.ExternalBridge, Number: 1,
		Subnet: netip.MustParsePrefix("203.0.113.0/24"), Gateway: netip.MustParseAddr("203.0.113.1")}
	shown := drop("external_in", "not-ours")
	for _, c := range []struct {
		name  string
		hosts fakeHosts
		edit  func(*intent.TraceQuery)
		says  string
	}{
		{"the host that answers gets the packet", fakeHosts{"host1 arp": {shown}, "host2 arp": {answer}, "host2 ip": {delivered}}, nil,
			"delivered to acme/web/b on host2"},
		{"no process answers", fakeHosts{"host1 arp": {shown}, "host2 arp": {shown}}, nil,
			"no packet comes in: no host answers for 203.0.113.10 on external campus"},
		{"a host is silent", fakeHosts{"host1 arp": {shown}}, nil, "what host2 does is not known: host host2 does not answer"},
		{"the question alone", fakeHosts{"host1 arp": {shown}, "host2 arp": {answer}}, func(q *intent.TraceQuery) { q.Ask, q.Protocol, q.DstPort = true, "", 0 },
			"answered by the switch of host2 with 02:00:00:00:00:02"},
		{"by one host", fakeHosts{"host2 arp": {answer}, "host2 ip": {drop("nat_in", "no-forward")}}, func(q *intent.TraceQuery) { q.Host = "host2" },
			"dropped on host2 in table nat_in: no-forward, it is so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := intent.TraceQuery{External: "campus", To: "203.0.113.10", SrcAddr: netip.MustParseAddr("198.51.100.7"), Protocol: intent.TCP, DstPort: 443}
			if c.edit != nil {
				c.edit(&q)
			}
			var asked []string
			tr := Tracer{
				Hosts:     func(context.Context) ([]intent.HostState, error) { return testHosts, nil },
				Externals: func(context.Context) ([]intent.External, error) { return []intent.External{campus}, nil },
				Hop: func(ctx context.Context, host string, r Request) (intent.TraceHop, error) {
					if r.External != "campus" || r.Port != nil {
						t.Errorf("%+v", r)
					}
					if strings.HasPrefix(r.Packet, "arp") && !strings.Contains(r.Packet, "arp_spa=203.0.113.1,") {
						t.Errorf("a remote source resolves the address itself: %s", r.Packet)
					}
					if strings.HasPrefix(r.Packet, "tcp") {
						asked = append(asked, r.Packet)
					}
					return c.hosts.hop(ctx, host, r)
				},
			}
			got, err := tr.Trace(t.Context(), q)
			if err != nil || got.Summary != c.says || got.From != "external campus" {
				t.Errorf("%+v, %v; want %s", got, err, c.says)
			}
			for _, p := range asked {
				if !strings.Contains(p, "nw_src=198.51.100.7") || !strings.Contains(p, "dl_dst=02:00:00:00:00:02") {
					t.Errorf("the packet is %s", p)
				}
			}
			if c.name == "no process answers" && !slices.ContainsFunc(got.Advice, func(a string) bool { return strings.Contains(a, "--external campus --address 203.0.113.10") }) {
				t.Errorf("advice: %v", got.Advice)
			}
		})
	}
	tr := Tracer{
		Hosts:     func(context.Context) ([]intent.HostState, error) { return testHosts, nil },
		Externals: func(context.Context) ([]intent.External, error) { return []intent.External{campus}, nil },
		Hop: func(context.Context, string, Request) (intent.TraceHop, error) {
			return intent.TraceHop{}, intent.NotFoundf("external campus has no uplink here")
		},
	}
	for name, q := range map[string]intent.TraceQuery{
		"external campus has no uplink on host1, host2": {External: "campus", To: "203.0.113.10"},
		"external other does not exist":                 {External: "other", To: "203.0.113.10"},
		"host host9 does not exist":                     {External: "campus", Host: "host9", To: "203.0.113.10"},
	} {
		if _, err := tr.Trace(t.Context(), q); intent.KindOf(err) != intent.NotFound || !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want %q", err, name)
		}
	}
}
