package pipeline

import (
	"net/netip"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// Learned is the location of a MAC in a network, read from a flow of fdb_learned.
type Learned struct {
	VNI  uint32
	MAC  intent.MAC
	Port of.PortNo  // of this switch; 0: it is behind VTEP
	VTEP netip.Addr // not valid: it is behind Port
}

// LearnedOf reads a flow that the switch made itself; false: it is in another table.
func LearnedOf(f of.Flow) (l Learned, ok bool) {
	if f.Table != fdbLearned.ID {
		return l, false
	}
	for _, t := range f.Match.Terms {
		switch t.Field {
		case regNetwork.Sub.Field:
			l.VNI = uint32(t.Value.Uint64() & regNetwork.mask())
		case of.FieldEthDst:
			v := t.Value.Uint64()
			for i := range l.MAC {
				l.MAC[i] = byte(v >> (8 * (5 - i)))
			}
		}
	}
	for _, a := range f.Actions {
		s, is := a.(of.SetField)
		switch {
		case !is:
		case s.Field == regOutPort.Sub.Field:
			l.Port = of.PortNo(s.Value.Uint64())
		case s.Field == regVTEP.Sub.Field && s.Value.Uint64() != 0:
			l.VTEP = ipv4(s.Value)
		}
	}
	return l, !l.MAC.IsZero() && (l.Port != 0 || l.VTEP.IsValid())
}

// LearnedPort returns the port of this switch that a learned flow outputs to; 0: none,
// or other flows decide.
func LearnedPort(f of.Flow) (port of.PortNo) {
	for _, a := range f.Actions {
		if s, ok := a.(of.SetField); ok && s.Field == regOutPort.Sub.Field {
			port = of.PortNo(s.Value.Uint64())
		}
	}
	return port
}
