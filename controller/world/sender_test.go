package world

import "testing"

// checkSenders compares the counts of claims, which are kept up to date, with new counts.
func checkSenders(t *testing.T, w *World) {
	t.Helper()
	for _, tenant := range w.tenants {
		want := map[string]int{}
		for _, n := range tenant.networks {
			for _, claims := range n.claims {
				for _, b := range claims {
					want[b.Host]++
				}
			}
		}
		if len(want) != len(tenant.senders) {
			t.Errorf("tenant %s: claims by host are %v, counted %v", tenant.Name, want, tenant.senders)
		}
		for h, n := range want {
			if tenant.senders[h] != n {
				t.Errorf("tenant %s: host %s has %d claims, counted %d", tenant.Name, h, n, tenant.senders[h])
			}
		}
	}
}
