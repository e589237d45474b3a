package api

import (
	"cmp"
	"context"
	"net/netip"
	"strconv"

	"github.com/ovloom/ovloom/intent"
)

// Forward is a forward with the port that it leads to.
type Forward struct {
	intent.Forward
	Inside []netip.Addr `json:"inside"`         // the port's own addresses
	Host   string       `json:"host,omitempty"` // where the port is plugged
}

var forwardClass = declared[intent.Forward, intent.ForwardRef]{
	class: intent.ClassForward,
	at:    "/v1/tenants/{tenant}/forwards", name: "/{external}/{protocol}/{number}",
	values: func(r intent.ForwardRef) []string {
		return []string{r.Tenant, r.External, string(r.Protocol), strconv.Itoa(int(r.Port))}
	},
	ref: func(v values) (intent.ForwardRef, error) {
		r := intent.ForwardRef{Tenant: v("tenant"), External: v("external"), Protocol: intent.Protocol(v("protocol")), Port: 1}
		if err := r.Validate(); err != nil { // checks the parts before the forward's number
			return r, err
		}
		n, err := strconv.ParseUint(v("number"), 10, 16)
		if err != nil || n == 0 {
			return r, intent.Invalidf("%s port %q is malformed", r.Protocol, v("number")).WithHint("choose between 1 and 65535")
		}
		r.Port = uint16(n)
		return r, nil
	},
	within: "nat", listed: "forwards",
	add:   []string{"external", "address", "protocol", "port", "to", "to_port"},
	place: func(f *intent.Forward, v values) { f.Tenant = v("tenant") },
	show: func(ctx context.Context, s *Server, ref intent.ForwardRef) (any, error) {
		f, err := intent.As[intent.Forward](s.backend.Store.Get(ctx, ref))
		if err != nil {
			return nil, err
		}
		p, err := s.viewPort(ctx, f.To)
		return Forward{f, list(p.Addrs), p.Host}, err
	},
	docs: documented[intent.Forward]{
		one: "forward", gone: "; its connections end",
		add:     "Forward a TCP, UDP or SCTP port of an external address to a port. All forwards that a tenant has of an external share an address.",
		show:    "One forward, such as `/v1/tenants/acme/forwards/internet/tcp/8080`.",
		example: exampleForward, given: intent.Forward{External: "internet", Protocol: intent.TCP, Port: 8080, To: examplePort.Ref(), ToPort: 80},
		shown: Forward{exampleForward, examplePort.Addrs, "host1"}, revisions: [3]int64{73, 0, 74},
	},
}

func compareForwards(a, b intent.Forward) int {
	return cmp.Or(intent.Natural(a.Tenant, b.Tenant), intent.Natural(a.External, b.External), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}
