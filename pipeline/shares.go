package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// shares gives each port, network and tenant a share of its own of what all have in
// common: so a flood takes from who sends it and from nobody else. Flows come here by
// resubmit, before what costs, and go on where they were: a packet beyond the share
// ends in the datapath, at the meter.
var shares = &Table{
	ID:      idShares,
	Name:    "shares",
	Purpose: "Let a packet pass only within the share of the port, network or tenant that it counts for.",
	Reads:   []of.Field{of.FieldReg0, of.FieldReg1, of.FieldReg10, of.FieldMetadata, of.FieldEthType, of.FieldIPFrag},
}

// Share is what is shared out. The number travels in a register to table shares.
type Share uint8

// Shares. Numbers are never reused: they appear in flows, and in meters, that an older
// ovloomd installed.
const (
	SharePort      Share = 1 // packets of one port or uplink that ovloomd handles
	ShareNetwork   Share = 2 // packets of one network that ovloomd handles
	ShareFragments Share = 3 // fragments that a tenant sends through NAT
	ShareArriving  Share = 4 // fragments that come for a tenant from outside
	ShareStorm     Share = 5 // broadcasts and multicasts of one port
	SharePenalty   Share = 6 // all packets of a port that made too many cached flows
)

// shareCauses is what a cause's meter has in place of a share: the cause, and this.
const shareCauses Share = 0x40

// shareRates says how many packets per second a share is, how many may come at once,
// and of what drop reason those beyond it are.
var shareRates = map[Share]struct {
	rate, burst uint32
	reason      Reason
}{
	SharePort:    {200, 200, ReasonPuntLimit},
	ShareNetwork: {500, 500, ReasonPuntLimit},
	// Those of packets that never become whole wait for 15 s, 5,000 at most of all
	// tenants: of this share, 1,900.
	ShareFragments: {100, 400, ReasonFragmentLimit},
	ShareArriving:  {100, 400, ReasonFragmentLimit},
	ShareStorm:     {intent.StormDefault, intent.StormDefault, ReasonStormLimit},
	// Each may make a cached flow once more, which is there for ten seconds: these are
	// 2,000 of a port that floods on.
	SharePenalty: {200, 200, ReasonPenalty},
}

// shareMeters is where the meters of shares begin: the share, and below it whose it is,
// in 24 bits.
const shareMeters = 24

// meter returns the meter of somebody's share. who is a port of the switch, a VNI or a
// VRF id.
func (s Share) meter(who uint32) of.Meter {
	r := shareRates[s]
	return of.Meter{ID: uint32(s)<<shareMeters | who, Unit: of.PacketsPerSecond, Rate: r.rate, Burst: r.burst}
}

// LimitReason returns the reason for which a meter drops packets; false, if it is none of
// ours.
func LimitReason(meter uint32) (Reason, bool) {
	if s, ok := shareRates[Share(meter>>shareMeters)]; ok {
		return s.reason, true
	}
	return ReasonPuntLimit, meter > meterCauses && meter <= meterCauses+uint32(len(causes))
}

// IsShare says whether a meter is somebody's share.
func IsShare(meter uint32) bool {
	_, ok := shareRates[Share(meter>>shareMeters)]
	return ok
}

// limits looks up a share in table shares. Without meters nobody has any.
func (sw Switch) limits(list ...Share) []of.Action {
	if sw.NoMeters {
		return nil
	}
	var actions []of.Action
	for _, s := range list {
		actions = append(actions, regShare.set(uint64(s)), of.Resubmit{InPort: of.PortInPort, Table: shares.ID})
	}
	return actions
}

// limit adds the flow that holds somebody to a share.
func (s Share) limit(r rules, note string, who uint32, match ...of.Term) {
	r.add(shares, 10, note, on(append(match, regShare.is(uint64(s)))...), of.ApplyMeter{ID: s.meter(who).ID})
}

// sharesBase bounds what ovloomd handles for all together.
func sharesBase(r rules, sw Switch) {
	for _, c := range causes {
		if !sw.NoMeters {
			r.add(shares, 10, "what ovloomd handles for one cause: "+c.String(), on(regShare.is(uint64(shareCauses+Share(c)))), of.ApplyMeter{ID: c.MeterID()})
		}
	}
}

