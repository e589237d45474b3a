package explain

import (
	"fmt"
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// turnedRound checks whether the packet left to the host's own routing for a port that the
// host forwards into the overlay. If so, the host's packet filter, of which Open vSwitch
// knows nothing, sends it back: turnedRound replaces the end by a step that says so, and
// returns the port by which the packet comes in again, and the packet. Otherwise it
// returns "".
func (w *walk) turnedRound() (of.PortNo, string) {
	if w.sw.Forward == nil || len(w.ends) != 1 || w.ends[0].Kind != intent.TraceLeft {
		return 0, ""
	}
	var uplink of.PortNo
	for no, at := range w.sw.Ports {
		if at.Uplink != "" && at.Bridge == "" {
			uplink = no
		}
	}
	f := parseFields(w.ends[0].Packet)
	protocol, srcPort, dstPort := forwardable(f.number(of.FieldIPProto))
	if uplink == 0 || w.sentTo != uplink || protocol == "" || f.number(of.FieldEthType) != 0x0800 {
		return 0, ""
	}
	asked := netip.AddrPortFrom(f.addr4(of.FieldIPDst), uint16(f.number(dstPort)))
	to, source, ok := w.sw.Forward(protocol, f.addr4(of.FieldIPSrc), asked)
	if !ok {
		return 0, ""
	}
	w.steps = append(w.steps, intent.TraceStep{
		Words: fmt.Sprintf("the host forwards %s port %d of its own addresses: it gives the packet source %s and destination %s, and sends it back",
			protocol, asked.Port(), source, to),
		Actions: []string{}, Notes: []string{},
	})
	w.ends = nil
	return uplink, fmt.Sprintf("dl_src=%s,dl_dst=%s,%s,nw_src=%s,nw_dst=%s,nw_ttl=%d,tp_src=%d,tp_dst=%d",
		f.mac(of.FieldEthDst), f.mac(of.FieldEthSrc), protocol, source, to.Addr(), max(f.number(of.FieldIPTTL), 1)-1, f.number(srcPort), to.Port())
}

// forwardable returns the protocol with a number, and the fields of its ports; "" if it
// has none.
func forwardable(number uint64) (p intent.Protocol, src, dst of.Field) {
	src, dst = portFields(number)
	for _, p := range []intent.Protocol{intent.TCP, intent.UDP, intent.SCTP} {
		if uint64(p.Number()) == number {
			return p, src, dst
		}
	}
	return "", src, dst
}
