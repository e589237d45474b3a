package status

import (
	"slices"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
	"github.com/ovloom/ovloom/pipeline"
)

func TestDropsDoNotCountWhatFits(t *testing.T) {
	flow := func(r pipeline.Reason, packets uint64) of.FlowStats {
		return of.FlowStats{Flow: of.Flow{Cookie: uint64(pipeline.MakeCookie(pipeline.KindReason, intent.ID(r)))}, Packets: packets, Bytes: 100 * packets}
	}
	flows := []of.FlowStats{flow(pipeline.ReasonOversize, 70), flow(pipeline.ReasonNoRoute, 3), flow(pipeline.ReasonExpired, 0)}
	meters := []of.MeterStats{
		{ID: pipeline.CauseOversize.MeterID(), Packets: 9, Bytes: 13000, Dropped: 2, DroppedBytes: 3000},
		{ID: pipeline.CauseNoRoute.MeterID(), Packets: 5, Dropped: 1, DroppedBytes: 100},
	}
	for name, c := range map[string]struct {
		meters []of.MeterStats
		routed api.Drop
		want   []api.Drop
	}{
		"meters": {meters, api.Drop{Packets: 4}, []api.Drop{
			{Reason: "no-route", Packets: 3, Bytes: 300}, {Reason: "oversize", Packets: 7, Bytes: 10000}, {Reason: "punt-limit", Packets: 3, Bytes: 3100}}},
		"no meters": {nil, api.Drop{Packets: 4, Bytes: 5600}, []api.Drop{
			{Reason: "no-route", Packets: 3, Bytes: 300}, {Reason: "oversize", Packets: 4, Bytes: 5600}}},
		"nothing too large": {nil, api.Drop{}, []api.Drop{{Reason: "no-route", Packets: 3, Bytes: 300}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := countDrops(flows, c.meters, c.routed)
			for i := range got {
				if got[i].Meaning == "" {
					t.Errorf("%s has no meaning", got[i].Reason)
				}
				got[i].Meaning = ""
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
