package explain

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// conflict is Open vSwitch's message where a resumed trace comes out of connection
// tracking: it stops there.
const conflict = "Recirculation conflict"

// tracked returns where to resume the trace of a packet that connection tracking hands
// back; nil: nowhere, Open vSwitch traced it correctly.
func (w *walk) tracked(r round) *resumption {
	if r.ctState == "" {
		return nil
	}
	next := pipeline.TableByID(w.next)
	asks := next != nil && slices.Contains(next.Reads, of.FieldCTTpDst)
	if !asks && !strings.Contains(r.failure, conflict) {
		return nil
	}
	return &resumption{w.state.withConnection(r), w.next}
}

// withConnection adds what Open vSwitch leaves out of traces: the packet's connection,
// which tables may match.
func (f fields) withConnection(r round) fields {
	src, dst := portFields(f.number(of.FieldIPProto))
	if src == of.FieldNone || f.number(of.FieldEthType) != 0x0800 || !slices.Contains(strings.Split(r.ctState, "|"), "new") {
		return f
	}
	with := f.clone()
	with[of.FieldCTNwProto] = f.get(of.FieldIPProto)
	with[of.FieldCTNwSrc], with[of.FieldCTNwDst] = f.get(of.FieldIPSrc), f.get(of.FieldIPDst)
	with[of.FieldCTTpSrc], with[of.FieldCTTpDst] = f.get(src), f.get(dst)
	// A connection is identified by its first packet before translation.
	before := words(r.natFrom)
	for name, field := range map[string]of.Field{"nw_src": of.FieldCTNwSrc, "nw_dst": of.FieldCTNwDst} {
		if a, err := netip.ParseAddr(before[name]); err == nil && a.Is4() {
			with[field] = of.BitsOfAddr(a)
		}
	}
	for name, field := range map[string]of.Field{"tp_src": of.FieldCTTpSrc, "tp_dst": of.FieldCTTpDst} {
		if n, err := strconv.ParseUint(before[name], 10, 16); err == nil {
			with[field] = of.BitsOf(n)
		}
	}
	return with
}

// portFields returns the fields of a protocol's ports.
func portFields(proto uint64) (src, dst of.Field) {
	switch proto {
	case 6:
		return of.FieldTCPSrc, of.FieldTCPDst
	case 17:
		return of.FieldUDPSrc, of.FieldUDPDst
	case 132:
		return of.FieldSCTPSrc, of.FieldSCTPDst
	}
	return of.FieldNone, of.FieldNone
}
