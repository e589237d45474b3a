// Package pipeline turns intent into flows. Its functions are pure: a view of an
// object in, the object's flows out, so that an incremental change and a full
// recompute give the same tables.
//
// The tables, in packet order:
//
//	classify       Say which port or which host a packet comes from.
//	priority_tag   Take off a tag of VLAN 0, which says a priority only.
//	external_in    Answer ARP for the external addresses that are used here, and lead what is sent to one into its tenant.
//	tunnel_in      Put a tunnel packet into the network of its VNI.
//	tunnel_sender  Let a host send tunnel packets only for tenants that it has ports or addresses of.
//	nat_in         Translate connections from the outside to the port that they are meant for.
//	frame          Let in frames of the types that the network carries, if they can be read far enough to be checked.
//	port_security  Let a port speak only as the MAC and the addresses it owns.
//	tagged         Let a port send tagged frames under its own MAC, where its network carries them.
//	arp_nd         Answer ARP and neighbour solicitations for the addresses that the network knows.
//	nd_answer      Complete a neighbour advertisement and send it back.
//	learn          Remember behind which port or host a MAC lives that the store does not know.
//	fork           Send broadcast and multicast to flood, what is for a gateway to l3_in, other unicast to fdb.
//	fdb            Find the port or host that a known MAC lives on.
//	fdb_learned    Find the port or host that a learned MAC lives on.
//	unknown        Apply the network's policy to an unknown MAC.
//	flood          Send a copy to every port of the network here, every other host that has some, and every peer.
//	l3_in          Be the gateway: answer pings, and let pass what can be routed.
//	route          Find the network and the next hop by the longest prefix.
//	answer_out     Send answers to the outside back there, whatever the routes say.
//	neighbour      Find the MAC, and the port or host, of the next hop.
//	neighbour_learned  Find the MAC, and the port or host, of a next hop that was asked for.
//	unresolved     Let ovloomd ask for a next hop that is not known.
//	mtu            Measure the packet where the next network may be too narrow for it.
//	forward        Lower the TTL of a packet that fits, and send it on.
//	guard          Keep tenants from hosts, tunnels, the store and each other's external addresses.
//	host_forward   Let pass what is for a forwarded port of this host's own addresses.
//	snat           Translate the source of what leaves.
//	external_out   Let out what has an external address of its tenant as source.
//	external_neighbour  Find the next hop of what leaves, or turn it round if an address here is meant.
//	external_learned  Find the MAC of a next hop beyond the uplink.
//	external_send  Let ovloomd ask for a next hop beyond the uplink that is not known.
//	output         Hand the packet to a port here, or tunnel it to the host of its destination.
//	shares         Let a packet pass only within the share of the port, network or tenant that it counts for.
//	drop           Drop the packet and count it by its reason.
//
// A table is a struct that declares what its flows may read, write and lead to,
// and a few functions that add the flows of one object. To change what happens
// to a packet, find the table above; to see which flows an object has, start at
// compile.go.
package pipeline
