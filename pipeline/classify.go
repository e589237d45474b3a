package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// classify says where a packet comes from. It is the only way in: what it does
// not know is dropped, so a switch without ports is closed.
var classify = &Table{
	ID:      idClassify,
	Name:    "classify",
	Purpose: "Say which port or which host a packet comes from.",
	Reads:   []of.Field{of.FieldInPort, of.FieldTunSrc},
	Writes:  []of.Field{of.FieldMetadata, of.FieldReg0, of.FieldReg1, of.FieldReg15},
	Next:    []*Table{tunnelIn, portSecurity, drop},
}

const (
	classifyKnown   = 100
	classifyTunnel  = 50 // a tunnel packet of nobody we know
	classifyNothing = 0
)

func classifyBase(r rules, sw Switch) {
	r.add(classify, classifyTunnel, "a tunnel packet from a stranger",
		on(of.InPort(sw.VXLANPort)), because(ReasonUnknownVTEP)...)
	r.add(classify, classifyNothing, "an interface without a port",
		on(), because(ReasonUnknownPort)...)
}

// classifyHost lets in what another host tunnels to us.
func classifyHost(r rules, sw Switch, h intent.Host) {
	r.add(classify, classifyKnown, "comes through the tunnel from this host",
		on(of.InPort(sw.VXLANPort), of.Addr(of.FieldTunSrc, h.VTEP)),
		flagFromTunnel.set(1), to(tunnelIn))
}

// classifyPort is the first flow of a port to come and the last to go: before it
// is there, and after it went, the port can say nothing.
func classifyPort(r rules, p *PortView) {
	switch {
	case p.local():
		r.add(classify, classifyKnown, "sent by the port, enters its network",
			on(of.InPort(p.OFPort)),
			enter(p.Network.VNI, p.VRF), regInPort.set(uint64(p.OFPort)), to(portSecurity))
	case p.OFPort != 0:
		r.add(classify, classifyKnown, "an interface that lost the port to another host",
			on(of.InPort(p.OFPort)), because(ReasonClaimedElse)...)
	}
}