func sharesPort(r rules, sw Switch, p *PortView) {
	if sw.NoMeters {
		return
	}
	from := regInPort.is(uint64(p.OFPort))
	SharePort.limit(r, "the port's share of what ovloomd handles", uint32(p.OFPort), from)
	if limit := p.stormMeter(); limit.Rate > 0 {
		ShareStorm.limit(r, "the port's share of broadcasts", uint32(p.OFPort), from)
	}
}

func sharesNetwork(r rules, sw Switch, v *NetworkView) {
	if !sw.NoMeters {
		ShareNetwork.limit(r, "the network's share of what ovloomd handles", v.Network.VNI, regNetwork.is(uint64(v.Network.VNI)))
	}
}

func sharesUplink(r rules, sw Switch, v *ExternalView) {
	if !sw.NoMeters {
		SharePort.limit(r, "the uplink's share of what ovloomd handles", uint32(v.OFPort), regInPort.is(uint64(v.OFPort)))
	}
}

func sharesTenant(r rules, sw Switch, v *TenantView) {
	if sw.NoMeters {
		return
	}
	of := []of.Term{regTenant.is(uint64(v.Tenant.VRF)), of.IPv4, anyFragment}
	ShareFragments.limit(r, "the tenant's share of fragments to put together", v.Tenant.VRF, of...)
	ShareArriving.limit(r, "the tenant's share of fragments from outside to put together", v.Tenant.VRF, of...)
}

// stormMeter bounds what the port floods; without a rate: nothing does.
func (p *PortView) stormMeter() of.Meter {
	m := ShareStorm.meter(uint32(p.OFPort))
	switch limit, limited := p.Network.Storm(); {
	case !limited:
		return of.Meter{}
	case limit > 0:
		m.Rate, m.Burst = limit, limit
	}
	return m
}

// PortMeters returns the meters that the flows of a port refer to.
func PortMeters(sw Switch, p *PortView) []of.Meter {
	if sw.NoMeters || !p.local() {
		return nil
	}
	meters := []of.Meter{SharePort.meter(uint32(p.OFPort))}
	if m := p.stormMeter(); m.Rate > 0 {
		meters = append(meters, m)
	}
	if p.Penalty {
		meters = append(meters, SharePenalty.meter(uint32(p.OFPort)))
	}
	return meters
}

// NetworkMeters returns the meters that the flows of a network refer to.
func NetworkMeters(sw Switch, v *NetworkView) []of.Meter {
	if sw.NoMeters {
		return nil
	}
	return []of.Meter{ShareNetwork.meter(v.Network.VNI)}
}

// ExternalMeters returns the meters that the flows of an external refer to.
func ExternalMeters(sw Switch, v *ExternalView) []of.Meter {
	if sw.NoMeters || v.OFPort == 0 || !v.First {
		return nil
	}
	return []of.Meter{SharePort.meter(uint32(v.OFPort))}
}

// TenantMeters returns the meters that the flows of a tenant's NAT refer to.
func TenantMeters(sw Switch, v *TenantView) []of.Meter {
	if sw.NoMeters {
		return nil
	}
	return []of.Meter{ShareFragments.meter(v.Tenant.VRF), ShareArriving.meter(v.Tenant.VRF)}
}

// penalised says whether what the port sends passes a meter first.
func (p *PortView) penalised(sw Switch) bool { return p.Penalty && p.local() && !sw.NoMeters }

// A port that makes too many cached flows has its packets take two turns: the first
// matches nothing but the port, so that what the meter drops needs no cached flow of
// its own, and nothing has to be looked up for it. In between the datapath computes a
// hash, which leads back here with a list of actions of its own, as with pages of
// table flood.

// penaltyGroup is the group of a port's second turn. Its id is the port's number, below
// those of all networks' groups.
func penaltyGroup(p *PortView, enter []of.Action) of.Group {
	return of.Group{ID: uint32(p.OFPort), Type: of.GroupSelect, SelectionMethod: "dp_hash",
		Buckets: []of.Bucket{{Weight: 1, Actions: append(enter, of.Resubmit{InPort: of.PortInPort, Table: portEntry.ID})}}}
}
