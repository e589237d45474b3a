// Ports that are rate limited because they would slow down all others.

package status

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/controller"
)

// penaltyWarnings returns a warning for each port that is rate limited.
func (h *Host) penaltyWarnings(c controller.Status) (w []api.Warning) {
	penalties := h.Penalties()
	for _, ofport := range slices.Sorted(maps.Keys(penalties)) {
		i := slices.IndexFunc(c.Ports, func(p controller.PortStatus) bool { return uint32(p.OFPort) == ofport && p.InForce })
		if i < 0 {
			continue // not a network's port: penalties do not apply
		}
		port, p := portName(c.Ports[i]), penalties[ofport]
		until := p.Until.UTC().Format(time.TimeOnly)
		if p.Flows == 0 {
			w = append(w, api.Warning{
				What: fmt.Sprintf("port %s sent so many ARP requests or neighbour solicitations (%d a second) that it slowed down the others: what it sends is limited until %s", port, p.Asked, until),
				Do:   "see what runs behind the port: a flood, or a loop"})
			continue
		}
		w = append(w, api.Warning{
			What: fmt.Sprintf("port %s sent from or to so many addresses at a time (%d cached flows) that it slowed down the others: what it sends is limited until %s", port, p.Flows, until),
			Do:   "see what runs behind the port: a scan or a flood, or an address of its own for each packet"})
	}
	return w
}
