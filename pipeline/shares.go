package pipeline

import (
	"github.com/ovloom/ovloom/intent"
	of "github.com/ovloom/ovloom/openflow"
)

// shares meters each port, network and tenant by itself, so that a flood uses up its
// sender's share and no other. Other tables resubmit here before an expensive step, and
// then go on: a packet beyond the share ends in the datapath, at the meter.
var shares = &Table{
	ID:      idShares,
	Name:    "shares",
	Purpose: "Pass a packet only within the share of its port, network or tenant.",
	Reads:   []of.Field{of.FieldReg0, of.FieldReg1, of.FieldReg10, of.FieldMetadata, of.FieldEthType, of.FieldIPFrag},
}

// Share is a limited resource. The number travels in a register to table shares.
type Share uint8

// Shares. Numbers are never reused: they appear in flows and meters that an older
// ovloomd installed.
const (
	SharePort      Share = 1 // packets of one port or uplink that ovloomd handles
	ShareNetwork   Share = 2 // packets of one network that ovloomd handles
	ShareFragments Share = 3 // fragments that a tenant sends through NAT
	ShareArriving  Share = 4 // fragments from outside to a tenant
	ShareStorm     Share = 5 // broadcasts and multicasts of one port
	SharePenalty   Share = 6 // all packets of a port with too many cached flows
)

// shareCauses, plus a cause, numbers that cause's meter in place of a share.
const shareCauses Share = 0x40

// shareRates gives each share's packets per second, its burst, and the drop reason of
// packets beyond it.
var shareRates = map[Share]struct {
	rate, burst uint32
	reason      Reason
}{
	SharePort:    {200, 200, ReasonPuntLimit},
	ShareNetwork: {500, 500, ReasonPuntLimit},
	// Incomplete datagrams wait for 15 s, with at most 5,000 fragments for all tenants:
	// 1,900 of this share.
	ShareFragments: {100, 400, ReasonFragmentLimit},
	ShareArriving:  {100, 400, ReasonFragmentLimit},
	ShareStorm:     {intent.StormDefault, intent.StormDefault, ReasonStormLimit},
	// Each packet may create a cached flow, which lives for ten seconds: a port that
	// goes on flooding has 2,000.
	SharePenalty: {200, 200, ReasonPenalty},
}

// shareMeters is where the meters of shares begin: the share, and below it 24 bits for
// its owner.
const shareMeters = 24

// meter returns the meter of a share. who is a port of the switch, a VNI or a VRF id.
func (s Share) meter(who uint32) of.Meter {
	r := shareRates[s]
	return of.Meter{ID: uint32(s)<<shareMeters | who, Unit: of.PacketsPerSecond, Rate: r.rate, Burst: r.burst}
}

// LimitReason returns the reason for which a meter drops packets; false: not a meter of
// ovloom's.
func LimitReason(meter uint32) (Reason, bool) {
	if s, ok := shareRates[Share(meter>>shareMeters)]; ok {
		return s.reason, true
	}
	return ReasonPuntLimit, meter > meterCauses && meter <= meterCauses+uint32(len(causes))
}

// IsShare reports whether a meter belongs to a share.
func IsShare(meter uint32) bool {
	_, ok := shareRates[Share(meter>>shareMeters)]
	return ok
}

// limits resubmits a packet to table shares. Without meters there are no limits.
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

// limit adds the flow that applies a share's meter.
func (s Share) limit(r rules, note string, who uint32, match ...of.Term) {
	r.add(shares, 10, note, on(append(match, regShare.is(uint64(s)))...), of.ApplyMeter{ID: s.meter(who).ID})
}

// sharesBase bounds the packets that ovloomd handles in total.
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

// stormMeter limits the broadcasts of a port; without a rate there is no limit.
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

// penalised reports whether packets from the port pass a meter first.
func (p *PortView) penalised(sw Switch) bool { return p.Penalty && p.local() && !sw.NoMeters }

// The packets of a port with too many cached flows take two passes. The first matches
// the port only, so that packets dropped by the meter need neither a cached flow of
// their own nor a lookup. Between the two the datapath computes a hash, which
// recirculates the packet with a fresh list of actions, as with pages of table flood.

// penaltyGroup is the group of a port's second pass. Its id is the port's number, below
// the ids of all networks' groups.
func penaltyGroup(p *PortView, enter []of.Action) of.Group {
	return of.Group{ID: uint32(p.OFPort), Type: of.GroupSelect, SelectionMethod: "dp_hash",
		Buckets: []of.Bucket{{Weight: 1, Actions: append(enter, of.Resubmit{InPort: of.PortInPort, Table: portEntry.ID})}}}
}
