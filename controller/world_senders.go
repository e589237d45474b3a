package controller

import (
	"net/netip"
	"slices"

	"github.com/ovloom/ovloom/pipeline"
)

// This file holds which hosts may tunnel for a tenant: those that claim a port of it, in
// force or not, and those that have an address of a pool for it, to which answers come
// still. Whether a host is alive does not count: it goes on sending while the store does
// not hear of it.

// claimed counts a claim of a host on some port of the tenant, or one less.
func (w *world) claimed(t *tenant, host string, by int) {
	if tally(t.senders, host, by) {
		w.senders.touch(t.Name)
	}
}

// sendersView returns what the pipeline must know of who may tunnel for a tenant.
func (w *world) sendersView(name string) *pipeline.SendersView {
	t := w.tenants[name]
	if t == nil || t.ID == 0 || w.tenantLeft(t) != "" {
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
		if known, ok := w.known[h]; ok && h != w.self && known.VTEP.Is4() {
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

// others says whether any other host may tunnel for a tenant.
func (w *world) others(tenant string) bool {
	v := w.sendersView(tenant)
	return v != nil && len(v.VTEPs) > 0
}
