package api

import "github.com/ovloom/ovloom/intent"

var peerClass = declared[intent.Peer, intent.PeerRef]{
	class: intent.ClassPeer,
	at:    "/v1/tenants/{tenant}/networks/{network}/peers", name: "/{peer}",
	values: func(r intent.PeerRef) []string { return []string{r.Tenant, r.Network, r.Peer} },
	ref: func(v values) (intent.PeerRef, error) {
		return intent.PeerRef{Tenant: v("tenant"), Network: v("network"), Peer: v("peer")}, nil
	},
	add:   []string{"name", "vtep"},
	place: func(p *intent.Peer, v values) { p.Tenant, p.Network = v("tenant"), v("network") },
	docs: documented[intent.Peer]{
		one: "peer", several: "peers", add: "Add a peer: a VTEP that is not ovloom, with machines of the network behind it.", show: "One peer.",
		example: examplePeer, given: intent.Peer{Name: "tor1", VTEP: examplePeer.VTEP}, revisions: [3]int64{56, 0, 57},
	},
}
