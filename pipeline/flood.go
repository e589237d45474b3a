package pipeline

import (
	"slices"

	of "github.com/ovloom/ovloom/openflow"
)

// flood sends one copy to everyone who is part of the network. OVS's own FLOOD
// would send a flow-based tunnel's copies to nobody or twice, so the lists are
// groups of ours.
var flood = &Table{
	ID:      idFlood,
	Name:    "flood",
	Purpose: "Send a copy to every port of the network here, every other host that has some, and every peer.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata},
	Writes:  []of.Field{of.FieldTunID, of.FieldReg15},
	Next:    []*Table{drop},
}

// Group ids: the VNI, and above it which of the network's groups.
const (
	groupEveryone uint32 = 1 << 24 // ports here, other hosts and peers
	groupHere     uint32 = 2 << 24 // ports here
	groupPeers    uint32 = 3 << 24 // peers
)

func floodBase(r rules) {
	r.add(flood, 0, "a network that is not here", on(), because(ReasonUnknownVNI)...)
}

func floodNetwork(r rules, n *NetworkView) {
	in := regNetwork.is(uint64(n.Network.VNI))
	r.add(flood, 20, "from a tunnel: to the ports here only",
		on(flagFromTunnel.is(1), in), of.ToGroup{ID: groupHere | n.Network.VNI})
	r.add(flood, 10, "to the ports here, the other hosts and the peers",
		on(in), copyVNI(), of.ToGroup{ID: groupEveryone | n.Network.VNI})
}

// copyVNI puts the packet's network into the tunnel header.
func copyVNI() of.Action {
	return of.Copy(regNetwork.Sub, of.FieldTunID.Bits(int(regNetwork.Sub.Offset), int(regNetwork.Sub.Width)))
}

// floodGroups returns the groups of a network: two, and one more if it has peers.
// The switch itself leaves out the port that a packet came from.
func floodGroups(sw Switch, n *NetworkView) []of.Group {
	here := of.Group{ID: groupHere | n.Network.VNI, Type: of.GroupAll}
	for _, p := range n.Local {
		addBucket(&here, of.Output{Port: p})
	}
	everyone := of.Group{ID: groupEveryone | n.Network.VNI, Type: of.GroupAll, Buckets: slices.Clone(here.Buckets)}
	for _, v := range slices.Concat(n.VTEPs, n.Peers) {
		addBucket(&everyone, of.SetAddr(of.FieldTunDst, v), of.Output{Port: sw.VXLANPort})
	}
	if len(n.Peers) == 0 {
		return []of.Group{everyone, here}
	}
	peers := of.Group{ID: groupPeers | n.Network.VNI, Type: of.GroupAll}
	for _, v := range n.Peers {
		addBucket(&peers, of.SetAddr(of.FieldTunDst, v), of.Output{Port: sw.VXLANPort})
	}
	return []of.Group{everyone, here, peers}
}

func addBucket(g *of.Group, actions ...of.Action) {
	g.Buckets = append(g.Buckets, of.Bucket{ID: uint32(len(g.Buckets)), Actions: actions})
}
