// ovloom peer: VTEPs that are not ovloom.

package main

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
)

var peers = noun[intent.Peer, intent.Peer, intent.Peer]{
	class:    intent.ClassPeer,
	usage:    "peers: VTEPs of a network that are not ovloom",
	examples: []string{"ovloom peer add acme/web/tor1 --vtep 192.0.2.40", "ovloom peer list acme/web"},
	name:     []argument{path(intent.ClassTenant, intent.ClassNetwork, intent.ClassPeer)},
	parse: func(args []string) (intent.Peer, error) {
		r, err := intent.ParsePeerRef(args[0])
		return intent.Peer{Tenant: r.Tenant, Network: r.Network, Name: r.Peer}, err
	},
	add: &verb[intent.Peer]{
		usage:    "add a peer",
		about:    "A Linux vxlan device or a hardware VTEP, with machines of the network behind it. It speaks VXLAN with the network's VNI, which `ovloom network show` prints.",
		examples: []string{"ovloom peer add acme/web/tor1 --vtep 192.0.2.40"},
		flags: []field[intent.Peer]{
			stringFlag("vtep", "IPv4 `ADDRESS` where its tunnels end", func(v *intent.Peer) *netip.Addr { return &v.VTEP }, intent.ParseVTEP).
				required(func(v intent.Peer) error {
					return intent.Invalidf("the VTEP of peer %s is missing", v.Ref()).WithHint("give it with --vtep, such as --vtep 192.0.2.40")
				}),
		},
		says: func(v intent.Peer) string { return "VTEP " + v.VTEP.String() },
	},
	list: &listing[intent.Peer]{
		usage:    "list the peers of all tenants, of one, or of a network",
		examples: []string{"ovloom peer list", "ovloom peer list acme/web", "ovloom peer list acme -o json"},
		within:   []intent.Class{intent.ClassTenant, intent.ClassNetwork},
		columns: []column[intent.Peer]{
			{"PEER", func(v intent.Peer) string { return v.Ref().String() }},
			{"VTEP", func(v intent.Peer) string { return v.VTEP.String() }},
		},
	},
	show: &showing[intent.Peer, intent.Peer]{
		verb: verb[intent.Peer]{usage: "show a peer", several: true, examples: []string{"ovloom peer show acme/web/tor1"}},
		facts: func(v intent.Peer) []fact {
			return []fact{{"peer", v.Ref().String()}, {"id", decimal(v.ID)}, {"vtep", v.VTEP.String()}}
		},
	},
	delete: &verb[intent.Peer]{usage: "delete a peer", several: true, examples: []string{"ovloom peer delete acme/web/tor1"}},
}
