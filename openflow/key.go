// Equality of matches, keys and whole flows.

package openflow

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Equal reports whether two matches made by this package mean the same.
func (m Match) Equal(o Match) bool { return m.Opaque == o.Opaque && slices.Equal(m.Terms, o.Terms) }

// Key returns the match as bytes that are equal for equal matches, for use in maps.
func (m Match) Key() string { return string(m.appendKey(make([]byte, 0, 128))) }

func (m *Match) appendKey(b []byte) []byte {
	for i := range m.Terms {
		t := &m.Terms[i]
		exact := t.Mask == t.Field.mask()
		first := len(t.Value) - (t.Field.Width()+7)/8
		head := byte(t.Field) << 1
		if exact {
			head |= 1
		}
		b = append(append(b, head), t.Value[first:]...)
		if !exact {
			b = append(b, t.Mask[first:]...)
		}
	}
	if m.Opaque != "" {
		b = append(append(b, byte(FieldNone)<<1), m.Opaque...)
	}
	return b
}

// Key returns what identifies the flow within a switch.
func (f Flow) Key() FlowKey {
	return FlowKey{Table: f.Table, Priority: f.Priority, Match: f.Match.Key()}
}

// appendKey appends the flow's key as bytes.
func (f *Flow) appendKey(b []byte) []byte {
	b = append(b, f.Table)
	b = binary.BigEndian.AppendUint16(b, f.Priority)
	return f.Match.appendKey(b)
}

// sameKey reports whether a switch takes both flows for the same flow.
func (f *Flow) sameKey(o *Flow) bool {
	return f.Table == o.Table && f.Priority == o.Priority && f.Match.Equal(o.Match)
}

// storedFlags are the flags that a switch stores; the others concern the flow-mod.
const storedFlags = SendFlowRem | NoPacketCounts | NoByteCounts

// Equal reports whether both flows make the same entry in a switch: keys, cookies,
// timeouts, flags and actions are equal.
func (f Flow) Equal(o Flow) bool { return f.sameKey(&o) && f.sameBody(&o) }

// sameBody compares all but keys.
func (f *Flow) sameBody(o *Flow) bool {
	return f.Cookie == o.Cookie && f.IdleTimeout == o.IdleTimeout && f.HardTimeout == o.HardTimeout &&
		f.Importance == o.Importance && f.Flags&storedFlags == o.Flags&storedFlags &&
		EqualActions(f.Actions, o.Actions)
}

// EqualActions reports whether two lists of actions do the same, even if some are
// written differently.
func EqualActions(a, b []Action) bool { return slices.EqualFunc(a, b, equalAction) }

func equalAction(a, b Action) bool {
	switch x := a.(type) {
	case CT:
		y, ok := b.(CT)
		return ok && x.equal(&y)
	case Learn:
		y, ok := b.(Learn)
		return ok && x.equal(&y)
	case WriteActions:
		y, ok := b.(WriteActions)
		return ok && EqualActions(x.Actions, y.Actions)
	}
	switch b.(type) {
	case CT, Learn, WriteActions: // lists in them cannot be compared with ==
		return false
	}
	return a == b || canonical(a) == canonical(b)
}

func (a *CT) equal(o *CT) bool {
	return a.Commit == o.Commit && a.Force == o.Force && a.ZoneSrc == o.ZoneSrc &&
		(a.Zone == o.Zone || a.ZoneSrc.Field != FieldNone) &&
		a.Table == o.Table && a.ALG == o.ALG && EqualActions(a.Actions, o.Actions)
}

func (a *Learn) equal(o *Learn) bool {
	return a.Table == o.Table && a.Priority == o.Priority && a.Cookie == o.Cookie &&
		a.IdleTimeout == o.IdleTimeout && a.HardTimeout == o.HardTimeout &&
		a.FinIdle == o.FinIdle && a.FinHard == o.FinHard &&
		a.Limit == o.Limit && a.LimitResult == o.LimitResult &&
		a.SendFlowRem == o.SendFlowRem && a.DeleteLearned == o.DeleteLearned &&
		slices.EqualFunc(a.Specs, o.Specs, func(s, t LearnSpec) bool { return s.canonical() == t.canonical() })
}

// canonical drops what the spec's kind does not use.
func (s LearnSpec) canonical() LearnSpec {
	if s.Src.Field != FieldNone {
		s.Value = Bits{}
	}
	if s.Kind == LearnOutput {
		s.Dst = Subfield{}
	}
	return s
}

// canonical returns an action as a switch dumps it.
func canonical(action Action) Action {
	switch a := action.(type) {
	case Output:
		if a.Port == PortController {
			return ToController{MaxLen: 0xffff}
		}
	case ToController:
		if a.Reason == ReasonAction {
			a.Reason = 0
		}
		return a
	case Resubmit:
		if a.InPort == 0 {
			a.InPort = PortInPort
		}
		return a
	case SetField:
		a.Value = a.Value.And(a.Mask)
		return a
	case WriteMetadata:
		a.Value &= a.Mask
		return a
	case NAT:
		if a.AddrMax == a.AddrMin {
			a.AddrMax = netip.Addr{}
		}
		if a.PortMax == a.PortMin {
			a.PortMax = 0
		}
		return a
	}
	return action
}

// Equal reports whether both groups make the same entry in a switch.
func (g Group) Equal(o Group) bool {
	return g.ID == o.ID && g.Type == o.Type && g.SelectionMethod == o.SelectionMethod &&
		g.SelectionParam == o.SelectionParam && g.Opaque == o.Opaque &&
		slices.Equal(g.SelectionFields, o.SelectionFields) &&
		slices.EqualFunc(g.Buckets, o.Buckets, func(a, b Bucket) bool {
			return a.ID == b.ID && (a.Weight == b.Weight || g.Type != GroupSelect) && a.WatchPort == b.WatchPort &&
				a.WatchGroup == b.WatchGroup && a.Opaque == b.Opaque && EqualActions(a.Actions, b.Actions)
		})
}
