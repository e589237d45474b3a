// Package switchtest holds a switch without packets for tests: it takes changes as Open
// vSwitch does, and complains about those that Open vSwitch would refuse.
package switchtest

import (
	"fmt"
	"slices"
	"strings"

	of "github.com/ovloom/ovloom/openflow"
)

// Table is what the switch holds.
type Table struct {
	Flows  map[of.FlowKey]of.Flow
	Groups map[uint32]of.Group
	Meters map[uint32]of.Meter
}

// New returns an empty table.
func New() *Table {
	return &Table{Flows: map[of.FlowKey]of.Flow{}, Groups: map[uint32]of.Group{}, Meters: map[uint32]of.Meter{}}
}

// Apply makes changes in order, up to the first that Open vSwitch would refuse.
func (t *Table) Apply(mods []of.Mod) error {
	for _, m := range mods {
		switch m := m.(type) {
		case *of.FlowMod:
			if err := t.flowMod(m); err != nil {
				return fmt.Errorf("%w: %s", err, m)
			}
		case *of.GroupMod:
			switch m.Command {
			case of.GroupAddOrModify:
				t.Groups[m.Group.ID] = m.Group
			case of.GroupDelete:
				delete(t.Groups, m.Group.ID)
				for k, f := range t.Flows {
					if refersTo(f, m.Group.ID) {
						delete(t.Flows, k)
					}
				}
			default:
				return fmt.Errorf("unexpected %s", m)
			}
		case *of.MeterMod:
			if _, ok := t.Meters[m.Meter.ID]; ok == (m.Command == of.MeterAdd) {
				return fmt.Errorf("meter is there: %t, but %s", ok, m)
			}
			if t.Meters[m.Meter.ID] = m.Meter; m.Command == of.MeterDelete {
				delete(t.Meters, m.Meter.ID)
			}
		default:
			return fmt.Errorf("unexpected %s", m)
		}
	}
	return nil
}

func (t *Table) flowMod(m *of.FlowMod) error {
	covers := func(f of.Flow) bool { return (f.Cookie^m.Flow.Cookie)&m.CookieMask == 0 }
	k := m.Flow.Key()
	switch m.Command {
	case of.FlowAdd:
		for _, a := range m.Flow.Actions {
			if g, ok := a.(of.ToGroup); ok {
				if _, ok := t.Groups[g.ID]; !ok {
					return fmt.Errorf("group %d does not exist", g.ID)
				}
			}
		}
		t.Flows[k] = m.Flow
	case of.FlowDeleteStrict:
		if f, ok := t.Flows[k]; ok && covers(f) {
			delete(t.Flows, k)
		}
	case of.FlowDelete:
		for k, f := range t.Flows {
			if f.Table == m.Flow.Table && covers(f) {
				delete(t.Flows, k)
			}
		}
	default:
		return fmt.Errorf("unexpected command")
	}
	return nil
}

func refersTo(f of.Flow, group uint32) bool {
	return slices.ContainsFunc(f.Actions, func(a of.Action) bool { return a == of.Action(of.ToGroup{ID: group}) })
}

// Dump returns all flows and groups.
func (t *Table) Dump() (flows []of.Flow, groups []of.Group) {
	for _, f := range t.Flows {
		flows = append(flows, f)
	}
	for _, g := range t.Groups {
		groups = append(groups, g)
	}
	return flows, groups
}

// Lines prints flows and groups, sorted, with cookies.
func Lines(flows []of.Flow, groups []of.Group) []string {
	var l []string
	for _, f := range flows {
		l = append(l, f.String())
	}
	for _, g := range groups {
		l = append(l, g.String())
	}
	slices.Sort(l)
	return l
}

// Difference says in which lines have differs from want; "": in none. Both are sorted.
func Difference(have, want []string) string {
	var b strings.Builder
	for _, x := range have {
		if _, ok := slices.BinarySearch(want, x); !ok {
			fmt.Fprintf(&b, "too much: %s\n", x)
		}
	}
	for _, x := range want {
		if _, ok := slices.BinarySearch(have, x); !ok {
			fmt.Fprintf(&b, "missing:  %s\n", x)
		}
	}
	return b.String()
}
