package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// output is the only table that sends unicast to a port or a VTEP.
var output = &Table{
	ID:      idOutput,
	Name:    "output",
	Purpose: "Hand the packet to a port here, or tunnel it to the host of its destination.",
	Reads:   []of.Field{of.FieldReg0, of.FieldReg3},
	Writes:  []of.Field{of.FieldEthSrc, of.FieldEthDst, of.FieldTunID, of.FieldTunDst, of.FieldReg15},
	Next:    []*Table{drop},
}

// drop counts dropped packets by reason.
var drop = &Table{
	ID:      idDrop,
	Name:    "drop",
	Purpose: "Drop the packet and count it by its reason.",
	Reads:   []of.Field{of.FieldReg15},
}

func outputBase(r rules, sw Switch) {
	// A port never gets back what it sent: the switch does not output to a packet's
	// input port.
	r.add(output, 40, "routed, to a port here", on(flagRouted.is(1), regVTEP.is(0)),
		of.SetMAC(of.FieldEthSrc, intent.GatewayMAC), of.OutputReg{Src: regOutPort.Sub})
	r.add(output, 30, "to a port here", on(regVTEP.is(0)), of.OutputReg{Src: regOutPort.Sub})
	r.add(output, 20, "from a tunnel, and the destination is not here", on(flagFromTunnel.is(1)), because(ReasonSplitHorizon)...)
	r.add(output, 0, "into the tunnel, to the destination's host", on(),
		copyVNI(), of.Copy(regVTEP.Sub, of.FieldTunDst.All()), of.Output{Port: sw.VXLANPort})
}

// outputSelf tunnels a routed packet with the host's own MAC as its source: the
// gateway's MAC, seen from several hosts, would seem to move between them.
func outputSelf(r rules, sw Switch, h intent.Host) {
	mac := of.SetMAC(of.FieldEthSrc, intent.RouterMAC(h.ID))
	tunnel := []of.Action{mac, copyVNI(), of.Copy(regVTEP.Sub, of.FieldTunDst.All())}
	// Tells the target's host to send answers back here: see Transit.
	r.add(output, 38, "from outside, to a port on another host", on(flagRouted.is(1), flagFromExternal.is(1)),
		append(append([]of.Action{of.SetMAC(of.FieldEthDst, intent.GatewayMAC)}, tunnel...), of.Output{Port: sw.VXLANPort})...)
	r.add(output, 36, "routed, from a tunnel into one", on(flagRouted.is(1), flagFromTunnel.is(1)), append(tunnel, of.Output{Port: of.PortInPort})...)
	r.add(output, 35, "routed, into the tunnel", on(flagRouted.is(1)), append(tunnel, of.Output{Port: sw.VXLANPort})...)
}

func dropBase(emit Emit) {
	r := rules{MakeCookie(KindBase, idDrop), emit}
	r.add(drop, 0, "no reason given", on())
	for _, reason := range Reasons() {
		r := rules{MakeCookie(KindReason, intent.ID(reason)), emit}
		r.add(drop, 10, reason.Meaning(), on(regReason.is(uint64(reason))))
	}
}
