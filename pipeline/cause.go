package pipeline

import (
	"fmt"
	"slices"

	of "github.com/ovloom/ovloom/openflow"
)

// Cause is why the switch hands a packet to ovloomd. It is the first byte of the
// packet-in's userdata. Each cause has a meter, so that one kind of packet cannot crowd
// out another; within a cause each port and network has its share, so that one of them
// cannot crowd out the rest.
type Cause uint8

// Causes. Numbers are never reused: they appear in flows that an older ovloomd
// installed.
const (
	CauseExpired      Cause = 1  // its TTL ran out
	CauseGateway      Cause = 2  // it was sent to a gateway itself, which listens on no port
	CauseNoRoute      Cause = 3  // the tenant has no route to its destination
	CauseUnreachable  Cause = 4  // its next hop does not exist
	CauseOversize     Cause = 5  // it is larger than the MTU of the network it goes to
	CauseQuestion     Cause = 6  // its next hop is not known, but may exist: ovloomd asks
	CauseAnswer       Cause = 7  // it answers a CauseQuestion
	CauseSolicitation Cause = 8  // it asks for a gateway's MAC, and the switch cannot answer
	CauseUplinkAsk    Cause = 9  // its next hop beyond an external is not known
	CauseUplinkAnswer Cause = 10 // it answers a CauseUplinkAsk

	CauseFragment Cause = 11 // it is a fragment of a first packet to one of several forwards
)

var causeNames = map[Cause]string{
	CauseExpired: "expired", CauseGateway: "for a gateway", CauseNoRoute: "no route", CauseUnreachable: "unreachable",
	CauseOversize: "oversize", CauseQuestion: "question", CauseAnswer: "answer", CauseSolicitation: "solicitation",
	CauseUplinkAsk: "question beyond an external", CauseUplinkAnswer: "answer from beyond an external",
	CauseFragment: "fragment to a forward",
}

// causes lists them all, in order.
var causes = []Cause{
	CauseExpired, CauseGateway, CauseNoRoute, CauseUnreachable, CauseOversize, CauseQuestion, CauseAnswer,
	CauseSolicitation, CauseUplinkAsk, CauseUplinkAnswer, CauseFragment,
}

// Causes lists all causes, in order of their numbers.
func Causes() []Cause { return slices.Clone(causes) }

// String returns the cause in words.
func (c Cause) String() string {
	if s, ok := causeNames[c]; ok {
		return s
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

// RouterController is the controller id of the connection that receives packets with a
// Cause.
const RouterController = 0x0f02

const (
	meterCauses = 16   // a cause's meter is the cause plus this
	causeRate   = 4000 // packets per second of each cause, over all shares
)

// MeterID is the meter that packets with the cause pass on their way to ovloomd, on
// switches with meters.
func (c Cause) MeterID() uint32 { return meterCauses + uint32(c) }

// maxLen is how much of a packet ovloomd needs, in bytes.
func (c Cause) maxLen() uint16 {
	switch c {
	case CauseOversize, CauseQuestion, CauseUplinkAsk, CauseFragment:
		return 0xffff // ovloomd forwards them whole
	}
	return 14 + 1280 // an ICMP error quotes as much as it can (RFC 4443, 2.4)
}

// hear hands a packet to ovloomd, after other actions. A packet beyond its share or the
// cause's meter is dropped before those actions: ovs-ofctl only reads a meter in first
// place.
func hear(sw Switch, c Cause, before ...of.Action) []of.Action {
	tell := append(slices.Clip(before), of.ToController{MaxLen: c.maxLen(), ID: RouterController, Userdata: string([]byte{byte(c)})})
	if sw.NoMeters {
		return tell
	}
	return append(sw.limits(SharePort, ShareNetwork, shareCauses+Share(c)), tell...)
}

// refuse drops a packet for a reason, and hands it to ovloomd, which sends an ICMP
// error.
func refuse(sw Switch, c Cause, r Reason) []of.Action {
	return append(hear(sw, c), because(r)...)
}
