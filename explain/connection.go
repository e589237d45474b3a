package explain

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// conflict is what Open vSwitch says where a way that was taken up again comes out of
// connection tracking: it goes no further then.
const conflict = "Recirculation conflict"

// tracked says where a packet that connection tracking hands back has to be taken up
// again; nil: nowhere, Open vSwitch has traced it rightly.
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

// withConnection adds what Open vSwitch leaves out of traces: what connection the
// packet is of, which tables may ask for.
func (f fields) withConnection(r round) fields {
	src, dst := portFields(f.number(of.FieldIPProto))
	if src == of.FieldNone || f.number(of.FieldEthType) != 0x0800 || !slices.Contains(strings.Split(r.ctState, "|"), "new") {
		return f
	}
	with := f.clone()
	with[of.FieldCTNwProto] = f.get(of.FieldIPProto)
	with[of.FieldCTNwSrc], with[of.FieldCTNwDst] = f.get(of.FieldIPSrc), f.get(of.FieldIPDst)
	with[of.FieldCTTpSrc], with[of.FieldCTTpDst] = f.get(src), f.get(dst)
	// A connection is called by what its first packet said before it was translated.
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
