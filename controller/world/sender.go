package world

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/pipeline"
)

// The senders of a tenant are the hosts that may tunnel for it: hosts that claim a port
// of it, in force or not, and hosts that have a pool address for it, which still
// receives answers. Liveness does not matter: a host cut off from the store goes on
// sending.

func (w *World) senderKind() kind[string, pipeline.SendersView] {
	return kind[string, pipeline.SendersView]{
		cookie: pipeline.KindSenders, compare: strings.Compare, view: w.sendersView, idOf: w.tenantID,
		same:  func(a, b *pipeline.SendersView) bool { return reflect.DeepEqual(a, b) },
		id:    func(v *pipeline.SendersView) intent.ID { return v.Tenant.ID },
		flows: pipeline.Senders,
	}
}

// countSender counts a host's claim on a port of the tenant, or the end of one.
func (w *World) countSender(t *tenant, host string, by int) {
	if tally(t.senders, host, by) {
		w.senders.touch(t.Name)
	}
}

// sendersView returns the view of a tenant's senders.
func (w *World) sendersView(name string) *pipeline.SendersView {
	t := w.tenants[name]
	if t == nil || t.ID == 0 || w.tenantConflict(t) != "" {
		return nil
	}
	v := &pipeline.SendersView{Tenant: t.Tenant}
	hosts := map[string]bool{}
	for h := range t.senders {
		hosts[h] = true
	}
	for k := range t.nat.taken {
		hosts[k.host] = true
	}
	for h := range hosts {
		if known, ok := w.hostByName[h]; ok && h != w.self && known.VTEP.Is4() {
			v.VTEPs = append(v.VTEPs, known.VTEP)
		}
	}
	slices.SortFunc(v.VTEPs, netip.Addr.Compare)
	v.VTEPs = slices.Compact(v.VTEPs)
	for _, n := range t.networks {
		v.Learns = v.Learns || n.known && n.intent.Learning
	}
	return v
}

// HasOthers reports whether any other host may tunnel for a tenant.
func (w *World) HasOthers(tenant string) bool {
	v := w.sendersView(tenant)
	return v != nil && len(v.VTEPs) > 0
}
