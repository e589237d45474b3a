package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// tunnelSender lets a host tunnel only for tenants that it has something of: so the key
// of a host that has been broken into opens no network of others. By the tenant and not
// by the network, because the sender routes: what it sends into a network may be of
// another one, of which alone it has ports.
var tunnelSender = &Table{
	ID:      idTunnelSender,
	Name:    "tunnel_sender",
	Purpose: "Let a host send tunnel packets only for tenants that it has ports or addresses of.",
	Reads:   []of.Field{of.FieldTunSrc, of.FieldMetadata, of.FieldReg0},
	Writes:  []of.Field{of.FieldReg15},
	Next:    []*Table{learn, fork, drop},
}

func tunnelSenderBase(r rules) {
	r.add(tunnelSender, 0, "a tunnel packet of a tenant that its sender has nothing of", on(), because(ReasonNoClaim)...)
}

// SendersView lists the hosts that may tunnel for a tenant.
type SendersView struct {
	Tenant intent.Tenant
	VTEPs  []netip.Addr // of other hosts that claim ports of it or have NAT addresses for it, ascending
	Learns bool         // a network of it does
}

func tunnelSenders(r rules, v *SendersView) {
	for _, a := range v.VTEPs {
		from := on(of.Addr(of.FieldTunSrc, a), regTenant.is(uint64(v.Tenant.VRF)))
		r.add(tunnelSender, 10, "from a host that has ports or addresses of the tenant", from, to(fork))
		if v.Learns { // elsewhere the way through learn would make the cache look at the source MAC
			r.add(tunnelSender, 20, "from such a host, into a network that learns", with(from, flagLearns.is(1)), to(learn))
		}
	}
}
