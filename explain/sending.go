package explain

import (
	"fmt"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// sending is an output whose details are not all read.
type sending struct {
	port    of.PortNo
	back    bool // out of the port it came in by
	state   fields
	table   string
	skipped bool
	failure string
}

// detail reads a detail of the action before.
func (w *walk) detail(n node) {
	if w.foreign() {
		return
	}
	if step := w.step(n); step != nil {
		step.Notes = append(step.Notes, n.text)
	}
	if w.sending == nil {
		return
	}
	switch {
	case strings.Contains(n.text, "skipping output"):
		w.sending.skipped = true
	case strings.HasPrefix(n.text, "neighbor cache miss"):
		// The packet is lost while the neighbour is resolved; the next one passes.
	case n.kind == nodeError, strings.HasPrefix(n.text, "native tunnel"), strings.HasPrefix(n.text, "Nonexistent output port"),
		strings.HasPrefix(n.text, "Not tunneling"), strings.HasPrefix(n.text, "Tunneling decided against"):
		w.sending.failure = n.text
	}
}

// sent ends the packet, or the copy, that was sent last.
func (w *walk) sent() {
	s := w.sending
	w.sending = nil
	if s == nil || s.skipped {
		return
	}
	e := intent.TraceEnd{Table: s.table, Packet: s.state.packet()}
	in := of.PortNo(s.state.number(of.FieldInPort))
	if s.back {
		s.port = in
	}
	w.sentTo = s.port
	at, known := w.sw.Ports[s.port]
	switch {
	case s.failure != "":
		e.Kind, e.Words = intent.TraceDropped, "Open vSwitch cannot send it: "+s.failure
	case s.back:
		e.Kind, e.Port, e.Words = intent.TraceAnswered, at.Port, "answered by the switch"
		e.Answer = answerOf(s.state)
	case s.port == w.sw.Tunnel:
		e.Kind, e.VTEP, e.VNI = intent.TraceTunnelled, s.state.addr4(of.FieldTunDst), uint32(s.state.number(of.FieldTunID))
		e.Words = fmt.Sprintf("through the tunnel to %s, VNI %d", e.VTEP, e.VNI)
	case known && at.Uplink != "":
		e.Kind, e.External, e.Words = intent.TraceLeft, w.sw.external(s.state), "out by "+at.Uplink
		switch {
		case e.External != "" && at.Bridge == "":
			e.Words = fmt.Sprintf("out by external %s, %s", e.External, at.Uplink)
		case e.External != "":
			e.Words = "out by external " + e.External
		}
		if src := s.state.addr4(of.FieldIPSrc); s.state.number(of.FieldEthType) == 0x0800 {
			e.Words += ", from " + src.String()
		}
	case known:
		e.Kind, e.Port, e.Words = intent.TraceDelivered, at.Port, "to port "+at.Port
	default:
		e.Kind, e.Words = intent.TraceLeft, fmt.Sprintf("out of OpenFlow port %d, which is no port of the overlay", s.port)
	}
	w.ends = append(w.ends, e)
}

// external returns the name of the external that a packet is on its way to; "" if none.
func (s *Switch) external(f fields) string {
	const vni = 1<<24 - 1 // the bits of metadata that hold it
	return s.Externals[uint32(f.number(of.FieldMetadata)&vni)].Name
}

// answerOf returns the MAC address in an ARP or neighbour discovery answer.
func answerOf(f fields) string {
	switch {
	case f.number(of.FieldEthType) == 0x0806 && f.number(of.FieldARPOp) == arpReply:
		return f.mac(of.FieldARPSHA).String()
	case f.number(of.FieldEthType) == 0x86dd && f.number(of.FieldIPProto) == 58 && f.number(of.FieldICMPv6Type) == icmpv6NeighborAd:
		return f.mac(of.FieldEthSrc).String()
	}
	return ""
}
