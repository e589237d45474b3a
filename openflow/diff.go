package openflow

import "reflect"

// Key returns what identifies the flow within a switch.
func (f Flow) Key() FlowKey {
	return FlowKey{f.Table, f.Priority, f.Match.Key()}
}

// Key returns the match as bytes, equal for equal matches. It is for maps, not for
// people.
func (m Match) Key() string {
	b := make([]byte, 0, 128)
	for i := range m.Terms {
		t := &m.Terms[i]
		full := t.Field.mask()
		first := len(t.Value) - (t.Field.Width()+7)/8
		b = append(b, byte(t.Field))
		if t.Mask == full {
			b = append(b, 1)
		} else {
			b = append(append(b, 0), t.Mask[first:]...)
		}
		b = append(b, t.Value[first:]...)
	}
	if m.Opaque != "" {
		b = append(append(b, byte(FieldNone)), m.Opaque...)
	}
	return string(b)
}

// Equal says whether two flows are the same in everything, cookie included.
func (f Flow) Equal(g Flow) bool {
	return f.Table == g.Table && f.Priority == g.Priority && f.Cookie == g.Cookie &&
		f.IdleTimeout == g.IdleTimeout && f.HardTimeout == g.HardTimeout &&
		f.Importance == g.Importance && f.Flags == g.Flags &&
		f.Match.Equal(g.Match) && EqualActions(f.Actions, g.Actions)
}

// Equal says whether two matches match the same packets.
func (m Match) Equal(n Match) bool {
	if len(m.Terms) != len(n.Terms) || m.Opaque != n.Opaque {
		return false
	}
	for i := range m.Terms {
		if m.Terms[i] != n.Terms[i] {
			return false
		}
	}
	return true
}

// EqualActions says whether two lists of actions do the same.
func EqualActions(a, b []Action) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		switch x := a[i].(type) {
		case CT, Learn, WriteActions: // these hold lists, which == does not compare
			if !reflect.DeepEqual(x, b[i]) {
				return false
			}
		default:
			switch b[i].(type) {
			case CT, Learn, WriteActions:
				return false
			}
			if x != b[i] {
				return false
			}
		}
	}
	return true
}

// Diff returns what leads from the flows that a switch has to those that it
// should have: a FlowAdd for each that is missing or differs (it replaces the one
// with its key), then a FlowDeleteStrict for each that is too much.
//
// A flow that differs is added, not modified: a modification keeps the cookie, and
// the cookie says whose flow it is.
func Diff(have, want []Flow) []FlowMod {
	if len(have) == 0 {
		mods := make([]FlowMod, len(want))
		for i := range want {
			mods[i] = FlowMod{Command: FlowAdd, Flow: want[i]}
		}
		return mods
	}
	old := make(map[FlowKey]int, len(have))
	for i := range have {
		old[have[i].Key()] = i
	}
	var mods []FlowMod
	kept := make([]bool, len(have))
	for i := range want {
		at, ok := old[want[i].Key()]
		if ok {
			kept[at] = true
			if have[at].Equal(want[i]) {
				continue
			}
		}
		mods = append(mods, FlowMod{Command: FlowAdd, Flow: want[i]})
	}
	for i := range have {
		if !kept[i] {
			mods = append(mods, FlowMod{Command: FlowDeleteStrict, CookieMask: ^uint64(0), Flow: have[i]})
		}
	}
	return mods
}
