// Drops, by reason.

package status

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ovloom/ovloom/api"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/openflow/ofconn"
	"github.com/ovloom/ovloom/pipeline"
)

// readDrops returns the drop counters of all reasons that occurred.
func (h *Host) readDrops(ctx context.Context) ([]api.Drop, error) {
	flows, err := h.Switch.Flows(ctx, ofconn.FlowFilter{Tables: []uint8{pipeline.DropTable()}})
	meters, err2 := h.Switch.MeterStats(ctx)
	var large api.Drop
	large.Packets, large.Bytes = h.TooLarge()
	return countDrops(flows, meters, large), errors.Join(err, err2)
}

// countDrops returns the reasons that occurred, from the counters of the flows of table drop
// and of all meters. tooLarge counts the packets larger than an MTU that reached ovloomd.
//
// Open vSwitch credits the flows of both outcomes of check_pkt_larger with every packet that
// it measures. So packets that are too large are counted where only they pass: at the meter
// in front of ovloomd or, without meters, in ovloomd.
func countDrops(flows []of.FlowStats, meters []of.MeterStats, tooLarge api.Drop) []api.Drop {
	drops := map[pipeline.Reason]*api.Drop{}
	add := func(r pipeline.Reason, packets, bytes uint64) {
		if packets == 0 {
			return
		}
		if drops[r] == nil {
			drops[r] = &api.Drop{Reason: r.String(), Meaning: r.Meaning()}
		}
		drops[r].Packets += packets
		drops[r].Bytes += bytes
	}
	for _, f := range flows {
		c := pipeline.Cookie(f.Cookie)
		if r := pipeline.Reason(c.ID()); c.Kind() == pipeline.KindReason && r != pipeline.ReasonOversize {
			add(r, f.Packets, f.Bytes)
		}
	}
	for _, m := range meters {
		if reason, ok := pipeline.LimitReason(m.ID); ok {
			add(reason, m.Dropped, m.DroppedBytes)
		}
		if m.ID == pipeline.CauseOversize.MeterID() {
			tooLarge.Packets, tooLarge.Bytes = m.Packets-m.Dropped, m.Bytes-m.DroppedBytes
		}
	}
	add(pipeline.ReasonOversize, tooLarge.Packets, tooLarge.Bytes)
	var list []api.Drop
	for _, d := range drops {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(a, b api.Drop) int { return strings.Compare(a.Reason, b.Reason) })
	return list
}
