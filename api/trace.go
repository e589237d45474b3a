// Tracing a packet without sending one.

package api

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

var traceParams = []param{
	{"from", "the port that sends, such as `acme/web/c1`"},
	{"external", "instead of `from`: the external that the packet comes in by; then `to` is an IPv4 address"},
	{"host", "with `external`: the host where it comes in, instead of any that answers for the address"},
	{"to", "an IP address, a port, a MAC address, or `broadcast`"},
	{"protocol", "`tcp`, `udp` or `sctp`; else an ICMP echo request is sent"},
	{"dst-port", "the destination port of the protocol"},
	{"src-port", "the source port of the protocol"},
	{"icmp-type", "the number of another ICMP or ICMPv6 message"},
	{"ttl", "the TTL or hop limit (default: 64)"},
	{"size", "the size of the IP packet in bytes (default: a small one)"},
	{"src", "a source address that is not the port's"},
	{"src-mac", "a source MAC address that is not the port's"},
	{"ask", "`true`: only the question for the destination's MAC address"},
}

// traceRequest reads the parameters of a trace.
func traceRequest(q url.Values) (t intent.TraceQuery, err error) {
	if t.External, t.Host = q.Get("external"), q.Get("host"); t.External == "" || q.Has("from") {
		if t.From, err = intent.ParsePortRef(q.Get("from")); err != nil {
			return t, err
		}
	}
	t.To, t.Protocol = q.Get("to"), intent.Protocol(q.Get("protocol"))
	number := func(name string, bits int) uint64 {
		text := q.Get(name)
		if text == "" || err != nil {
			return 0
		}
		var n uint64
		if n, err = strconv.ParseUint(text, 10, bits); err != nil {
			err = intent.Invalidf("%s cannot be %q", name, text).WithHint("give a whole number up to %d", 1<<bits-1)
		}
		return n
	}
	t.DstPort, t.SrcPort = uint16(number("dst-port", 16)), uint16(number("src-port", 16))
	t.TTL, t.Size = uint8(number("ttl", 8)), int(number("size", 16))
	if q.Has("icmp-type") {
		n := uint8(number("icmp-type", 8))
		t.ICMPType = &n
	}
	if err != nil {
		return t, err
	}
	if text := q.Get("src"); text != "" {
		if t.SrcAddr, err = netip.ParseAddr(text); err != nil || t.SrcAddr.Zone() != "" {
			return t, intent.Invalidf("source address %q is malformed", text).WithHint("give an IP address such as 10.0.0.2")
		}
	}
	if text := q.Get("src-mac"); text != "" {
		if t.SrcMAC, err = intent.ParseMAC(text); err != nil {
			return t, err
		}
	}
	if t.Ask, err = queryBool(q, "ask"); err != nil {
		return t, err
	}
	return t, t.Validate()
}

// traceQuery is the inverse of traceRequest.
func traceQuery(t intent.TraceQuery) url.Values {
	q := url.Values{"to": {t.To}}
	set := func(name, value string, given bool) {
		if given {
			q.Set(name, value)
		}
	}
	set("from", t.From.String(), t.From != intent.PortRef{})
	set("external", t.External, t.External != "")
	set("host", t.Host, t.Host != "")
	set("ttl", strconv.Itoa(int(t.TTL)), t.TTL != 0)
	set("size", strconv.Itoa(t.Size), t.Size != 0)
	set("protocol", string(t.Protocol), t.Protocol != "")
	set("dst-port", strconv.Itoa(int(t.DstPort)), t.DstPort != 0)
	set("src-port", strconv.Itoa(int(t.SrcPort)), t.SrcPort != 0)
	set("src", t.SrcAddr.String(), t.SrcAddr.IsValid())
	set("src-mac", t.SrcMAC.String(), !t.SrcMAC.IsZero())
	set("ask", "true", t.Ask)
	if t.ICMPType != nil {
		q.Set("icmp-type", strconv.Itoa(int(*t.ICMPType)))
	}
	return q
}

func (s *Server) trace(c *call) (any, error) {
	t, err := traceRequest(c.query)
	if err != nil {
		return nil, err
	}
	return s.backend.Trace(c.r.Context(), t)
}

// Trace returns what would become of a packet. Hosts that do not answer are not an error:
// the trace lists them.
func (c *Client) Trace(ctx context.Context, q intent.TraceQuery) (intent.Trace, error) {
	var t intent.Trace
	err := c.do(ctx, http.MethodGet, "/v1/trace", traceQuery(q), nil, &t)
	return t, err
}

var exampleTrace = intent.Trace{
	From: "acme/web/c1", To: "10.0.0.3", Verdict: intent.TraceDelivered, Summary: "delivered to acme/web/c2 on host1",
	Advice: []string{}, Silent: []string{},
	Packets: []intent.TracePacket{{
		What: "ICMP echo request from 10.0.0.2 to 10.0.0.3", Verdict: intent.TraceDelivered, Summary: "delivered to acme/web/c2 on host1",
		Hops: []intent.TraceHop{{
			Host: "host1", Via: "sent by port acme/web/c1",
			Packet: "icmp,dl_src=0a:00:00:00:00:13,dl_dst=0a:00:00:00:00:14,nw_src=10.0.0.2,nw_dst=10.0.0.3,nw_ttl=64,icmp_type=8",
			Steps: []intent.TraceStep{{
				Table: "fdb", Object: "port acme/web/c2", Words: "leads to the port, which is here",
				Flow:    "metadata=0x1001/0xffffff,dl_dst=0a:00:00:00:00:14, priority 50, cookie 0xf04000000000014",
				Actions: []string{"set_field:0x6->reg2", "goto_table:100"}, Notes: []string{},
			}},
			Ends: []intent.TraceEnd{{
				Kind: intent.TraceDelivered, Table: "output", Port: "acme/web/c2", Words: "to port acme/web/c2",
				Packet: "icmp,dl_src=0a:00:00:00:00:13,dl_dst=0a:00:00:00:00:14,nw_src=10.0.0.2,nw_dst=10.0.0.3,nw_ttl=64,icmp_type=8",
			}},
			Raw: "Flow: icmp,in_port=5,…",
		}},
	}},
}
