package pipeline

import (
	"net/netip"
	"slices"

	of "github.com/ovloom/ovloom/openflow"
)

// flood sends one copy to every member of the network. OVS's own FLOOD sends a
// flow-based tunnel's copies nowhere or twice, so ovloom uses groups of its own.
var flood = &Table{
	ID:      idFlood,
	Name:    "flood",
	Purpose: "Send a copy to every port of the network here, every other host with ports of it, and every peer.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata},
	Writes:  []of.Field{of.FieldTunID, of.FieldReg15},
	Next:    []*Table{drop},
}

// Group ids: the VNI, and above it which of the network's groups. Pages add the page's
// number.
const (
	groupEveryone     uint32 = 1 << 24    // ports here, other hosts and peers
	groupHere         uint32 = 2 << 24    // ports here
	groupPeers        uint32 = 3 << 24    // peers
	groupEveryonePage uint32 = 0x80 << 24 // to 0x9f: a page of groupEveryone
	groupEveryoneTurn uint32 = 0xa0 << 24 // to 0xbf: leads to that page
	groupPeersPage    uint32 = 0xc0 << 24 // to 0xdf: a page of groupPeers
	groupPeersTurn    uint32 = 0xe0 << 24 // to 0xff: leads to that page
)

// vtepsPerPage is how many VTEPs a packet is copied to in one pass. Open vSwitch makes
// at most 64 kB of datapath actions for a packet and silently omits the rest: 780 VTEPs
// on the userspace datapath. (One message that makes a group holds 1,170.)
const vtepsPerPage = 500

// pagesMost is the largest number of pages besides the first: 16,500 VTEPs in all.
// VTEPs beyond get no copies.
const pagesMost = 32

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

// floodGroups returns the groups of a network, referenced groups first. The switch
// itself leaves out the packet's input port.
func floodGroups(sw Switch, n *NetworkView) []of.Group {
	vni := n.Network.VNI
	here := of.Group{ID: groupHere | vni, Type: of.GroupAll}
	for _, p := range n.Local {
		addBucket(&here, of.Output{Port: p})
	}
	everyone := of.Group{ID: groupEveryone | vni, Type: of.GroupAll, Buckets: slices.Clone(here.Buckets)}
	groups := copyTo(sw, &everyone, slices.Concat(n.VTEPs, n.Peers), groupEveryonePage|vni, groupEveryoneTurn|vni)
	groups = append(groups, everyone, here)
	if len(n.Peers) == 0 {
		return groups
	}
	peers := of.Group{ID: groupPeers | vni, Type: of.GroupAll}
	groups = append(groups, copyTo(sw, &peers, n.Peers, groupPeersPage|vni, groupPeersTurn|vni)...)
	return append(groups, peers)
}

// copyTo makes a group send copies to VTEPs, and returns the extra groups needed for
// more than one page. Each page but the first is behind a select group whose hash the
// datapath computes: the packet recirculates, and gets a fresh list of datapath
// actions. The group has a single bucket.
func copyTo(sw Switch, g *of.Group, vteps []netip.Addr, page, turn uint32) []of.Group {
	var more []of.Group
	i := uint32(0)
	for some := range slices.Chunk(vteps, vtepsPerPage) {
		switch {
		case i == 0:
			addVTEPs(sw, g, some)
		case i <= pagesMost:
			at := (i - 1) << 24
			p := of.Group{ID: page + at, Type: of.GroupAll}
			addVTEPs(sw, &p, some)
			more = append(more, p, of.Group{ID: turn + at, Type: of.GroupSelect, SelectionMethod: "dp_hash",
				Buckets: []of.Bucket{{Weight: 1, Actions: []of.Action{of.ToGroup{ID: p.ID}}}}})
			addBucket(g, of.ToGroup{ID: turn + at})
		}
		i++
	}
	return more
}

func addVTEPs(sw Switch, g *of.Group, vteps []netip.Addr) {
	for _, v := range vteps {
		addBucket(g, of.SetAddr(of.FieldTunDst, v), of.Output{Port: sw.VXLANPort})
	}
}

func addBucket(g *of.Group, actions ...of.Action) {
	g.Buckets = append(g.Buckets, of.Bucket{ID: uint32(len(g.Buckets)), Actions: actions})
}
