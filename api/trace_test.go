package api

import (
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/intent"
)

func TestTraceParameters(t *testing.T) {
	from := intent.PortRef{Tenant: "acme", Network: "web", Port: "c1"}
	kind := uint8(134)
	for name, want := range map[string]intent.TraceQuery{
		"echo":     {From: from, To: "10.0.0.3"},
		"tcp":      {From: from, To: "acme/web/c2", Protocol: intent.TCP, DstPort: 443, SrcPort: 1234},
		"a lie":    {From: from, To: "broadcast", SrcAddr: netip.MustParseAddr("10.9.9.9"), SrcMAC: intent.MAC{2, 0, 0, 0, 0, 1}},
		"question": {From: from, To: "fd00::1", Ask: true},
		"large":    {From: from, To: "10.0.0.3", TTL: 1, Size: 1500},
		"outside":  {External: "campus", Host: "host1", To: "203.0.113.10", SrcAddr: netip.MustParseAddr("198.51.100.7")},
		"icmp":     {From: from, To: "ff02::1", ICMPType: &kind},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := traceRequest(traceQuery(want))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		})
	}
	for query, said := range map[string]string{
		"from=acme/web&to=10.0.0.3":                                        `is no name of a port`,
		"from=acme/web/c1":                                                 "no destination is given",
		"from=acme/web/c1&to=10.0.0.3&protocol=tcp":                        "tcp needs a destination port",
		"from=acme/web/c1&to=10.0.0.3&protocol=igmp&dst-port=1":            `protocol "igmp" cannot be traced`,
		"from=acme/web/c1&to=10.0.0.3&protocol=tcp&dst-port=65536":         `dst-port cannot be "65536"`,
		"from=acme/web/c1&to=10.0.0.3&dst-port=5":                          "a port is given, but no protocol",
		"from=acme/web/c1&to=10.0.0.3&icmp-type=-1":                        `icmp-type cannot be "-1"`,
		"from=acme/web/c1&to=10.0.0.3&icmp-type=8&protocol=udp&dst-port=1": "either ICMP or udp",
		"from=acme/web/c1&to=10.0.0.3&src=here":                            `source address "here" is malformed`,
		"from=acme/web/c1&to=10.0.0.3&src-mac=here":                        `MAC address "here" is malformed`,
		"from=acme/web/c1&to=10.0.0.3&ttl=256":                             `ttl cannot be "256"`,
		"from=acme/web/c1&to=10.0.0.3&size=19":                             "a packet cannot have 19 bytes",
		"from=acme/web/c1&to=10.0.0.3&host=host1":                          "host host1 is given, but no external",
		"from=acme/web/c1&to=10.0.0.3&external=campus":                     "either from port acme/web/c1 or by external campus",
		"external=campus&to=acme/web/c1":                                   `destination "acme/web/c1" is not an IPv4 address`,
		"external=campus&to=203.0.113.10&src=fd00::1":                      "source address fd00::1 is not IPv4",
		"external=campus":                                                  "no destination is given",
		"external=Campus&to=203.0.113.10":                                  "Campus",
		"from=acme/web/c1&to=10.0.0.3&ask=true&protocol=tcp&dst-port=1":    "only the question",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := traceRequest(q); intent.KindOf(err) != intent.Invalid || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v; want %q", query, err, said)
		}
	}
}
