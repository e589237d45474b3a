package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// classify identifies a packet's source. It is the only entry, and drops what it does
// not know: a switch without ports is closed.
var classify = &Table{
	ID:      idClassify,
	Name:    "classify",
	Purpose: "Identify the port or host that a packet comes from.",
	Reads:   []of.Field{of.FieldInPort, of.FieldTunSrc, of.FieldTunID, of.FieldVLANVID, of.FieldEthType, of.FieldIPSrc},
	Writes:  []of.Field{of.FieldMetadata, of.FieldReg0, of.FieldReg1, of.FieldReg15},
	Next:    []*Table{priorityTag, externalIn, drop},
}

const (
	classifyPair    = 110 // a VTEP known in one network only
	classifyKnown   = 100
	classifyTunnel  = 50 // a tunnel packet from an unknown VTEP
	classifyNothing = 0
)

func classifyBase(r rules, sw Switch) {
	r.add(classify, classifyTunnel, "a tunnel packet from a stranger",
		on(of.InPort(sw.VXLANPort)), because(ReasonUnknownVTEP)...)
	r.add(classify, classifyNothing, "an interface without a port",
		on(), because(ReasonUnknownPort)...)
}

// classifyHost admits tunnel packets from another host.
func classifyHost(r rules, sw Switch, h intent.Host) {
	r.add(classify, classifyKnown, "comes through the tunnel from this host",
		on(of.InPort(sw.VXLANPort), of.Addr(of.FieldTunSrc, h.VTEP)),
		flagFromTunnel.set(1), to(priorityTag))
}

// classifyPeer admits a peer into its network and nowhere else: unlike a host, it is
// not trusted with any VNI.
func classifyPeer(r rules, sw Switch, p *PeerView) {
	r.add(classify, classifyPair, "comes through the tunnel from this peer, with its network's VNI",
		on(of.InPort(sw.VXLANPort), of.Addr(of.FieldTunSrc, p.Peer.VTEP), of.Exact(of.FieldTunID, uint64(p.VNI))),
		enter(p.VNI, p.VRF), of.SetMasked(of.FieldReg0, flagFromTunnel.mask()|flagFromPeer.mask(), flagFromTunnel.mask()|flagFromPeer.mask()),
		to(priorityTag))
}

// classifyPort is the first flow of a port to be added and the last to be removed:
// without it the port cannot send.
func classifyPort(r rules, sw Switch, p *PortView) {
	switch {
	case p.penalised(sw):
		r.add(classify, classifyKnown, "sent by a port that makes too many cached flows: within its share, once more from here",
			on(of.InPort(p.OFPort)), of.ApplyMeter{ID: SharePenalty.meter(uint32(p.OFPort)).ID}, of.ToGroup{ID: uint32(p.OFPort)})
	case p.local():
		r.add(classify, classifyKnown, "sent by the port, enters its network", on(of.InPort(p.OFPort)), append(enterPort(p), to(portEntry))...)
	case p.OFPort != 0 && !p.Elsewhere:
		r.add(classify, classifyKnown, "an interface whose port no host has claimed yet",
			on(of.InPort(p.OFPort)), because(ReasonUnclaimed)...)
	case p.OFPort != 0:
		r.add(classify, classifyKnown, "an interface that lost the port to another host",
			on(of.InPort(p.OFPort)), because(ReasonClaimedElse)...)
	}
}

// portEntry is the table that follows classify for packets from the port.
var portEntry = priorityTag

// enterPort puts packets from the port into its network.
func enterPort(p *PortView) []of.Action {
	actions := []of.Action{enter(p.Network.VNI, p.VRF), regInPort.set(uint64(p.OFPort))}
	if p.Reached {
		actions = append(actions, flagReached.set(1))
	}
	return actions
}
