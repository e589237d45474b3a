// Package pipeline turns intent into flows. Its functions are pure: a view of an
// object in, the object's flows out, so that an incremental change and a full
// recompute give the same tables.
//
// The tables, in packet order:
//
//	classify       Identify the port or host that a packet comes from.
//	priority_tag   Remove a tag of VLAN 0, which only has a priority.
//	external_in    Answer ARP for the external addresses used here, and pass their packets to their tenants.
//	tunnel_in      Put a tunnel packet into the network of its VNI.
//	tunnel_sender  Let a host tunnel only for tenants that have ports or addresses there.
//	nat_in         Translate connections from the outside to their port.
//	frame          Admit frames of the types that the network carries, if Open vSwitch can parse what later tables check.
//	port_security  Let a port send only from its own MAC and addresses.
//	tagged         Let a port send tagged frames under its own MAC, where its network carries them.
//	arp_nd         Answer ARP and neighbour solicitations for the addresses that the network knows.
//	nd_answer      Complete a neighbour advertisement and send it back.
//	learn          Learn the port or host of a MAC that the store does not know.
//	fork           Send broadcast and multicast to flood, packets to a gateway to l3_in, other unicast to fdb.
//	fdb            Find the port or host that a known MAC lives on.
//	fdb_learned    Find the port or host that a learned MAC lives on.
//	unknown        Apply the network's policy to an unknown MAC.
//	flood          Send a copy to every port of the network here, every other host with ports of it, and every peer.
//	l3_in          Be the gateway: answer pings, and pass packets that can be routed.
//	route          Find the network and the next hop by the longest prefix.
//	answer_out     Send answers back to the outside, whatever the routes say.
//	neighbour      Find the MAC, and the port or host, of the next hop.
//	neighbour_learned  Find the MAC, and the port or host, of a learned next hop.
//	unresolved     Let ovloomd ask for a next hop that is not known.
//	mtu            Check the packet's size where the next network's MTU may be smaller.
//	forward        Decrement the TTL of a packet that fits, and forward it.
//	guard          Keep tenants from hosts, tunnels, the store and each other's external addresses.
//	host_forward   Pass packets to forwarded ports on this host's own addresses.
//	snat           Translate the source of leaving packets.
//	external_out   Let out packets whose source is an external address of their tenant.
//	external_neighbour  Find the next hop of a leaving packet, or turn it round if its destination is here.
//	external_learned  Find the MAC of a next hop beyond the uplink.
//	external_send  Let ovloomd ask for a next hop beyond the uplink that is not known.
//	output         Hand the packet to a port here, or tunnel it to the host of its destination.
//	shares         Pass a packet only within the share of its port, network or tenant.
//	drop           Drop the packet and count it by its reason.
//
// A table is a struct that declares what its flows may read, write and lead to,
// and a few functions that add the flows of one object. To change what happens
// to a packet, find the table above; to see which flows an object has, start at
// compile.go.
package pipeline
