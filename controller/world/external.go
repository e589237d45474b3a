package world

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

// Uplink is the switch port by which packets leave to an external.
type Uplink struct {
	OFPort of.PortNo  // 0: there is none
	MAC    intent.MAC // kind host only: the MAC of the port's interface
}

func (w *World) externalKind() kind[string, pipeline.ExternalView] {
	return kind[string, pipeline.ExternalView]{
		cookie: pipeline.KindExternal, compare: strings.Compare, view: w.externalView,
		idOf:   func(name string) intent.ID { return w.externalByName[name].ID },
		same:   func(a, b *pipeline.ExternalView) bool { return reflect.DeepEqual(a, b) },
		id:     func(v *pipeline.ExternalView) intent.ID { return v.External.ID },
		flows:  func(v *pipeline.ExternalView, emit pipeline.Emit) { pipeline.External(w.sw, v, emit) },
		meters: func(v *pipeline.ExternalView) []of.Meter { return pipeline.ExternalMeters(w.sw, v) },
		learned: func(v *pipeline.ExternalView) []pipeline.Cookie {
			return []pipeline.Cookie{pipeline.MakeCookie(pipeline.KindLearnedExternal, v.External.ID)}
		},
		behind: func(v *pipeline.ExternalView) of.PortNo { return v.OFPort },
		// Without an uplink nothing is learned: what is there when one is found was learned by it
		// before this ovloomd started, or leads to another port, and then a comparison deletes it.
		stale: func(old, now *pipeline.ExternalView) bool {
			return old.OFPort != 0 && old.OFPort != now.OFPort || old.External.Number != now.External.Number
		},
		changed: func(_ string, old, now *pipeline.ExternalView) { w.table.SetUplink(old, now) },
	}
}

// SetExternals replaces the list of externals.
func (w *World) SetExternals(list []intent.External) {
	list, w.externalsLeft = singleExternals(list)
	next := make(map[string]*intent.External, len(list))
	for _, e := range list {
		if old := w.externalByName[e.Name]; old != nil && reflect.DeepEqual(*old, e) {
			next[e.Name] = old
		} else {
			next[e.Name] = &e
		}
	}
	w.touchExternals()
	changed := !maps.Equal(next, w.externalByName)
	w.externalByName = next
	if changed {
		w.touchOutside()
	}
}

// SetUplinks replaces the list of uplinks, by their externals.
func (w *World) SetUplinks(uplinks map[string]Uplink) {
	if !maps.Equal(uplinks, w.uplinks) {
		w.uplinks = uplinks
		w.touchOutside()
	}
}

// touchOutside marks all that depends on externals, uplinks or this host.
func (w *World) touchOutside() {
	w.touchExternals()
	w.guards.touch("")
	for _, t := range w.tenants {
		w.touchNAT(t) // a change of uplinks also changes the address that a port's connections use
		w.touchWidths(t)
	}
}

// touchExternals marks all externals.
func (w *World) touchExternals() {
	for name := range w.externalByName {
		w.externals.touch(name)
	}
}

// uplink returns an external and its port here; 0: none.
func (w *World) uplink(external string) (*intent.External, Uplink) {
	return w.externalByName[external], w.uplinks[external]
}

// externalConflicts lists externals that are left out.
func (w *World) externalConflicts(add func(object, why string)) {
	for name, why := range w.externalsLeft {
		add("external "+name, why)
	}
}

func (w *World) externalView(name string) *pipeline.ExternalView {
	e, up := w.uplink(name)
	if e == nil {
		return nil
	}
	v := &pipeline.ExternalView{External: *e, OFPort: up.OFPort, NextMAC: up.MAC, Router: w.routerMAC()}
	v.Segment, v.Lead = w.segment(e)
	v.First = true
	for _, other := range w.externalByName {
		v.First = v.First && (!other.SharesUplink(*e) || other.Number >= e.Number)
	}
	if e.Kind == intent.ExternalBridge && w.widest() > e.MTU {
		v.MTU = e.MTU
	}
	return v
}

// segment returns the VNI for the segment behind an external, which it may share with
// others, and whether its flows admit packets from there: the external with the lowest
// number does.
func (w *World) segment(e *intent.External) (vni uint32, lead bool) {
	first := e
	for _, other := range w.externalByName {
		if other.SharesSegment(*e) && other.Number < first.Number {
			first = other
		}
	}
	if e.Kind == intent.ExternalHost {
		return intent.VNIReserved, first == e
	}
	return first.VNI(), first == e
}

// widerOutside reports whether packets from outside to a tenant may exceed an MTU.
func (w *World) widerOutside(t *tenant, mtu int) bool {
	if !t.nat.any() {
		return false
	}
	for _, e := range w.externalByName {
		from := e.MTU
		if e.Kind == intent.ExternalHost { // the host's end has the MTU of a port without one of its own
			from = intent.Network{}.PortMTU(w.hostByName[w.self].UnderlayMTU)
		}
		if from > mtu {
			return true
		}
	}
	return false
}

// widest returns the largest MTU of the networks here.
func (w *World) widest() int {
	most := 0
	for _, t := range w.tenants {
		for _, n := range t.networks {
			if n.known {
				most = max(most, w.portMTU(n))
			}
		}
	}
	return most
}

// singleExternals returns the externals without those that repeat the number or id of
// an older one, and the reasons.
func singleExternals(list []intent.External) (single []intent.External, left map[string]string) {
	list = slices.SortedFunc(slices.Values(list), func(a, b intent.External) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
	})
	numbers, ids := map[uint8]string{}, map[intent.ID]string{}
	for _, e := range list {
		why := ""
		if other, taken := numbers[e.Number]; taken {
			why = fmt.Sprintf("it has number %d, which is that of external %s", e.Number, other)
		} else if other, taken := ids[e.ID]; taken {
			why = fmt.Sprintf("it has id %d, which is that of external %s", e.ID, other)
		}
		if why == "" {
			numbers[e.Number], ids[e.ID] = e.Name, e.Name
			single = append(single, e)
			continue
		}
		if left == nil {
			left = map[string]string{}
		}
		left[e.Name] = why
	}
	return single, left
}
