package demo_test

import (
	"strings"
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
	"github.com/ovloom/ovloom/integration/overlay"
)

// The main job, in namespaces and in containers: two tenants with the same
// addresses on three hosts.
func TestSmoke(t *testing.T) {
	for _, backend := range lab.Backends {
		t.Run(string(backend), func(t *testing.T) {
			o := overlay.New(t, lab.Config{Backend: backend})
			var machines []*overlay.Machine
			for _, tenant := range []string{"acme", "umbrella"} {
				o.Run("tenant", "add", tenant)
				o.Run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
				for i, h := range o.Hosts {
					machines = append(machines, o.Plug(h, tenant+"/web/"+[]string{"c1", "c2", "c3"}[i]))
				}
			}
			for _, from := range machines {
				for _, to := range machines {
					if from.Port.Tenant == to.Port.Tenant && from != to {
						o.Reaches(from, to.V4())
						o.Reaches(from, to.V6())
					}
				}
			}
			// All hosts answer, so that no port was kept waiting for one.
			for _, h := range o.Hosts {
				if out, err := h.Ovloomd.Output(); err != nil || strings.Contains(out, "other hosts may not know of a port") {
					t.Errorf("%s waited in vain for the others to know of its ports (%v)", h.Name, err)
				}
			}
		})
	}
}
