package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// tunnelSender lets a host tunnel only for tenants that it has ports or addresses of:
// so the key of a compromised host opens no other tenants' networks. It checks the
// tenant, not the network, because the sender routes: a packet in one network may come
// from a port in another network of the tenant.
var tunnelSender = &Table{
	ID:      idTunnelSender,
	Name:    "tunnel_sender",
	Purpose: "Let a host tunnel only for tenants that have ports or addresses there.",
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
	VTEPs  []netip.Addr // of other hosts that claim ports or hold NAT addresses of the tenant, ascending
	Learns bool         // a network of the tenant learns
}

func tunnelSenders(r rules, v *SendersView) {
	for _, a := range v.VTEPs {
		from := on(of.Addr(of.FieldTunSrc, a), regTenant.is(uint64(v.Tenant.VRF)))
		r.add(tunnelSender, 10, "from a host that has ports or addresses of the tenant", from, to(fork))
		if v.Learns { // elsewhere passing through learn would make the cache exact on the source MAC
			r.add(tunnelSender, 20, "from such a host, into a network that learns", with(from, flagLearns.is(1)), to(learn))
		}
	}
}
