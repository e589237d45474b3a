package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// fdb holds the store's MACs. It comes before fdb_learned, so that a known MAC cannot
// be taken over by learning.
var fdb = &Table{
	ID:      idFDB,
	Name:    "fdb",
	Purpose: "Find the port or host that a known MAC lives on.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthDst},
	Writes:  []of.Field{of.FieldReg2, of.FieldReg3, of.FieldReg15},
	Next:    []*Table{fdbLearned, unknown, output, drop},
}

// fdbLearned has no flows but those that table learn makes. A learned flow cannot
// contain goto_table, so fdb resubmits here and then goes on by itself.
var fdbLearned = &Table{
	ID:      idFDBLearned,
	Name:    "fdb_learned",
	Purpose: "Find the port or host that a learned MAC lives on.",
	Reads:   []of.Field{of.FieldMetadata, of.FieldEthDst},
	Writes:  []of.Field{of.FieldReg2, of.FieldReg3},
	Next:    nil,
}

// unknown handles unicast frames to a MAC that is neither in fdb nor learned.
var unknown = &Table{
	ID:      idUnknown,
	Name:    "unknown",
	Purpose: "Apply the network's policy to an unknown MAC.",
	Reads:   []of.Field{of.FieldReg0, of.FieldMetadata, of.FieldReg2, of.FieldReg3},
	Writes:  []of.Field{of.FieldTunID, of.FieldReg15},
	Next:    []*Table{flood, output, drop},
}

const fdbLearnedPriority = 10

func fdbBase(r rules) {
	r.add(fdb, 0, "a MAC that the store does not know", on(), to(unknown))
}

// fdbHost leads to the router of another host, which waits for answers to its
// questions.
func fdbHost(r rules, h intent.Host) {
	r.add(fdb, 60, "leads to the host's router", on(of.EthDst(intent.RouterMAC(h.ID))), regVTEP.set(vtepBits(h.VTEP)), to(output))
}

func fdbNetwork(r rules, n *NetworkView) {
	if !n.open() {
		return
	}
	r.add(fdb, 10, "looks among the learned MACs",
		on(regNetwork.is(uint64(n.Network.VNI))),
		of.Resubmit{InPort: of.PortInPort, Table: fdbLearned.ID}, to(unknown))
}

func fdbPort(r rules, p *PortView) {
	dst := on(regNetwork.is(uint64(p.Network.VNI)), of.EthDst(p.Port.MAC))
	const known = 50
	switch {
	case p.local():
		r.add(fdb, known, "leads to the port, which is here", dst, regOutPort.set(uint64(p.OFPort)), to(output))
	case p.VTEP.IsValid():
		r.add(fdb, known, "leads to the host of the port", dst, regVTEP.set(vtepBits(p.VTEP)), to(output))
	case !p.open():
		// In an open network the MAC may have moved without the store knowing.
		r.add(fdb, known, "the port is plugged nowhere", dst, because(ReasonNotPlugged)...)
	}
}

func unknownBase(r rules) {
	nowhere := on(regOutPort.is(0), regVTEP.is(0))
	r.add(unknown, 10, "unknown destination", nowhere, because(ReasonUnknownDst)...)
	r.add(unknown, 0, "a learned MAC", on(), to(output))
}

// unknownNetwork floods frames to unknown MACs, if that is the network's policy. In a
// network with peers they always go to the peers: only there can a MAC exist that has
// not spoken yet, or whose learned flow has timed out.
func unknownNetwork(r rules, n *NetworkView) {
	unknownMAC := on(regNetwork.is(uint64(n.Network.VNI)), regOutPort.is(0), regVTEP.is(0))
	switch {
	case n.Network.Unknown == intent.UnknownFlood:
		r.add(unknown, 20, "unknown destination: to all", unknownMAC, to(flood))
	case len(n.Peers) > 0:
		r.add(unknown, 20, "unknown destination: to the peers",
			with(unknownMAC, flagFromTunnel.is(0)), copyVNI(), of.ToGroup{ID: groupPeers | n.Network.VNI})
	}
}
