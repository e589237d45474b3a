package integration_test

import (
	"testing"

	"github.com/ovloom/ovloom/integration/lab"
)

// The main job, in namespaces and in containers: two tenants with the same
// addresses on three hosts.
func TestSmoke(t *testing.T) {
	for _, backend := range lab.Backends {
		t.Run(string(backend), func(t *testing.T) {
			o := newOverlay(t, lab.Config{Backend: backend})
			var machines []*machine
			for _, tenant := range []string{"acme", "umbrella"} {
				o.run("tenant", "add", tenant)
				o.run("network", "add", tenant+"/web", "--subnet", "10.0.0.0/24", "--subnet", "fd00:1::/64")
				for i, h := range o.Hosts {
					machines = append(machines, o.plug(h, tenant+"/web/"+[]string{"c1", "c2", "c3"}[i]))
				}
			}
			for _, from := range machines {
				for _, to := range machines {
					if from.port.Tenant == to.port.Tenant && from != to {
						o.reaches(from, to.v4())
						o.reaches(from, to.v6())
					}
				}
			}
		})
	}
}
