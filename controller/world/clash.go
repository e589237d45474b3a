package world

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Two objects must not want flows with the same table, priority and match: the switch
// holds one of them, and which one would depend on the order of events.

// Clashes names the objects that want the same flows, in words.
func (w *World) Clashes(t Target) []string {
	doubles := t.flows.Doubles()
	if len(doubles) == 0 {
		return nil
	}
	names := map[pipeline.Cookie][]string{} // several if objects share an id
	for _, o := range w.all() {
		names[o.cookie()] = append(names[o.cookie()], o.name())
	}
	base := w.Objects()
	var list []string
	for _, d := range doubles {
		a, b := d[0], d[1]
		if b.Cookie < a.Cookie {
			a, b = b, a
		}
		owners := slices.Concat(names[pipeline.Cookie(a.Cookie)], names[pipeline.Cookie(b.Cookie)])
		for _, c := range []uint64{a.Cookie, b.Cookie} {
			if len(names[pipeline.Cookie(c)]) == 0 {
				owners = append(owners, base[pipeline.Cookie(c)])
			}
		}
		slices.Sort(owners)
		owners = slices.Compact(owners)
		subject := strings.Join(owners, " and ") + " want"
		if len(owners) == 1 {
			subject = owners[0] + " wants twice"
		}
		list = append(list, fmt.Sprintf("%s the same flow: %s", subject, keyText(a)))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// keyText is what a flow matches, as ovs-ofctl writes it.
func keyText(f of.Flow) string {
	f.Cookie, f.Actions = 0, nil
	return f.String()
}

// settleDoubles orders flows so that of two with the same key the one with the higher
// cookie wins, in whatever order the objects were compiled.
func settleDoubles(flows []of.Flow) *of.FlowIndex {
	x := of.IndexFlows(flows)
	if len(x.Doubles()) == 0 {
		return x
	}
	slices.SortStableFunc(flows, func(a, b of.Flow) int { return cmp.Compare(a.Cookie, b.Cookie) })
	return of.IndexFlows(flows)
}
