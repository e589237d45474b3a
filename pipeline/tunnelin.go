package pipeline

import of "github.com/ovloom/ovloom/openflow"

// tunnelIn comes second for tunnel packets only: matching sender and VNI in one
// table would take VTEPs × VNIs flows.
var tunnelIn = &Table{
	ID:      idTunnelIn,
	Name:    "tunnel_in",
	Purpose: "Put a tunnel packet into the network of its VNI.",
	Reads:   []of.Field{of.FieldTunID},
	Writes:  []of.Field{of.FieldMetadata, of.FieldReg15},
	Next:    []*Table{learn, fork, drop},
}

func tunnelInBase(r rules) {
	r.add(tunnelIn, 0, "a VNI of no network here", on(), because(ReasonUnknownVNI)...)
}

// tunnelInNetwork trusts the sender: the host that put the packet into the tunnel
// has checked who spoke.
func tunnelInNetwork(r rules, n *NetworkView) {
	next := fork
	if n.Network.Learning {
		next = learn
	}
	r.add(tunnelIn, 10, "a tunnel packet with the network's VNI enters the network",
		on(of.Exact(of.FieldTunID, uint64(n.Network.VNI))),
		enter(n.Network.VNI, n.VRF), to(next))
}
